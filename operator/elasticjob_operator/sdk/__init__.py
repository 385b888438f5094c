"""ElasticJobs from Python, with the rights of whoever calls.

    from elasticjob_operator.sdk import ElasticJobs, ElasticJobSpec

    with ElasticJobs(namespace="ml") as jobs:
        jobs.create("digits", ElasticJobSpec(replicas=2, min_replicas=2, max_replicas=4,
                                             nproc_per_node=1, template=template))
        jobs.wait("digits", "Ready", timeout_s=600)
        jobs.scale("digits", 4)
        job = jobs.wait("digits", "Complete")
        print(job.status.rendezvous.round, *jobs.logs("digits", rank=0, tail=1))

Jobs are the models from which the CRD is made (:mod:`elasticjob_operator.api`). Calls block. What
goes wrong is a :class:`ClusterError`: the API server refused (:class:`Refused`, in its own words),
could not be asked (:class:`Unavailable`), or there is no such pod (:class:`NoSuchPod`); and of
:meth:`ElasticJobs.wait` a :class:`JobOver` or a :class:`TimeoutError`.
"""

from elasticjob_operator.answers import ClusterError, Refused, Unavailable
from elasticjob_operator.api import ElasticJob, ElasticJobSpec
from elasticjob_operator.sdk.jobs import ElasticJobs, JobOver
from elasticjob_operator.sdk.worker_pods import NoSuchPod

__all__ = [
    "ClusterError",
    "ElasticJob",
    "ElasticJobSpec",
    "ElasticJobs",
    "JobOver",
    "NoSuchPod",
    "Refused",
    "Unavailable",
]

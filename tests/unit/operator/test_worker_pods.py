"""Which pod has a rank, and which had its place before."""

import builders
import pytest

from elasticjob_operator import api
from elasticjob_operator.sdk import NoSuchPod, worker_pods


def a_job(*pods, workers=None):
    """Return a job in whose last round the pods are, in the order of their ranks."""
    members = tuple(api.RoundMember(pod=pod, node="n", rank=r) for r, pod in enumerate(pods))
    told = api.RendezvousStatus(
        round=3 if pods else 0, workers=workers or len(pods), members=members
    )
    return builders.a_job(status=api.ElasticJobStatus(rendezvous=told))


def a_pod(name):
    return {"name": name, "labels": {"rdzv.dev/index": name.split("-")[-2]}}


def test_the_pod_of_a_rank():
    assert worker_pods.of_rank(a_job("digits-3-0", "digits-1-2"), 1) == "digits-1-2"


@pytest.mark.parametrize(
    ("job", "rank", "words"),
    [
        (a_job(), 0, "digits has formed no round yet, so nobody has rank 0"),
        (a_job("a-0-0", "a-1-0"), 2, "round 3 of digits has the ranks 0 to 1, and not 2"),
        (a_job("a-0-0", workers=9), 5, "the status of digits lists the ranks 0 to 0 of 9, and"),
    ],
)
def test_a_rank_that_nobody_has(job, rank, words):
    with pytest.raises(NoSuchPod, match=words):
        worker_pods.of_rank(job, rank)


def test_the_pod_that_had_the_place_before_is_the_newest_of_the_earlier_ones():
    names = ("digits-1-0", "digits-1-3", "digits-1-12", "digits-1-20", "digits-11-4")
    assert worker_pods.before("digits-1-12", map(a_pod, names)) == "digits-1-3"


def test_where_no_earlier_pod_is_kept_that_is_said():
    with pytest.raises(NoSuchPod, match="no pod is kept that was there before digits-0-1"):
        worker_pods.before("digits-0-1", map(a_pod, ["digits-0-1", "digits-1-0"]))

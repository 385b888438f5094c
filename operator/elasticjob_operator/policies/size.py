"""How many workers there are to be: those that train, and spares that stand by.

A spare is a worker like any other: its pod runs, its torchrun waits in the store. It is in no round
because a round of a job with spares has no more members than workers are wanted; when one of those
is lost, the round that is formed anew takes the spare in, and the pod that is made in place of the
lost one becomes the spare.
"""

from __future__ import annotations

from elasticjob_operator import api


def workers(spec: api.ElasticJobSpec) -> int:
    """Return how many are to train: spec.replicas, or the multiple of replicaStep below it."""
    return max(spec.min_replicas, spec.replicas // spec.replica_step * spec.replica_step)


def pods(spec: api.ElasticJobSpec) -> int:
    """Return how many workers there are to be, with those that stand by."""
    return workers(spec) + spec.spare_replicas


def most_pods(spec: api.ElasticJobSpec) -> int:
    """Return how many there may be at any time, with those that are leaving."""
    return spec.max_replicas + spec.spare_replicas


def most_in_round(spec: api.ElasticJobSpec) -> int:
    """Return the most members of a round."""
    return workers(spec) if spec.spare_replicas else spec.max_replicas


def spares(spec: api.ElasticJobSpec, there: int, outside: int) -> int:
    """Return how many of so many pods, of whom some are outside the round, stand by."""
    return min(spec.spare_replicas, outside, max(0, there - workers(spec)))


def excess(spec: api.ElasticJobSpec, members: int) -> int:
    """Return how many of so many members of a round must leave it."""
    return max(0, members - workers(spec))


def words(spec: api.ElasticJobSpec, waiting: int) -> str:
    """Say what differs from spec.replicas, and how many spares there are, after other words."""
    number, said = workers(spec), ""
    if number != spec.replicas:
        step = spec.replica_step
        said = f"; replicas is {spec.replicas}, of which replicaStep {step} leaves {number}"
    if spec.spare_replicas:
        said += f"; {min(waiting, spec.spare_replicas)} of {spec.spare_replicas} spares stand by"
    return said

"""The book of attempts: how many pods each index has had, and which of their ends were counted.

It stands in the status, so that every end counts exactly once, whoever runs the operator, and no
pod gets the name of an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Final

from elasticjob_operator import api, endings
from elasticjob_operator.observed import Observed
from elasticjob_operator.pod_facts import WorkerPod

UNTOLD: Final = 100
"""More attempts of one index than can be made before the status tells of the first."""


@dataclass(frozen=True)
class Ended:
    """A pod whose end is counted now.

    Attributes:
        wanted: False if it was asked to leave.
        pod: The pod, if it is still there.
    """

    name: str
    index: int
    ending: endings.Ending
    wanted: bool
    pod: WorkerPod | None = None

    @property
    def at(self) -> datetime | None:
        """When its training ended, where that is known."""
        return self.pod.training.finished_at if self.pod else None


def pod_name(job: str, index: int, attempt: int) -> str:
    """Return the name of a worker's pod."""
    return f"{job}-{index}-{attempt}"


def is_possible(book: api.Attempts, pod: WorkerPod) -> bool:
    """Whether an operator can have made this pod: attempts are given out one after the other.

    Whoever may create pods can make one that says otherwise, and the book has a line for each.
    """
    return pod.attempt < next_attempt(book, pod.index) + UNTOLD


def missing(job: api.ElasticJob, pods: Iterable[WorkerPod]) -> list[str]:
    """Return the names of pods that the book holds for alive and that are not among ``pods``.

    They are gone, or the watch has not told of them yet: only the API server knows.
    """
    names = {pod.name for pod in pods}
    book = job.status.attempts
    return [
        name
        for index, (created, ended) in enumerate(zip_longest(book.created, book.ended, fillvalue=0))
        for attempt in range(ended, created)
        if (name := pod_name(job.metadata.name, index, attempt)) not in names
    ]


def settle(observed: Observed) -> tuple[api.Attempts, tuple[Ended, ...]]:
    """Return the book brought up to date, and the pods whose end is counted by that."""
    created = _created(observed)
    ended = [*observed.status.attempts.ended, *([0] * len(created))][: len(created)]
    pods = {(pod.index, pod.attempt): pod for pod in observed.pods}
    # An operator that was killed may have deleted them, and not told.
    left = {one.name for one in observed.store.left if one.cause == "drained"}
    found = []
    for index, last in enumerate(created):
        for attempt in range(ended[index], last):
            pod = pods.get((index, attempt))
            if pod and pod.alive:
                break
            name = pod_name(observed.job.metadata.name, index, attempt)
            ending = endings.classify(pod) if pod else endings.VANISHED
            asked = observed.drains(pod) if pod else name in left
            found.append(Ended(name, index, ending, not asked, pod))
            ended[index] = attempt + 1
    return api.Attempts(created=tuple(created), ended=tuple(ended)), tuple(found)


def with_created(book: api.Attempts, *pods: tuple[int, int]) -> api.Attempts:
    """Return the book with these pods entered, each given by its index and attempt."""
    size = max([len(book.created), *(index + 1 for index, _ in pods)])
    created = [*book.created, *([0] * (size - len(book.created)))]
    ended = [*book.ended, *([0] * (size - len(book.ended)))]
    for index, attempt in pods:
        created[index] = max(created[index], attempt + 1)
    return api.Attempts(created=tuple(created), ended=tuple(ended))


def with_ended(book: api.Attempts, index: int, attempt: int) -> api.Attempts:
    """Return the book with this pod's end entered, so that it is never counted."""
    book = with_created(book, (index, attempt))
    ended = list(book.ended)
    ended[index] = max(ended[index], attempt + 1)
    return api.Attempts(created=book.created, ended=tuple(ended))


def next_attempt(book: api.Attempts, index: int) -> int:
    """Return the attempt number of the next pod for this index."""
    return book.created[index] if index < len(book.created) else 0


def _created(observed: Observed) -> list[int]:
    book = observed.status.attempts.created
    size = max([len(book), *(pod.index + 1 for pod in observed.pods)])
    created = [*book, *([0] * (size - len(book)))]
    for pod in observed.pods:
        created[pod.index] = max(created[pod.index], pod.attempt + 1)
    return created

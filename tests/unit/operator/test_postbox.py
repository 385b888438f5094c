"""Events are posted once, in their order, and none is lost while the API server cannot be asked."""

import asyncio

from builders import a_job

from elasticjob_operator import cluster, events
from elasticjob_operator.postbox import AGAIN_S, Postbox


class Api:
    """Takes events unless it is told not to; writes of one that leads no longer are refused."""

    def __init__(self, *answers):
        self.answers, self.taken, self.may_write = list(answers), [], lambda: False

    def fenced(self, may_write):
        self.may_write = may_write
        return self

    async def create(self, manifest):
        assert self.may_write()
        if self.answers and (error := self.answers.pop(0)):
            raise error
        self.taken.append(manifest["reason"])


def a_postbox(*reasons):
    box = Postbox()
    for reason in reasons:
        box.put(a_job(), events.Event("Normal", reason, "something happened"))
    return box


def test_all_are_posted_in_their_order_by_one_that_leads_no_longer_too():
    api, box = Api(), a_postbox("First", "Second")
    assert asyncio.run(box.post(api)) is None
    assert api.taken == ["First", "Second"]
    assert asyncio.run(box.post(api)) is None
    assert api.taken == ["First", "Second"]


def test_those_that_could_not_be_posted_are_posted_later_and_only_those():
    api = Api(None, cluster.Unavailable("connection refused"))
    box = a_postbox("First", "Second", "Third")
    assert asyncio.run(box.post(api)) == AGAIN_S
    assert api.taken == ["First"]
    assert asyncio.run(box.post(api)) is None
    assert api.taken == ["First", "Second", "Third"]


def test_one_that_is_refused_does_not_hold_up_the_others():
    api = Api(cluster.Refused(403, "Forbidden", "the namespace is being terminated"))
    assert asyncio.run(a_postbox("First", "Second").post(api)) is None
    assert api.taken == ["Second"]

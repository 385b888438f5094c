"""A script that fails again and again, while the operator that would count is away."""

from contextlib import ExitStack

import pytest

pytest.importorskip("torch", reason="the training environment is not installed")

from rounds import Run, enter

from rdzv_client import api
from rdzv_client.patience import MARGIN


@pytest.fixture
def run(shared_store):
    with ExitStack() as stack:
        yield Run(shared_store, stack)


def fail(handler):
    """Come back as torchrun's agent does whose worker has failed."""
    from torch.distributed.elastic.agent.server.api import RunResult, WorkerState
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

    failures = {0: ProcessFailure(0, 42, 1, "<N/A>")}
    result = RunResult(WorkerState.FAILED, failures=failures)
    assert result.is_failed()
    return handler.next_rendezvous()


def test_it_ends_after_a_few_more_than_the_operator_would_let_pass(run):
    run.settings(expected=1, low=1, high=1, failures_left=1)
    handler = run.member("a", min_nodes=1, max_nodes=1)
    enter(handler)
    for _ in range(2 + MARGIN):
        fail(handler)
    with pytest.raises(api.RendezvousError, match=f"failed {2 + MARGIN} times since the operator"):
        fail(handler)


def test_an_operator_that_looks_on_lets_it_go_on(run):
    run.settings(expected=1, low=1, high=1, failures_left=1)
    handler = run.member("a", min_nodes=1, max_nodes=1)
    enter(handler)
    for number in range(2, 2 * MARGIN):
        fail(handler)
        run.settings(expected=1, low=1, high=1, failures_left=1, round_floor=number)
    assert run.store.round(run.keys).number == number

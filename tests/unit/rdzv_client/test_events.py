"""What a node does reaches whoever listens to torch's rendezvous events."""

import json
import logging

import pytest

from rdzv_client import wire

pytest.importorskip("torch", reason="the training environment is not installed")

NODE = wire.Member("a.1", "a", 0, "worker-0", "node", "10.0.0.1", 1, 2)


@pytest.fixture
def heard(monkeypatch):
    """What a handler of torch's rendezvous events is given, set up as a user would."""
    from torch.distributed.elastic import events
    from torch.distributed.elastic.events import handlers

    given = []

    class Listener(logging.Handler):
        def emit(self, record):
            given.append(json.loads(record.getMessage()))

    monkeypatch.setitem(handlers._log_handlers, "dynamic_rendezvous", Listener())
    monkeypatch.setattr(events, "_events_loggers", {})  # torch keeps the first handler for ever
    monkeypatch.setattr(logging.getLogger("torchelastic-events-dynamic_rendezvous"), "handlers", [])
    return given


@pytest.fixture
def recorder():
    from rdzv_client.events import Recorder

    return Recorder("run", NODE)


def test_who_joined_which_round_with_which_rank(heard, recorder):
    recorder.joined(3, rank=1, world_size=2)
    (event,) = heard
    assert (event["run_id"], event["node_state"], event["rank"]) == ("run", "RUNNING", 1)
    assert event["hostname"] == "10.0.0.1"
    assert "worker-0" in event["message"]
    assert "round 3 as rank 1 in a world of size 2" in event["message"]


def test_a_failure_with_its_error(heard, recorder):
    with pytest.raises(ValueError, match="no"), recorder.failure("next_rendezvous"):
        raise ValueError("no")
    (event,) = heard
    assert event["node_state"] == "FAILED"
    assert "ValueError: no" in event["message"]
    assert "ValueError" in event["error_trace"]


def test_nothing_is_recorded_when_nobody_listens(recorder, monkeypatch):
    from torch.distributed.elastic import events

    monkeypatch.delattr(events, "construct_and_record_rdzv_event")
    recorder.joined(3, rank=1, world_size=2)

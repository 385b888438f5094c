"""What is read off the API server's audit log."""

import json

import pytest

from benchmarks.scale import audit


def line(verb, resource, *, at, name="", subresource="", audit_id=None):
    about = {"resource": resource, "name": name, "subresource": subresource}
    event = {
        "auditID": audit_id or f"{verb} {at}",
        "verb": verb,
        "objectRef": {key: value for key, value in about.items() if value},
        "requestReceivedTimestamp": f"2026-11-25T12:00:{at:09.6f}Z",
    }
    return json.dumps(event) + "\n"


def status_write(job, at):
    return line("patch", "elasticjobs", at=at, name=job, subresource="status")


def test_calls_are_counted_by_what_they_do():
    calls = audit.parse([line("create", "pods", at=1.0), line("create", "pods", at=2.0)])
    assert audit.by_kind(calls) == {"create pods": 2}


def test_a_watch_that_begins_and_ends_counts_once():
    both = [
        line("watch", "pods", at=1.0, audit_id="w"),
        line("watch", "pods", at=1.0, audit_id="w"),
    ]
    assert len(audit.parse(both)) == 1


def test_a_line_that_is_still_being_written_is_left_out():
    whole = line("list", "pods", at=1.0)
    assert len(audit.parse([whole, whole[:20]])) == 1


def test_only_a_write_of_a_jobs_status_is_a_status_write():
    others = [line("patch", "elasticjobs", at=2.0, name="a"), line("create", "events", at=3.0)]
    calls = audit.parse([status_write("a", 1.0), *others])
    assert [call.is_status_write for call in calls] == [True, False, False]


@pytest.mark.parametrize(
    ("times", "most"), [([1.0], 1), ([1.0, 1.9], 2), ([1.0, 2.0], 1), ([1, 2.5, 3, 3.4, 5], 3)]
)
def test_the_most_within_a_second(times, most):
    assert audit.most_within(audit.parse(status_write("a", at) for at in times), 1.0) == most


def test_writes_of_different_jobs_are_not_added_up():
    calls = audit.parse([status_write("a", 1.0), status_write("b", 1.1)])
    assert audit.most_within(calls, 1.0) == 1

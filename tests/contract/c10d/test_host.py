"""The host of a job's TCPStore, and the bridge by which the operator sees and writes."""

import contextlib
import json
import subprocess

import pytest
from c10d_host import LIMIT_S, Feed, Host, run_path
from rounds import enter, told, until

from rdzv_client import wire

SETTINGS = wire.Settings(1, 2, 4, 2)


@pytest.fixture
def new_run(hosted_run):
    """Begin a run on a host, and read its feed."""
    with contextlib.ExitStack() as stack:

        def begin(host):
            run = hosted_run(host)
            feed = stack.enter_context(contextlib.closing(Feed(host, run.keys)))
            return run, feed

        yield begin


# --- what is seen ---


def test_members_and_the_phases_of_their_round_are_seen_as_they_come(shared_host, new_run):
    run, feed = new_run(shared_host)
    run.settings(expected=2)
    feed.until(lambda: run.keys.settings in feed.documents)
    enter(run.member("a", 0), run.member("b", 1))
    feed.until(lambda: feed.round and feed.round.phase == "complete")
    assert feed.members == feed.ranks == ["a", "b"]
    # Who looks sees what stands there then: a phase that was soon over may have gone by.
    assert [phase for _, phase in feed.phases] in (["proposed", "complete"], ["complete"])


def test_who_leaves_is_seen_even_the_last_one(shared_host, new_run):
    run, feed = new_run(shared_host)
    run.settings(expected=1, low=1)
    member = run.member("a", 0)
    enter(member)
    feed.until(lambda: feed.members == ["a"])
    member.shutdown()
    feed.until(lambda: not feed.members and feed.all(wire.Left, run.keys.left_prefix))
    [left] = feed.all(wire.Left, run.keys.left_prefix)
    assert left.name == "a"


def test_how_far_training_has_come_is_seen_as_it_is_told_and_goes_with_who_told_it(
    shared_host, new_run
):
    run, feed = new_run(shared_host)
    run.settings(expected=1, low=1)
    member = run.member("a", 0)
    enter(member)

    def steps():
        return [said.step for said in feed.all(wire.Progress, run.keys.steps_prefix)]

    for step in (5, 6):
        said = wire.Progress(member._session.record.id, 1, step)
        assert member._session.backend.report(said)
        feed.until(lambda step=step: steps() == [step])
    member.shutdown()
    feed.until(lambda: not feed.members)
    assert steps() == []


def test_what_happened_before_is_listed(shared_host, new_run):
    run, _ = new_run(shared_host)
    run.settings(expected=2)
    members = [run.member(name, slot) for slot, name in enumerate("ab")]
    enter(*members)
    late = contextlib.closing(Feed(shared_host, run.keys))
    with late as feed:
        feed.until(lambda: feed.ranks == ["a", "b"])
        assert feed.round.number == 1


def test_rounds_that_have_passed_are_listed_with_their_members(shared_host, new_run):
    run, feed = new_run(shared_host)
    run.settings(expected=2)
    a, b = run.member("a", 0), run.member("b", 1)
    enter(a, b)
    enter(a, b)
    feed.until(lambda: (2, "complete") in feed.phases)

    def past(after):
        return [
            [wire.decode(wire.Round, "", kept[run.keys.round].encode()).number, len(kept) - 1]
            for kept in shared_host.listing(run.keys, after)["past"]
        ]

    assert past(after=0) == [[1, 2], [2, 2]]
    assert past(after=1) == [[2, 2]]


def test_another_run_in_the_same_store_is_not_seen(shared_host, new_run):
    run, feed = new_run(shared_host)
    other, _ = new_run(shared_host)
    other.settings(expected=1)
    run.settings(expected=2)
    feed.until(lambda: feed.documents)
    assert list(feed.documents) == [run.keys.settings]


def test_what_is_no_document_is_left_out(shared_host, new_run):
    run, feed = new_run(shared_host)
    run.settings(expected=2)
    store = run.store._store()
    for name in ("left/x", "members/7", "op/drain/x", "op/site/x", "ranks/0/x"):
        store.set(run.keys.prefix + name, b"\x80 garbage")
        store.append(f"{run.keys.prefix}catalog", f"{name}\n")
    enter(run.member("a", 0), run.member("b", 1))
    feed.until(lambda: feed.ranks == ["a", "b"])
    assert not [text for text in feed.documents.values() if "garbage" in text]


# --- what is written ---


def test_a_pod_that_is_gone_is_out_at_once(shared_host, new_run):
    run, feed = new_run(shared_host)
    run.settings(expected=3)
    a, b, c = (run.member(name, slot) for slot, name in enumerate("abc"))
    enter(a, b, c)
    run.settings(expected=2)
    run.gone(b)
    assert told(a, c)
    enter(a, c)
    feed.until(lambda: feed.ranks == ["a", "c"] and (2, "complete") in feed.phases)


def test_a_pod_that_is_asked_to_leave_leaves(shared_host, new_run):
    run, feed = new_run(shared_host)
    run.settings(expected=3)
    a, b, c = (run.member(name, slot) for slot, name in enumerate("abc"))
    enter(a, b, c)
    run.settings(expected=2)
    run.drain(c)
    assert told(a, b)
    feed.until(lambda: run.keys.drain("c") in feed.documents)
    enter(a, b)
    feed.until(lambda: feed.ranks == ["a", "b"])


def test_the_members_are_closed_by_the_settings(shared_host, new_run):
    run, feed = new_run(shared_host)
    run.settings(expected=2)
    enter(run.member("a", 0), run.member("b", 1))
    run.settings(expected=0, closed="the job is over")
    feed.until(lambda: feed.round.phase == "closed")


# --- a host that is replaced ---


def test_no_member_comes_before_the_operator_has_spoken(own_host):
    assert own_host.ask("/readyz", token=None)[0] == 503
    own_host.write(wire.Keys("run"), {wire.Keys("run").settings: SETTINGS})
    assert own_host.is_ready()


def test_it_does_not_wait_for_the_operator_for_ever(tmp_path):
    host = Host(tmp_path, seed_wait_s=0.1).start()
    until(host.is_ready)
    host.kill()


def test_an_empty_host_in_its_place_costs_no_round(own_host, new_run):
    run, feed = new_run(own_host)
    run.settings(expected=2)
    a, b = run.member("a", 0), run.member("b", 1)
    enter(a, b)
    own_host.kill()
    feed.until(lambda: feed.ended)
    own_host.start()
    run.settings(expected=2, round_floor=1)
    with contextlib.closing(Feed(own_host, run.keys)) as feed:
        feed.until(lambda: feed.ranks == feed.members == ["a", "b"])
        assert feed.phases == [(1, "complete")]
        assert a.num_nodes_waiting() == b.num_nodes_waiting() == 0
        enter(a, b)
        feed.until(lambda: (2, "complete") in feed.phases)


# --- what is refused ---

RUN = "/v1/runs/a-run"
KEYS = wire.Keys("a-run")


def a_document(key, document):
    return json.dumps({key: wire.encode(document).decode()})


@pytest.mark.parametrize(
    ("path", "more", "status", "words"),
    [
        (RUN, {"token": None}, 401, "the header Authorization must be 'Bearer ' and"),
        (RUN, {"token": "another-token-of-some-length"}, 401, "the host's token"),
        (RUN, {"token": "\N{LATIN SMALL LETTER E WITH ACUTE}"}, 401, "the host's token"),
        (f"{RUN}/feed", {"token": None}, 401, "the host's token"),
        (RUN, {"token": None, "body": "{}"}, 401, "the host's token"),
        ("/v1/runs/", {}, 400, "the run id '' cannot be part of a key"),
        ("/v1/runs/a/b", {}, 404, "runs are at /v1/runs/RUN"),
        ("/elsewhere", {}, 404, "runs are at /v1/runs/RUN"),
        (f"{RUN}?after=now", {}, 400, "after='now' must be the number of a round"),
        (f"{RUN}?after=-1", {}, 400, "after='-1' must be the number of a round"),
        (RUN, {"method": "PUT", "body": "{}"}, 501, "Unsupported method ('PUT')"),
        (RUN, {"body": "{"}, 400, "not valid JSON"),
        (RUN, {"body": b"\xff\xfe"}, 400, "not valid JSON"),
        (RUN, {"body": "[" * 50_000}, 400, "not valid JSON"),
        (RUN, {"body": "[]"}, 400, "must be a JSON object of texts"),
        (RUN, {"body": '{"a": 1}'}, 400, "must be a JSON object of texts"),
        (RUN, {"body": '{"a": "1"}'}, 400, "'a' is not for the operator to write; that is /rdzv/"),
        (RUN, {"body": a_document(KEYS.round, SETTINGS)}, 400, "is not for the operator to write"),
        (RUN, {"body": json.dumps({KEYS.settings: "{}"})}, 400, "Settings document under"),
        (
            RUN,
            {"body": a_document(KEYS.gone("b"), wire.Gone("a", "why"))},
            400,
            f"the document under {KEYS.gone('b')!r} belongs under {KEYS.gone('a')!r}",
        ),
        (
            RUN,
            {"body": a_document(KEYS.site("b"), wire.Site("a", "rack-1"))},
            400,
            f"the document under {KEYS.site('b')!r} belongs under {KEYS.site('a')!r}",
        ),
        (
            RUN,
            {"body": a_document(wire.Keys("other").settings, SETTINGS)},
            400,
            "is not for the operator to write",
        ),
        (
            RUN,
            {"body": json.dumps({KEYS.settings: "x" * 70_000})},
            400,
            "70000 bytes; at most 65536 are allowed",
        ),
        (RUN, {"body": "x" * 1_048_577}, 413, "1048577 bytes; at most 1048576 are allowed"),
        (RUN, {"body": "x" * 5_000_000, "token": None}, 401, "the host's token"),
        (RUN, {"body": "{}", "Content-Length": "many"}, 411, "Content-Length must say"),
        (RUN, {"body": "{}", "Content-Length": "9" * 5_000}, 411, "Content-Length must say"),
    ],
    ids=range(27),
)
def test_a_request_is_refused_with_a_sentence(shared_host, path, more, status, words):
    found, text = shared_host.ask(path, **more)
    assert (found, words in text) == (status, True), text
    assert "Traceback" not in shared_host.log.read_text()


def test_the_operators_token_stands_in_no_log(shared_host):
    from c10d_host import TOKEN

    shared_host.ask(RUN, token=TOKEN)
    assert TOKEN not in shared_host.log.read_text()


def test_a_host_takes_no_runs_without_end(own_host):
    statuses = [own_host.ask(run_path(wire.Keys(f"run-{number}")))[0] for number in range(65)]
    assert statuses == [200] * 64 + [409]


# --- the program ---


def test_it_ends_when_it_is_asked_to(own_host):
    assert own_host.stop() == 0


def test_help_is_there():
    done = subprocess.run(
        Host.program("--help"), capture_output=True, text=True, check=True, timeout=LIMIT_S
    )
    assert "--token-file" in done.stdout


@pytest.mark.parametrize(
    ("token", "more", "words"),
    [
        (None, [], "No such file or directory"),
        ("short", [], "has 5 characters; at least 16 are needed"),
        ("a-token-that-is-long-enough", ["--port=0"], "'0' is not a port from 1 to 65535"),
    ],
)
def test_what_it_cannot_start_with_it_says(tmp_path, token, more, words):
    path = tmp_path / "token"
    if token:
        path.write_text(token)
    command = Host.program(f"--token-file={path}", *more)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_named(shared_host):
    command = [*shared_host.command, f"--bridge-port={shared_host.bridge_port}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 1
    assert str(shared_host.port) in done.stderr

"""Whatever workers write into their store, the operator decides, and what it tells can be told."""

import json

from builders import (
    NOW,
    RUN_ID,
    a_job,
    a_member,
    a_pod,
    a_round,
    deleting,
    ended,
    progress,
    seen,
    settings,
)
from decisions import news, planned, told
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from elasticjob_operator.failure_policy import FailurePolicy
from elasticjob_operator.mirror import Mirror
from rdzv_client import wire
from rdzv_client.etcdv3 import messages

KEYS = wire.Keys(RUN_ID)
PODS = [a_pod(index) for index in range(3)]
STANDING = a_round(3, *PODS)
DOCUMENTS = {
    KEYS.settings: settings(),
    KEYS.round: STANDING.record,
    KEYS.gone("uid-9"): wire.Gone("uid-9", "the pod was deleted"),
    KEYS.drain("uid-1-0"): wire.Drain("uid-1-0", "scaled in"),
    KEYS.site("node-0"): wire.Site("node-0", "rack-1"),
    KEYS.left("uid-2-0.0"): wire.Left(
        "uid-2-0.0", "uid-2-0", 2, "digits-2-0", "finished", "it finished", 3
    ),
    **{KEYS.rank(rank.id): rank for rank in STANDING.ranks},
    **{KEYS.member(m.slot, m.id): m for m in map(a_member, PODS)},
    **{KEYS.steps(f"{pod.uid}.0"): progress(pod, 3, 7, metrics={"loss": "1"}) for pod in PODS},
}
POLICY = FailurePolicy(progress_deadline_seconds=5)
WORDS = st.sampled_from(
    [
        *("", "../../x", "a\nb", "\ud800", "x" * 5000, "digits-0-0", "uid-0-0", "node-0"),
        *(*wire.PHASES, *wire.CAUSES, *wire.LEFT_CAUSES),
    ]
)
NUMBERS = st.sampled_from([-1, 0, 1, 3, 2**31, 2**63 - 1, 1e308, 0.5])
LIES = st.none() | st.booleans() | NUMBERS | WORDS | st.just([]) | st.just({})


@st.composite
def stores(draw):
    """A store in which some fields say something else."""
    documents = {key: json.loads(wire.encode(one)) for key, one in DOCUMENTS.items()}
    for _ in range(draw(st.integers(1, 6))):
        fields = documents[draw(st.sampled_from(sorted(documents)))]
        name = draw(st.sampled_from(sorted(fields)))
        fields[name] = draw(WORDS if isinstance(fields[name], str) else LIES)
    return [
        messages.KeyValue(key, json.dumps(fields).encode(), 1, number)
        for number, (key, fields) in enumerate(documents.items(), start=1)
    ]


@hypothesis_settings(max_examples=500, derandomize=True, deadline=None, database=None)
@given(
    store=stores(),
    ends=st.lists(st.sampled_from(["runs", "succeeds", "fails", "goes"]), min_size=3, max_size=3),
    replicas=st.integers(1, 4),
    key=st.sampled_from([None, "example.com/rack"]),
)
def test_a_plan_a_status_and_events_follow(store, ends, replicas, key):
    how = {
        "runs": lambda pod: pod,
        "succeeds": lambda pod: ended(pod, 0),
        "fails": lambda pod: ended(pod, 1),
        "goes": deleting,
    }
    there = [how[end](pod) for end, pod in zip(ends, PODS, strict=True)]
    mirror = Mirror(RUN_ID)
    mirror.reset(store, 50, NOW)
    view = mirror.view(reachable=True, problem="")
    job = a_job(replicas=replicas, at_least=1, topology_key=key, failure_policy=POLICY)
    snapshot = seen(job).pods(*there).store(**vars(view))
    for _ in range(2):
        news(snapshot)
        snapshot = told(snapshot).later(10)
        assert len(snapshot.observed.status.model_dump_json().encode()) < 128 * 1024
    assert planned(snapshot)

"""Whatever stands in a store, reading it ends in a warning or a named error, and in nothing else.

Most of it is made from documents that are valid, so that it gets past the first checks.
"""

import json
import logging
import os

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from rdzv_client import participation, protocol, publication, verdicts, wire
from rdzv_client.backends.blob import document
from rdzv_client.replica import Record, Replica
from rdzv_client.view import Timing

KEYS, FOREIGN = wire.Keys("run"), wire.Keys("run-of-another-job")

MEMBERS = [
    wire.Member(f"m{i}", f"uid{i}", slot, f"worker-{i}", "node", "10.0.0.1", 2, 4, acked=acked)
    for i, (slot, acked) in enumerate([(0, 7), (1, 7), (None, 0)])
]
DOCUMENTS = {
    KEYS.settings: wire.Settings(1, 2, 4, 2),
    KEYS.gone("uid9"): wire.Gone("uid9", "the pod was deleted"),
    KEYS.drain("uid1"): wire.Drain("uid1", "scaled in"),
    KEYS.site("node"): wire.Site("node", "rack-1"),
    **{KEYS.member(m.slot, m.id): m for m in MEMBERS},
    KEYS.steps("m0"): wire.Progress("m0", 1, 7, 1.5, {"loss": "0.5"}, 2.5, 0.4),
    KEYS.left("m9"): wire.Left("m9", "uid9", 9, "worker-9", "failed", "exit code 1", 1),
    KEYS.round: wire.Round(
        1, 7, "complete", "start", "2 members joined", 7, 2, "m0", "m0",
        wire.StoreAddress("10.0.0.1", 29500), 0.5,
    ),
    **{
        KEYS.rank(m.id): wire.Rank(7, "m0", i, m.id, m.uid, m.slot, m.name, m.node)
        for i, m in enumerate(MEMBERS[:2])
    },
}  # fmt: skip
KINDS = sorted({type(found) for found in DOCUMENTS.values()}, key=lambda kind: kind.__name__)

bounds = st.sampled_from([-1, 0, 1, 7, 2**31, 2**53, 2**62, 2**63 - 1, 2**63, 10**400])
numbers = st.one_of(st.integers(), bounds, st.floats())
leaves = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=20))
json_values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def mutated(draw, valid):
    """A valid JSON object with some of its fields replaced, removed or added."""
    fields = json.loads(valid)
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=2, unique=True)):
        if type(fields[name]) is int and draw(st.booleans()):
            fields[name] = draw(bounds)
        elif draw(st.booleans()):
            fields[name] = draw(json_values)
        else:
            del fields[name]
    fields |= draw(st.dictionaries(st.text(max_size=8), json_values, max_size=1))
    return json.dumps(fields).encode()


values = st.one_of(
    st.binary(max_size=64),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.sampled_from([wire.encode(found) for found in DOCUMENTS.values()]).flatmap(mutated),
)
keys = st.one_of(
    st.sampled_from(sorted(DOCUMENTS)),
    st.sampled_from([FOREIGN.round, FOREIGN.settings, FOREIGN.member(0, "m0"), KEYS.prefix]),
    st.sampled_from([KEYS.members, KEYS.ranks, KEYS.left_prefix, KEYS.operator]).flatmap(
        lambda prefix: st.text(max_size=12).map(lambda rest: prefix + rest)
    ),
    st.text(max_size=12),
)
records = st.builds(
    lambda key, value, created, age: Record(key, value, created, created + age),
    keys,
    values,
    st.integers(0, 50),
    st.integers(0, 50),
)
EXAMPLES = int(os.environ.get("EXAMPLES", "60"))
thorough = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@thorough
@given(value=values)
def test_a_document_is_read_or_refused(kind, value):
    try:
        found = wire.decode(kind, "key", value)
    except wire.WireError:
        return
    assert wire.decode(kind, "key", wire.encode(found)) == found


def heard(found):
    """Return what a member knows that has heard these records, and some that are valid."""
    replica = Replica(KEYS, "m0", Timing())
    valid = [Record(key, wire.encode(it), 10, 10) for key, it in DOCUMENTS.items()]
    replica.reset([*valid, *found[: len(found) // 2]], 1.0)
    for record in found[len(found) // 2 :]:
        replica.put(record, 2.0)
    return replica


@thorough
@given(found=st.lists(records, max_size=6), gone=st.lists(keys, max_size=2))
def test_a_member_goes_on_whatever_it_hears(found, gone):
    replica = heard(found)
    known = publication.newest(None, replica)
    for key in gone:
        replica.delete(key, 3.0)
    publication.restoration(known, replica)
    participation.follow(MEMBERS[0], replica.round, replica.my_rank)
    replica.formation_s(4.0)
    if not replica._members:
        return
    view = replica.view(4.0, 0.0)
    verdict = protocol.decide(view, 4.0)
    assert protocol.decide(view, 4.0) == verdict


@thorough
@given(found=st.lists(records, max_size=6))
def test_what_a_leader_writes_can_be_read_whatever_it_has_heard(found):
    replica = heard(found)
    view = replica.view(1000.0, 0.0)
    verdict = protocol.decide(view, 1000.0)
    if not isinstance(
        verdict, verdicts.Propose | verdicts.Complete | verdicts.Break | verdicts.Close
    ):
        return
    new = publication.publish(verdict, view, publication.next_proposal(view, 0, 1), 0.0)
    if max(new.round.number, new.round.proposal) >= 2**63:
        return  # the numbers are used up: who reads it says so
    assert wire.decode(wire.Round, KEYS.round, wire.encode(new.round)) == new.round
    for rank in new.ranks:
        assert wire.decode(wire.Rank, KEYS.rank(rank.id), wire.encode(rank)) == rank


# --- one document for all ---


@st.composite
def valid_states(draw):
    there = document.Document(KEYS).draft(draw(st.integers(1, 2**48)))
    for key in draw(st.lists(st.sampled_from(sorted(DOCUMENTS)), unique=True)):
        there.put(key, wire.encode(DOCUMENTS[key]))
    for member in draw(st.lists(st.sampled_from(MEMBERS), unique_by=lambda m: m.id)):
        there.beat(member.id)
    return document.encode(there)


@thorough
@given(
    state=st.one_of(
        st.binary(max_size=64),
        json_values.map(lambda value: json.dumps(value).encode()),
        valid_states().flatmap(mutated),
    )
)
def test_a_state_is_read_or_refused(state):
    try:
        there = document.decode(KEYS, state)
    except wire.WireError:
        return
    assert document.decode(KEYS, document.encode(there)) == there
    replica = Replica(KEYS, "m0", Timing())
    replica.reset(there.records.values(), 1.0)


@thorough
@given(first=valid_states(), state=st.one_of(valid_states(), valid_states().flatmap(mutated)))
def test_a_state_is_read_the_same_whatever_was_read_before_it(first, state):
    def read(like):
        try:
            return document.decode(KEYS, state, like)
        except wire.WireError as error:
            return str(error)

    for before in (first, state):
        try:
            like = document.Written(before, document.decode(KEYS, before))
        except wire.WireError:
            continue
        assert read(like) == read(None)


@thorough
@given(state=valid_states())
def test_the_state_of_another_run_is_refused(state):
    with pytest.raises(wire.WireError, match="it belongs to run 'run'"):
        document.decode(FOREIGN, state)

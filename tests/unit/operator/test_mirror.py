"""The operator's picture of a store, from its listing and its watch."""

from dataclasses import replace
from datetime import timedelta

import builders
from builders import NOW, a_job, a_member, a_pod, a_round, progress, seen, settings
from decisions import told

from elasticjob_operator.mirror import Mirror
from elasticjob_operator.observed import Drained
from rdzv_client import wire
from rdzv_client.etcdv3 import messages

KEYS = wire.Keys(builders.RUN_ID)
LONG = "x" * 30_000


def put(key, document, revision=1):
    kv = messages.KeyValue(key, wire.encode(document), mod_revision=revision)
    return messages.Event("put", kv)


def removed(key):
    return messages.Event("delete", messages.KeyValue(key))


def mirror(*events):
    made = Mirror(builders.RUN_ID)
    made.update(events, 1, NOW)
    return made


def view(made):
    return made.view(reachable=True, problem="")


def proposed(formed, revision=1):
    """Return the events by which a round is proposed."""
    record = replace(formed.record, phase="proposed", store=None)
    ranks = [put(KEYS.rank(rank.id), rank, revision) for rank in formed.ranks]
    return [*ranks, put(KEYS.round, record, revision)]


def member_key(pod):
    return KEYS.member(pod.index, a_member(pod).id)


def test_members_come_and_go():
    made = mirror(put(member_key(a_pod(0)), a_member(a_pod(0))))
    assert [member.name for member in view(made).members] == ["digits-0-0"]
    made.update([removed(member_key(a_pod(0)))], 2, NOW)
    assert view(made).members == ()


def test_a_round_counts_when_it_is_complete_and_once():
    formed = a_round(1, a_pod(0), a_pod(1))
    made = mirror(*proposed(formed))
    assert view(made).formed == ()
    made.update([put(KEYS.round, formed.record, 10)], 10, NOW)
    assert view(made).formed == (formed,)
    made.update([put(member_key(a_pod(0)), a_member(a_pod(0)), 11)], 11, NOW)
    assert view(made).formed == (formed,)


def test_ranks_of_a_deposed_leader_or_an_older_proposal_do_not_count():
    formed = a_round(2, a_pod(0), a_pod(1))
    stranger = replace(formed.ranks[1], id="x", leader="deposed")
    older = replace(formed.ranks[1], id="y", proposal=1)
    strays = [put(KEYS.rank(rank.id), rank) for rank in (stranger, older)]
    made = mirror(*strays, *proposed(formed), put(KEYS.round, formed.record, 20))
    assert view(made).formed == (formed,)


def test_a_round_whose_ranks_are_not_all_there_does_not_count():
    formed = a_round(1, a_pod(0), a_pod(1))
    events = [*proposed(formed)[1:], put(KEYS.round, formed.record)]
    assert view(mirror(*events)).formed == ()


def test_rounds_that_passed_unseen_are_filled_in_in_order():
    formed = [a_round(number, a_pod(0), a_pod(1)) for number in (1, 2, 3)]
    made = mirror(*proposed(formed[2]), put(KEYS.round, formed[2].record, 30))
    made.insert_past(reversed(formed[:2]))
    assert [one.record.number for one in view(made).formed] == [1, 2, 3]


def test_a_listing_replaces_all_but_the_rounds_that_were_formed():
    formed = a_round(1, a_pod(0), a_pod(1))
    made = mirror(
        put(member_key(a_pod(0)), a_member(a_pod(0))),
        put(KEYS.gone("u"), wire.Gone("u", "deleted")),
        *proposed(formed),
        put(KEYS.round, formed.record, 10),
    )
    made.reset([], 99, NOW)
    assert view(made).members == ()
    assert view(made).round is None
    assert not made.is_out("u")
    assert view(made).formed == (formed,)


def test_what_is_not_valid_is_left_out():
    kv = messages.KeyValue(KEYS.settings, b"{not json")
    made = mirror(messages.Event("put", kv), put(member_key(a_pod(0)), a_member(a_pod(0))))
    assert view(made).settings is None
    assert len(view(made).members) == 1


def test_what_workers_write_of_themselves_is_fit_to_be_told():
    """Neither too large for a status, nor with halves of characters that no text may have."""
    liars = [replace(a_pod(index), name=f"{index}\ud800{LONG}", node=LONG) for index in range(64)]
    made = Mirror(builders.RUN_ID)
    for number in range(1, 21):
        formed = a_round(number, *liars, reason=f"\udfff{LONG}")
        ranks = [put(KEYS.rank(rank.id), rank) for rank in formed.ranks]
        made.update([*ranks, put(KEYS.round, formed.record)], number, NOW)
    seen_now = seen(a_job(at_most=64)).store(**vars(view(made)))
    status = told(seen_now).observed.status
    assert len(status.rendezvous.history) == 20
    assert len(status.model_dump_json().encode()) < 512 * 1024


def test_a_pods_records_are_found_by_its_uid():
    again = replace(a_member(a_pod(0)), id="uid-0-0.1")
    key = KEYS.member(0, again.id)
    made = mirror(
        put(member_key(a_pod(0)), a_member(a_pod(0))),
        put(key, again),
        put(member_key(a_pod(1)), a_member(a_pod(1))),
    )
    assert made.member_keys("uid-0-0") == [member_key(a_pod(0)), key]


def test_who_was_asked_to_leave_is_known_with_when_that_was_first_heard():
    key = KEYS.drain("uid-0-0")
    asked = put(key, wire.Drain("uid-0-0", "scaled in"))
    made = mirror(asked)
    made.reset([asked.kv], 99, NOW + timedelta(seconds=60))
    assert view(made).drains == {"uid-0-0": Drained("scaled in", NOW)}
    made.update([removed(key)], 100, NOW)
    assert view(made).drains == {}


def test_what_the_workers_were_told_of_nodes_is_known_and_forgotten_with_the_store():
    told = put(KEYS.site("node-0"), wire.Site("node-0", "rack-1"))
    made = mirror(told, put(KEYS.site("node-1"), wire.Site("node-1", "")))
    assert view(made).sites == {"node-0": "rack-1", "node-1": ""}
    made.update([removed(KEYS.site("node-1"))], 100, NOW)
    assert view(made).sites == {"node-0": "rack-1"}
    made.reset([], 101, NOW)
    assert view(made).sites == {}


def test_a_pod_is_out_when_it_was_asked_to_leave_and_left():
    left = wire.Left("uid-0-0.0", "uid-0-0", 0, "digits-0-0", "drained", "scaled in")
    made = mirror(put(member_key(a_pod(0)), a_member(a_pod(0))), put(KEYS.left(left.id), left))
    assert not made.is_out("uid-0-0"), "a member of its pod is still there"
    made = mirror(put(KEYS.left(left.id), left))
    assert made.is_out("uid-0-0")


def test_what_is_no_text_in_the_settings_is_made_some():
    """They are the operator's own, but whoever is let into the store may write."""
    made = mirror(put(KEYS.settings, settings(stalled_round=1, stalled_reason="\ud800" + LONG)))
    assert view(made).settings.stalled_reason == ("?" + LONG)[:1024]


# --- progress ----------------------------------------------------------------------------------


def said(made):
    """Return what is known of progress: step, when it was heard, and when it last grew."""
    told = [(one.said.step, one.at, one.grown_at) for one in view(made).progress]
    return [(step, (at - NOW).seconds, (grown_at - NOW).seconds) for step, at, grown_at in told]


def step(made, number, step, at_s, round_=1, **more):
    document = progress(a_pod(number), round_, step, **more)
    made.update([put(KEYS.steps(document.id), document)], 2, NOW + timedelta(seconds=at_s))


def standing(number=1):
    formed = a_round(number, a_pod(0), a_pod(1))
    return [*proposed(formed), put(KEYS.round, formed.record)]


def test_it_is_known_when_a_step_last_grew():
    made = mirror(*standing())
    step(made, 0, 5, at_s=10)
    step(made, 0, 5, at_s=20)
    assert said(made) == [(5, 10, 10)]
    step(made, 0, 5, at_s=30, metrics={"loss": "0.1"})
    assert said(made) == [(5, 30, 10)]
    step(made, 0, 6, at_s=40)
    assert said(made) == [(6, 40, 40)]
    step(made, 0, 3, at_s=50)
    assert said(made) == [(3, 50, 40)]


def test_progress_counts_in_its_own_round():
    made = mirror(*standing())
    step(made, 0, 5, at_s=10)
    made.update(standing(2), 2, NOW)
    assert said(made) == []
    step(made, 0, 3, at_s=20, round_=2)
    assert said(made) == [(3, 20, 20)]
    made.update(standing(4), 2, NOW)
    assert not made._progress


def test_what_a_member_said_last_outlives_it():
    made = mirror(*standing())
    step(made, 0, 5, at_s=10)
    made.update([removed(KEYS.steps("uid-0-0.0"))], 3, NOW)
    assert said(made) == [(5, 10, 10)]
    made.reset([], 4, NOW)
    made.update(standing(), 5, NOW)
    assert said(made) == [(5, 10, 10)]


def test_progress_is_no_news():
    made = mirror(*standing())
    before = made.news
    step(made, 0, 5, at_s=10)
    assert made.news == before
    made.update([removed(KEYS.steps("uid-0-0.0"))], 3, NOW)
    assert made.news == before
    made.update(standing(2), 4, NOW)
    assert made.news > before


def test_progress_that_cannot_be_read_is_left_out(caplog):
    made = mirror(*standing())
    made.update([messages.Event("put", messages.KeyValue(KEYS.steps("a"), b"{}"))], 2, NOW)
    assert said(made) == []
    assert "Progress document under" in caplog.text

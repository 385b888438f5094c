"""Who left is remembered, but a run in which many come and go does not grow for ever."""

from rdzv_client import wire
from rdzv_client.backends.blob import backend
from rdzv_client.backends.blob.document import Document

KEYS = wire.Keys("run")


def after(draft, *names):
    for name in names:
        draft = draft.draft(1000)
        backend._take_out(draft, wire.Left(name, name, None, name, "left", "it was told to stop"))
    return draft


def test_a_member_that_is_taken_out_is_remembered_and_its_record_is_gone():
    draft = Document(KEYS).draft(1000)
    draft.put(KEYS.member(None, "a"), b"{}")
    draft = after(draft, "a")
    assert set(draft.records) == {KEYS.left("a")}


def test_only_the_newest_are_remembered():
    draft = after(Document(KEYS), *[f"m{i}" for i in range(100)])
    assert len(draft.under(KEYS.left_prefix)) == backend._LEFT_KEPT
    assert KEYS.left("m99") in draft.records


def test_those_of_the_last_round_are_remembered_as_long_as_it_is():
    draft = after(Document(KEYS), "m0")
    draft.put(KEYS.rank("m0"), b"{}")
    assert KEYS.left("m0") in after(draft, *[f"m{i}" for i in range(1, 100)]).records


def test_what_another_has_written_there_is_no_hindrance():
    draft = Document(KEYS).draft(1000)
    draft.put(KEYS.left_prefix + " /", b"\x80")
    assert KEYS.left("m99") in after(draft, *[f"m{i}" for i in range(100)]).records

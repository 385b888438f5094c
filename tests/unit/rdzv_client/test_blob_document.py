"""The keys of a run in one document: what it keeps, what changed, and what is refused."""

import pytest

from rdzv_client import wire
from rdzv_client.backends.blob import document
from rdzv_client.backends.blob.document import Document

KEYS = wire.Keys("run")
EPOCH = 1000


def written(*edits, after=None):
    """Return the document that these edits make, each of them a change of its own."""
    there = after or Document(KEYS)
    for edit in edits:
        there = there.draft(EPOCH)
        edit(there)
    return there


def puts(key, value=b"{}"):
    return lambda draft: draft.put(key, value)


def deletes(key):
    return lambda draft: draft.delete(key)


def test_a_document_is_read_as_it_was_written():
    there = written(puts(KEYS.round), puts(KEYS.member(None, "a")), lambda d: d.beat("a"))
    assert document.decode(KEYS, document.encode(there)) == there


def test_any_text_is_kept_as_it_is():
    there = written(puts(KEYS.round, '"ü\ud800'.encode(errors="surrogatepass")))
    assert document.decode(KEYS, document.encode(there)) == there


def test_a_record_knows_when_it_was_created_and_last_changed():
    there = written(puts(KEYS.round), puts(KEYS.settings), puts(KEYS.round))
    record = there.records[KEYS.round]
    assert (record.create_revision, record.mod_revision) == (EPOCH + 1, EPOCH + 3)


def test_a_record_that_was_removed_is_created_anew():
    there = written(puts(KEYS.round), deletes(KEYS.round), puts(KEYS.round))
    assert there.records[KEYS.round].create_revision == EPOCH + 3


def test_a_draft_leaves_alone_what_it_was_made_of():
    first = written(puts(KEYS.round))
    written(deletes(KEYS.round), lambda d: d.beat("a"), after=first)
    assert (set(first.records), first.beats) == ({KEYS.round}, {})


def test_beats_go_with_their_member():
    key = KEYS.member(3, "a")
    there = written(puts(key), lambda d: d.beat("a"), lambda d: d.beat("a"))
    assert there.beats == {"a": 2}
    assert written(deletes(key), after=there).beats == {}


def test_records_are_listed_from_the_oldest():
    there = written(puts(KEYS.member(2, "b")), puts(KEYS.member(None, "a")), puts(KEYS.round))
    there = written(puts(KEYS.member(2, "b")), after=there)
    assert [document.member_of(r.key) for r in there.under(KEYS.members)] == ["b", "a"]


def test_changes_are_what_is_new_or_other_or_gone():
    first = written(puts(KEYS.round), puts(KEYS.settings), puts(KEYS.left("a")))
    second = written(puts(KEYS.round, b"2"), deletes(KEYS.settings), after=first)
    changed, gone = second.changes_since(first)
    assert [record.key for record in changed] == [KEYS.round]
    assert gone == [KEYS.settings]


def test_beats_alone_change_no_record():
    first = written(puts(KEYS.round))
    assert written(lambda d: d.beat("a"), after=first).changes_since(first) == ([], [])


def test_a_document_follows_an_earlier_one_of_the_same_epoch_alone():
    first = written(puts(KEYS.round))
    second = written(puts(KEYS.round), after=first)
    begun_anew = Document(KEYS).draft(EPOCH - 7)
    assert second.follows(first)
    assert second.follows(second)
    assert not first.follows(second)
    assert not begun_anew.follows(first)
    assert not Document(KEYS).follows(first)


def test_a_document_too_large_to_be_read_is_not_written():
    there = written(puts(KEYS.round, b"x" * document.MAX_STATE_BYTES))
    with pytest.raises(wire.WireError, match="bytes; at most 16777216 are allowed"):
        document.encode(there)


VALID = '{"v":1,"run":"run","epoch":5,"revision":7,"records":{"round":[6,7,"{}"]},"beats":{"a":1}}'


def test_a_valid_document_is_read():
    assert document.decode(KEYS, VALID.encode()).records[KEYS.round].mod_revision == 7


@pytest.mark.parametrize(
    ("part", "instead", "words"),
    [
        (VALID, "", "not valid JSON"),
        (VALID, "\x80\x04cos\nsystem\n(S'id'\ntR.", "not valid JSON"),
        (VALID, "[" * 100_000, "not valid JSON"),
        (VALID, "[]", "a JSON object was expected, not list"),
        (VALID, " " * (document.MAX_STATE_BYTES + 1), "16777217 bytes; at most 16777216"),
        ('"v":1', '"v":2', "version 2; this client speaks version 1"),
        ('"run":"run"', '"run":"other"', "it belongs to run 'other'"),
        ('"run":"run",', "", "it belongs to run None"),
        ('"epoch":5', '"epoch":0', "epoch should be a number from 1"),
        ('"epoch":5', '"epoch":true', "epoch should be a number"),
        ('"revision":7', '"revision":4', "revision should be a number from 5"),
        ('"revision":7', '"revision":1e3', "revision should be a number"),
        ('"revision":7', f'"revision":{2**63}', "revision should be a number"),
        ('[6,7,"{}"]', '[6,8,"{}"]', "revision of '/rdzv/v1/run/round' should be .* to 7"),
        ('[6,7,"{}"]', '[7,6,"{}"]', "should be a number from 0 to 6"),
        ('[6,7,"{}"]', "[6,7]", "should be two revisions and a text"),
        ('[6,7,"{}"]', "[6,7,{}]", "should be two revisions and a text"),
        ('{"a":1}', '{"a":-1}', "a beat should be a number from 0"),
        ('{"a":1}', "[]", "'beats' should be an object, not list"),
        (',"records":{"round":[6,7,"{}"]}', "", "'records' should be an object, not NoneType"),
    ],
)
def test_what_is_no_document_of_the_run_is_refused_and_the_fault_named(part, instead, words):
    state = VALID.replace(part, instead).encode(errors="surrogateescape")
    with pytest.raises(wire.WireError, match=f"the state of run 'run': .*{words}"):
        document.decode(KEYS, state)

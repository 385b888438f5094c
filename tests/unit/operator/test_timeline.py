"""The timeline: a job's rounds in a line, as a table and as a picture."""

from datetime import UTC, datetime, timedelta

from elasticjob_operator import api, timeline
from elasticjob_operator.timestamps import stamp

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def formed(number, at_s, *members, cause="start", seconds=1.0):
    return api.RoundRecord(
        round=number,
        cause=cause,
        reason="it is so",
        workers=len(members),
        seconds=seconds,
        formed_at=stamp(BEGIN + timedelta(seconds=at_s), "milliseconds"),
        members=members,
    )


GROWN_AND_HURT = [
    formed(1, 0, "j-0-0", "j-1-0"),
    formed(2, 20, "j-0-0", "j-1-0", "j-2-0", cause="admission"),
    formed(3, 40, "j-0-0", "j-2-0", cause="lost"),
    formed(4, 44, "j-0-0", "j-2-0", "j-1-1", cause="admission"),
]


def test_the_picture_draws_one_lane_per_pod_with_its_rank():
    lines = timeline.render_lanes(GROWN_AND_HURT, BEGIN + timedelta(seconds=80), columns=20)
    assert lines == [
        "round    1     2     3  4",
        "seconds  0     20    40 44        80",
        "j-0-0    00000 00000 00 000000000",
        "j-1-0    11111 11111 x",
        "j-2-0          22222 11 111111111",
        "j-1-1                   222222222",
    ]


def test_a_pod_that_was_scaled_in_just_ends():
    rounds = [formed(1, 0, "a", "b"), formed(2, 10, "a", cause="drain")]
    lanes = timeline.render_lanes(rounds, BEGIN + timedelta(seconds=20), columns=8)
    assert lanes[-1] == "b        1111"


def test_a_job_without_rounds_has_no_picture():
    assert timeline.render_lanes([], BEGIN) == []


def test_a_round_that_ends_as_it_forms_still_has_room_for_its_number():
    rounds = [formed(9, 0, "a"), formed(10, 0, "a")]
    assert timeline.render_lanes(rounds, BEGIN)[0] == "round    9 10"


def test_the_table_says_who_which_rank_why_and_how_long():
    table = timeline.render_table(GROWN_AND_HURT[2:])
    assert table == [
        "round  at        formed in  cause      workers",
        "3      0.0 s     1.0 s      lost       2: 0 j-0-0  1 j-2-0",
        "       it is so",
        "4      4.0 s     1.0 s      admission  3: 0 j-0-0  1 j-2-0  2 j-1-1",
        "       it is so",
    ]


def test_a_round_too_large_to_be_listed_is_told_by_its_size():
    large = formed(3, 0).model_copy(update={"workers": 128})
    line = "3      0.0 s     1.0 s      start      128"
    assert timeline.render_table([large])[1] == line
    assert timeline.render_lanes([large], BEGIN) == []


def test_a_round_in_one_line():
    one = formed(2, 5, "j-0-0", "j-1-0", seconds=0.04).model_copy(update={"world_size": 16})
    words = "round 2: 2 workers, world size 16, formed in 40 ms; because it is so"
    assert timeline.words(one) == words
    assert timeline.ranks(one) == "j-0-0 is rank 0, j-1-0 is rank 1"


def test_rounds_are_read_from_the_status():
    record = formed(2, 5, "j-0-0", cause="lost")
    told = record.model_dump(by_alias=True, mode="json")
    assert timeline.read_rounds({"status": {"rendezvous": {"history": [told]}}}) == (record,)


def test_a_job_without_status_has_no_rounds():
    assert timeline.read_rounds({"spec": {}}) == ()

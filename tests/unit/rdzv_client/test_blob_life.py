"""Who is alive is seen by beats that grow, on the clock of who looks."""

from rdzv_client.backends.blob.life import Life

LEASE_S = 6.0


def life():
    return Life(LEASE_S, 0.0)


def look(life, *beats_by_second):
    """Look once a second at what ``a`` and ``b`` have beaten."""
    for second, (a, b) in enumerate(beats_by_second, start=1):
        life.seen({"a": a, "b": b}, float(second))
    return life.silent(float(len(beats_by_second)))


def test_who_beats_is_alive():
    assert look(life(), *[(n, n) for n in range(20)]) == set()


def test_who_has_not_beaten_for_a_lease_is_silent():
    beats = [(n, 0) for n in range(20)]
    assert look(life(), *beats[:7]) == set()
    assert look(life(), *beats[:8]) == {"b"}


def test_who_is_seen_for_the_first_time_is_alive():
    seen = life()
    look(seen, *[(n, n) for n in range(20)])
    seen.seen({"a": 20, "c": 0}, 21.0)
    assert seen.silent(21.0) == set()
    assert seen.silent(23.0) == set()


def test_beats_that_went_back_are_beats_of_a_new_life():
    assert look(life(), *[(n, 5) for n in range(7)], (7, 1)) == set()


def test_a_time_in_which_the_backend_was_not_heard_is_held_against_nobody():
    seen = life()
    look(seen, *[(0, 0)] * 6)
    seen.seen({"a": 0, "b": 0}, 60.0)
    assert seen.silent(60.0) == set()
    for second in range(61, 66):
        seen.seen({"a": second, "b": 0}, float(second))
    assert seen.silent(65.0) == set()
    for second in range(66, 69):
        seen.seen({"a": second, "b": 0}, float(second))
    assert seen.silent(68.0) == {"b"}


def test_who_is_gone_is_not_silent():
    seen = life()
    look(seen, *[(n, 0) for n in range(20)])
    seen.seen({"a": 20}, 20.0)
    assert seen.silent(20.0) == set()

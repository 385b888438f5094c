"""In sixteen situations that torch's own rendezvous gets wrong, ours does what it should.

The plays are those of ``make scoreboard``, which shows torch beside ours.
"""

import pytest

pytest.importorskip("torch", reason="the training environment is not installed")

from benchmarks.scoreboard.contenders import C10D, ETCD
from benchmarks.scoreboard.situations import SITUATIONS

pytestmark = pytest.mark.timeout(300)

# Where the kind of the store makes a difference; `make scoreboard` plays all of them on both.
STORE_MATTERS = {"S5", "S6", "S7", "S10", "S12", "S14"}

CASES = [
    pytest.param(situation, contender, id=f"{situation.name}-{contender.name}")
    for situation in SITUATIONS
    for contender in (ETCD, C10D)
    if contender is ETCD or situation.name in STORE_MATTERS
]


@pytest.mark.parametrize(("situation", "contender"), CASES)
def test_the_target_is_met(situation, contender):
    outcome = situation.play(contender)
    assert outcome.ok, f"{situation.title}: {outcome.figure}; {outcome.words}"

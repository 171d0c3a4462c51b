"""The log head that a node puts into a proposal is of the proposal's time, also after an interruption (`release.evidence`)."""

from __future__ import annotations

from cloister.foundation.clock import FixedClock
from cloister.release.evidence import check_heads
from cloister.release.gate import CLOCK_TOLERANCE
from node.town import LAB, PAIR, town


def test_a_head_that_has_not_changed_for_long_is_signed_anew_and_the_same(tmp_path):
    clock = FixedClock()
    with town(tmp_path, names=PAIR, clock=clock) as here:
        agreement = here.ready(template="one-researcher-one-owner", quality=None)
        plan = here.plan(agreement)
        here[LAB].tasks.submit(plan, 1)
        lab = here[LAB]
        here.stop("Ash")
        here.nodes[LAB].steward.close()

        def head():
            (text,) = lab.shelf.context(plan.digest).checkpoints()
            (found,) = check_heads((text,), lambda party: (lab.parties.keys_for(party),))
            return found

        first = head()
        clock.advance(5 * CLOCK_TOLERANCE)
        later = head()
        assert (later.size, later.root) == (first.size, first.root)
        assert first.at is not None
        assert later.at == first.at + 5 * CLOCK_TOLERANCE
        assert lab.shelf.context(plan.digest).witnessed(here.party["Ash"]) is not None

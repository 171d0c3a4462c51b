"""The life of an agreement reads in the order in which it happened, whatever order the facts come in."""

from __future__ import annotations

from agreement_cases import LAB, NORTH, NOW, OWNERS, VISITOR, terms, view
from hypothesis import given
from hypothesis import strategies as st

from cloister.agreements.lifecycle import Act, State
from cloister.agreements.timeline import Happening, timeline
from cloister.foundation.clock import rfc3339

AGREEMENT = terms()
DIGEST = AGREEMENT.digest


def act(before, to, by, at, reason=None, agreement=DIGEST):
    return Act(agreement=agreement, before=before, to=to, by=by, time=rfc3339(at), reason=reason)


ACTS = (
    act(State.NONE, State.REQUESTED, LAB, NOW - 90),
    act(State.REQUESTED, State.AGREED, NORTH, NOW - 80),
    act(State.AGREED, State.VERIFIED, LAB, NOW - 80),
    act(State.VERIFIED, State.FINALIZED, NORTH, NOW - 80),
    act(State.VERIFIED, State.FINALIZED, OWNERS[1], NOW - 79),
    act(State.FINALIZED, State.SUSPENDED, NORTH, NOW - 50, "Holidays"),
    act(State.SUSPENDED, State.FINALIZED, NORTH, NOW - 40),
    act(State.FINALIZED, State.REVOKED, VISITOR, NOW - 10),
    act(State.NONE, State.REQUESTED, LAB, NOW - 95, agreement=terms(title="Another").digest),
)
SIGNATURES = (
    (NOW - 90, (LAB,)),
    (NOW - 85, (LAB, NORTH)),
    (NOW - 80, (LAB, *OWNERS, VISITOR)),
    (NOW - 70, ("z" * 52,)),
)
TASK = Happening(NOW - 60, "Lab asked for a task.", about="sha256:task", kind="task")


def told(signatures=SIGNATURES, acts=ACTS, others=(TASK,), now=NOW, signed=None):
    return timeline(view(AGREEMENT, signed), signatures, acts, others, now, AGREEMENT.name_of)


def test_it_reads_in_order():
    assert [line.text for line in told()] == [
        "Lab proposed it.",
        "Lab signed.",
        "North signed.",
        "South signed.",
        "Visitor signed.",
        "West signed.",
        "It came into force: everybody has signed.",
        "Lab asked for a task.",
        "North suspended it.",
        "North resumed it.",
        "Visitor revoked it, for ever.",
    ]
    assert [line.more for line in told() if line.more] == ["Holidays"]


def test_signatures_that_do_not_hold_are_not_told():
    assert "North signed." not in [line.text for line in told(signed=(LAB,))]


def test_an_agreement_past_its_end_says_so():
    assert told(now=NOW + 5000)[-1].text == "It ended, as agreed."


@given(st.permutations(ACTS), st.permutations(SIGNATURES))
def test_the_order_in_which_things_arrived_makes_no_difference(acts, signatures):
    assert told(signatures, acts) == told()

"""When a connection is asked and left."""

from __future__ import annotations

import pytest

from cloister.transport.doubt import ABSENT, LONGEST, SHORTLY, SILENT, Doubt


def seconds_until_left(doubt: Doubt, answer: str, start: float = 0.0) -> float:
    """How long the same answer is borne, asking whenever it is due."""
    now = start
    while now < start + 100:
        if doubt.due(now) and doubt.heard(answer, now):
            return now - start
        now += 0.05
    raise AssertionError("it is never left")


def test_while_answers_come_it_is_asked_now_and_then():
    doubt = Doubt(5.0)
    assert doubt.due(0.0)
    assert not doubt.heard("here", 0.0)
    assert not doubt.due(4.9)
    assert doubt.due(5.0)


def test_after_a_failure_it_is_asked_soon_and_one_failure_is_not_enough():
    doubt = Doubt(5.0)
    assert not doubt.heard("absent", 0.0)
    assert doubt.due(SHORTLY)


def test_new_sessions_are_asked_at_once():
    doubt = Doubt(5.0)
    doubt.heard("here", 0.0)
    doubt.anew()
    assert doubt.due(0.0)


@pytest.mark.parametrize(("answer", "least", "most"), [("absent", 0.5, 2.0), ("silent", 5.0, 10.0)])
def test_nobody_there_is_believed_soon_and_silence_is_borne_longer(answer, least, most):
    assert least < seconds_until_left(Doubt(5.0), answer) < most
    assert ABSENT < SILENT


def test_an_answer_ends_the_doubt():
    doubt = Doubt(5.0)
    now = 0.0
    for _ in range(50):
        assert not doubt.heard("absent", now)
        assert not doubt.heard("here", now + 0.3)
        now += 5.3


def test_where_leaving_does_not_help_sessions_are_left_ever_later_up_to_a_limit():
    doubt = Doubt(5.0)
    waits = [seconds_until_left(doubt, "absent", 1000.0 * turn) for turn in range(8)]
    assert waits[2] > waits[0]
    assert max(waits) <= 1.3 * LONGEST
    assert waits[-1] > 0.7 * LONGEST
    doubt.heard("here", 10_000.0)
    assert seconds_until_left(doubt, "absent", 10_010.0) < 2.0

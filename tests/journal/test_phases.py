"""The journal's decisions; every test names the rule of `phases` that it holds."""

from __future__ import annotations

import pytest

from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, Refused, Tampered
from cloister.journal.phases import (
    NOTICE,
    Header,
    Readiness,
    Verdict,
    View,
    full,
    judge,
    missing,
    outstanding,
    readiness,
)
from cloister.journal.program import Phase, Program
from cloister.storage.blobs import Kept
from cloister.storage.messages import Counters
from cloister.storage.tasks import TaskRow

A, B, C, LEAD = (letter * 52 for letter in "abcl")
SEATS = {"owner": (A, B, C), "coordinator": (LEAD,)}


def _step(_local: object, _inbox: object) -> None:
    raise AssertionError


def phase(accepts: dict[str, str], quorum: int = 1) -> Phase:
    return Phase(accepts, quorum, 10.0, _step)  # type: ignore[arg-type]


PROGRAM = Program(
    "one",
    {
        "one": phase({"first": "owner"}),
        "two": phase({"second": "owner"}),
        "stop": phase({"halt": "coordinator"}),
    },
)
LATER = (Program("gate", {"gate": phase({"vote": "owner"})}),)


def task(**changes: object) -> TaskRow:
    values = {
        "id": digest(b"t"),
        "seat": "coordinator",
        "seats": SEATS,
        "program": "p",
        "phase": "one",
        "state": Kept(digest(b""), 0, b""),
    }
    return TaskRow(**{**values, **changes})  # type: ignore[arg-type]


def view(**changes: object) -> View:
    values: dict[str, object] = {
        "task": task(),
        "program": PROGRAM,
        "later": LATER,
        "running": False,
        "counters": Counters(),
        "known": None,
        "answered": (),
        "missed": {},
        "waiting": {},
    }
    return View(**{**values, **changes})  # type: ignore[arg-type]


def header(kind: str = "first", sequence: int = 1, sender: str = A, body: bytes = b"x") -> Header:
    return Header(sender, kind, sequence, digest(body))


def clause(view_: View, header_: Header) -> str:
    with pytest.raises(Refused) as caught:
        judge(view_, header_)
    return caught.value.clause


def test_rule_1_a_message_of_the_present_phase_from_its_seat_is_taken() -> None:
    assert judge(view(), header()) is Verdict.TAKE


def test_rule_1_a_party_without_a_seat_is_refused() -> None:
    assert clause(view(), header(sender="z" * 52)) == "message-not-a-party"


def test_rule_1_a_message_from_the_wrong_seat_is_refused() -> None:
    assert clause(view(), header(sender=LEAD)) == "message-wrong-seat"
    assert clause(view(), header("halt")) == "message-wrong-seat"


def test_rule_1_a_kind_that_no_phase_accepts_is_refused() -> None:
    assert clause(view(), header("nonsense")) == "message-wrong-kind"


def test_rule_1_a_message_for_a_task_that_is_over_is_refused() -> None:
    for status in ("done", "failed", "stopped"):
        assert clause(view(task=task(status=status)), header()) == "task-over"


def test_rule_2_the_same_message_again_is_acknowledged_even_when_the_task_is_over() -> None:
    known = ("first", digest(b"x"))
    assert judge(view(known=known), header()) is Verdict.REPEATED
    assert judge(view(known=known, task=task(status="done")), header()) is Verdict.REPEATED


@pytest.mark.parametrize("known", [("first", digest(b"y")), ("second", digest(b"x"))])
def test_rule_2_another_message_under_a_sequence_already_taken_is_refused(known: tuple[str, str]) -> None:
    with pytest.raises(Tampered) as caught:
        judge(view(known=known), header())
    assert caught.value.clause == "message-twice"


def test_rule_3_a_message_that_overtakes_another_waits() -> None:
    assert judge(view(), header(sequence=2)) is Verdict.LATER


def test_rule_3_a_message_for_a_later_phase_or_program_waits() -> None:
    assert judge(view(), header("second")) is Verdict.LATER
    assert judge(view(), header("vote")) is Verdict.LATER


def test_rule_3_a_second_message_of_the_same_kind_waits_for_the_next_visit() -> None:
    seen = view(counters=Counters(taken=1), answered=[(A, "first")])
    assert judge(seen, header(sequence=2)) is Verdict.LATER


def test_rule_3_nothing_is_taken_while_the_step_runs() -> None:
    assert judge(view(running=True), header()) is Verdict.LATER


def test_rule_4_a_message_that_a_phase_ended_without_is_late() -> None:
    moved = view(task=task(phase="two"), missed={"first": 0})
    assert judge(moved, header()) is Verdict.LATE
    assert judge(view(task=task(phase="two")), header()) is Verdict.LATER


def test_rule_5_a_sender_that_moved_on_is_followed_and_its_old_message_refused() -> None:
    moved = view(task=task(phase="two"), waiting={1: "first"})
    assert judge(moved, header("second", sequence=2)) is Verdict.TAKE
    assert clause(view(task=task(phase="two"), counters=Counters(taken=2)), header()) == "message-late"


def test_rule_5_a_waiting_message_of_the_present_phase_is_not_passed_over() -> None:
    program = Program("one", {"one": phase({"first": "owner", "extra": "owner"})})
    assert judge(view(program=program, waiting={1: "extra"}), header(sequence=2)) is Verdict.LATER


def test_rule_6_a_phase_ends_when_everybody_has_answered() -> None:
    state = phase({"first": "owner"}, quorum=2)
    all_three = [(A, "first"), (B, "first"), (C, "first")]
    assert readiness(state, task(), LEAD, all_three, (), overdue=False) is Readiness.READY
    assert readiness(state, task(), LEAD, all_three[:2], (), overdue=False) is Readiness.WAIT


def test_rule_6_at_the_deadline_the_quorum_decides() -> None:
    state = phase({"first": "owner"}, quorum=2)
    assert readiness(state, task(), LEAD, [(A, "first"), (B, "first")], (), overdue=True) is Readiness.READY
    assert readiness(state, task(), LEAD, [(A, "first")], (), overdue=True) is Readiness.FAILED


def test_rule_6_a_task_fails_as_soon_as_the_quorum_is_out_of_reach() -> None:
    state = phase({"first": "owner"}, quorum=2)
    assert readiness(state, task(), LEAD, [(A, "first")], (B,), overdue=False) is Readiness.WAIT
    assert readiness(state, task(), LEAD, [(A, "first")], (B, C), overdue=False) is Readiness.FAILED


def test_rule_6_a_phase_that_accepts_nothing_is_over_at_once() -> None:
    assert readiness(phase({}, 0), task(), LEAD, (), (), overdue=False) is Readiness.READY


def test_rule_6_a_closed_inbox_stays_closed() -> None:
    state = phase({"first": "owner"}, quorum=3)
    assert readiness(state, task(closed=True), LEAD, (), (), overdue=False) is Readiness.READY


def test_rule_6_a_party_does_not_wait_for_itself() -> None:
    state = phase({"first": "owner"}, quorum=2)
    assert (
        readiness(state, task(seat="owner"), A, [(B, "first"), (C, "first")], (), overdue=False)
        is Readiness.READY
    )


def test_rule_7_a_notice_speaks_for_its_sender_whatever_the_phase() -> None:
    assert judge(view(), header(NOTICE, sequence=7)) is Verdict.LEFT
    gone = view(counters=Counters(taken=7, gone=True))
    assert judge(gone, header(NOTICE, sequence=8)) is Verdict.REPEATED
    assert clause(gone, header(sequence=9)) == "message-sender-left"


def test_rule_7_the_answer_of_a_party_that_left_afterwards_still_counts() -> None:
    state = phase({"first": "owner"}, quorum=1)
    answered = [(A, "first")]
    assert readiness(state, task(), LEAD, answered, (A, B, C), overdue=False) is Readiness.READY


@pytest.mark.parametrize(
    "bad", [header(sequence=0), header(sequence=1 << 32), header(kind=""), header(kind="k" * 200)]
)
def test_a_malformed_header_is_refused(bad: Header) -> None:
    with pytest.raises(BadInput):
        judge(view(), bad)


def test_who_is_missing_is_known_by_kind() -> None:
    state = phase({"first": "owner", "other": "owner", "halt": "coordinator"})
    assert missing(state, task(), LEAD, [(A, "first")]) == {B: ["first", "other"], C: ["first", "other"]}
    assert not full(state, task(), LEAD, [(A, "first"), (B, "first"), (C, "first")])
    assert full(phase({"first": "owner"}), task(), LEAD, [(A, "first"), (B, "first"), (C, "first")])


def test_rule_6_what_is_enough_ends_a_phase_whoever_is_missing() -> None:
    state = phase({"first": "owner"}, quorum=3)
    ready = readiness(state, task(), LEAD, [(A, "first")], (B, C), overdue=False, enough=True)
    assert ready is Readiness.READY
    assert outstanding(state, task(), LEAD, [(A, "first")], (B,)) == {C}

"""Phases that end before their deadline because what has come is enough, with nodes that are away, late or killed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import pytest
from toys import LEADER, OWNERS, SEATS, leader, programs

from cloister.journal.program import Inbox, Program
from cloister.journal.runner import POINTS
from simulators.bus import Bus, Crash, Fate, Result, Sent, run_task

GRACE = 5.0
AWAY = OWNERS[2]


def two_are_enough(_state: bytes, inbox: Inbox, _waits: Collection[str]) -> float | None:
    return GRACE if len(inbox) >= 2 else None


def with_enough(
    enough: Callable[[bytes, Inbox, Collection[str]], float | None], **options: int
) -> dict[str, Program]:
    made = leader(**options)  # type: ignore[arg-type]
    changed = {
        name: replace(phase, enough=enough) if phase.accepts else phase for name, phase in made.phases.items()
    }
    return {**programs(random=False), LEADER: Program(made.first, changed)}


def answers(results: dict[str, Result]) -> list[int]:
    return [figures["answers"] for figures in results[LEADER].figures]


def test_a_phase_ends_after_the_grace_when_what_has_come_is_enough() -> None:
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    results = run_task(with_enough(two_are_enough), SEATS, away=[AWAY], bus=bus)
    assert results[LEADER].status == "done"
    assert answers(results) == [2, 2]
    assert list(results[LEADER].journal[1]["missed"]) == [AWAY]
    assert 2 * GRACE <= bus.timer.time < 60.0, "two graces, no deadline"


def test_nobody_is_waited_for_when_everybody_has_answered() -> None:
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    results = run_task(with_enough(two_are_enough), SEATS, bus=bus)
    assert answers(results) == [3, 3]
    assert bus.timer.time < GRACE


def test_an_answer_within_the_grace_counts_and_a_later_one_is_acknowledged_and_dropped() -> None:
    free = {"answer-1": 3.0, "answer-2": 100.0}

    def fate(sent: Sent) -> Fate:
        held = sent.sender == AWAY and bus.timer.time < free.get(sent.kind, 0.0)
        return Fate.DROP if held or (sent.to == AWAY and sent.kind == "finished") else Fate.DELIVER

    bus = Bus(fate, 0)
    run_task(with_enough(two_are_enough, rounds=3), SEATS, fate=fate, bus=bus, away=())
    leader_events = bus.seats[LEADER].runner.events(limit=1000)
    counted = [event.facts["figures"]["answers"] for event in leader_events if event.kind == "figures"]
    assert counted[:2] == [3, 2]


def test_a_late_answer_is_taken_once_and_its_sender_stops_sending() -> None:
    moved = []

    def fate(sent: Sent) -> Fate:
        if sent.kind == "ask-2":
            moved.append(sent)
        return Fate.DROP if sent.sender == AWAY and not moved else Fate.DELIVER

    bus = Bus(fate, 0)
    results = run_task(with_enough(two_are_enough), SEATS, fate=fate, bus=bus)
    assert {result.status for result in results.values()} == {"done"}
    late = [event for event in results[LEADER].events if event.facts.get("late")]
    assert [(event.facts["from"], event.facts["kind"]) for event in late] == [(AWAY, "answer-1")]
    told = [event.kind for event in results[AWAY].events if event.kind.startswith("message.")]
    assert "message.refused" not in told


def test_what_is_enough_may_be_fewer_than_the_quorum() -> None:
    """The step then says why in its own words, instead of the journal at the deadline."""

    def hopeless(_state: bytes, inbox: Inbox, waits: Collection[str]) -> float | None:
        return 0.0 if len(inbox) + len(waits) <= 3 and inbox else None

    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    results = run_task(with_enough(hopeless, quorum=3), SEATS, away=[AWAY], bus=bus)
    assert answers(results)[0] < 3
    assert bus.timer.time < 60.0


def test_those_that_left_are_not_among_the_awaited() -> None:
    seen: list[set[str]] = []

    def watching(_state: bytes, _inbox: Inbox, waits: Collection[str]) -> float | None:
        seen.append(set(waits))
        return None

    made = with_enough(watching, quorum=2)
    broken = made[AWAY]

    def fails(_local: object, _inbox: object) -> None:
        raise ValueError

    made[AWAY] = Program(
        broken.first,
        {name: replace(phase, step=fails) for name, phase in broken.phases.items()},  # type: ignore[arg-type]
    )
    results = run_task(made, SEATS)
    assert results[LEADER].status == "done"
    assert all(AWAY not in waits for waits in seen[-2:])
    assert seen[-1] == set()


def test_a_phase_that_cannot_tell_what_is_enough_waits_for_its_deadline() -> None:
    def breaks(_state: bytes, _inbox: Inbox, _waits: Collection[str]) -> float | None:
        raise ValueError

    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    results = run_task(with_enough(breaks, quorum=2), SEATS, away=[AWAY], bus=bus)
    assert results[LEADER].status == "done"
    assert answers(results) == [2, 2]
    assert bus.timer.time >= 120.0


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("nth", [1, 3, 5])
def test_a_kill_between_enough_and_the_end_of_the_phase_changes_nothing(point: str, nth: int) -> None:
    plain = run_task(with_enough(two_are_enough), SEATS, away=[AWAY])[LEADER].candidate
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    crashes = [Crash(LEADER, point, nth), Crash(LEADER, point, nth + 1)]
    results = run_task(with_enough(two_are_enough), SEATS, away=[AWAY], crashes=crashes, bus=bus)
    assert results[LEADER].candidate == plain
    assert answers(results) == [2, 2]
    assert bus.timer.time < 60.0

"""What a step was given is told to the node before anything of it leaves, and the node may refuse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from toys import LEADER, OWNERS, SEATS, programs

from cloister.foundation.errors import Refused, TaskFailed
from cloister.journal.program import Inbox, Local, Message, Phase, Program, Step
from cloister.journal.runner import POINTS
from simulators.bus import TASK, Bus, Crash, Fate, Ports, run_task

DATA = "sha256:" + "d" * 64
OWNER = OWNERS[0]


@dataclass(frozen=True)
class Port:
    digest: str = DATA
    folder: Path = Path("/data")
    description: Any = None


class Noting(Ports):
    """Notes each use at once and durably, with what had been sent by then; refuses if told to."""

    def __init__(self, bus: Bus, *, deny: bool = False) -> None:
        super().__init__(datasets={DATA: Port()})
        self.bus, self.deny = bus, deny
        self.calls: list[int] = []

    def used(self, tx, task, datasets):  # type: ignore[no-untyped-def]
        self.calls.append(sum(sent.sender == OWNER for sent in self.bus.transcript))
        if self.deny:
            raise Refused("As often as agreed.", "Enough is enough.", "Ask for another.", clause="attempts")
        super().used(tx, task, datasets)


def answering(error: Exception | None = None) -> Program:
    def step(local: Local, _inbox: Inbox) -> Step:
        local.data(DATA)
        if error is not None:
            raise error
        return Step(b"", "end", (Message(LEADER, "answer-1", b"computed from data"),))

    def end(_local: Local, _inbox: Inbox) -> Step:
        return Step(b"", None)

    return Program(
        "wait-1",
        {
            "wait-1": Phase({"ask-1": "coordinator"}, 1, 600.0, step),
            "end": Phase({"finished": "coordinator", "ask-2": "coordinator"}, 1, 600.0, end),
        },
    )


def noted(bus: Bus) -> list[str]:
    from cloister.storage.settings import Settings

    with bus.seats[OWNER].durable.database.read() as tx:
        found: list[str] = Settings(tx).get(f"used/{TASK}", [])
    return found


def test_rule_6_a_use_is_on_disk_before_the_answer_leaves() -> None:
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    ports = Noting(bus)
    run_task({**programs(rounds=1), OWNER: answering()}, SEATS, {OWNER: ports}, bus=bus)
    assert ports.calls == [0]
    assert noted(bus) == [DATA]
    assert any(sent.body == b"computed from data" for sent in bus.transcript)


def test_rule_6_a_step_that_was_given_nothing_tells_nothing() -> None:
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    ports = Noting(bus)
    run_task(programs(rounds=1), SEATS, {OWNER: ports}, bus=bus)
    assert ports.calls == []


def test_rule_6_a_failure_after_looking_at_data_is_a_use_too() -> None:
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    ports = Noting(bus)
    made = {**programs(rounds=1, quorum=2), OWNER: answering(TaskFailed("Not finite."))}
    assert run_task(made, SEATS, {OWNER: ports}, bus=bus)[OWNER].status == "failed"
    assert noted(bus) == [DATA]


def test_rule_6_what_the_node_refuses_is_neither_kept_nor_sent() -> None:
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    made = {**programs(rounds=1, quorum=2), OWNER: answering()}
    results = run_task(made, SEATS, {OWNER: Noting(bus, deny=True)}, bus=bus)
    assert results[OWNER].status == "failed"
    assert results[OWNER].failure is not None
    assert results[OWNER].failure["clause"] == "attempts"
    assert not any(sent.body == b"computed from data" for sent in bus.transcript)
    assert noted(bus) == []
    assert results[LEADER].status == "done"


@pytest.mark.parametrize("point", POINTS)
def test_rule_6_holds_wherever_the_node_is_killed(point: str) -> None:
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    ports = Noting(bus)
    crashes = [Crash(OWNER, point, 1), Crash(OWNER, point, 2)]
    results = run_task(
        {**programs(rounds=1), OWNER: answering()}, SEATS, {OWNER: ports}, bus=bus, crashes=crashes
    )
    assert results[OWNER].status == "done"
    assert noted(bus) == [DATA]
    assert ports.calls[0] == 0

"""All seats of a task in one process, over a bus that can misbehave: the real `Runner` on memory stores, fake time.

```
results = run_task(
    {"a" * 52: coordinator_program, "b" * 52: owner_program},
    {"coordinator": ("a" * 52,), "owner": ("b" * 52,)},
    {"b" * 52: Ports(datasets={digest: data}, contents={digest: model}, engines={"jax": engine})},
    fate=lambda sent: Fate.DUPLICATE,
    crashes=[Crash("b" * 52, "commit.after", 1)],
)
results["a" * 52].candidate
```

Nothing here waits: when nobody has anything to do, time jumps to the next deadline or retry.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloister.foundation.clock import FixedClock
from cloister.foundation.digests import digest
from cloister.foundation.errors import NotFound, Refused, Unreachable
from cloister.journal.durable import Durable
from cloister.journal.ports import Following, Taken
from cloister.journal.program import Candidate, DataPort, Engine, PrivacyCost, Program
from cloister.journal.runner import Runner
from cloister.storage.settings import Settings
from cloister.storage.tasks import TaskRow

TASK = digest(b"a simulated plan")


class Fate(enum.Enum):
    """What the bus does with one transmission."""

    DELIVER = "deliver"
    DROP = "drop"  # lost on the way; the sender gets no answer
    LOSE_ANSWER = "lose-answer"  # delivered, but the sender gets no answer
    DUPLICATE = "duplicate"  # delivered twice at once
    DELAY = "delay"  # no answer, and delivered some transmissions later


@dataclass(frozen=True)
class Charge:
    """What a step asked its node to spend."""

    dataset: str
    task: str
    phase: str
    position: int
    attempt: int
    epsilon: float
    delta: float


@dataclass(frozen=True)
class Sent:
    """One transmission: `attempt` counts those of the same message from 1."""

    sender: str
    to: str
    phase: str
    kind: str
    sequence: int
    body: bytes = field(repr=False)
    attempt: int = 1


@dataclass(frozen=True)
class Crash:
    """Kills and restarts a party's node the `nth` time it passes a point of `runner.POINTS` (from 1)."""

    party: str
    point: str
    nth: int = 1


class Killed(BaseException):
    """The simulated `kill -9`."""


class Ports:
    """What a simulated party's steps may use."""

    def __init__(
        self,
        datasets: Mapping[str, DataPort] | None = None,
        contents: Mapping[str, bytes] | None = None,
        engines: Mapping[str, Engine] | None = None,
    ) -> None:
        self.datasets = dict(datasets or {})
        self.contents = dict(contents or {})
        self.engines = dict(engines or {})
        self.durable: Durable | None = None
        self.spent: list[Charge] = []
        self.signing: Any = None

    def data(self, digest: str) -> DataPort:
        if digest not in self.datasets:
            raise Refused("This dataset is not part of the task.", clause="dataset")
        return self.datasets[digest]

    def content(self, digest: str) -> bytes:
        if digest not in self.contents:
            raise NotFound("This part of the computation was not admitted.")
        return self.contents[digest]

    def engine(self, name: str) -> Engine:
        if name not in self.engines:
            raise NotFound("There is no such engine here.")
        return self.engines[name]

    def charge(self, task: TaskRow, cost: PrivacyCost) -> None:
        assert self.durable is not None
        charge = Charge(
            cost.dataset, task.id, task.phase, task.position, task.attempt, cost.epsilon, cost.delta
        )
        key = f"charge/{cost.dataset}/{task.id}/{task.position}/{task.attempt}"
        with self.durable.transaction() as records:
            if Settings(records.tx).get(key) is None:
                Settings(records.tx).put(key, cost.epsilon)
                self.spent.append(charge)

    def used(self, tx: Any, task: TaskRow, datasets: frozenset[str]) -> None:
        key = f"used/{task.id}"
        Settings(tx).put(key, sorted({*Settings(tx).get(key, []), *datasets}))


@dataclass
class Result:
    """How one seat ended. `journal` holds its steps' records, `figures` what it reported, in order."""

    status: str
    phase: str
    failure: Mapping[str, Any] | None
    candidate: Candidate | None
    journal: list[Any]
    figures: list[Any]
    events: list[Any]
    ledger: list[tuple[str, str]]


class FakeTimer:
    """Time that only moves when told."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time


class _Ledger:
    def __init__(self) -> None:
        self.leaves: list[tuple[str, str]] = []

    def append(self, tx: Any, kind: str, digest: str) -> None:
        tx.after_commit(lambda: self.leaves.append((kind, digest)))


class _Seat:
    """One party's node: its disk survives `restart`, its runner does not."""

    def __init__(
        self,
        bus: Bus,
        party: str,
        program: Program,
        ports: Ports,
        crashes: list[Crash],
        folder: Path | None = None,
    ) -> None:
        self.bus, self.party, self._program, self._ports = bus, party, program, ports
        self.durable = Durable.memory() if folder is None else Durable.open(folder / party[:8], bytes(32))
        ports.durable = self.durable
        self._candidate: Candidate | None = None
        self.ledger = _Ledger()
        self._crashes = {(crash.point, crash.nth) for crash in crashes}
        self._passed: dict[str, int] = {}
        self.runner = self._make()

    def _make(self) -> Runner:
        return Runner(
            self.durable,
            self.party,
            self,
            self,
            self,
            self.ledger,
            chain=self,
            clock=FixedClock(),
            timer=self.bus.timer,
            threads=False,
            probe=self._probe,
        )

    def passings(self, point: str) -> int:
        """How often this node has passed a point of `runner.POINTS`."""
        return self._passed.get(point, 0)

    def restart(self) -> None:
        self.runner = self._make()
        self.runner.resume()

    def _probe(self, point: str, _task: str) -> None:
        self._passed[point] = self._passed.get(point, 0) + 1
        if (point, self._passed[point]) in self._crashes:
            self.bus.kill()

    # What the runner asks for.

    def send(
        self, to: str, task: str, phase: str, kind: str, sequence: int, body: bytes, known: str
    ) -> Taken:
        assert known == digest(body)
        return self.bus.carry(self.party, to, task, phase, kind, sequence, body)

    def ports(self, task: TaskRow) -> Ports:
        return self._ports

    def program(self, task: TaskRow) -> Program:
        return self._program

    def later(self, task: TaskRow) -> Sequence[Program]:
        return ()

    def finished(self, tx: Any, task: TaskRow, candidate: Candidate | None) -> Following | None:
        self._candidate = candidate
        if self.durable.database.folder is not None and candidate is not None:
            Settings(tx).put("candidate", [candidate.kind, candidate.content.hex(), dict(candidate.facts)])
        return None

    @property
    def candidate(self) -> Candidate | None:
        if self._candidate is None:
            with self.durable.database.read() as tx:
                kept = Settings(tx).get("candidate")
            return None if kept is None else Candidate(kept[0], bytes.fromhex(kept[1]), kept[2])
        return self._candidate


class Bus:
    """Carries messages between seats, as `fate` decides for each transmission."""

    def __init__(self, fate: Callable[[Sent], Fate], seed: int) -> None:
        self.timer = FakeTimer()
        self.random = random.Random(seed)
        self.fate = fate
        self.seats: dict[str, _Seat] = {}
        self.away: set[str] = set()
        self.transcript: list[Sent] = []
        self._tries: dict[tuple[str, str, int], int] = {}
        self._late: list[tuple[str, str, str, str, int, str, bytes]] = []

    def carry(
        self, sender: str, to: str, task: str, phase: str, kind: str, sequence: int, body: bytes
    ) -> Taken:
        key = (sender, to, sequence)
        self._tries[key] = self._tries.get(key, 0) + 1
        sent = Sent(sender, to, phase, kind, sequence, body, self._tries[key])
        self.transcript.append(sent)
        self._deliver_late()
        fate = self.fate(sent)
        if to in self.away or fate is Fate.DROP:
            raise Unreachable("No answer.")
        if fate is Fate.DELAY:
            self._late.append((to, task, sender, phase, sequence, kind, body))
            raise Unreachable("No answer.")
        answer = self._hand(to, task, sender, phase, kind, sequence, body)
        if fate is Fate.DUPLICATE:
            answer = self._hand(to, task, sender, phase, kind, sequence, body)
        if fate is Fate.LOSE_ANSWER:
            raise Unreachable("No answer.")
        return answer

    def kill(self) -> None:
        """What a crash does; a test with real processes kills this one."""
        raise Killed

    def _deliver_late(self) -> None:
        if self._late and self.random.random() < 0.5:
            to, task, sender, phase, sequence, kind, body = self._late.pop(
                self.random.randrange(len(self._late))
            )
            try:
                self._hand(to, task, sender, phase, kind, sequence, body)
            except (Refused, Unreachable):
                pass

    def _hand(
        self, to: str, task: str, sender: str, phase: str, kind: str, sequence: int, body: bytes
    ) -> Taken:
        seat = self.seats.get(to)
        if seat is None:
            raise Unreachable("No answer.")
        try:
            return seat.runner.deliver(task, sender, phase, kind, sequence, body)
        except Killed:
            seat.restart()
            raise Unreachable("No answer.") from None

    def settle(self, most: int = 100_000, until: Callable[[], bool] = lambda: False) -> None:
        """Runs until nobody has anything to do, now or later, or until something holds."""
        for _ in range(most):
            if until():
                return
            order = [seat for party, seat in self.seats.items() if party not in self.away]
            self.random.shuffle(order)
            busy = False
            for seat in order:
                try:
                    busy = seat.runner.work() or busy
                except Killed:
                    seat.restart()
                    busy = True
            if busy:
                continue
            if all(seat.runner.task(TASK).status != "running" for seat in order):
                return
            times = [due for seat in order if (due := seat.runner.next_due()) is not None]
            if not times:
                return
            self.timer.time = max(self.timer.time, min(times))
        raise AssertionError("the simulated task does not come to an end")


def run_task(
    programs: Mapping[str, Program],
    seats: Mapping[str, tuple[str, ...]],
    ports: Mapping[str, Ports] | None = None,
    *,
    fate: Callable[[Sent], Fate] = lambda _sent: Fate.DELIVER,
    crashes: Iterable[Crash] = (),
    away: Iterable[str] = (),
    seed: int = 0,
    attempt: int = 1,
    bus: Bus | None = None,
    folder: Path | None = None,
) -> dict[str, Result]:
    """Runs a whole task and tells how each seat ended.

    Args:
        programs: party → its seat's program.
        seats: seat → parties, as in a plan.
        ports: party → what its steps may use.
        fate: what happens to each transmission; must let something through in the end, or deadlines decide.
        crashes: where which node is killed and restarted.
        away: parties whose nodes never run.
        seed: decides in which order nodes get to work.
        attempt: the task's attempt.
        bus: a bus made before, to look at its `transcript` afterwards.
        folder: where the nodes keep their databases; what is there goes on. In memory if absent.
    """
    bus = bus or Bus(fate, seed)
    bus.fate = fate
    bus.away = set(away)
    wanted = list(crashes)
    for party, program in programs.items():
        own = [crash for crash in wanted if crash.party == party]
        bus.seats[party] = _Seat(bus, party, program, (ports or {}).get(party, Ports()), own, folder)
    for party, seat in bus.seats.items():
        mine = next(name for name, parties in seats.items() if party in parties)
        seat.runner.resume()
        seat.runner.start(TASK, mine, seats, "simulated", attempt=attempt)
    bus.settle()
    return {party: _result(seat) for party, seat in bus.seats.items()}


def _result(seat: _Seat) -> Result:
    row = seat.runner.task(TASK)
    with seat.durable.read() as records:
        journal = [record for _, _, record in records.tasks.steps(TASK)]
    events = seat.runner.events(limit=100_000)
    return Result(
        status=row.status,
        phase=row.phase,
        failure=row.failure,
        candidate=seat.candidate if row.status == "done" else None,
        journal=journal,
        figures=[event.facts["figures"] for event in events if event.kind == "figures"],
        events=events,
        ledger=seat.ledger.leaves,
    )

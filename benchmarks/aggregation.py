"""What a secure sum costs besides training, beside the same sum in the clear; and the bytes that each value takes up.

All parties are in this process, one after the other. "As deployed" counts what would pass where each party has its own
machine: of each stage the slowest participant, and the coordinator. "All work" counts everything. Both on the clock and
in processor seconds, which other programs on a busy machine do not lengthen. Carrying the bytes is not in it (see
benchmarks/federated_round.py).

python benchmarks/aggregation.py [--quick] [--json FILE|-] [--values N] [--participants N ...] [--dropouts]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from cloister import aggregation
from cloister.aggregation import (
    COORDINATOR_STAGES,
    PARTICIPANT_STAGES,
    Context,
    Coordinator,
    Participant,
    PartySigning,
)
from cloister.foundation.digests import digest
from cloister.foundation.errors import NotTrusted
from cloister.identity.keys import PublicKeys, SecretKeys, party_id
from measure import RUNS, row, seconds, show

Result = TypeVar("Result")


@dataclass(frozen=True)
class Seconds:
    """On the clock, and of the processor."""

    clock: float = 0.0
    processor: float = 0.0

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.clock + other.clock, self.processor + other.processor)


class Cards:
    """Whose keys are whose."""

    def __init__(self, count: int) -> None:
        made = [SecretKeys.generate() for _ in range(count)]
        recovery = digest(b"recovery")
        self.of = dict(sorted((party_id(keys.public, recovery), keys) for keys in made))

    def keys(self, party: str, keyset: str) -> PublicKeys:
        """The party's keys."""
        if self.of[party].public.keyset != keyset:
            raise NotTrusted("Unknown keys.")
        return self.of[party].public


class Round:
    """One aggregation, timed stage by stage."""

    def __init__(self, cards: Cards, values: int, dropouts: int) -> None:
        coordinator, *roster = cards.of
        self.cards, self.dropouts = cards, dropouts
        self.context = Context(
            task="benchmark",
            label="round-1",
            attempt=1,
            computation=digest(b"computation"),
            hyperparameters=digest(b"hyperparameters"),
            weights=digest(b"weights"),
            coordinator=coordinator,
            roster=tuple(roster),
            thresholds=aggregation.choose(len(roster), dropouts=dropouts),
            encoding=aggregation.floats(values, len(roster), 1.0),
        )
        chance = np.random.default_rng(0)
        self.vectors = {party: chance.uniform(-1, 1, values).astype(np.float32) for party in roster}
        self.deployed = self.work = Seconds()
        self.up: dict[str, int] = dict.fromkeys(roster, 0)

    def run(self) -> None:
        """From the announcements to the opened sum at every survivor."""
        self.deployed = self.work = Seconds()
        self.up = dict.fromkeys(self.context.roster, 0)
        parties = {party: self._timed([], self._participant, party) for party in self.context.roster}
        centre = Coordinator(self.context, PartySigning(self.cards))
        vector = b""
        state, states, waiting = b"", dict.fromkeys(parties, b""), dict.fromkeys(parties, b"")
        gone = set(self.context.roster[: self.dropouts])
        for place, stage in enumerate(PARTICIPANT_STAGES):
            times: list[Seconds] = []
            inbox = {}
            for party, node in parties.items():
                if party in gone and place >= PARTICIPANT_STAGES.index("mask"):
                    continue
                arguments: list[Any] = [] if stage == "announce" else [states[party], waiting[party]]
                arguments += [self.vectors[party]] if stage == "mask" else []
                turn = self._timed(times, getattr(node, stage), *arguments)
                if stage == "open":
                    self._check(turn)
                    continue
                states[party] = turn.state
                (inbox[party],) = turn.send.values()
                self.up[party] += len(inbox[party])
            self.deployed += Seconds(max(item.clock for item in times), max(item.processor for item in times))
            if stage != "open":
                before = [] if place == 0 else [state]
                times = []
                following = COORDINATOR_STAGES[place]
                beside = [vector] if following == "total" else []
                turn = self._timed(times, getattr(centre, following), *before, inbox, *beside)
                self.deployed += times[0]
                vector = turn.vector or vector
                state, waiting = turn.state, dict(turn.send)

    def _participant(self, party: str) -> Participant:
        return Participant(
            self.context, party, PartySigning(self.cards, self.cards.of[party]), os.urandom(32)
        )

    def _timed(self, times: list[Seconds], work: Callable[..., Result], *arguments: Any) -> Result:
        start = time.perf_counter(), time.process_time()
        result = work(*arguments)
        times.append(Seconds(time.perf_counter() - start[0], time.process_time() - start[1]))
        self.work += times[-1]
        return result

    def _check(self, opened: aggregation.Opened) -> None:
        exact = sum(self.vectors[party][:100].astype(np.float64) for party in opened.contributors)
        assert np.abs(opened.total[:100] - exact).max() <= self.context.encoding.error

    def clear(self) -> None:
        """The same without secrecy: each vector as bytes, read, and summed."""
        total = np.zeros(self.context.encoding.length)
        for vector in self.vectors.values():
            total += np.frombuffer(vector.tobytes(), np.float32)
        for _ in self.vectors:
            np.frombuffer(total.tobytes(), np.float64)


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the values")
    parser.add_argument("--json", metavar="FILE|-")
    parser.add_argument("--values", type=int)
    parser.add_argument("--participants", type=int, nargs="+", default=[3, 10])
    parser.add_argument(
        "--dropouts", action="store_true", help="also with as many dropouts as one colluder leaves"
    )
    options = parser.parse_args()
    values = options.values or (100_000 if options.quick else 1_000_000)
    rows = []
    for participants in options.participants:
        cards = Cards(participants + 1)
        most = participants - (participants + 1) // 2 - 1
        for dropouts in {0, most if options.dropouts else 0}:
            round_ = Round(cards, values, dropouts)
            deployed, work, clear = [], [], []
            for _ in range(RUNS):
                round_.run()
                deployed.append(round_.deployed)
                work.append(round_.work)
                clear.append(seconds(round_.clear))
            name = f"{participants} participants, {values:,} values" + (
                f", {dropouts} gone" if dropouts else ""
            )
            beside: dict[str, Any] = {"peer": statistics.median(clear), "peer_name": "the sum in the clear"}
            rows += [
                *(
                    row(
                        f"{name}: {what}, {which}",
                        "s",
                        statistics.median(getattr(item, which) for item in found),
                        target=target,
                        **beside,
                    )
                    for which in ("clock", "processor")
                    for what, found, target in (
                        ("as deployed", deployed, 0.5),
                        ("all work", work, 0.5 * participants),
                    )
                ),
                row(
                    f"{name}: bytes up per value",
                    "B",
                    max(round_.up.values()) / values,
                    target=4.8,
                    peer=4.0,
                    peer_name="float32",
                ),
            ]
    show(rows, options.json)
    return 0 if all(item["holds"] for item in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

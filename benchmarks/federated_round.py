"""A round of plain federated averaging: seconds and bytes, beside Flower and the carrier alone.

Every party is a process of its own; all speak through a hub process. What is measured is everything but training:
journal on disk, signatures, seals, relay, averaging. The carrier alone sends the same bytes there and back, unsigned and
unsealed, through the same hub. A round begins when the coordinator sends the weights and ends with their average.

    python benchmarks/federated_round.py [--quick] [--json FILE|-] [--peer] [--soak] [--secure]

Wall time depends on what else the machine does; the processor time of all processes (`cpu_seconds`) hardly does.

`--secure` measures rounds behind secure sums beside the same in the clear. `--peer` installs Flower 1.41 into an environment
under the system's temporary folder and alternates with it (with its SecAgg+ behind `--secure`). `--soak` is 30 owners; with `--secure`, 3 owners with 10^7 numbers and 30 with 10^5.
The weights that are reached are checked in every run.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloister.claims.offers import Computation, Cost, Offer, Request
from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest
from cloister.identity import cards
from cloister.identity.keys import SecretKeys
from cloister.protections.federated.offers import NAME, RMS_LIMIT, says
from cloister.protections.federated.settings import read_settings
from federated import flower

HERE = Path(__file__).parent / "federated"
LIMIT = 300.0
ERROR = 1e-5
"""Of a weight in a round, at most."""
GROWN = ((3, 1e7), (30, 1e5))
"""Owners and numbers of a soak behind secure sums."""
SECAGG = "Flower 1.41, SecAgg+"
RECIPE = {
    "loss": "mean-squared-error",
    "input": "x",
    "output": "y",
    "steps": 1,
    "preparation": {"name": "points"},
}


class Child:
    """A process that answers each line with one line of JSON."""

    def __init__(self, script: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ, OMP_NUM_THREADS="1"),
        )

    def tell(self, order: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a process of the benchmark ended: {self.process.args}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


@dataclass(frozen=True)
class Rounds:
    """What a task of some rounds took.

    Attributes:
        seconds: of each round.
        octets: of the bodies of all messages.
        cpu: processor seconds (user and kernel) for each round: the coordinator's, each owner's, the hub's.
        up: of the bodies of all owners' messages.
        peak: bytes of memory that each process used at most since it began, in the same order as `cpu`.
    """

    seconds: list[float]
    octets: int
    cpu: list[float]
    up: int
    peak: list[float]


class Town:
    """A hub, a coordinator and owners as processes, connected."""

    def __init__(self) -> None:
        self.children: list[Child] = []
        self.nodes: list[Child] = []

    def start(self, folder: Path, owners: int, mode: str) -> None:
        """Starts everybody and waits until all are connected."""
        folder.mkdir(parents=True)
        names = ["coordinator", *(f"owner {number}" for number in range(owners))]
        people = []
        now = int(time.time())
        for name in names:
            keys = SecretKeys.generate()
            card = cards.genesis(name, ["owner"], keys, SecretKeys.generate().public, now)
            people.append((cards.read(card).party, keys, card))
        self.parties = [party for party, _, _ in people]
        hub = self._child("relay.py", str(folder / "hub"), str(len(people)))
        invitations = hub.hear()["invitations"]
        for (party, keys, card), invitation in zip(people, invitations, strict=True):
            place = folder / party
            place.mkdir()
            facts = {
                "mode": mode,
                "party": party,
                "keys": base64.b64encode(keys.encode()).decode(),
                "card": card.model_dump(mode="json"),
                "cards": [other.model_dump(mode="json") for _, _, other in people],
                "others": [other for other in self.parties if other != party],
                "invitation": invitation,
                "folder": str(place),
            }
            (place / "facts.json").write_text(json.dumps(facts))
            self.nodes.append(self._child("party.py", str(place / "facts.json")))
        # Enrolling opens the relay anew; they connect when all are enrolled.
        for node in self.nodes:
            node.hear()
        for node in self.nodes:
            node.tell({"do": "connect"})
        for node in self.nodes:
            node.hear()

    def _child(self, script: str, *arguments: str) -> Child:
        self.children.append(Child(script, *arguments))
        return self.children[-1]

    def echo(self, size: int, rounds: int) -> list[float]:
        """Seconds of rounds in which the coordinator sends each owner a vector and gets it back."""
        self.nodes[0].tell({"do": "echo", "size": size, "rounds": rounds, "to": self.parties[1:]})
        seconds: list[float] = self.nodes[0].hear()["seconds"]
        return seconds

    def train(self, size: int, rounds: int, number: int, *, secure: bool = False) -> Rounds:
        """One task of so many rounds."""
        offer, request = plan(self.parties[0], self.parties[1:], size, rounds, secure=secure)
        order = {
            "do": "task",
            "task": digest(f"task {number}".encode()),
            "offer": canonical(offer.model_dump(mode="json")).decode(),
            "request": canonical(request.model_dump(mode="json")).decode(),
            "limit": LIMIT,
        }
        relayed = self._hub()["cpu"]
        for node in self.nodes[1:]:
            node.tell(order)
        self.nodes[0].tell(order)
        answers = [node.hear() for node in self.nodes]
        for answer in answers:
            if "error" in answer:
                raise SystemExit(f"a task of the benchmark failed: {answer['error']}")
        # Whoever wrote the model, coordinator or owners: each round has added a half to every weight.
        reached = [value for answer in answers for value in answer["reached"]]
        if not reached or any(abs(value - 0.5 * rounds) > ERROR * rounds for value in reached):
            raise SystemExit(f"a task of the benchmark reached {reached} instead of {0.5 * rounds}")
        hub = self._hub()
        used = [*(answer["cpu"] for answer in answers), hub["cpu"] - relayed]
        return Rounds(
            seconds=answers[0]["seconds"],
            octets=sum(answer["bytes"] for answer in answers),
            cpu=[seconds / rounds for seconds in used],
            up=sum(answer["bytes"] for answer in answers[1:]),
            peak=[*(answer["peak"] for answer in answers), hub["peak"]],
        )

    def _hub(self) -> dict[str, float]:
        self.children[0].tell({})
        return self.children[0].hear()

    def close(self) -> None:
        for child in self.children:
            child.close()


@contextlib.contextmanager
def town(folder: Path, owners: int, mode: str) -> Iterator[Town]:
    """A town that is torn down at the end."""
    made = Town()
    try:
        made.start(folder / f"{mode}-{owners}-{time.monotonic_ns()}", owners, mode)
        yield made
    finally:
        made.close()


def plan(
    coordinator: str, owners: list[str], size: int, rounds: int, *, secure: bool = False
) -> tuple[Offer, Request]:
    """What would be in a signed plan."""
    model = digest(str(size).encode())
    computation = Computation(kind="training", contents={"model": model}, settings=RECIPE)
    request = Request(
        agreement=digest(b"agreement"),
        requester=coordinator,
        computation=computation,
        datasets={owner: digest(owner.encode()) for owner in owners},
        purpose="measuring",
        recipients=(coordinator,),
    )
    parameters = {
        "algorithm": "fedavg",
        "rounds": rounds,
        "local_steps": 1,
        "proximal_mu": 0.0,
        "round_seconds": int(LIMIT),
        "minimum_answers": len(owners),
        "dropouts": 0,
        "weighting": {"rule": "equal"},
        "parameters": size,
        "trained": size,
        "norm_limit": RMS_LIMIT * size**0.5,
        "aggregation": (
            {"name": "secure-sum", "colluders": 1, "update_norm": float(size) ** 0.5}
            if secure
            else {"name": "none"}
        ),
        "noise": {"name": "none"},
    }
    seated = tuple(sorted(owners))
    settings = read_settings(parameters, seated)
    offer = Offer(
        protection=NAME,
        parameters=parameters,
        seats={"coordinator": (coordinator,), "owner": seated},
        cost=Cost(seconds=1, bytes_up=1, bytes_down=1),
        **says(settings, seated),
    )
    return offer, request


def measure(
    folder: Path, owners: int, size: int, rounds: int, turns: int, binaries: Path | None
) -> list[dict[str, Any]]:
    """The list entries of one size and number of owners; ours, carrier and peer take turns."""
    ours: list[float] = []
    calls: list[float] = []
    carrier: list[float] = []
    peer = Peers(binaries, folder)
    cpu: list[list[float]] = []
    moved = 0
    for turn in range(turns):
        with town(folder, owners, "task") as made:
            done = made.train(size, rounds, turn)
            ours += done.seconds
            moved += done.octets
            cpu.append(done.cpu)
            calls += made.echo(size, rounds)
        with town(folder, owners, "pieces") as made:
            carrier += made.echo(size, rounds)
        peer.run(owners, size, rounds)
    where = f"{owners} owners, {size:.0e} numbers".replace("e+0", "e")
    return [
        entry(f"federated round, {where}", "s", ours, peer.seconds, "Flower 1.41", why=peer.why, below=1.0),
        entry(f"federated round beside the carrier alone, {where}", "s", ours, carrier, "carrier alone"),
        entry(
            f"signed and sealed calls beside the carrier alone, {where}", "s", calls, carrier, "carrier alone"
        ),
        entry(
            f"bytes of a round's messages beside the bare vectors, {where}",
            "B",
            [moved / len(ours)],
            [2.0 * 4 * size * owners],
            "bare vectors",
            below=1.05,
        ),
        cpu_entry(f"processor time of a federated round, {where}", cpu, peer.cpu, "Flower 1.41"),
    ]


class Peers:
    """Flower's rounds, in turns with ours; nothing where it was not asked for, or why it was not to be had."""

    def __init__(self, binaries: Path | None, folder: Path, *, secure: bool = False) -> None:
        self.binaries, self.folder, self.secure = binaries, folder, secure
        self.seconds: list[float] = []
        self.cpu: list[float] = []
        self.up: list[float] = []
        self.why = "" if binaries else "not asked for (--peer)"

    def run(self, owners: int, size: int, rounds: int) -> None:
        if self.binaries is None:
            return
        try:
            place = Path(tempfile.mkdtemp(prefix="f", dir=self.folder))
            done = flower.rounds(self.binaries, place, owners, size, rounds, secure=self.secure)
        except flower.Unavailable as error:
            self.why = str(error)
            return
        self.seconds += done.seconds
        self.cpu.append(done.cpu)
        self.up.append(done.up / (owners * size))


def measure_secure(
    folder: Path, owners: int, size: int, rounds: int, turns: int, binaries: Path | None
) -> list[dict[str, Any]]:
    """Rounds behind a secure sum beside the same in the clear and Flower's SecAgg+, in turns."""
    secure: list[float] = []
    clear: list[float] = []
    up: list[float] = []
    cpu: list[list[float]] = []
    peaks: list[list[float]] = []
    peer = Peers(binaries, folder, secure=True)
    for turn in range(turns):
        with town(folder, owners, "task") as made:
            done = made.train(size, rounds, 2 * turn, secure=True)
            secure += done.seconds
            up.append(done.up / (rounds * owners * size))
            cpu.append(done.cpu)
            peaks.append(done.peak)
            clear += made.train(size, rounds, 2 * turn + 1).seconds
        # A short look at it is one round, which takes half a minute or more.
        peer.run(owners, size, rounds if turns > 1 else 1)
    where = f"{owners} owners, {size:.0e} numbers".replace("e+0", "e")
    found = entry(f"round behind a secure sum, {where}", "s", secure, clear, "in the clear")
    return [
        {**found, "target": 0.5, "holds": found["ours"] < 0.5},
        entry(
            f"round behind a secure sum beside SecAgg+, {where}",
            "s",
            secure,
            peer.seconds,
            SECAGG,
            why=peer.why,
        ),
        entry(f"bytes up of an owner for each number, {where}", "B", up, [4.0], "float32", below=1.2),
        entry(
            f"bytes up of an owner for each number beside SecAgg+, {where}",
            "B",
            up,
            peer.up,
            SECAGG,
            why=peer.why,
        ),
        cpu_entry(f"processor time of a round behind a secure sum, {where}", cpu, peer.cpu, SECAGG),
        {
            **entry(
                f"memory of all processes behind a secure sum, {where}",
                "B",
                [sum(turn) for turn in peaks],
                [],
                "none",
            ),
            "peak_bytes": by_role(peaks),
        },
    ]


def cpu_entry(name: str, turns: list[list[float]], peer: list[float], peer_name: str) -> dict[str, Any]:
    """Processor seconds of a round over all processes, which other work on the machine hardly changes."""
    return {
        **entry(name, "s", [sum(turn) for turn in turns], peer, peer_name),
        "cpu_seconds": by_role(turns),
    }


def by_role(turns: list[list[float]]) -> dict[str, float]:
    """Of one figure for each process in each turn: the coordinator's, an owner's (the mean of all), the hub's."""
    return {
        "coordinator": statistics.median(turn[0] for turn in turns),
        "owner": statistics.median(statistics.mean(turn[1:-1]) for turn in turns),
        "hub": statistics.median(turn[-1] for turn in turns),
    }


def entry(
    name: str,
    unit: str,
    ours: list[float],
    peer: list[float],
    peer_name: str,
    *,
    below: float | None = None,
    why: str = "",
) -> dict[str, Any]:
    """One result: medians; `ratio` is ours over the peer's, `target` what it should be below."""
    mine, other = statistics.median(ours), statistics.median(peer) if peer else None
    ratio = mine / other if other else None
    return {
        "name": name,
        "unit": unit,
        "ours": mine,
        "peer": other,
        "peer_name": peer_name,
        "ratio": ratio,
        "target": below,
        "holds": None if below is None or ratio is None else ratio < below,
        "samples": {"ours": ours, "peer": peer},
        **({"missing": why} if why and not peer else {}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one small size, under a minute")
    parser.add_argument("--json", metavar="FILE", help="write the results there, or - to standard output")
    parser.add_argument("--peer", action="store_true", help="measure Flower too")
    parser.add_argument("--soak", action="store_true", help="30 owners; behind secure sums 10^7 numbers too")
    parser.add_argument(
        "--secure", action="store_true", help="behind secure sums, beside the same in the clear"
    )
    parser.add_argument("--sizes", type=float, nargs="+", help="numbers in the vector")
    parser.add_argument("--owners", type=int, nargs="+", help="how many owners")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes or ([1e5] if options.quick else [1e5, 1e6, 1e7])]
    numbers = options.owners or ([3] if options.quick else [30] if options.soak else [3, 10])
    cases = [(owners, size) for owners in numbers for size in sizes]
    if options.soak and options.secure and not (options.sizes or options.owners):
        cases = [(owners, int(size)) for owners, size in GROWN]
    rounds, turns = (5, 1) if options.quick else (3, 2)
    shared = Path(tempfile.gettempdir()) / "cloister-bench"
    binaries = None
    if options.peer:
        try:
            binaries = flower.environment(shared)
        except flower.Unavailable as error:
            print(f"Flower is left out: {error}", file=sys.stderr)
    results = []
    with tempfile.TemporaryDirectory(prefix="cloister-round-") as folder:
        for owners, size in cases:
            new = (
                measure_secure(Path(folder), owners, size, rounds, turns, binaries)
                if options.secure
                else measure(Path(folder), owners, size, rounds, turns, binaries)
            )
            results += new
            for item in new:
                peer = "-" if item["peer"] is None else f"{item['peer']:.4g}"
                print(
                    f"{item['name']}: {item['ours']:.4g} {item['unit']} ({item['peer_name']}: {peer})",
                    file=sys.stderr,
                )
                for parts in item.keys() & {"cpu_seconds", "peak_bytes"}:
                    print(f"  {parts}: {item[parts]}", file=sys.stderr)
    text = json.dumps(results, indent=2)
    if options.json and options.json != "-":
        Path(options.json).write_text(text + "\n")
    elif options.json:
        print(text)


if __name__ == "__main__":
    main()

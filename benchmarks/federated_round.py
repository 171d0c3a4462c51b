"""A round of plain federated averaging: seconds and bytes, beside Flower and the carrier alone.

Every party is a process of its own; all speak through a hub process. What is measured is everything but training:
journal on disk, signatures, seals, relay, averaging. The carrier alone sends the same bytes there and back, unsigned and
unsealed, through the same hub. A round begins when the coordinator sends the weights and ends with their average.

    python benchmarks/federated_round.py [--quick] [--json FILE|-] [--peer] [--soak] [--secure]

Wall time depends on what else the machine does; the processor time of all processes (`cpu_seconds`) hardly does.

`--peer` installs Flower 1.41 into an environment under the system's temporary folder and alternates with it. `--soak`
is 30 nodes.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
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
    """

    seconds: list[float]
    octets: int
    cpu: list[float]
    up: int


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
        relayed = self._hub_cpu()
        for node in self.nodes[1:]:
            node.tell(order)
        self.nodes[0].tell(order)
        answers = [node.hear() for node in self.nodes]
        for answer in answers:
            if "error" in answer:
                raise SystemExit(f"a task of the benchmark failed: {answer['error']}")
        used = [*(answer["cpu"] for answer in answers), self._hub_cpu() - relayed]
        return Rounds(
            seconds=answers[0]["seconds"],
            octets=sum(answer["bytes"] for answer in answers),
            cpu=[seconds / rounds for seconds in used],
            up=sum(answer["bytes"] for answer in answers[1:]),
        )

    def _hub_cpu(self) -> float:
        self.children[0].tell({"do": "cpu"})
        seconds: float = self.children[0].hear()["cpu"]
        return seconds

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
    peer: list[float] = []
    cpu: list[list[float]] = []
    why = "" if binaries else "not asked for (--peer)"
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
        if binaries is not None:
            try:
                name = hashlib.sha256(f"{owners} {size} {turn}".encode()).hexdigest()[:8]
                peer += flower.rounds(binaries, folder / name, owners, size, rounds)
            except flower.Unavailable as error:
                why = str(error)
    where = f"{owners} owners, {size:.0e} numbers".replace("e+0", "e")
    return [
        entry(f"federated round, {where}", "s", ours, peer, "Flower 1.41", why=why, below=1.0),
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
        cpu_entry(f"processor time of a federated round, {where}", cpu),
    ]


def measure_secure(folder: Path, owners: int, size: int, rounds: int, turns: int) -> list[dict[str, Any]]:
    """Rounds behind a secure sum beside the same in the clear, in turns."""
    secure: list[float] = []
    clear: list[float] = []
    up: list[float] = []
    cpu: list[list[float]] = []
    for turn in range(turns):
        with town(folder, owners, "task") as made:
            done = made.train(size, rounds, 2 * turn, secure=True)
            secure += done.seconds
            up.append(done.up / (rounds * owners * size))
            cpu.append(done.cpu)
            clear += made.train(size, rounds, 2 * turn + 1).seconds
    where = f"{owners} owners, {size:.0e} numbers".replace("e+0", "e")
    found = entry(f"round behind a secure sum, {where}", "s", secure, clear, "in the clear")
    return [
        {**found, "target": 0.5, "holds": found["ours"] < 0.5},
        entry(f"bytes up of an owner for each number, {where}", "B", up, [4.0], "float32", below=1.2),
        cpu_entry(f"processor time of a round behind a secure sum, {where}", cpu),
    ]


def cpu_entry(name: str, turns: list[list[float]]) -> dict[str, Any]:
    """Processor seconds of a round over all processes, which other work on the machine hardly changes."""
    return {
        **entry(name, "s", [sum(turn) for turn in turns], [], "none"),
        "cpu_seconds": {
            "coordinator": statistics.median(turn[0] for turn in turns),
            "owner": statistics.median(statistics.mean(turn[1:-1]) for turn in turns),
            "hub": statistics.median(turn[-1] for turn in turns),
        },
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
    parser.add_argument("--soak", action="store_true", help="30 nodes")
    parser.add_argument(
        "--secure", action="store_true", help="behind secure sums, beside the same in the clear"
    )
    parser.add_argument("--sizes", type=float, nargs="+", help="numbers in the vector")
    parser.add_argument("--owners", type=int, nargs="+", help="how many owners")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes or ([1e5] if options.quick else [1e5, 1e6, 1e7])]
    numbers = options.owners or ([3] if options.quick else [30] if options.soak else [3, 10])
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
        for owners in numbers:
            for size in sizes:
                new = (
                    measure_secure(Path(folder), owners, size, rounds, turns)
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
                    if "cpu_seconds" in item:
                        print(f"  cpu_seconds: {item['cpu_seconds']}", file=sys.stderr)
    text = json.dumps(results, indent=2)
    if options.json and options.json != "-":
        Path(options.json).write_text(text + "\n")
    elif options.json:
        print(text)


if __name__ == "__main__":
    main()

"""What a call costs: through a hub process to a node process, beside the same envelopes within one process.

The difference is the carrier's: TLS both ways, the relay, three processes on the machine's cores. A *round* is what a
federated round does with three nodes: a model out to each and an update back, all three at once.

    python benchmarks/transport.py [--quick] [--json FILE|-]
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cloister.hub.server import Hub, create_hub, run_hub
from cloister.identity import cards
from cloister.identity.directory import Directory
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import PublicKeys, SecretKeys
from cloister.identity.keystore import Cost, Passphrase
from cloister.transport.hub_client import enrol
from cloister.transport.interface import Transport
from cloister.transport.invitation import Invitation
from cloister.transport.memory import MemoryHub
from cloister.transport.zenoh import connect, wait_for

UNLOCK = Passphrase(b"a hub for measuring, gone afterwards", Cost(1, 1, 8 << 10))
MEGABYTES = 4


class Known:
    """The parties by their cards."""

    def __init__(self, *envelopes: Envelope) -> None:
        self.directory = Directory()
        for envelope in envelopes:
            self.directory.accept(envelope, int(time.time()))

    def keys_for(self, party: str) -> PublicKeys:
        return self.directory.current(party, int(time.time())).keys


class Party:
    """A party made for the measurement."""

    def __init__(self, name: str) -> None:
        self.keys = SecretKeys.generate()
        self.card = cards.genesis(name, ["owner"], self.keys, SecretKeys.generate().public, int(time.time()))
        self.id = cards.read(self.card).party


def hub_process(folder: Path) -> None:
    def ready(hub: Hub) -> None:
        say([hub.invite().encode() for _ in range(4)])

    run_hub(folder, UNLOCK, host="127.0.0.1", port=0, enrol_port=0, names=["127.0.0.1"], ready=ready)


def node_process(path: Path) -> None:
    facts = json.loads(path.read_text())
    keys = SecretKeys.decode(base64.b64decode(facts["keys"]))
    invitation = Invitation.decode(facts["invitation"])
    chain = [Envelope.from_json(facts["card"])]
    got = enrol(invitation, facts["party"], keys, chain, int(time.time()))
    known = Known(*got.hub_cards, *(Envelope.from_json(card) for card in facts["cards"]))
    with connect(
        facts["party"], keys, known, endpoint=invitation.relay, credentials=got.credentials
    ) as transport:
        transport.serve("echo", lambda call: call.body)
        say([])
        sys.stdin.read()


def say(value: Any) -> None:
    print(json.dumps(value), flush=True)


def child(role: str, path: Path) -> tuple[subprocess.Popen[str], Any]:
    process = subprocess.Popen(
        [sys.executable, __file__, "--role", role, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def seconds(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def alternating(ours: Callable[[], Any], peer: Callable[[], Any], runs: int) -> tuple[float, float]:
    """Medians of alternating runs, after one of each that does not count."""
    ours(), peer()
    pairs = [(seconds(ours), seconds(peer)) for _ in range(runs)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def measure(through: Transport, within: Transport, others: list[str], *, quick: bool) -> list[dict[str, Any]]:
    body = os.urandom(MEGABYTES << 20)

    def call(transport: Transport, payload: bytes, times: int = 1) -> Callable[[], None]:
        def run() -> None:
            for _ in range(times):
                assert transport.call(others[0], "echo", payload, deadline=60, answer=len(payload)) == payload

        return run

    def round_of(transport: Transport, payload: bytes) -> Callable[[], None]:
        def run() -> None:
            with ThreadPoolExecutor(len(others)) as pool:
                list(
                    pool.map(
                        lambda to: transport.call(to, "echo", payload, deadline=60, answer=len(payload)),
                        others,
                    )
                )

        return run

    times, runs = (20, 5) if quick else (100, 9)
    cases = (
        ("round trip, small", "ms", 20, 1e3 / times, (call, b"x", times)),
        (f"{MEGABYTES} MB each way", "s", 0.5, 1, (call, body)),
        ("round of three nodes, small", "ms", 60, 1e3, (round_of, b"x")),
        (f"round of three nodes, {MEGABYTES} MB each way", "s", 1.0, 1, (round_of, body)),
    )
    rows = []
    for name, unit, target, scale, (make, *arguments) in cases:
        ours, peer = alternating(make(through, *arguments), make(within, *arguments), runs)
        rows.append(
            {
                "name": name,
                "unit": unit,
                "ours": round(ours * scale, 4),
                "peer": round(peer * scale, 4),
                "peer_name": "same envelopes within one process",
                "ratio": round(ours / peer, 2),
                "target": target,
                "holds": ours * scale <= target,
            }
        )
    return rows


def run(*, quick: bool) -> list[dict[str, Any]]:
    lab, nodes = Party("lab"), [Party(f"node {number}") for number in range(3)]
    everybody = [lab.card, *(node.card for node in nodes)]
    children: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory(prefix="cloister-bench-") as name:
        folder = Path(name)
        create_hub(folder / "hub", UNLOCK)
        try:
            process, invitations = child("hub", folder / "hub")
            children.append(process)
            for number, node in enumerate(nodes):
                path = folder / f"{number}.json"
                path.touch(mode=0o600)
                facts = {
                    "keys": base64.b64encode(node.keys.encode()).decode(),
                    "party": node.id,
                    "invitation": invitations[number],
                    "card": node.card.model_dump(mode="json"),
                    "cards": [card.model_dump(mode="json") for card in everybody],
                }
                path.write_text(json.dumps(facts))
                children.append(child("node", path)[0])
            invitation = Invitation.decode(invitations[3])
            got = enrol(invitation, lab.id, lab.keys, [lab.card], int(time.time()))
            known = Known(*got.hub_cards, *everybody)
            memory = MemoryHub()
            with (
                connect(
                    lab.id, lab.keys, known, endpoint=invitation.relay, credentials=got.credentials
                ) as through,
                memory.transport(lab.id, lab.keys, known) as within,
            ):
                local = [memory.transport(node.id, node.keys, known) for node in nodes]
                for transport in local:
                    transport.serve("echo", lambda call: call.body)
                for node in nodes:
                    wait_for(through, node.id, 30)
                rows = measure(through, within, [node.id for node in nodes], quick=quick)
                for transport in local:
                    transport.close()
                return rows
        finally:
            for process in children:
                process.kill()
                process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--json", metavar="FILE|-", help="also write the figures as JSON")
    parser.add_argument("--role", choices=["hub", "node"], help=argparse.SUPPRESS)
    parser.add_argument("path", nargs="?", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        (hub_process if options.role == "hub" else node_process)(options.path)
        return 0
    rows = run(quick=options.quick)
    if options.json == "-":
        print(json.dumps(rows, indent=2))
    else:
        for item in rows:
            print(
                f"{item['name']:45} {item['ours']:10.3f} {item['unit']:3} "
                f"({item['ratio']:.1f} times {item['peer_name']}; target {item['target']}, "
                f"{'holds' if item['holds'] else 'missed'})"
            )
        if options.json:
            Path(options.json).write_text(json.dumps(rows, indent=2) + "\n")
    return 0 if all(item["holds"] for item in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

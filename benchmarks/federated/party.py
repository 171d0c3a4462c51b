"""One party of `federated_round.py` as a process: transport, journal on disk, federated averaging, no training.

Training is replaced by adding a constant, so that what is measured is everything around it. Reads commands (one JSON
object a line) from standard input and answers each with one line.
"""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from memory import peak

from cloister.aggregation import PartySigning
from cloister.claims.offers import Offer, Request
from cloister.identity.directory import Directory
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import SecretKeys
from cloister.journal.durable import Durable
from cloister.journal.program import Candidate, Inbox, Local, Phase, Program, Step
from cloister.journal.runner import Runner
from cloister.node.messages import MESSAGE, Courier, read
from cloister.protections.federated import FederatedAveraging
from cloister.transport.hub_client import enrol
from cloister.transport.interface import Call
from cloister.transport.invitation import Invitation
from cloister.transport.zenoh import ZenohCarrier, connect, wait_for

PIECE = 1 << 20


class Known:
    """Everybody's keys."""

    def __init__(self, cards: list[Envelope]) -> None:
        self.directory = Directory()
        self.directory.accept_chain(cards, int(time.time()))

    def add(self, card: Envelope) -> None:
        self.directory.accept_chain([card], int(time.time()))

    def keys_for(self, party: str) -> Any:
        return self.directory.current(party, int(time.time())).keys


class NoTraining:
    """In place of the worker: a "model" is its number of weights as text; training adds a half to each.

    `reached` is the least and the greatest weight of the model that it was last asked to write.
    """

    def __init__(self) -> None:
        self.reached: list[float] = []

    def call(
        self,
        method: str,
        _arguments: Mapping[str, Any],
        arrays: Mapping[str, Any] | None = None,
        _deadline: float = 0.0,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        given = dict(arrays or {})
        if method == "train":
            return {}, {"weights": given["weights"] + np.float32(0.5)}
        if method == "export":
            self.reached = [float(given["weights"].min()), float(given["weights"].max())]
            return {}, {"model": np.frombuffer(b"trained", np.uint8)}
        size = int(given["model"].tobytes())
        return {"trained": [[0, size]]}, {"weights": np.zeros(size, np.float32)}


@dataclass
class NoRecords:
    digest: str
    folder: Path = Path("/")
    description: Mapping[str, Any] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)


class Node:
    """What the runner asks for, for any task of this process."""

    def __init__(self, party: str, courier: Courier, signing: PartySigning) -> None:
        self.party, self.courier, self.signing = party, courier, signing
        self.plans: dict[str, tuple[Offer, Request]] = {}
        self.worker = NoTraining()
        self.sent_bytes = 0
        self.ended: list[float] = []
        self.done = threading.Event()

    def send(self, to: str, task: str, phase: str, kind: str, sequence: int, body: bytes, digest: str) -> Any:
        answer = self.courier.send(to, task, phase, kind, sequence, body, digest)
        self.sent_bytes += len(body)
        return answer

    def ports(self, _task: Any) -> Node:
        return self

    def data(self, digest: str) -> NoRecords:
        return NoRecords(digest)

    def content(self, _digest: str) -> bytes:
        return next(str(offer.parameters["parameters"]).encode() for offer, _ in self.plans.values())

    def engine(self, _name: str) -> NoTraining:
        return self.worker

    def charge(self, _task: Any, _cost: Any) -> None: ...

    def used(self, _tx: Any, _task: Any, _datasets: Any) -> None: ...

    def append(self, _tx: Any, _kind: str, _digest: str) -> None: ...

    def program(self, task: Any) -> Program:
        offer, request = self.plans[task.id]
        made = FederatedAveraging().program(offer, request, task.seat)
        return Program(
            made.first, {name: self._timed(made, name, phase) for name, phase in made.phases.items()}
        )

    def _timed(self, made: Program, name: str, phase: Phase) -> Phase:
        """Notes when the coordinator starts its first round, and when each round's average is there."""

        def step(local: Local, inbox: Inbox) -> Step:
            # In the clear a round begins as weights are sent and ends as they are averaged; behind a secure sum it begins as
            # keys have come and ends as the masked sum goes out, to be opened and followed by the next round's keys.
            first, last = ("gather-1", "total-") if "gather-1" in made.phases else ("start", "collect-")
            if name == first:
                self.ended.append(time.monotonic())
            result = phase.step(local, inbox)
            if name.startswith(last):
                self.ended.append(time.monotonic())
            return result

        return replace(phase, step=step)

    def later(self, _task: Any) -> tuple[Program, ...]:
        return ()

    def finished(self, tx: Any, _task: Any, _candidate: Candidate | None) -> None:
        tx.after_commit(self.done.set)


def serve_tasks(facts: dict[str, Any], commands: Any, carrier: Any, known: Known) -> None:
    """Federated averaging by transport and journal; `echo` by the transport alone."""
    with carrier as transport:
        signing = PartySigning(known.directory, SecretKeys.decode(base64.b64decode(facts["keys"])))
        node = Node(facts["party"], Courier(transport), signing)
        durable = Durable.open(Path(facts["folder"]), bytes(32))
        runner = Runner(durable, facts["party"], node, node, node, node, chain=node)

        def deliver(call: Call) -> bytes:
            header, body, known = read(call)
            taken = runner.deliver(
                header.task, call.sender, header.phase, header.kind, header.sequence, body, known
            )
            return json.dumps({"taken": taken.value}, separators=(",", ":")).encode()

        transport.serve(MESSAGE, deliver)
        transport.serve("bench.echo", lambda call: call.body)
        for other in facts["others"]:
            wait_for(transport, other, 120.0)
        say({})
        for line in commands:
            order = json.loads(line)
            if order["do"] == "echo":
                with ThreadPoolExecutor(len(order["to"])) as pool:
                    body = bytes(4 * order["size"])

                    def ask(party: str, body: bytes = body) -> bytes:
                        return transport.call(party, "bench.echo", body, deadline=600.0)

                    say({"seconds": timed(pool, ask, order)})
                continue
            offer, request = (
                Offer.model_validate_json(order["offer"]),
                Request.model_validate_json(order["request"]),
            )
            node.plans, node.sent_bytes, node.ended = {order["task"]: (offer, request)}, 0, []
            node.worker = NoTraining()
            node.done.clear()
            before = time.process_time()
            seat = offer.seat_of(facts["party"])
            runner.start(order["task"], seat, offer.seats, "bench")
            if not node.done.wait(order["limit"]):
                row = durable.task(order["task"])
                say({"error": f"{row.phase} {row.status} {row.failure}" if row else "no task"})
                continue
            gaps = [after - before for before, after in zip(node.ended, node.ended[1:], strict=False)]
            say(
                {
                    "seconds": gaps,
                    "bytes": node.sent_bytes,
                    "cpu": time.process_time() - before,
                    "peak": peak(),
                    "reached": node.worker.reached,
                }
            )
        runner.close()
        durable.close()


def serve_pieces(facts: dict[str, Any], commands: Any, credentials: Any, relay: str) -> None:
    """The carrier alone: unsigned, unsealed pieces and their echo."""
    carrier = ZenohCarrier(facts["party"], relay, credentials)
    here: set[str] = set()
    carrier.watch(lambda party, is_here: here.add(party) if is_here else here.discard(party))
    for lane in ("call", "blob"):
        carrier.receive(lane, lambda _sender, data, reply: reply(data))
    until = time.monotonic() + 120
    while not set(facts["others"]) <= here and time.monotonic() < until:
        time.sleep(0.05)
    say({})
    for line in commands:
        order = json.loads(line)
        whole = 4 * order["size"]
        pieces = [min(PIECE, whole - start) for start in range(0, whole, PIECE)]
        with ThreadPoolExecutor(4 * len(order["to"])) as pool:

            def ask(party: str, pieces: list[int] = pieces, pool: ThreadPoolExecutor = pool) -> None:
                list(pool.map(lambda size: carrier.exchange(party, "blob", bytes(size), 60.0), pieces))

            with ThreadPoolExecutor(len(order["to"])) as outer:
                say({"seconds": timed(outer, ask, order)})
    carrier.close()


def timed(pool: ThreadPoolExecutor, ask: Any, order: dict[str, Any]) -> list[float]:
    """Seconds of each round in which everybody is asked at once."""
    seconds = []
    for _ in range(order["rounds"]):
        start = time.monotonic()
        list(pool.map(ask, order["to"]))
        seconds.append(time.monotonic() - start)
    return seconds


def say(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


def main() -> None:
    facts = json.loads(Path(sys.argv[1]).read_text())
    keys = SecretKeys.decode(base64.b64decode(facts["keys"]))
    own = Envelope.from_json(facts["card"])
    invitation = Invitation.decode(facts["invitation"])
    got = enrol(invitation, facts["party"], keys, [own], int(time.time()))
    say({})
    sys.stdin.readline()
    if facts["mode"] == "pieces":
        serve_pieces(facts, sys.stdin, got.credentials, invitation.relay)
        return
    known = Known(list(got.hub_cards))
    for card in facts["cards"]:
        known.add(Envelope.from_json(card))
    transport = connect(
        facts["party"],
        keys,
        known,
        endpoint=invitation.relay,
        credentials=got.credentials,
        folder=Path(facts["folder"]) / "spool",
    )
    serve_tasks(facts, sys.stdin, transport, known)


if __name__ == "__main__":
    main()

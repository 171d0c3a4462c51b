"""A whole task in memory: federated training, then its release, with real keys and signatures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloister.foundation.digests import digest
from cloister.identity import envelopes
from cloister.ledger.checkpoints import Checkpoint, ledger_origin, sign_checkpoint
from cloister.protections.federated import FederatedAveraging
from cloister.release import Release, release_program
from protections import federation as f
from protections.loop import Loop, Node

KEYS = f.Keys(f.LAB, f.USER, *f.OWNERS)
ADMISSIONS = {name: digest(b"admission" + name.encode()) for name in (f.LAB, f.USER, *f.OWNERS)}


@dataclass
class Context:
    """A node's `ReleaseContext` in memory."""

    party: str
    plan: Any
    terms: Any
    directory: Any = KEYS
    admissions: dict[str, str] = field(default_factory=dict)
    candidate: Any = None
    revoked: frozenset[tuple[str, str]] = frozenset()
    patience: float = 100.0
    grace: float = 5.0
    waiting: float = 10_000.0
    time: int = f.NOW
    figure: float = 0.9
    counted: set[str] = field(default_factory=set)
    earlier: int = 0
    shelf: list[Release] = field(default_factory=list)
    evaluated: int = 0

    def now(self):
        return self.time

    def sign(self, payload_type, document):
        return envelopes.sign(payload_type, document, self.party, KEYS.secret[self.party])

    def checkpoints(self):
        head = Checkpoint(ledger_origin(self.party), 1, b"r" * 32)
        return (sign_checkpoint(head, KEYS.secret[self.party], self.time).encode().decode(),)

    def log_keys(self, party):
        return (KEYS.secret[party].public,)

    def witnessed(self, party):
        return None

    def count_attempt(self, computation, dataset, task):
        self.counted.add(task)
        return self.earlier + len(self.counted)

    def evaluate(self, local, weights, metric):
        assert metric == "accuracy"
        self.evaluated += 1
        return self.figure

    def store(self, release):
        if release not in self.shelf:
            self.shelf.append(release)


class World:
    """Nodes of one task; `contexts` by party may be changed before `run`."""

    def __init__(
        self,
        *,
        agreement=None,
        owners=3,
        tamper=None,
        crash=False,
        behaviour=None,
        model=f.MODEL,
        parameters=f.LENGTH,
        worker=None,
        folder=Path("/data"),
        **changes,
    ):
        self.terms = f.terms(owners, **(agreement or {}))
        self.request = f.request(self.terms, **changes)
        self.plan = f.plan(self.terms, self.request, parameters=parameters)
        self.contexts = {}
        nodes = []
        for seat, parties in self.plan.offer.seats.items():
            for name in parties:
                context = Context(name, self.plan, self.terms)
                context.admissions = {party: ADMISSIONS[party] for party in self.plan.parties}
                self.contexts[name] = context
                program = (
                    release_program(seat, context)
                    if seat == "recipient"
                    else FederatedAveraging().program(self.plan.offer, self.plan.request, seat)
                )
                ports = {}
                if name in self.request.datasets:
                    mark = self.request.datasets[name]
                    ports = {mark: f.FakePort(mark, folder / name)}
                contents = {digest(model): model}
                nodes.append(Node(name, seat, program, contents, ports, worker or f.FakeEngine(behaviour)))
        self.loop = Loop(nodes, tamper=tamper, crash=crash)
        self.loop.following = self._following
        self.released = set()

    def _following(self, node):
        if node.party in self.released or node.seat == "recipient":
            return None
        self.released.add(node.party)
        self.contexts[node.party].candidate = node.candidate
        return release_program(node.seat, self.contexts[node.party])

    def run(self):
        self.loop.run()
        return self

    @property
    def owners(self):
        return self.plan.offer.seats["owner"]

    def error(self, name):
        return self.loop.nodes[name].error

    def told(self):
        """Kinds of messages that carry something, by recipient."""
        return [(message.to, message.kind) for _, message in self.loop.sent]

"""A whole task in memory: a training, then its release, with real keys and signatures.

Held by the coordinator, the candidate comes of plain federated averaging. Held by the owners, it comes of `Making`: every
owner makes the same model, and tells the coordinator its digest and size alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest
from cloister.identity import envelopes
from cloister.journal.program import Candidate, Message, Phase, Program, Step
from cloister.ledger.checkpoints import Checkpoint, ledger_origin, sign_checkpoint
from cloister.protections.federated import FederatedAveraging
from cloister.release import Release, release_program
from protections import federation as f
from protections.loop import Loop, Node

KEYS = f.Keys(f.LAB, f.USER, *f.OWNERS)
HOLDERS = ("coordinator", "owner")
HELD = f.model_bytes(np.linspace(0.5, 1.5, f.LENGTH))
"""What the owners hold; nothing else in a task has its bytes."""
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
    by_unit: list[float] = field(default_factory=list)
    judged: dict[int, str] = field(default_factory=dict)

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

    def scores(self, local, weights, metric):
        assert metric == "count-accuracy"
        self.evaluated += 1
        return np.asarray(self.by_unit)

    def only_candidate(self, attempt, candidate):
        return self.judged.setdefault(attempt, candidate) == candidate

    def store(self, release):
        if release not in self.shelf:
            self.shelf.append(release)


class Making:
    """Programs of a protection whose candidate the owners hold: they have it from the start, and tell of it."""

    def __init__(self, plan, contents):
        self.plan, self.contents = plan, contents

    def facts(self, content):
        return {"content": digest(content), "size": len(content), "rounds": 3, "noise": {"sigma": 0.5}}

    def program(self, seat, party):
        if seat == "coordinator":
            return Program("listen", {"listen": Phase({"told": "owner"}, 1, 50.0, self.listen)})
        content = self.contents.get(party, HELD)

        def make(_local, _inbox):
            facts = self.facts(content)
            told = Message(self.plan.offer.seats["coordinator"][0], "told", canonical(facts))
            return Step(b"", None, (told,), Candidate("model", content, facts))

        return Program("make", {"make": Phase({}, 0, 50.0, make)})

    def listen(self, _local, inbox):
        told = [json.loads(item.body) for item in inbox]
        most = max(told, key=told.count)
        return Step(b"", None, candidate=Candidate("model", b"", most))


class World:
    """Nodes of one task; `contexts` by party may be changed before `run`. `held`: what single owners hold instead of `HELD`."""

    def __init__(
        self,
        *,
        holder="coordinator",
        held=None,
        agreement=None,
        owners=3,
        tamper=None,
        crash=False,
        behaviour=None,
        model=f.MODEL,
        parameters=f.LENGTH,
        worker=None,
        folder=Path("/data"),
        variant="plain",
        **changes,
    ):
        self.terms = f.terms(owners, **(agreement or {}))
        self.request = f.request(self.terms, **changes)
        plan = f.plan(self.terms, self.request, variant, parameters=parameters)
        self.plan = plan.model_copy(update={"offer": plan.offer.model_copy(update={"holder": holder})})
        self.making = Making(self.plan, held or {})
        self.contexts = {}
        nodes = []
        for seat, parties in self.plan.offer.seats.items():
            for name in parties:
                context = Context(name, self.plan, self.terms)
                context.admissions = {party: ADMISSIONS[party] for party in self.plan.parties}
                self.contexts[name] = context
                program = (
                    release_program(seat, context) if seat == "recipient" else self.protection(seat, name)
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

    def protection(self, seat, party):
        """The program before the release."""
        if self.plan.offer.holder == "owner":
            return self.making.program(seat, party)
        return FederatedAveraging().program(self.plan.offer, self.plan.request, seat)

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

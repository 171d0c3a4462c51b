"""Runs all seats of a task in memory, one message at a time: the journal's rules without its disk.

Faults: a party that is `silent`, a `tamper` function over messages on their way, a `crash` hook that makes a step run
twice from the same state (what a kill before the commit does).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cloister.foundation.errors import CloisterError, Refused, TaskFailed
from cloister.journal.program import Candidate, Message, PrivacyCost, Program, Received
from protections.federation import FakeEngine, FakePort


@dataclass(frozen=True)
class Disk:
    """What a seat's node has of its state on disk."""

    state: bytes
    parts: dict[str, bytes]
    secrets: dict[str, bytes] = field(default_factory=dict)

    @property
    def everything(self) -> tuple[bytes, ...]:
        return self.state, *self.parts.values()


@dataclass
class Node:
    """One party's seat; also its `Local`."""

    party: str
    seat: str
    program: Program
    contents: dict[str, bytes]
    ports: dict[str, FakePort]
    worker: FakeEngine
    examiner: Any = None
    signing: Any = None
    spent: list[PrivacyCost] = field(default_factory=list)
    seed: str = "seed"
    attempt: int = 1
    task: str = "task"
    state: bytes = b""
    parts: dict[str, bytes] = field(default_factory=dict)
    secrets: dict[str, bytes] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)
    phase: str | None = ""
    inbox: list[Received] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    candidate: Candidate | None = None
    error: CloisterError | None = None
    steps: int = 0
    entered: float = 0.0
    visited: list[str] = field(default_factory=list)

    def start(self, program: Program) -> None:
        self.program, self.phase, self.inbox = program, program.first, []
        self.state, self.parts = b"", {}

    @property
    def disk(self) -> Disk:
        return Disk(self.state, dict(self.parts), dict(self.secrets))

    def restore(self, disk: Disk) -> None:
        self.state, self.parts, self.secrets = disk.state, dict(disk.parts), dict(disk.secrets)

    def data(self, digest):
        if digest not in self.ports:
            raise Refused("Not an agreed dataset of this node.")
        return self.ports[digest]

    def content(self, digest):
        return self.contents[digest]

    def secret(self, label, size):
        if label in self.secrets:
            return self.secrets[label]
        text = f"{self.seed}/{self.party}/{self.attempt}/{label}".encode()
        return hashlib.shake_256(text).digest(size)

    def part(self, name):
        return self.parts[name]

    def charge(self, cost):
        self.spent.append(cost)

    def engine(self, name):
        assert name in {"jax", "examiner"}
        return self.worker if name == "jax" else self.examiner or self.worker

    def report(self, figures):
        self.reports.append(dict(figures))


Tamper = Callable[[Node, Message], Message | None]


class Loop:
    """Runs nodes until nothing moves; then deadlines pass."""

    def __init__(self, nodes: list[Node], *, tamper: Tamper | None = None, crash: bool = False) -> None:
        self.nodes = {node.party: node for node in nodes}
        self.silent: set[str] = set()
        self.waiting: list[tuple[str, str, Message]] = []
        self.sent: list[tuple[str, Message]] = []
        self.tamper, self.crash = tamper, crash
        self.now = 0.0
        self.history: list[tuple[Node, str, Disk, tuple[Received, ...]]] = []
        self.following: Callable[[Node], Program | None] = lambda _node: None

    def run(self) -> None:
        for node in self.nodes.values():
            node.phase = node.program.first
        while self.turn() or self.deadline():
            pass

    def deadline(self) -> bool:
        """Nobody can go on: time passes until the next deadline."""
        open_ = [node for node in self.nodes.values() if self._alive(node)]
        if not open_:
            return False
        node = min(
            open_, key=lambda item: (item.entered + item.program.phases[item.phase].deadline, item.party)
        )
        self.now = max(self.now, node.entered + node.program.phases[node.phase].deadline)
        return self.turn(overdue=node.party)

    def _alive(self, node: Node) -> bool:
        return node.party not in self.silent and node.phase is not None and node.error is None

    def turn(self, overdue: str | None = None) -> bool:
        """Every node that can, does one step; at its deadline one does although answers are missing."""
        moved = False
        for node in sorted(self.nodes.values(), key=lambda item: item.party):
            if not self._alive(node) or overdue not in {None, node.party}:
                continue
            self._deliver(node)
            phase = node.program.phases[node.phase]
            expected = {
                party
                for seat in phase.accepts.values()
                for party, other in self.nodes.items()
                if other.seat == seat and party != node.party
            }
            here = {item.sender for item in node.inbox} & expected
            left = {party for party in expected - here if self.nodes[party].error}
            if expected - here - left and overdue is None and len(expected - left) >= phase.quorum:
                continue
            moved = True
            if len(here) < phase.quorum:
                node.error = TaskFailed("Too few answers.", phase=node.phase)
            else:
                self._step(node)
        return moved

    def _deliver(self, node: Node) -> None:
        phase = node.program.phases[node.phase]
        for item in list(self.waiting):
            sender, seat, message = item
            if message.to == node.party and phase.accepts.get(message.kind) == seat:
                self.waiting.remove(item)
                if not any(old.sender == sender and old.kind == message.kind for old in node.inbox):
                    node.inbox.append(Received(sender, seat, message.kind, message.body))

    def _step(self, node: Node) -> None:
        phase = node.program.phases[node.phase]
        inbox = sorted(node.inbox, key=lambda item: (item.sender, item.kind))
        node.visited.append(node.phase)
        self.history.append((node, node.phase, node.disk, tuple(inbox)))
        try:
            if self.crash:
                phase.step(node, inbox)
            step = phase.step(node, inbox)
        except CloisterError as error:
            node.error = error
            return
        assert step.next is None or step.next in node.program.phases
        assert step.candidate is None or step.next is None
        node.steps += 1
        node.parts |= step.parts
        node.secrets = {
            label: value
            for label, value in {**node.secrets, **step.secrets}.items()
            if label not in step.forget
        }
        node.forgotten += step.forget
        node.state, node.phase, node.inbox, node.entered = step.state, step.next, [], self.now
        for message in step.send:
            self.sent.append((node.party, message))
            carried = self.tamper(node, message) if self.tamper else message
            if carried is not None:
                self.waiting.append((node.party, node.seat, carried))
        if step.next is None:
            node.candidate = step.candidate or node.candidate
            following = self.following(node)
            if following is not None:
                node.start(following)

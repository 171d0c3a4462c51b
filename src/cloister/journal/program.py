"""The words in which a protection describes what one seat does: programs of phases, steps and messages.

A *program* is one seat's state machine. Each *phase* names the messages that it accepts and from which seat; when
they are there, its `step` runs once, on `Local`, which is all that a step may touch. What a step returns is committed
before anything is sent, so a node that is killed resumes where it was: either the step never happened, or its state
and its messages are on disk.

Rules:
1. A node serves only the phases of its programs; a message of another kind, from another seat, or for no current
   phase is refused.
2. A phase ends when every party of the seats that it accepts from has answered, or once what has come is `enough`, or
   at its deadline with at least `quorum` answers. With fewer the task fails by the phase's name.
3. A step is a function of its state, its inbox and what `Local` gives; run again after a crash it may be asked for the
   same secrets by the same labels, and gets the same bytes.
4. A candidate goes nowhere but to the gates.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

from cloister.foundation.canonical import JSON

Seat: TypeAlias = str
"""A role in a task, for example `coordinator` or `owner`. Who sits where is in the signed plan."""

Party: TypeAlias = str
"""A party's fingerprint (`identity.keys.PartyId`)."""


@dataclass(frozen=True)
class Message:
    """Bytes for one party; `kind` must be one that the recipient's phase accepts from the sender's seat."""

    to: Party
    kind: str
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Received:
    """A message as the recipient sees it, after signature, seal, seat, order and phase were checked."""

    sender: Party
    seat: Seat
    kind: str
    body: bytes = field(repr=False)


Inbox: TypeAlias = Sequence[Received]
"""At most one message of each kind from each sender, in the order of the senders' fingerprints."""


Enough: TypeAlias = Callable[[bytes, Inbox, Collection[Party]], float | None]
"""Whether a phase need not wait for everybody: `(state, answers so far, parties that may still answer)` → seconds.

`None`: it waits on. A number: what has come decides the step, whatever else comes; the others get so many seconds
more (0: none), counted from when this first held, or from when a node that was killed is back. Then the step runs on
what is there, also if that is fewer answers than `quorum`.

Pure, and lasting: what is enough is still enough when more has come. So it may be asked again after a crash, when the
same answers lie on disk, and says the same.
"""


@dataclass(frozen=True)
class Candidate:
    """An output before the owners' gates. Only `release` takes it further.

    Attributes:
        kind: what it is, for example `model`.
        content: its bytes, for example an ONNX file.
        facts: public facts that gates check and the certificate states (JSON).
    """

    kind: str
    content: bytes = field(repr=False)
    facts: Mapping[str, JSON]


@dataclass(frozen=True)
class Step:
    """What a step did: committed in one transaction, then sent.

    Attributes:
        state: the seat's new state; opaque to everybody else.
        next: the phase to go to, or `None` when this seat is done.
        send: messages to other parties.
        candidate: a result for the gates; only with `next=None`.
        parts: large pieces of the state by name. Each stays as it is, and is not written again, until a step gives
            another under its name (see `Local.part`).
        secrets: label → what `Local.secret` gives under it from now on; sealed on disk, unlike the state. Each label once.
        forget: labels of secrets that nothing needs any more; they are erased with the commit.
    """

    state: bytes = field(repr=False)
    next: str | None
    send: tuple[Message, ...] = ()
    candidate: Candidate | None = None
    parts: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    forget: tuple[str, ...] = ()


@dataclass(frozen=True)
class Phase:
    """One state of a seat.

    Attributes:
        accepts: message kind → the seat it must come from. Empty: the step runs at once.
        quorum: the fewest answers to go on with at the deadline; with fewer the task fails by this phase's name.
        deadline: seconds from entering the phase.
        step: what to do then.
        enough: ends the phase before its deadline although some have not answered (see `Enough`); if absent, it waits
            for them.
        largest: message kind → bytes of the largest body; larger ones are refused before anything is written. The
            journal's limit for kinds without. A phase with `enough` names its kinds: their bodies are read again with
            each answer.
    """

    accepts: Mapping[str, Seat]
    quorum: int
    deadline: float
    step: Callable[[Local, Inbox], Step] = field(repr=False)
    enough: Enough | None = field(default=None, repr=False)
    largest: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """One seat's state machine; a node serves only these phases."""

    first: str
    phases: Mapping[str, Phase]


@dataclass(frozen=True)
class PrivacyCost:
    """What a step is about to spend of the protected population behind one of this node's own datasets.

    Attributes:
        dataset: its commitment, as in the plan; the node knows which population it belongs to.
        loss: how much, as budgets count it (`privacy.filters.Loss.encode`).
        epsilon, delta: the same as (epsilon, delta)-DP, for people.
    """

    dataset: str
    loss: bytes = field(repr=False)
    epsilon: float
    delta: float


class Signing(Protocol):
    """Signs what other seats must be able to hold against this party, and checks what they signed."""

    def sign(self, payload_type: str, payload: bytes) -> bytes:
        """This party's signature. Raises `Refused` for a payload type that is not for steps to sign."""
        ...

    def verify(self, party: Party, payload_type: str, payload: bytes, signature: bytes) -> None:
        """Raises `NotTrusted` unless `party` signed exactly this, as this type of payload."""
        ...


class DataPort(Protocol):
    """One of the node's own, agreed datasets, checked against its commitment before each use."""

    @property
    def digest(self) -> str:
        """The commitment's root, as in the plan."""
        ...

    @property
    def folder(self) -> Path:
        """Where the records lie; for the node's own worker processes only."""
        ...

    @property
    def description(self) -> Mapping[str, JSON]:
        """The catalogue entry."""
        ...

    @property
    def reading(self) -> Mapping[str, JSON]:
        """How its files are read, as when it was registered: `kinds` of a table's columns, `decimal` sign of a CSV."""
        ...


class Engine(Protocol):
    """A sandboxed worker process. Arrays go in and come out; nothing else does."""

    def call(
        self,
        method: str,
        arguments: Mapping[str, JSON],
        arrays: Mapping[str, NDArray[Any]] | None = None,
        deadline: float = 600.0,
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Runs an allow-listed method. Raises `CloisterError`; after a timeout the worker is killed."""
        ...


class Local(Protocol):
    """All that a step may touch."""

    @property
    def task(self) -> str:
        """The task's id: the digest of its signed plan."""
        ...

    @property
    def party(self) -> Party:
        """The party whose node this is."""
        ...

    @property
    def state(self) -> bytes:
        """What the last step left (empty at the start)."""
        ...

    def part(self, name: str) -> bytes:
        """A piece of the state that an earlier step of this program gave as `Step.parts`. Raises `Conflict` if none did."""
        ...

    @property
    def attempt(self) -> int:
        """Counts the task's attempts from 1."""
        ...

    @property
    def signing(self) -> Signing:
        """Signatures with this party's keys, on the messages of a protocol between seats."""
        ...

    def data(self, digest: str) -> DataPort:
        """An own, agreed dataset by commitment. Raises `Refused` for any other, `Tampered` if it has changed."""
        ...

    def content(self, digest: str) -> bytes:
        """A part of the computation admitted with the task (for example the ONNX model), by digest."""
        ...

    def secret(self, label: str, size: int) -> bytes:
        """Fresh random bytes, journalled before use: the same bytes for the same label of this task and attempt."""
        ...

    def charge(self, cost: PrivacyCost) -> None:
        """Spends budget durably, once per task, phase and attempt. Raises `Refused` if it does not suffice."""
        ...

    def engine(self, name: str) -> Engine:
        """A sandboxed worker, for example `jax`."""
        ...

    def report(self, figures: Mapping[str, JSON]) -> None:
        """Shows figures to this node's own people; they go nowhere else."""
        ...


def senders(inbox: Inbox) -> Iterator[Party]:
    """The parties that answered, once each, in order."""
    seen: set[Party] = set()
    for item in inbox:
        if item.sender not in seen:
            seen.add(item.sender)
            yield item.sender


__all__ = [
    "Candidate",
    "DataPort",
    "Engine",
    "Enough",
    "Inbox",
    "Local",
    "Message",
    "Party",
    "Phase",
    "PrivacyCost",
    "Program",
    "Received",
    "Seat",
    "Signing",
    "Step",
    "senders",
]

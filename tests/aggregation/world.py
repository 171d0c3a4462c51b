"""All parties of one aggregation in memory, with whoever lies told to lie.

`drop` silences a participant from a stage on; `tamper` changes a body on its way from one party to another (a hub, or
the sender itself); `World.participant` may be replaced for one that misbehaves.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from cloister import aggregation
from cloister.aggregation import (
    COORDINATOR_STAGES,
    PARTICIPANT_STAGES,
    Context,
    Coordinator,
    Opened,
    Participant,
)
from cloister.foundation.errors import CloisterError, NotTrusted
from cloister.identity.keys import SecretKeys

KEYS = [SecretKeys.generate() for _ in range(31)]


def name(index: int) -> str:
    return base64.b32encode(hashlib.sha256(b"%d" % index).digest()).decode().rstrip("=").lower()


MANY = sorted(name(index) for index in range(30))
NAMES = MANY[:10]
COORDINATOR = name(99)


class Cards:
    """Whose keys are whose."""

    def __init__(self) -> None:
        self.of = dict(zip([*MANY, COORDINATOR], KEYS, strict=True))

    def keys(self, party, keyset):
        if party not in self.of or self.of[party].public.keyset != keyset:
            raise NotTrusted("unknown keys")
        return self.of[party].public


CARDS = Cards()


def digest(text):
    return "sha256:" + hashlib.sha256(str(text).encode()).hexdigest()


def context(n=3, *, encoding=None, dropouts=0, colluders=1, length=20, **changes) -> Context:
    fields = {
        "task": "task",
        "label": "round-1",
        "attempt": 1,
        "computation": digest("computation"),
        "hyperparameters": digest("hyperparameters"),
        "weights": digest("weights"),
        "coordinator": COORDINATOR,
        "roster": tuple(NAMES[:n]),
        "thresholds": aggregation.choose(n, colluders=colluders, dropouts=dropouts),
        "encoding": encoding or aggregation.integers(length, n, 1000),
    }
    return Context(**{**fields, **changes})


def secret(party, label="a"):
    return hashlib.sha256(f"{label}/{party}".encode()).digest()


def participant(of: Context, party: str, label="a") -> Participant:
    signing = aggregation.PartySigning(CARDS, CARDS.of[party])
    return Participant(of, party, signing, secret(party, label))


def coordinator(of: Context) -> Coordinator:
    return Coordinator(of, aggregation.PartySigning(CARDS))


def vectors(of: Context, seed=0):
    chance = np.random.default_rng(seed)
    bound = of.encoding.bound
    return {party: chance.integers(-bound, bound, of.encoding.length, endpoint=True) for party in of.roster}


Tamper = Callable[[str, str, str, bytes], bytes | None]


@dataclass
class World:
    """Runs an aggregation. `errors` has what each participant, or the coordinator, ended with."""

    context: Context
    vectors: dict[str, np.ndarray]
    drop: dict[str, str] = field(default_factory=dict)
    tamper: Tamper | None = None
    contexts: dict[str, Context] = field(default_factory=dict)
    states: dict[str, bytes] = field(default_factory=dict)
    errors: dict[str, CloisterError] = field(default_factory=dict)
    opened: dict[str, Opened] = field(default_factory=dict)
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)
    said: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    history: list[tuple[str, str, bytes, bytes]] = field(default_factory=list)

    vector: bytes = b""

    def __post_init__(self):
        self.nodes = {
            party: participant(self.contexts.get(party, self.context), party) for party in self.context.roster
        }
        self.centre = coordinator(self.context)
        self.centre_history: list[tuple[str, bytes, dict[str, bytes]]] = []

    def run(self):
        waiting: dict[str, bytes] = {}
        centre = b""
        for place, stage in enumerate(PARTICIPANT_STAGES):
            inbox = {}
            for party, node in self.nodes.items():
                if not self._here(party, place) or (stage != "announce" and party not in waiting):
                    continue
                turn = self._step(stage, party, node, waiting.get(party, b""))
                if turn is not None and (body := self._carry(stage, party, COORDINATOR, turn)) is not None:
                    inbox[party] = body
            if stage == "open":
                return self
            try:
                centre, waiting = self._relay(COORDINATOR_STAGES[place], centre, inbox)
            except CloisterError as error:
                self.errors[COORDINATOR] = error
                return self
        raise AssertionError

    def _here(self, party, place):
        return party not in self.errors and (
            party not in self.drop or place < PARTICIPANT_STAGES.index(self.drop[party])
        )

    def _step(self, stage, party, node, body):
        state = self.states.get(party, b"")
        self.history.append((stage, party, state, body))
        try:
            if stage == "announce":
                turn = node.announce()
            elif stage == "mask":
                turn = node.mask(state, body, self.vectors[party])
            elif stage == "open":
                self.opened[party] = node.open(state, body)
                return None
            else:
                turn = getattr(node, stage)(state, body)
        except CloisterError as error:
            self.errors[party] = error
            return None
        self.states[party] = turn.state
        assert set(turn.send) == {COORDINATOR}
        return turn.send[COORDINATOR]

    def _relay(self, stage, state, inbox):
        self.centre_history.append((stage, state, dict(inbox)))
        before = () if stage == "gather" else (state,)
        beside = (self.vector,) if stage == "total" else ()
        turn = getattr(self.centre, stage)(*before, inbox, *beside)
        self.vector = turn.vector or self.vector
        self.left_out[stage] = dict(turn.left_out)
        waiting = {}
        for party, body in turn.send.items():
            carried = self._carry(stage, COORDINATOR, party, body)
            if carried is not None:
                waiting[party] = carried
        return turn.state, waiting

    def _carry(self, stage, sender, recipient, body):
        self.said.append((stage, sender, recipient, body))
        return self.tamper(stage, sender, recipient, body) if self.tamper else body

    def sum(self, contributors):
        return sum(self.vectors[party] for party in contributors)

    def right(self, contributors=None):
        """Everybody who opened has the sum of these contributors; somebody did."""
        assert self.opened, {party: str(error) for party, error in self.errors.items()}
        for result in self.opened.values():
            if contributors is not None:
                assert result.contributors == tuple(contributors)
            np.testing.assert_array_equal(result.total, self.sum(result.contributors))
        return True

    def never_wrong(self):
        """Each sum that anybody accepted is right; else there was an error."""
        for result in self.opened.values():
            np.testing.assert_array_equal(result.total, self.sum(result.contributors))
            assert len(result.contributors) >= self.context.thresholds.survivors
        assert self.errors or self.opened
        return True

"""A node watches its hub's log: honest growth is cosigned, two stories are found out and proven."""

from __future__ import annotations

import pytest

from cloister.foundation.clock import FixedClock
from cloister.foundation.errors import NotTrusted
from cloister.identity.keys import SecretKeys
from cloister.ledger.checkpoints import (
    Checkpoint,
    cosigned_at,
    ledger_origin,
    sign_checkpoint,
    verify_checkpoint,
    witness_name,
)
from cloister.ledger.leaves import conceal
from cloister.ledger.notes import Note
from cloister.ledger.tree import MemoryNodes, Tree
from cloister.node.peers.hub_witness import HubWitness
from cloister.storage.database import Database

HUB, NODE = "h" * 52, "n" * 52
HUB_KEYS, NODE_KEYS = SecretKeys.generate(), SecretKeys.generate()


class Log:
    """A hub's log as its client shows it; it can be told to lie."""

    def __init__(self) -> None:
        self.tree = Tree(MemoryNodes())
        self.cosigned: list[Note] = []

    def grow(self, count: int, seed: int = 0) -> None:
        for index in range(count):
            self.tree.append(
                conceal("decision", "sha256:" + f"{seed + index:064x}", 1_800_000_000)[0].encode()
            )

    def head(self) -> bytes:
        checkpoint = Checkpoint(ledger_origin(HUB), self.tree.size, self.tree.root())
        return sign_checkpoint(checkpoint, HUB_KEYS, 1_800_000_000).encode()

    def consistency(self, old: int, new: int) -> list[bytes]:
        return self.tree.consistency_proof(old, new) if old <= self.tree.size else []

    def cosign(self, note: bytes) -> None:
        self.cosigned.append(Note.parse(note))


@pytest.fixture
def witness() -> HubWitness:
    return HubWitness(Database.memory(), FixedClock(), NODE, NODE_KEYS, HUB, lambda: [HUB_KEYS.public])


def test_a_log_that_grows_is_cosigned_at_each_new_head_and_only_then(witness: HubWitness) -> None:
    log = Log()
    assert witness.look(log) == 0
    for _ in range(3):
        log.grow(4)
        witness.look(log)
        witness.look(log)
    assert len(log.cosigned) == 3
    for note in log.cosigned:
        verify_checkpoint(note, ledger_origin(HUB), [HUB_KEYS.public])
        assert cosigned_at(note, witness_name(NODE), [NODE_KEYS.public]) is not None


@pytest.mark.parametrize(
    ("entries", "clause"), [(7, "witness-split-view"), (3, "witness-rollback"), (9, "witness-proof")]
)
def test_another_history_is_refused_and_both_heads_are_kept_as_proof(
    witness: HubWitness, entries: int, clause: str
) -> None:
    honest, other = Log(), Log()
    honest.grow(7)
    witness.look(honest)
    other.grow(entries, seed=1000)
    with pytest.raises(NotTrusted) as found:
        witness.look(other)
    assert found.value.clause == clause
    assert other.cosigned == []
    kept = witness.evidence()
    assert kept is not None
    heads = [
        verify_checkpoint(Note.parse(kept[name].encode()), ledger_origin(HUB), [HUB_KEYS.public])
        for name in ("first", "second")
    ]
    assert heads[0].root != heads[1].root


def test_a_head_that_the_hub_did_not_sign_is_not_cosigned() -> None:
    stranger = SecretKeys.generate()
    witness = HubWitness(Database.memory(), FixedClock(), NODE, NODE_KEYS, HUB, lambda: [stranger.public])
    log = Log()
    log.grow(2)
    with pytest.raises(NotTrusted):
        witness.look(log)
    assert log.cosigned == []
    assert witness.evidence() is None

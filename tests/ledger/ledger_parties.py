"""A log, its entries and its witnesses for tests; a log that can be told to lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from cloister.identity import cards
from cloister.identity.directory import Directory
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import SecretKeys
from cloister.ledger import checkpoints, witness
from cloister.ledger.checkpoints import Checkpoint, ledger_origin, witness_name
from cloister.ledger.leaves import KINDS, Opening, conceal
from cloister.ledger.notes import Note
from cloister.ledger.tree import MemoryNodes, Tree, leaf_hash
from cloister.ledger.verify import Stored

NOW = 1_800_000_000


@cache
def keys(label: str) -> SecretKeys:
    """The same keys for the same label throughout the run."""
    return SecretKeys.generate()


@cache
def genesis(label: str) -> Envelope:
    return cards.genesis(label.title(), ["owner"], keys(label), keys(f"{label}-recovery").public, NOW - 1000)


@cache
def party(label: str) -> str:
    return cards.read(genesis(label)).party


def directory(*labels: str) -> Directory:
    made = Directory()
    for label in labels:
        made.accept(genesis(label), NOW)
    return made


@dataclass
class Log:
    """A party's ledger in memory."""

    label: str = "plant"
    leaves: list[bytes] = field(default_factory=list)
    heads: list[Note] = field(default_factory=list)
    seen: dict[str, witness.Seen | None] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return ledger_origin(party(self.label))

    @property
    def tree(self) -> Tree:
        tree = Tree(MemoryNodes())
        for leaf in self.leaves:
            tree.append(leaf)
        return tree

    def write(self, count: int, start: int = NOW) -> None:
        for _ in range(count):
            index = len(self.leaves)
            leaf, _opening = conceal(KINDS[index % len(KINDS)], "sha256:" + f"{index:064x}", start + index)
            self.leaves.append(leaf.encode())

    def sign(self, time: int | None = None, size: int | None = None) -> Note:
        tree = self.tree
        at = tree.size if size is None else size
        return checkpoints.sign_checkpoint(Checkpoint(self.origin, at, tree.root(at)), keys(self.label), time)

    def ask(self, label: str, note: Note, now: int) -> witness.Cosigned | witness.Refusal:
        seen = self.seen.get(label)
        size = Checkpoint.parse(note.text).size
        old = seen.size if seen else 0
        proof = self.tree.consistency_proof(old, size) if old <= size <= len(self.leaves) else []
        answer = witness.consider(
            seen,
            note,
            old,
            proof,
            origin=self.origin,
            log_keys=[keys(self.label).public],
            name=witness_name(party(label)),
            keys=keys(label),
            now=now,
        )
        if isinstance(answer, witness.Cosigned):
            self.seen[label] = answer.seen
        return answer

    def publish(self, now: int, witnesses: tuple[str, ...] = ()) -> Note:
        note = self.sign(now)
        for label in witnesses:
            answer = self.ask(label, note, now)
            assert isinstance(answer, witness.Cosigned)
            note = note.with_lines(answer.lines)
        self.heads.append(note)
        return note

    def stored(self) -> list[Stored]:
        return [Stored(index, leaf, leaf_hash(leaf)) for index, leaf in enumerate(self.leaves)]


def full(entries: int = 30, witnesses: tuple[str, ...] = ("first", "second")) -> Log:
    """A log with three cosigned checkpoints, at a third, two thirds, and all of its entries."""
    made = _full(entries, witnesses)
    return Log(made.label, list(made.leaves), list(made.heads), dict(made.seen))


@cache
def _full(entries: int, witnesses: tuple[str, ...]) -> Log:
    log = Log()
    for part in (1, 2, 3):
        log.write(entries * part // 3 - len(log.leaves))
        log.publish(NOW + 1000 * part, witnesses)
    return log


__all__ = ["NOW", "Log", "Opening", "directory", "full", "genesis", "keys", "party"]

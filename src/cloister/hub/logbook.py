"""The hub's log, and the hub as a witness of its parties' ledgers.

Rules:
1. Entries are well-formed leaves (`ledger.leaves`), dated about now. A party that brings the same leaf again gets the
   same index; nothing is ever changed or removed.
2. A checkpoint is signed when it is asked for and the log has grown; it is stored before it leaves, so the hub never
   signs two heads of one size.
3. A party's own checkpoint is cosigned only by the rules of `ledger.witness`; what was seen is stored first. It also
   becomes an entry (`checkpoint-received`).
   A checkpoint that contradicts what the party signed before is refused, and both heads are kept as evidence.
4. A cosignature on the hub's checkpoint is kept if it is the bringing party's, by its present keys, and holds.
5. Each party may add so many entries an hour; more are refused, and nobody else's are.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from cloister.foundation.canonical import JSON
from cloister.foundation.clock import Clock, rfc3339
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, Conflict, NotTrusted
from cloister.foundation.quotas import Quota
from cloister.hub.state import Members
from cloister.identity.keys import SecretKeys
from cloister.ledger import checkpoints
from cloister.ledger.checkpoints import Checkpoint
from cloister.ledger.leaves import Leaf, conceal
from cloister.ledger.notes import Note
from cloister.ledger.tree import Tree
from cloister.ledger.witness import Refusal, Seen, consider
from cloister.storage.checkpoints import Checkpoints
from cloister.storage.database import Database, Transaction
from cloister.storage.log import OWN, LogRow, LogRows, TreeNodes
from cloister.storage.quotas import pace
from cloister.storage.settings import Settings

PAGE = 1000
DRIFT = 300
PACE = Quota(number=1, size=1, burst=2000, per_hour=3600)
_SEEN = "hub/seen/"
_EVIDENCE = "hub/evidence/"


class Logbook:
    """The log that a hub keeps.

    Args:
        database: the hub's.
        party: the hub's fingerprint.
        keys: its keys, which sign checkpoints.
        members: its parties.
        clock: tells the time.
    """

    def __init__(
        self, database: Database, party: str, keys: SecretKeys, members: Members, clock: Clock
    ) -> None:
        self._database, self._keys = database, keys
        self._members, self._clock = members, clock
        self.origin = checkpoints.ledger_origin(party)
        self._name = checkpoints.witness_name(party)
        self._lock = threading.Lock()

    def size(self) -> int:
        """How many entries there are."""
        with self._database.read() as tx:
            return LogRows(tx).size()

    def append(self, sender: str, leaf: bytes) -> int:
        """Puts a leaf in; returns its index."""
        read = Leaf.decode(leaf)
        now = self._clock.now()
        if abs(read.at - now) > DRIFT:
            raise BadInput(
                "A log entry is not dated now.",
                f"It says {read.time}; the relay's clock says {rfc3339(now)}.",
                "Compare the clocks of both machines.",
                clause="time",
            )
        with self._lock, self._database.transaction() as tx:
            return self._append(tx, sender, leaf, read.kind)

    def _append(self, tx: Transaction, sender: str, leaf: bytes, kind: str) -> int:
        rows = LogRows(tx)
        mark = f"{sender} {digest(leaf)}"
        found = rows.find(mark)
        if found:
            return found[0].index
        pace(tx, PACE, "log entries", sender, self._clock.now())
        tree = Tree(TreeNodes(tx), rows.size())
        index = tree.append(leaf)
        rows.add(LogRow(index, leaf, kind, None, mark))
        return index

    def head(self) -> bytes:
        """The signed checkpoint of all entries, with the cosignatures so far."""
        with self._lock, self._database.transaction() as tx:
            kept = Checkpoints(tx)
            size = LogRows(tx).size()
            latest = kept.latest(OWN)
            if latest is None or latest[0] < size:
                root = Tree(TreeNodes(tx), size).root()
                now = self._clock.now()
                note = checkpoints.sign_checkpoint(Checkpoint(self.origin, size, root), self._keys, now)
                kept.put(OWN, size, note.encode(), now)
                return note.encode()
            return self._with_cosignatures(kept, *latest)

    def _with_cosignatures(self, kept: Checkpoints, size: int, note: bytes) -> bytes:
        parsed = Note.parse(note)
        for lines in kept.cosignatures(OWN, size).values():
            parsed = parsed.with_lines(Note.parse(lines).lines)
        return parsed.encode()

    def cosign(self, sender: str, data: bytes) -> None:
        """Keeps `sender`'s cosignature on one of the hub's checkpoints."""
        note = Note.parse(data)
        head = Checkpoint.parse(note.text)
        name = checkpoints.witness_name(sender)
        if checkpoints.cosigned_at(note, name, [self._members.keys_for(sender)]) is None:
            raise NotTrusted(
                "A checkpoint lacks its bringer's cosignature.",
                "None of its lines is by that party's present keys.",
                "Cosign it with the present keys and bring it again.",
                clause="cosignature",
            )
        with self._lock, self._database.transaction() as tx:
            kept = Checkpoints(tx)
            held = kept.get(OWN, head.size)
            if held is None or Note.parse(held).text != note.text:
                raise Conflict(
                    "The relay did not sign this checkpoint.",
                    "It keeps none of that size, or another.",
                    "Keep it as evidence.",
                )
            own = Note(note.text, tuple(line for line in note.lines if line.name == name))
            kept.cosign(OWN, head.size, sender, own.encode())

    def entries(self, start: int, end: int) -> list[bytes]:
        """At most 1000 leaves from `start` to before `end`."""
        with self._database.read() as tx:
            return [row.leaf for row in LogRows(tx).scan(max(0, start), min(end, start + PAGE))]

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The inclusion proof of an entry."""
        with self._database.read() as tx:
            return Tree(TreeNodes(tx), LogRows(tx).size()).inclusion_proof(index, size)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """The consistency proof between two sizes."""
        with self._database.read() as tx:
            return Tree(TreeNodes(tx), LogRows(tx).size()).consistency_proof(old, new)

    def witness(self, sender: str, data: bytes, old_size: int, proof: Sequence[bytes]) -> bytes:
        """Cosigns a party's own checkpoint. Raises `NotTrusted` by the rules of `ledger.witness`."""
        note = Note.parse(data)
        # What is raised undoes its transaction, and evidence must stay: so it is raised after.
        with self._lock, self._database.transaction() as tx:
            settings = Settings(tx)
            stored = settings.get(_SEEN + sender)
            decision = consider(
                None if stored is None else Seen.from_json(stored),
                note,
                old_size,
                proof,
                origin=checkpoints.ledger_origin(sender),
                log_keys=[self._members.keys_for(sender)],
                name=self._name,
                keys=self._keys,
                now=self._clock.now(),
            )
            if isinstance(decision, Refusal):
                self._keep_evidence(settings, sender, decision)
            else:
                before = None if stored is None else Seen.from_json(stored)
                new = before is None or (before.size, before.root) != (decision.seen.size, decision.seen.root)
                settings.put(_SEEN + sender, decision.seen.to_json())
                if new:  # the same head shown again is no news for the log
                    leaf, _ = conceal("checkpoint-received", digest(data), self._clock.now())
                    self._append(tx, sender, leaf.encode(), leaf.kind)
        if isinstance(decision, Refusal):
            raise decision.error()
        return note.with_lines(decision.lines).encode()

    def _keep_evidence(self, settings: Settings, sender: str, refusal: Refusal) -> None:
        if len(refusal.evidence) != 2:
            return
        key = f"{_EVIDENCE}{sender}/{refusal.clause}"
        if (
            settings.get(key) is None
        ):  # the first contradiction is evidence enough, and cannot be pushed out by later ones
            first, second = (item.decode() for item in refusal.evidence)
            settings.put(key, {"first": first, "second": second, "at": self._clock.now()})

    def evidence(self) -> dict[str, dict[str, JSON]]:
        """Party and clause → the two contradicting heads that the party signed (`first`, `second`, `at`)."""
        with self._database.read() as tx:
            settings = Settings(tx)
            return {name.removeprefix(_EVIDENCE): settings.get(name) for name in settings.names(_EVIDENCE)}

    def heads(self) -> dict[str, bytes]:
        """The largest checkpoint seen of each party's ledger."""
        with self._database.read() as tx:
            settings = Settings(tx)
            return {
                name.removeprefix(_SEEN): Seen.from_json(settings.get(name)).note
                for name in settings.names(_SEEN)
            }

"""This node's tamper-evident log: appended with every change, signed, cosigned by witnesses; and its work as a witness.

Rules:
1. A leaf is appended in the transaction of what it tells; there is no other way in.
2. Time in the log never runs backwards: the clock's floor is the latest checkpoint, from before anything else is read.
3. After each start every witness is shown the log once, also if it has cosigned its head: it may have seen more.
4. When a witness has signed a longer history than this node has (a restored backup, a second node with the same keys), or
   another one, this node is *locked*: it admits nothing and signs no checkpoint until people have looked.
5. As a witness it stores what it has seen before its cosignature leaves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

from cloister.foundation.canonical import canonical, parse
from cloister.foundation.clock import FloorClock
from cloister.foundation.errors import BadInput, CloisterError, NotTrusted, Refused
from cloister.identity.cards import read as read_card
from cloister.identity.keys import PublicKeys, SecretKeys, b64, unb64
from cloister.ledger.checkpoints import Checkpoint, cosigned_at, ledger_origin, sign_checkpoint, witness_name
from cloister.ledger.leaves import Kind, conceal
from cloister.ledger.notes import Note
from cloister.ledger.tree import Tree
from cloister.ledger.witness import Cosigned, Seen, consider, proves
from cloister.node.peers.parties import Parties
from cloister.storage.checkpoints import Checkpoints
from cloister.storage.database import Database, Transaction
from cloister.storage.log import LogRow, LogRows, TreeNodes
from cloister.storage.settings import Settings

WITNESS = "log.witness"
_TIME_KEY = "ledger/time"
_LOCK_KEY = "ledger/locked"
MAX_QUESTION = 1 << 20
_PROOF_LIMIT = 128
_LOCKING = frozenset({"witness-rollback", "witness-split-view", "witness-proof"})


def latest_time(database: Database) -> int:
    """When the last checkpoint was signed, seconds since the epoch; 0 if none was."""
    with database.read() as tx:
        return int(Settings(tx).get(_TIME_KEY, 0))


class LedgerService:
    """The node's own log and its memory as a witness."""

    def __init__(self, database: Database, clock: FloorClock, keys: SecretKeys, parties: Parties) -> None:
        self._database = database
        self._clock = clock
        self._keys = keys
        self._parties = parties
        self._witnessing = threading.Lock()
        self._met: set[str] = set()
        self.origin = ledger_origin(parties.own.party)

    # Writing -------------------------------------------------------------------------------------------------------

    def append(self, tx: Transaction, kind: str, document: str) -> int:
        """Appends a salted leaf about the document of that digest, inside `tx`. Returns its index."""
        now = self._clock.now()
        leaf, opening = conceal(cast("Kind", kind), document, now)
        rows = LogRows(tx)
        tree = Tree(TreeNodes(tx), rows.size())
        index = tree.append(leaf.encode())
        rows.add(LogRow(index, leaf.encode(), kind, opening.salt, document))
        return index

    def log_card(self, card: str) -> None:
        """Logs this party's card once; the next checkpoint then has another size, and is signed by the card's keys."""
        with self._database.transaction() as tx:
            if Settings(tx).get("ledger/card") != card:
                Settings(tx).put("ledger/card", card)
                self.append(tx, "card", card)

    def checkpoint(self) -> Note | None:
        """The log's present head, signed and kept; with the cosignatures it has. `None` for an empty log.

        Raises:
            Refused: this node is locked.
        """
        self.require_unlocked()
        now = self._clock.now()
        with self._database.transaction() as tx:
            size = LogRows(tx).size()
            if size == 0:
                return None
            kept = Checkpoints(tx).get(self.origin, size)
            if kept is not None:
                return Note.parse(kept)
            root = Tree(TreeNodes(tx), size).root()
            note = sign_checkpoint(Checkpoint(self.origin, size, root), self._keys, now)
            Checkpoints(tx).put(self.origin, size, note.encode(), now)
            Settings(tx).put(_TIME_KEY, now)
        self._clock.raise_floor(now)
        return note

    # Locked --------------------------------------------------------------------------------------------------------

    @property
    def locked(self) -> dict[str, Any] | None:
        """Why this node is locked, or `None`."""
        with self._database.read() as tx:
            return cast("dict[str, Any] | None", Settings(tx).get(_LOCK_KEY))

    def lock(self, code: str, why: str, witness: str) -> None:
        """Locks this node; the reason stays on disk."""
        with self._database.transaction() as tx:
            Settings(tx).put(_LOCK_KEY, {"clause": code, "why": why, "witness": witness})

    def require_unlocked(self) -> None:
        """Raises `Refused` while this node is locked."""
        found = self.locked
        if found is not None:
            raise Refused(
                "This server's log contradicts what a witness has signed.",
                f"{found['why']} Either an old backup was restored or a second server runs with the same keys.",
                "Stop the other server, or restore the newest backup. If neither can be, retire this identity with its "
                "recovery keys and make a new one.",
                clause=str(found["clause"]),
            )

    # Being witnessed -----------------------------------------------------------------------------------------------

    def ask_witness(self, witness: str, submit: Callable[[bytes, int, list[bytes]], bytes]) -> bool:
        """Has one witness cosign the present head. Returns whether it has.

        Args:
            witness: its fingerprint.
            submit: `(note, old size, proof) -> note with its lines`, see `transport.hub_client.HubClient`.

        Raises:
            CloisterError: what the witness or the way to it said; a contradiction locks this node.
        """
        note = self.checkpoint()
        if note is None:
            return True
        checkpoint = Checkpoint.parse(note.text)
        name = witness_name(witness)
        with self._database.read() as tx:
            cosigned = name in Checkpoints(tx).cosignatures(self.origin, checkpoint.size)
            if cosigned and witness in self._met:
                return True
            old = int(Settings(tx).get(f"ledger/seen-by/{witness}", 0))
        try:
            answer = self._submitted(note, checkpoint, old, submit)
        except NotTrusted as error:
            if error.clause in _LOCKING and self._proven(error):
                self.lock(error.clause, error.why, witness)
                self.require_unlocked()
            raise
        if not cosigned:
            self._keep_cosignature(witness, checkpoint, note, answer)
        self._met.add(witness)
        return True

    def _proven(self, error: NotTrusted) -> bool:
        """Whether a witness's accusation shows a head that this party's own keys signed and this log does not hold."""
        chain = self._parties.chain(self._parties.own.party)
        with self._database.read() as tx:
            size = LogRows(tx).size()
            return proves(
                error,
                origin=self.origin,
                log_keys=[read_card(card).keys for card in chain],
                size=size,
                root=Tree(TreeNodes(tx), size).root,
            )

    def met(self, witness: str) -> bool:
        """Whether the witness was shown this log since the node started."""
        return witness in self._met

    def shown(self, witness: str) -> int:
        """How many leaves the largest head had that this witness has cosigned."""
        with self._database.read() as tx:
            return int(Settings(tx).get(f"ledger/seen-by/{witness}", 0))

    def size(self) -> int:
        """How many leaves there are."""
        with self._database.read() as tx:
            return LogRows(tx).size()

    def _submitted(
        self, note: Note, checkpoint: Checkpoint, old: int, submit: Callable[[bytes, int, list[bytes]], bytes]
    ) -> bytes:
        try:
            return submit(note.encode(), old, self._proof(old, checkpoint.size))
        except NotTrusted as error:
            seen = error.detail.get("size")
            if (
                error.clause != "witness-stale"
                or not isinstance(seen, int)
                or not 0 <= seen <= checkpoint.size
            ):
                raise
            return submit(note.encode(), seen, self._proof(seen, checkpoint.size))

    def _proof(self, old: int, size: int) -> list[bytes]:
        if not 0 < old <= size:
            return []
        with self._database.read() as tx:
            return Tree(TreeNodes(tx), size).consistency_proof(old, size)

    def _keep_cosignature(self, witness: str, checkpoint: Checkpoint, note: Note, answer: bytes) -> None:
        name = witness_name(witness)
        lines = tuple(line for line in Note.parse(answer).lines if line.name == name)
        cosigned = Note(note.text, lines)
        if cosigned_at(cosigned, name, self._keysets(witness)) is None:
            raise NotTrusted(
                "A witness's cosignature does not hold.", "", "Ask it again.", clause="cosignature"
            )
        with self._database.transaction() as tx:
            kept = Checkpoints(tx)
            kept.cosign(self.origin, checkpoint.size, name, cosigned.encode())
            present = Note.parse(kept.get(self.origin, checkpoint.size) or note.encode())
            kept.put(self.origin, checkpoint.size, present.with_lines(lines).encode(), self._clock.now())
            Settings(tx).put(f"ledger/seen-by/{witness}", checkpoint.size)

    # Being a witness -----------------------------------------------------------------------------------------------

    def witness(self, sender: str, body: bytes) -> bytes:
        """Answers another node that shows its log's head. Raises `NotTrusted` by the rules of `ledger.witness`."""
        question = parse(body, max_bytes=MAX_QUESTION)
        try:
            note, old = Note.parse(unb64(str(question["note"]))), question["old_size"]
            proof = [unb64(str(item)) for item in question["proof"][:_PROOF_LIMIT]]
            if not isinstance(old, int) or isinstance(old, bool) or old < 0:
                raise KeyError("old_size")
        except (KeyError, TypeError):
            raise BadInput(
                "A request for a cosignature could not be read.", "Fields are missing.", ""
            ) from None
        with self._witnessing:
            with self._database.read() as tx:
                stored = Settings(tx).get(f"witness/{sender}")
            result = consider(
                None if stored is None else Seen.from_json(stored),
                note,
                old,
                proof,
                origin=ledger_origin(sender),
                log_keys=self._keysets(sender),
                name=witness_name(self._parties.own.party),
                keys=self._keys,
                now=self._clock.now(),
            )
            if not isinstance(result, Cosigned):
                if result.clause in _LOCKING:
                    self._keep_evidence(sender, result.clause, result.evidence)
                raise result.error()
            with self._database.transaction() as tx:
                Settings(tx).put(f"witness/{sender}", result.seen.to_json())
        return canonical({"note": b64(note.with_lines(result.lines).encode())})

    def witnessed(self) -> dict[str, dict[str, Any]]:
        """What this node has seen of other logs, by party."""
        with self._database.read() as tx:
            settings = Settings(tx)
            return {
                name.removeprefix("witness/"): {
                    "size": settings.get(name)["size"],
                    "time": settings.get(name)["time"],
                }
                for name in settings.names("witness/")
            }

    def _keysets(self, party: str) -> Sequence[PublicKeys]:
        return [self._parties.keys_for(party)]

    def _keep_evidence(self, sender: str, clause: str, evidence: tuple[bytes, ...]) -> None:
        if len(evidence) != 2:
            return
        with self._database.transaction() as tx:
            Settings(tx).put(
                f"evidence/{sender}/{clause}",
                {"first": evidence[0].decode(), "second": evidence[1].decode(), "at": self._clock.now()},
            )

    # Looking -------------------------------------------------------------------------------------------------------

    def head(self) -> dict[str, Any]:
        """Size, root and witnesses of the present head."""
        try:
            note = self.checkpoint()
        except CloisterError as error:
            return {"locked": error.problem()}
        if note is None:
            return {"size": 0, "root": "", "cosigned_by": [], "note": ""}
        checkpoint = Checkpoint.parse(note.text)
        with self._database.read() as tx:
            cosigned = sorted(Checkpoints(tx).cosignatures(self.origin, checkpoint.size))
        return {
            "size": checkpoint.size,
            "root": b64(checkpoint.root),
            "cosigned_by": [name.rpartition("/")[2] for name in cosigned],
            "note": note.encode().decode(),
        }

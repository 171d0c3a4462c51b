"""This node's tamper-evident log: appended with every change, signed, cosigned by witnesses; and its work as a witness.

Rules:
1. A leaf is appended in the transaction of what it tells; there is no other way in.
2. Time in the log never runs backwards: the clock's floor is the latest checkpoint and cosignature.
3. When a witness has signed a longer history than this node has (a restored backup, a second node with the same keys),
   or another one, this node is *locked*: it admits nothing and signs no checkpoint until people have looked.
4. As a witness it stores what it has seen before its cosignature leaves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

from cloister.foundation.canonical import canonical, parse
from cloister.foundation.clock import FloorClock
from cloister.foundation.errors import BadInput, CloisterError, Refused
from cloister.identity.keys import PublicKeys, SecretKeys, b64, unb64
from cloister.ledger.checkpoints import Checkpoint, ledger_origin, sign_checkpoint, witness_name
from cloister.ledger.leaves import Kind, conceal
from cloister.ledger.notes import Note
from cloister.ledger.tree import Tree
from cloister.ledger.witness import Cosigned, Seen, consider
from cloister.node.parties_service import Parties
from cloister.storage.checkpoints import Checkpoints
from cloister.storage.database import Database, Transaction
from cloister.storage.log import LogRow, LogRows, TreeNodes
from cloister.storage.settings import Settings

COSIGN = "ledger.cosign"
_LOCK_KEY = "ledger/locked"
_PROOF_LIMIT = 128
_LOCKING = frozenset({"witness-rollback", "witness-split-view", "witness-proof"})


class LedgerService:
    """The node's own log and its memory as a witness."""

    def __init__(self, database: Database, clock: FloorClock, keys: SecretKeys, parties: Parties) -> None:
        self._database = database
        self._clock = clock
        self._keys = keys
        self._parties = parties
        self._witnessing = threading.Lock()
        self.origin = ledger_origin(parties.own.party)
        with database.read() as tx:
            self._clock.raise_floor(int(Settings(tx).get("ledger/time", 0)))

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
            Settings(tx).put("ledger/time", now)
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
                "This node's log contradicts what a witness has signed.",
                f"{found['why']} Either an old backup was restored or a second node runs with the same keys.",
                "Stop the other node, or restore the newest backup. If neither can be, retire this identity with its "
                "recovery keys and make a new one.",
                clause=str(found["clause"]),
            )

    # Being witnessed -----------------------------------------------------------------------------------------------

    def ask_witness(self, witness: str, call: Callable[[bytes], bytes]) -> bool:
        """Asks one witness to cosign the present head. Returns whether it has cosigned it.

        Raises:
            CloisterError: what the witness or the way to it said; a contradiction locks this node.
        """
        note = self.checkpoint()
        if note is None:
            return True
        checkpoint = Checkpoint.parse(note.text)
        name = witness_name(witness)
        with self._database.read() as tx:
            if name in Checkpoints(tx).cosignatures(self.origin, checkpoint.size):
                return True
            old = int(Settings(tx).get(f"ledger/seen-by/{witness}", 0))
        for _ in range(2):
            answer = parse(call(self._question(note, checkpoint.size, old)))
            if "lines" in answer:
                self._keep_cosignature(witness, checkpoint, note, answer["lines"])
                return True
            code, why = str(answer.get("refusal", ""))[:60], str(answer.get("why", ""))[:400]
            if code == "witness-stale" and isinstance(answer.get("size"), int) and answer["size"] != old:
                old = answer["size"]
                if old <= checkpoint.size:
                    continue
            if code in _LOCKING:
                self.lock(code, why, witness)
                self.require_unlocked()
            raise Refused(
                "A witness did not cosign this node's log.", why, "See: cloister doctor", clause=code
            )
        return False

    def _question(self, note: Note, size: int, old: int) -> bytes:
        proof: list[bytes] = []
        if 0 < old <= size:
            with self._database.read() as tx:
                proof = Tree(TreeNodes(tx), size).consistency_proof(old, size)
        return canonical({"note": note.encode().decode(), "old": old, "proof": [b64(item) for item in proof]})

    def _keep_cosignature(self, witness: str, checkpoint: Checkpoint, note: Note, lines: Any) -> None:
        text = "".join(f"{line}\n" for line in lines if isinstance(line, str))[: 32 << 10]
        # Parsed as a note together with the text it signs, so that only well-formed lines are kept.
        cosigned = Note.parse(note.text.encode() + b"\n" + text.encode())
        with self._database.transaction() as tx:
            Checkpoints(tx).cosign(self.origin, checkpoint.size, witness_name(witness), text.encode())
            Checkpoints(tx).put(
                self.origin, checkpoint.size, note.with_lines(cosigned.lines).encode(), self._clock.now()
            )
            Settings(tx).put(f"ledger/seen-by/{witness}", checkpoint.size)

    # Being a witness -----------------------------------------------------------------------------------------------

    def cosign(self, sender: str, body: bytes) -> bytes:
        """Answers another node that asks for a cosignature of its log."""
        question = parse(body, max_bytes=1 << 20)
        try:
            note, old = Note.parse(str(question["note"]).encode()), question["old"]
            proof = [unb64(str(item)) for item in question["proof"][:_PROOF_LIMIT]]
            if not isinstance(old, int) or old < 0:
                raise KeyError("old")
        except (KeyError, TypeError):
            raise BadInput(
                "A request for a cosignature could not be read.", "Fields are missing.", ""
            ) from None
        origin = ledger_origin(sender)
        now = self._clock.now()
        with self._witnessing:
            with self._database.read() as tx:
                stored = Settings(tx).get(f"witness/{sender}")
            result = consider(
                _seen(stored),
                note,
                old,
                proof,
                origin=origin,
                log_keys=self._keysets(sender),
                name=witness_name(self._parties.own.party),
                keys=self._keys,
                now=now,
            )
            if not isinstance(result, Cosigned):
                if result.clause in _LOCKING:
                    self._keep_evidence(sender, result.clause, result.evidence)
                return canonical({"refusal": result.clause, "why": result.why, "size": result.size})
            with self._database.transaction() as tx:
                Settings(tx).put(f"witness/{sender}", _stored(result.seen))
        return canonical({"lines": [line.encode().rstrip("\n") for line in result.lines]})

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


def _seen(stored: Any) -> Seen | None:
    if stored is None:
        return None
    return Seen(
        stored["origin"],
        int(stored["size"]),
        unb64(stored["root"]),
        int(stored["time"]),
        stored["note"].encode(),
    )


def _stored(seen: Seen) -> dict[str, Any]:
    return {
        "origin": seen.origin,
        "size": seen.size,
        "root": b64(seen.root),
        "time": seen.time,
        "note": seen.note.decode(),
    }

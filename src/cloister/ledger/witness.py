"""A witness: remembers the largest head it saw of each log and cosigns only heads that extend it.

With enough honest witnesses, a log cannot show different parties different histories: two inconsistent heads cannot
both be cosigned.

Rules:
1. The log's own signature is checked before anything else.
2. A head smaller than the one seen is a rollback; one of the same size with another root is a split view; one that is
   larger must come with a proof that it extends the one seen. All else is refused, with the evidence kept.
3. The first head of a log is taken as it is, from whatever size on (nothing was seen that it could contradict).
4. Time does not go back: a witness whose clock runs behind its last cosignature for the log refuses.
5. The new state is stored before the cosignature leaves; a cosignature that was sent and forgotten is a rollback of
   the witness.
6. An accusation shows what it rests on: a head that the log's own keys signed. A log believes no accusation without;
   anybody may say that it is a witness.

Source: c2sp.org/tlog-witness (the rules, not its HTTP interface).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloister.foundation.canonical import JSON
from cloister.foundation.clock import rfc3339
from cloister.foundation.digests import same
from cloister.foundation.errors import BadInput, NotTrusted
from cloister.identity.keys import PublicKeys, SecretKeys, b64, unb64
from cloister.ledger.checkpoints import cosignature, verify_checkpoint
from cloister.ledger.notes import Line, Note
from cloister.ledger.tree import HASH, verify_consistency


@dataclass(frozen=True)
class Seen:
    """The largest head that a witness cosigned for a log, and when.

    Attributes:
        origin: the log.
        size: how many entries.
        root: 32 bytes.
        time: of the last cosignature, seconds since the epoch.
        note: the log's signed checkpoint, as evidence should it ever contradict it.
    """

    origin: str
    size: int
    root: bytes
    time: int
    note: bytes

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.root) != HASH or self.time < 0:
            raise _malformed_state()

    def to_json(self) -> dict[str, JSON]:
        """The state as a JSON value, for whoever stores it (rule 5)."""
        return {
            "origin": self.origin,
            "size": self.size,
            "root": b64(self.root),
            "time": self.time,
            "note": self.note.decode("utf-8"),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Seen:
        """Reads what `to_json` wrote. Raises `BadInput` for anything else: a witness does not guess what it saw."""
        try:
            root, note = unb64(value["root"]), value["note"].encode("utf-8")
            return cls(str(value["origin"]), int(value["size"]), root, int(value["time"]), note)
        except (BadInput, KeyError, TypeError, ValueError, AttributeError):
            raise _malformed_state() from None


def _malformed_state() -> BadInput:
    return BadInput(
        "A witness's stored state is malformed.",
        "It does not say which head was cosigned last.",
        "Restore the database from a backup.",
    )


@dataclass(frozen=True)
class Cosigned:
    """Yes: the lines to give to the log, and the state to store first (rule 5)."""

    lines: tuple[Line, ...]
    seen: Seen


@dataclass(frozen=True)
class Refusal:
    """No, and why. An accusation has both signed heads as `evidence`: the one seen and the one shown.

    `witness-stale` is no accusation: the log should send a proof from `size` on.
    """

    clause: str
    why: str
    size: int = 0
    evidence: tuple[bytes, ...] = ()

    def error(self) -> NotTrusted:
        """The refusal as an error; with an accusation goes the head that the log signed before (`head`, base64)."""
        told: dict[str, str] = {}
        if self.evidence:
            seen = Note.parse(self.evidence[0])
            origin = seen.text.partition("\n")[0]
            # Without the lines of other witnesses, which prove nothing here and would make it large.
            own = Note(seen.text, tuple(line for line in seen.lines if line.name == origin))
            told = {"head": b64(own.encode())}
        return NotTrusted(
            "A witness does not cosign this checkpoint.",
            self.why,
            "Verify the ledger with `cloister ledger verify`; if it was restored from a backup, reconcile it first.",
            clause=self.clause,
            size=self.size,
            **told,
        )


def proves(
    error: NotTrusted,
    *,
    origin: str,
    log_keys: Sequence[PublicKeys],
    size: int,
    root: Callable[[int], bytes],
) -> bool:
    """Whether a witness's refusal proves that this log's keys signed a history that this log does not hold (rule 6).

    Args:
        error: what the witness answered (`Refusal.error`, over the transport).
        origin: this log.
        log_keys: its keysets, present and past.
        size: how many entries it has now.
        root: the root over its first so many entries.
    """
    try:
        head = verify_checkpoint(Note.parse(unb64(str(error.detail.get("head", "")))), origin, log_keys)
    except (NotTrusted, BadInput):
        return False
    return head.size > size or not same(root(head.size), head.root)


def consider(
    seen: Seen | None,
    note: Note,
    old_size: int,
    proof: Sequence[bytes],
    *,
    origin: str,
    log_keys: Sequence[PublicKeys],
    name: str,
    keys: SecretKeys,
    now: int,
) -> Cosigned | Refusal:
    """Decides on a log's checkpoint.

    Args:
        seen: what was stored for this log; `None` at first.
        note: the signed checkpoint.
        old_size: the size from which `proof` leads; 0 with an empty proof if nothing was seen.
        proof: the consistency proof.
        origin: the log's origin.
        log_keys: the log's keysets.
        name: this witness's key name.
        keys: this witness's keys.
        now: seconds since the epoch.
    """
    if seen is not None and seen.origin != origin:
        return Refusal("witness-state", "The stored state is another log's.")
    try:
        checkpoint = verify_checkpoint(note, origin, log_keys)
    except (NotTrusted, BadInput) as error:
        return Refusal("witness-signature", f"{error.what} {error.why}")
    if seen is not None:
        if now < seen.time:
            return Refusal(
                "clock-behind-checkpoint",
                f"This witness's clock says {rfc3339(now)}; it already cosigned at {rfc3339(seen.time)}.",
                seen.size,
            )
        evidence = (seen.note, note.encode())
        if checkpoint.size < seen.size:
            why = f"It has {checkpoint.size} entries; {seen.size} were already signed."
            return Refusal("witness-rollback", why, seen.size, evidence)
        if checkpoint.size == seen.size:
            if not same(checkpoint.root, seen.root):
                why = f"The log signed two different histories of {seen.size} entries."
                return Refusal("witness-split-view", why, seen.size, evidence)
        elif old_size != seen.size:
            why = f"The proof starts at {old_size}; this witness knows {seen.size} entries."
            return Refusal("witness-stale", why, seen.size)
        else:
            try:
                verify_consistency(seen.size, checkpoint.size, seen.root, checkpoint.root, proof)
            except NotTrusted as error:
                why = f"The proof does not show that the new head extends the one seen. {error.why}"
                return Refusal("witness-proof", why, seen.size, evidence)
    lines = cosignature(note, name, keys, now)
    return Cosigned(lines, Seen(origin, checkpoint.size, checkpoint.root, now, note.encode()))

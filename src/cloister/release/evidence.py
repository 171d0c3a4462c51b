"""The log heads that a certificate names as evidence: carried with their signatures, and checked where keys are known.

A certificate names one head of its coordinator's log: the size and root that the log itself signed within an hour
(`gate.CLOCK_TOLERANCE`) of the time at which the candidate was proposed, by the coordinator's clock and as the owners'
gates have checked. That is no proof that the log had not grown further by then: an owner that is also a witness of the
log refuses only a head that is smaller than one that it had cosigned more than that hour before. As a signed note
(c2sp.org/tlog-checkpoint) it can be held against the log later, by anybody: a log that shows another history than the
one that its own checkpoint fixes is caught by its own signature.

Rules:
1. A head is carried as the signed note, with the log's signature by both algorithms, and with as many witnesses'
   cosignatures as fit. An owner's gate passes a statement with exactly one head, which the coordinator's log signed at
   the statement's time.
2. A reader checks each head against the keys that it has of the log's party: a signature that is missing or does not
   hold is `certificate-evidence`. Where it has no keys, the head is *not checked*, and is shown as that.
3. The same holds of cosignatures; one by somebody unknown is not counted.

Source: c2sp.org/tlog-checkpoint v1.0.0, c2sp.org/signed-note v1.0.0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import BadInput, NotTrusted
from cloister.identity.keys import PublicKeys, SecretKeys
from cloister.ledger.checkpoints import (
    Checkpoint,
    cosigned_at,
    ledger_origin,
    party_of,
    sign_checkpoint,
    verify_checkpoint,
)
from cloister.ledger.notes import Note

MAX_HEAD = 64 << 10
"""Bytes of a head in a certificate: the log's own signatures and about a dozen cosignatures of 4.5 KB."""

Keysets: TypeAlias = Callable[[str], Sequence[PublicKeys]]
"""A party's keys, also earlier ones; none if it is unknown."""


@dataclass(frozen=True)
class Head:
    """A log head that a certificate names.

    Attributes:
        party: whose log.
        size: how many entries.
        root: its root hash, base64.
        checked: its log's signature was checked and holds; otherwise the log's keys are not known here.
        at: when the log itself says that it signed, seconds since the epoch; `None` if it does not say or is not checked.
        cosigned_by: witnesses known here whose cosignatures hold.
    """

    party: str
    size: int
    root: str
    checked: bool
    at: int | None = None
    cosigned_by: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "party": self.party,
            "size": self.size,
            "root": self.root,
            "checked": self.checked,
            "at": None if self.at is None else rfc3339(self.at),
            "cosigned_by": list(self.cosigned_by),
        }


def carried(note: Note, origin: str) -> str:
    """A signed checkpoint as a certificate carries it: the log's own lines, then cosignatures as long as they fit."""
    own = [line for line in note.lines if line.name == origin]
    made = Note(note.text, tuple(own))
    for name in dict.fromkeys(line.name for line in note.lines if line.name != origin):
        larger = made.with_lines(line for line in note.lines if line.name == name)
        if len(larger.encode()) <= MAX_HEAD:
            made = larger
    return made.encode().decode("utf-8")


@dataclass(frozen=True)
class Signed:
    """A head that its log has signed: its size, and when the log says that it did (`None` if it does not say)."""

    size: int
    at: int | None


def require_signed(text: str, party: str, keys: Sequence[PublicKeys]) -> Signed:
    """The head, if it is of that party's log and signed by one of its keysets. Raises `NotTrusted` or `BadInput`."""
    note, origin = Note.parse(text.encode("utf-8")), ledger_origin(party)
    return Signed(verify_checkpoint(note, origin, keys).size, cosigned_at(note, origin, keys))


def stamped(note: Note, origin: str, keys: SecretKeys, now: int) -> Note:
    """The head of one's own log, signed anew at this time: it may have been the head for long, and still be it.

    Args:
        note: the head, with its witnesses' cosignatures, which are kept.
        origin: the log's.
        keys: the log's present keys.
        now: seconds since the epoch.
    """
    made = sign_checkpoint(Checkpoint.parse(note.text), keys, now)
    return made.with_lines(line for line in note.lines if line.name != origin)


def check_heads(texts: Sequence[str], keysets: Keysets) -> tuple[Head, ...]:
    """What a reader can say of a certificate's heads (rules 2 and 3).

    Raises:
        NotTrusted: a head cannot be read, or a known signer's signature is missing or wrong (`certificate-evidence`).
    """
    return tuple(_head(text, keysets) for text in texts)


def _head(text: str, keysets: Keysets) -> Head:
    try:
        note = Note.parse(text.encode("utf-8"))
        checkpoint = Checkpoint.parse(note.text)
        party = party_of(checkpoint.origin)
        keys = keysets(party)
        root = note.text.split("\n")[2]
        if not keys:
            return Head(party, checkpoint.size, root, checked=False)
        verify_checkpoint(note, checkpoint.origin, keys)
        return Head(
            party,
            checkpoint.size,
            root,
            checked=True,
            at=cosigned_at(note, checkpoint.origin, keys),
            cosigned_by=_witnesses(note, checkpoint.origin, keysets),
        )
    except (BadInput, NotTrusted) as error:
        raise NotTrusted(
            "A release's certificate does not hold.",
            f"A log head that it names is not what its log signed. {error.why}".rstrip(),
            "Do not use the result; ask its coordinator and the owners for the log.",
            clause="certificate-evidence",
        ) from None


def _witnesses(note: Note, origin: str, keysets: Keysets) -> tuple[str, ...]:
    found = []
    for name in sorted({line.name for line in note.lines} - {origin}):
        try:
            party = party_of(name)
        except BadInput:
            continue
        keys = keysets(party)
        if keys and cosigned_at(note, name, keys) is not None:
            found.append(party)
    return tuple(found)

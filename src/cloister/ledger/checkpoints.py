"""Checkpoints: a log's signed statement of its size and root, and witnesses' timestamped statements that they saw it.

Rules:
1. A checkpoint's text is exactly origin, size, root and optional extension lines; one value has one text.
2. It counts when the log's keys signed it under the origin as key name, with both algorithms.
3. A cosignature says: at this time, this was the largest consistent head of this log that the witness had seen. It
   counts with both algorithms and one common time.
4. A log never signs a checkpoint that is inconsistent with an earlier one. Two such are proof against it.

A log may cosign its own checkpoint (under its origin as name): this puts a time on it.

The Ed25519 forms are the specification's, so its tools read them. ML-DSA-65 cosignatures sign, in this order, the line
`cloister/cosignature-ml-dsa-65@1`, the line `cosigner <name>`, the line `time <seconds>`, and the checkpoint's text.

Sources: c2sp.org/tlog-checkpoint v1.0.0, c2sp.org/tlog-cosignature v1.0.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cloister.foundation.errors import BadInput
from cloister.identity.keys import PublicKeys, SecretKeys, b64, unb64
from cloister.ledger import notes
from cloister.ledger.notes import COSIGNATURE_ED25519, COSIGNATURE_MLDSA65, Line, Note, key_id
from cloister.ledger.tree import EMPTY_ROOT, HASH, MAX_SIZE

_SIZE = re.compile(r"0|[1-9][0-9]{0,14}")
_MAX_TIME = 1 << 40
_LEDGER = "cloister/ledger/"
_WITNESS = "cloister/witness/"


def ledger_origin(party: str) -> str:
    """The origin line of a party's ledger. It names the fingerprint, never the party's name."""
    return _LEDGER + party


def witness_name(party: str) -> str:
    """The key name under which a party cosigns."""
    return _WITNESS + party


def party_of(name: str) -> str:
    """The fingerprint in an origin or witness name. Raises `BadInput`."""
    for prefix in (_LEDGER, _WITNESS):
        if name.startswith(prefix) and re.fullmatch(r"[a-z2-7]{52}", name.removeprefix(prefix)):
            return name.removeprefix(prefix)
    raise BadInput(
        "A log's origin names no party.", "It is not a Cloister ledger's.", "Check where it is from."
    )


@dataclass(frozen=True)
class Checkpoint:
    """A log's head: who, how many entries, which root (32 bytes)."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The note text."""
        return "".join(
            f"{line}\n" for line in (self.origin, str(self.size), b64(self.root), *self.extensions)
        )

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Reads a note text from foreign hands. Raises `BadInput`."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
            raise _malformed("It needs at least three lines and no empty ones.")
        origin, size, root, *extensions = lines[:-1]
        notes.check_name(origin)
        if not _SIZE.fullmatch(size) or int(size) > MAX_SIZE:
            raise _malformed("Its size is not a plain number within the limit.")
        value = unb64(root)
        if len(value) != HASH or (int(size) == 0 and value != EMPTY_ROOT):
            raise _malformed("Its root is not one.")
        return cls(origin, int(size), value, tuple(extensions))


def sign_checkpoint(checkpoint: Checkpoint, keys: SecretKeys, time: int | None = None) -> Note:
    """The checkpoint signed by the log; with `time`, also cosigned by it at that time."""
    note = notes.sign(checkpoint.text, checkpoint.origin, keys)
    Checkpoint.parse(note.text)
    if time is None:
        return note
    return note.with_lines(cosignature(note, checkpoint.origin, keys, time))


def verify_checkpoint(note: Note, origin: str, keysets: Iterable[PublicKeys]) -> Checkpoint:
    """The checkpoint, if the log of that origin signed it. Raises `NotTrusted` or `BadInput`."""
    checkpoint = Checkpoint.parse(note.text)
    if checkpoint.origin != origin:
        raise notes.not_trusted("It is another log's checkpoint.")
    notes.verify(note, origin, keysets)
    return checkpoint


def cosignature(note: Note, name: str, keys: SecretKeys, time: int) -> tuple[Line, Line]:
    """A witness's two signature lines. Only `witness` decides whether to make them.

    Args:
        note: a checkpoint.
        name: the witness's key name (`witness_name`).
        keys: the witness's keys.
        time: seconds since the epoch.
    """
    notes.check_name(name)
    stamp = _stamp(time)
    classical, hybrid = unb64(keys.public.ed25519), unb64(keys.public.mldsa65)
    return (
        Line(
            name,
            key_id(name, COSIGNATURE_ED25519, classical),
            stamp + keys.signing_ed25519.sign(_ed25519_message(note, time)),
        ),
        Line(
            name,
            key_id(name, COSIGNATURE_MLDSA65, hybrid),
            stamp + keys.signing_mldsa65.sign(_mldsa65_message(note, name, time)),
        ),
    )


def cosigned_at(note: Note, name: str, keysets: Iterable[PublicKeys]) -> int | None:
    """When the witness of that name cosigned (the latest time that both algorithms give), or `None` if it did not.

    Raises:
        NotTrusted: a line by one of its keys does not hold.
    """
    times: set[int] = set()
    for keys in keysets:
        classical, hybrid = unb64(keys.ed25519), unb64(keys.mldsa65)
        first, second = set(), set()
        for line in note.by(name, key_id(name, COSIGNATURE_ED25519, classical)):
            time, signature = _split(line)
            notes.verify_ed25519(classical, signature, _ed25519_message(note, time))
            first.add(time)
        for line in note.by(name, key_id(name, COSIGNATURE_MLDSA65, hybrid)):
            time, signature = _split(line)
            notes.verify_mldsa65(hybrid, signature, _mldsa65_message(note, name, time))
            second.add(time)
        times |= first & second
    return max(times, default=None)


def _ed25519_message(note: Note, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{note.text}".encode()


def _mldsa65_message(note: Note, name: str, time: int) -> bytes:
    return f"cloister/cosignature-ml-dsa-65@1\ncosigner {name}\ntime {time}\n{note.text}".encode()


def _stamp(time: int) -> bytes:
    if not 0 <= time < _MAX_TIME:
        raise BadInput("A cosignature's time is out of range.", "", "Check this machine's clock.")
    return time.to_bytes(8, "big")


def _split(signature: bytes) -> tuple[int, bytes]:
    time = int.from_bytes(signature[:8], "big")
    if len(signature) < 8 or time >= _MAX_TIME:
        raise notes.not_trusted("A cosignature's time is out of range.")
    return time, signature[8:]


def _malformed(why: str) -> BadInput:
    return BadInput("A checkpoint could not be read.", why, "Ask for it again.")

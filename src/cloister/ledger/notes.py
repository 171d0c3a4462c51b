"""Signed notes: short text with signature lines under it, as transparency logs exchange them.

A line names its key by a name and four bytes that are computed from name, algorithm and public key. Readers look for
the lines of keys that they know and ignore the others, so one note can carry signatures for readers of several kinds.

Rules:
1. A note is UTF-8 without control characters, within limits on size and on the number of lines.
2. A line by a known key that does not verify spoils the whole note; lines by unknown keys are ignored.
3. A party's signature on a note is two lines, Ed25519 and ML-DSA-65, and both must verify.
4. What ML-DSA-65 signs begins with a line naming the format, so it is never another document's bytes.

Signature types: 0x01 Ed25519 and 0x04 Ed25519 cosignature are the specification's; for ML-DSA-65 it assigns none, so
the reserved 0xff followed by an own identifier and a newline stands in front of the public key when the key id is made.

Source: c2sp.org/signed-note v1.0.0.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa

from cloister.foundation.digests import same
from cloister.foundation.errors import BadInput, NotTrusted
from cloister.identity.keys import ED25519_SIGNATURE, MLDSA65_SIGNATURE, PublicKeys, SecretKeys, b64, unb64

MAX_NOTE = 512 << 10
MAX_TEXT = 16 << 10
MAX_LINES = 100
MAX_NAME = 200
MAX_SIGNATURE = 8192

ED25519 = b"\x01"
COSIGNATURE_ED25519 = b"\x04"
MLDSA65 = b"\xffcloister/note-ml-dsa-65@1\n"
COSIGNATURE_MLDSA65 = b"\xffcloister/cosignature-ml-dsa-65@1\n"
_MLDSA65_HEADER = b"cloister/note-ml-dsa-65@1\n"
_DASH = "\u2014 "


@dataclass(frozen=True)
class Line:
    """One signature line: the key's name, its four-byte id, and the signature."""

    name: str
    key_id: bytes
    signature: bytes

    def encode(self) -> str:
        """The line as text, with its newline."""
        return f"{_DASH}{self.name} {b64(self.key_id + self.signature)}\n"


@dataclass(frozen=True)
class Note:
    """Text (ending in a newline) and its signature lines."""

    text: str
    lines: tuple[Line, ...] = ()

    def encode(self) -> bytes:
        """The note's bytes."""
        return (self.text + "\n" + "".join(line.encode() for line in self.lines)).encode("utf-8")

    def with_lines(self, lines: Iterable[Line]) -> Note:
        """The same note with more lines; equal ones are not repeated."""
        added = [line for line in dict.fromkeys(lines) if line not in self.lines]
        return replace(self, lines=(*self.lines, *added))

    def by(self, name: str, key_id: bytes) -> Iterator[bytes]:
        """The signatures under that name and id."""
        return (line.signature for line in self.lines if line.name == name and same(line.key_id, key_id))

    @classmethod
    def parse(cls, data: bytes) -> Note:
        """Reads a note from foreign bytes (rule 1). Raises `BadInput`."""
        if len(data) > MAX_NOTE:
            raise _malformed(f"It has {len(data)} bytes; the limit is {MAX_NOTE}.")
        try:
            whole = data.decode("utf-8")
        except UnicodeDecodeError:
            raise _malformed("It is not UTF-8.") from None
        if any(ord(character) < 0x20 and character != "\n" for character in whole):
            raise _malformed("It has control characters.")
        head, separator, tail = whole.rpartition("\n\n")
        text = head + "\n"
        if not separator or not head or not tail.endswith("\n"):
            raise _malformed("Text and signatures are not separated by an empty line.")
        if len(text.encode()) > MAX_TEXT:
            raise _malformed(f"Its text is over the limit of {MAX_TEXT} bytes.")
        lines = tail[:-1].split("\n")
        if len(lines) > MAX_LINES:
            raise _malformed(f"It has more than {MAX_LINES} signatures.")
        return cls(text, tuple(_line(line) for line in lines))


def check_name(name: str) -> None:
    """Raises `BadInput` unless `name` may name a key."""
    bad = any(character.isspace() or unicodedata.category(character)[0] in "CZ" for character in name)
    if not name or len(name) > MAX_NAME or "+" in name or bad:
        raise _malformed("A key's name is empty, too long, or has spaces, controls or a plus sign.")


def key_id(name: str, kind: bytes, public: bytes) -> bytes:
    """The first four bytes of SHA-256(name ‖ newline ‖ kind ‖ public key)."""
    return hashlib.sha256(name.encode("utf-8") + b"\n" + kind + public).digest()[:4]


def verifier_key(name: str, kind: bytes, public: bytes) -> str:
    """The text by which other tools are told a key: `<name>+<id>+<base64 of kind and key>`."""
    return f"{name}+{key_id(name, kind, public).hex()}+{b64(kind + public)}"


def sign(text: str, name: str, keys: SecretKeys) -> Note:
    """A note signed by a party's keys under a key name: two lines."""
    check_name(name)
    message = text.encode("utf-8")
    return Note(text).with_lines(
        [
            Line(name, key_id(name, ED25519, unb64(keys.public.ed25519)), keys.signing_ed25519.sign(message)),
            Line(
                name,
                key_id(name, MLDSA65, unb64(keys.public.mldsa65)),
                keys.signing_mldsa65.sign(_MLDSA65_HEADER + message),
            ),
        ]
    )


def verify(note: Note, name: str, keysets: Iterable[PublicKeys]) -> PublicKeys:
    """The keyset, one of `keysets`, that signed the note under `name` with both algorithms.

    Raises:
        NotTrusted: none did, or a line by one of these keys does not hold (rule 2).
    """
    message = note.text.encode("utf-8")
    found: PublicKeys | None = None
    for keys in keysets:
        classical, hybrid = unb64(keys.ed25519), unb64(keys.mldsa65)
        first = [*note.by(name, key_id(name, ED25519, classical))]
        second = [*note.by(name, key_id(name, MLDSA65, hybrid))]
        for signature in first:
            verify_ed25519(classical, signature, message)
        for signature in second:
            verify_mldsa65(hybrid, signature, _MLDSA65_HEADER + message)
        if first and second and found is None:
            found = keys
    if found is None:
        raise not_trusted("It lacks a signature, by both algorithms, of the keys expected.")
    return found


def verify_ed25519(public: bytes, signature: bytes, message: bytes) -> None:
    """Raises `NotTrusted` unless the signature holds."""
    try:
        if len(signature) != ED25519_SIGNATURE:
            raise InvalidSignature
        ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise not_trusted("An Ed25519 signature by a known key is wrong.") from None


def verify_mldsa65(public: bytes, signature: bytes, message: bytes) -> None:
    """Raises `NotTrusted` unless the signature holds."""
    try:
        if len(signature) != MLDSA65_SIGNATURE:
            raise InvalidSignature
        mldsa.MLDSA65PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise not_trusted("An ML-DSA-65 signature by a known key is wrong.") from None


def not_trusted(why: str) -> NotTrusted:
    """The error for a note whose signatures do not hold."""
    return NotTrusted(
        "A signed note does not hold.",
        why,
        "Ask for it again; if it stays wrong, keep it as evidence and tell the other parties.",
        clause="note-signature",
    )


def _line(text: str) -> Line:
    if not text.startswith(_DASH):
        raise _malformed("A signature line does not begin as one.")
    parts = text[len(_DASH) :].split(" ")
    if len(parts) != 2 or len(parts[1]) > MAX_SIGNATURE:
        raise _malformed("A signature line has the wrong parts.")
    check_name(parts[0])
    data = unb64(parts[1])
    if len(data) <= 4:
        raise _malformed("A signature is empty.")
    return Line(parts[0], data[:4], data[4:])


def _malformed(why: str) -> BadInput:
    return BadInput("A signed note could not be read.", why, "Ask for it again.")

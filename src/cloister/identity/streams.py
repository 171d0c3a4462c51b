"""Sealing what is too large to hold in memory, such as a backup: a stream of bytes under a passphrase.

Rules:
1. The key is derived as the keystore's is (`keystore.Passphrase`), with a salt of its own for each stream, so that no key seals two.
2. The stream is cut into chunks of `CHUNK` bytes, each sealed by AES-256-GCM under a nonce of a random prefix, its number, and
   whether it is the last: chunks that were changed, swapped, repeated or left out, and a stream that was cut short or made longer, do
   not open.
3. The header (kind, derivation, prefix) is authenticated with every chunk, and read within limits before any work is done.
4. Nothing of a chunk is handed on before it was authenticated. Whoever reads acts on the whole only once the last one was.

Source: Hoang, Reyhanitabar, Rogaway, Vizár: "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance" (CRYPTO 2015),
section 7 (STREAM); SP 800-38D (GCM).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Protocol

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloister.foundation.canonical import canonical, parse_canonical
from cloister.foundation.errors import BadInput, CloisterError, NotTrusted, Tampered
from cloister.identity.keys import b64, unb64
from cloister.identity.keystore import Unlock

CHUNK = 1 << 20
TAG = 16
MAX_HEADER = 4096
MAX_CHUNKS = 1 << 32
_PREFIX = 7


class Readable(Protocol):
    """Something with bytes to read."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        ...


def seal(pieces: Iterable[bytes], kind: str, unlock: Unlock) -> Iterator[bytes]:
    """The sealed stream, in pieces.

    Args:
        pieces: the plain bytes, cut anyhow.
        kind: what the stream is, such as `cloister/backup@1`.
        unlock: what will open it.
    """
    key, facts = unlock.new()
    prefix, cipher = secrets.token_bytes(_PREFIX), AESGCM(key)
    header = canonical({"type": kind, "key": facts, "prefix": b64(prefix)})
    source = iter(pieces)
    held, number = (
        bytearray(next(source, b"")),
        0,
    )  # first, so that what cannot be read fails before anything is handed on
    yield header + b"\n"
    for piece in source:
        held += piece
        # The last chunk is known as such only once there is no more: one whole chunk is always held back.
        while len(held) > CHUNK:
            yield cipher.encrypt(_nonce(prefix, number, last=False), bytes(held[:CHUNK]), header)
            del held[:CHUNK]
            number += 1
    yield cipher.encrypt(_nonce(prefix, number, last=True), bytes(held), header)


def unseal(stream: BinaryIO, kind: str, unlock: Unlock) -> Iterator[bytes]:
    """The plain bytes in chunks, each authenticated; act on them only once the iterator has ended (rule 4).

    Raises:
        BadInput: it is no such stream.
        NotTrusted: the passphrase is wrong, or the first chunk was changed.
        Tampered: it was changed or cut short.
    """
    header, facts, prefix = _header(stream, kind)
    try:
        cipher = AESGCM(unlock.again(facts))
    except UnsupportedAlgorithm:
        raise BadInput(
            "This file cannot be opened on this machine.",
            "It needs Argon2id, which this platform's OpenSSL lacks.",
            "Open it where it was made, or install the `cryptography` wheel.",
        ) from None
    number, sealed = 0, _full(stream, CHUNK + TAG)
    while True:
        following = _full(stream, CHUNK + TAG) if len(sealed) == CHUNK + TAG else b""
        last = not following
        try:
            yield cipher.decrypt(_nonce(prefix, number, last=last), sealed, header)
        except (InvalidTag, ValueError):
            raise _not_opened(number) from None
        if last:
            return
        sealed, number = following, number + 1


def _header(stream: BinaryIO, kind: str) -> tuple[bytes, dict[str, Any], bytes]:
    line = stream.readline(MAX_HEADER + 1)
    try:
        if not line.endswith(b"\n"):
            raise _no_stream(kind)
        found = parse_canonical(line[:-1])
        facts, prefix = found["key"], unb64(found["prefix"])
        if found["type"] != kind or not isinstance(facts, dict) or len(prefix) != _PREFIX or len(found) != 3:
            raise _no_stream(kind)
    except (CloisterError, KeyError, TypeError, AttributeError, IndexError):
        raise _no_stream(kind) from None
    return line[:-1], facts, prefix


def _full(stream: Readable, size: int) -> bytes:
    """So many bytes; fewer only at the end."""
    parts, left = [], size
    while left and (part := stream.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    if number >= MAX_CHUNKS:
        raise BadInput("This is too large to seal.", f"The limit is {MAX_CHUNKS} MiB.", "Make it smaller.")
    return prefix + number.to_bytes(4, "big") + (b"\x01" if last else b"\x00")


def _no_stream(kind: str) -> BadInput:
    return BadInput(
        "This file is not what was expected.",
        f"It does not begin like a file of the kind {kind}.",
        "Check that it is the right file.",
    )


def _not_opened(number: int) -> NotTrusted:
    if number == 0:
        return NotTrusted(
            "This file could not be opened.",
            "The passphrase is wrong, or the file was changed.",
            "Try the passphrase again; if it is right, use another copy.",
            clause="passphrase",
        )
    return Tampered(
        "This file was changed, or cut short.",
        f"From its {number}th mebibyte on it does not open.",
        "Use another copy.",
        clause="stream",
    )

"""SHA-256 digests written as `sha256:<hex>`, and constant-time comparison."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from pathlib import Path

from cloister.foundation.canonical import JSON, canonical
from cloister.foundation.errors import BadInput

_PATTERN = re.compile(r"sha256:[0-9a-f]{64}")
DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"


def digest(data: bytes | memoryview) -> str:
    """`sha256:<hex>` of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_json(value: JSON) -> str:
    """The digest of the canonical form of a JSON value."""
    return digest(canonical(value))


def digest_stream(chunks: Iterable[bytes | memoryview]) -> str:
    """The digest of the concatenation of `chunks`, without holding them."""
    state = hashlib.sha256()
    for chunk in chunks:
        state.update(chunk)
    return "sha256:" + state.hexdigest()


def digest_file(path: Path) -> str:
    """The digest of a file's content."""
    with path.open("rb") as stream:
        return digest_stream(iter(lambda: stream.read(1 << 20), b""))


def raw(text: str) -> bytes:
    """The 32 bytes of a `sha256:<hex>` digest. Raises `BadInput` if it is not one."""
    if not _PATTERN.fullmatch(text):
        raise BadInput(
            "A digest is malformed.", "Expected sha256: and 64 hexadecimal digits.", "Copy the digest again."
        )
    return bytes.fromhex(text[7:])


def same(left: bytes | str, right: bytes | str) -> bool:
    """Whether two secrets, digests or tags are equal, in time that does not depend on where they differ."""
    first = left.encode() if isinstance(left, str) else left
    second = right.encode() if isinstance(right, str) else right
    return hmac.compare_digest(first, second)

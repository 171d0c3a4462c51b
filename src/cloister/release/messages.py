"""What is sent in a release: a candidate to the owners, their votes, then certificate and content.

```
magic  4 bytes  'CLR1'
length 4 bytes  of the header, big endian
header          canonical JSON (RFC 8785), an object
content         to the end
```

Rules:
1. Every body is parsed within limits; unknown fields are refused.
2. A vote tells a signature, or the name of a public check that failed, or "not approved"; never a figure.
"""

from __future__ import annotations

import struct
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.claims.offers import Digest
from cloister.foundation.canonical import canonical, parse_canonical
from cloister.foundation.errors import BadInput
from cloister.identity.keys import PartyId

MAGIC = b"CLR1"
MAX_HEADER = 4 << 20
MODEL = ConfigDict(frozen=True, extra="forbid", strict=True)

CANDIDATE = "candidate"
VOTE = "vote"
CERTIFICATE = "certificate"
RELEASE = "release"
CONTENT = "content"
WITHDRAWN = "withdrawn"
STORED = "stored"
STORED_BY_OWNER = "stored-by-owner"

MAX_BARE = MAX_HEADER + 8
"""Bytes of the largest body without content."""
MAX_SMALL = 4096
"""Bytes of the largest body that holds hardly more than a digest, without content."""


class CandidateHeader(BaseModel):
    """Beside a candidate's content (or alone, where the owners hold it): what it is, and what the statement about it is to say beyond the plan."""

    model_config = MODEL

    kind: str = Field(max_length=40)
    facts: dict[str, Any]
    created: int = Field(ge=0, le=1 << 40)
    admissions: dict[PartyId, Digest] = Field(max_length=1000)
    checkpoints: tuple[str, ...] = Field(default=(), strict=False, max_length=16)


class VoteHeader(BaseModel):
    """An owner's answer: its signed statement, or which check failed as far as the others may know."""

    model_config = MODEL

    vote: Literal["permit", "refuse"]
    envelope: dict[str, Any] | None = None
    told: str = Field(default="", max_length=40, pattern=r"^[a-z -]*$")


class ReleaseHeader(BaseModel):
    """Beside a release's content (or alone, where only the certificate is due): the certificate's envelope."""

    model_config = MODEL

    envelope: dict[str, Any]


class ContentHeader(BaseModel):
    """Beside the content that an owner sends: its digest, so that what is not wanted need not be read."""

    model_config = MODEL

    content: Digest


class WithdrawnHeader(BaseModel):
    """No quorum: how many of the owners refused, and what they said."""

    model_config = MODEL

    refused: int = Field(ge=0, le=1000)
    owners: int = Field(ge=1, le=1000)
    told: tuple[str, ...] = Field(strict=False, max_length=64)


class StoredHeader(BaseModel):
    """A recipient has verified and stored the release."""

    model_config = MODEL

    content: Digest


Header = TypeVar("Header", bound=BaseModel)


def write(header: BaseModel, content: bytes = b"") -> bytes:
    """A message's body."""
    head = canonical(header.model_dump(mode="json"))
    if len(head) > MAX_HEADER:
        raise BadInput(
            "A release message is too large.",
            f"Its header has {len(head)} bytes; the limit is {MAX_HEADER}.",
            "Release a candidate with fewer facts.",
        )
    return b"".join((MAGIC, struct.pack(">I", len(head)), head, content))


def read(kind: type[Header], body: bytes, *, max_content: int = 0) -> tuple[Header, bytes]:
    """The header and the content of a body. Raises `BadInput`."""
    if len(body) < 8 or body[:4] != MAGIC:
        raise _malformed("It does not begin as one.")
    (size,) = struct.unpack(">I", body[4:8])
    if size > MAX_HEADER or 8 + size > len(body):
        raise _malformed("Its header is over the limit or cut short.")
    if len(body) - 8 - size > max_content:
        raise _malformed(f"Its content is over the limit of {max_content} bytes.")
    fields = parse_canonical(body[8 : 8 + size], max_bytes=MAX_HEADER)
    try:
        return kind.model_validate_json(canonical(fields)), body[8 + size :]
    except ValidationError:
        raise _malformed("Fields are missing, unknown or out of range.") from None


def _malformed(why: str) -> BadInput:
    return BadInput(
        "A release message could not be read.", why, "Have the sender run the same version of Cloister."
    )

"""The sealed package of a disclosure: one file, or one message, that only its recipient opens.

```
length 4 bytes  of the header, big endian
header          canonical JSON: type, the recipient and its keys' name, the digest of the disclosure
sealed          HPKE (`identity.sealing`), bound to the header: the signed disclosure and the records
```

Rules:
1. Who carries the package sees the recipient, the keys' name, a digest that can be matched with nothing, and the size. Owner,
   purpose, dataset and date are sealed with the records.
2. The header is bound to the seal: with another recipient, other keys or another disclosure's digest it does not open.
3. Nothing is handed on before all of this holds: the seal opens with this party's keys; the disclosure inside is the one that
   the header names; it names this recipient and these keys; its owner signed it; it has not ended; it was not withdrawn; the
   records are those that it names.
4. A package opens once: whoever keeps track (`state`) says in which state the disclosure is, and only `offered` opens.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from cloister.data.schema import Digest
from cloister.disclosure.documents import Disclosure, open_disclosure
from cloister.disclosure.records import MAX_CONTENTS, MAX_HEAD, Contents, read_contents
from cloister.disclosure.states import State
from cloister.foundation.canonical import parse_canonical
from cloister.foundation.digests import digest, same
from cloister.foundation.documents import Document, parse_document
from cloister.foundation.errors import BadInput, Conflict, NotTrusted, Refused
from cloister.identity.envelopes import Envelope, KeyDirectory
from cloister.identity.keys import PartyId, PublicKeys, SecretKeys
from cloister.identity.sealing import OVERHEAD, seal, unseal

MAX_HEADER = 1024
MAX_PACKAGE = MAX_CONTENTS + MAX_HEAD + MAX_HEADER + OVERHEAD + 8
"""Bytes of the largest package."""


class Header(Document):
    """What everybody sees of a package.

    Attributes:
        recipient, keyset: who opens it, and with which keys.
        disclosure: the digest of the signed disclosure inside.
    """

    type: Literal["cloister/disclosure-package@1"] = "cloister/disclosure-package@1"
    recipient: PartyId
    keyset: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    disclosure: Digest


@dataclass(frozen=True)
class Opened:
    """A package that holds: the signed disclosure, what it says, and the records."""

    envelope: Envelope
    disclosure: Disclosure
    contents: Contents = field(repr=False)


def pack(envelope: Envelope, disclosure: Disclosure, contents: bytes, recipient: PublicKeys) -> bytes:
    """The package.

    Args:
        envelope: the signed disclosure.
        disclosure: what it says.
        contents: the records (`records.write_contents`).
        recipient: the keys that the disclosure names.

    Raises:
        BadInput: the disclosure is about other records or other keys.
    """
    if recipient.keyset != disclosure.recipient_keyset or not same(digest(contents), disclosure.contents):
        raise BadInput(
            "A disclosure was to be packed with what it does not name.",
            "It is about other records, or other keys.",
            "Make it anew.",
        )
    header = Header(
        recipient=disclosure.recipient, keyset=recipient.keyset, disclosure=envelope.digest
    ).canonical()
    signed = envelope.encode()
    body = seal(struct.pack(">I", len(signed)) + signed + contents, recipient, header)
    return struct.pack(">I", len(header)) + header + body


def read_header(package: bytes) -> Header:
    """What a package says of itself, before it is opened; nothing of it is verified. Raises `BadInput`."""
    return _split(package)[0]


def unpack(package: bytes, party: str, keys: SecretKeys, directory: KeyDirectory, now: int) -> Opened:
    """The disclosure and the records, everything checked but in which state it is (`require_usable`).

    Args:
        package: foreign bytes.
        party: whose keys these are.
        keys: this party's.
        directory: knows the owner's keys.
        now: seconds since the epoch.

    Raises:
        BadInput: it is no package, or beyond a limit.
        NotTrusted: it is for somebody else, was changed, or is not signed by the owner that it names.
        Refused: it has ended (clause `disclosure-expired`).
    """
    header, raw, sealed = _split(package)
    if header.recipient != party:
        raise _not_for_us("It is sealed to another party.")
    if header.keyset != keys.public.keyset:
        raise _not_for_us("It is sealed to keys that this party no longer uses, or never had.")
    plain = unseal(sealed, keys, raw)
    if len(plain) < 4:
        raise _malformed()
    (size,) = struct.unpack_from(">I", plain)
    if size > MAX_HEAD or 4 + size > len(plain):
        raise _malformed()
    envelope = Envelope.decode(plain[4 : 4 + size])
    if not same(envelope.digest, header.disclosure):
        raise _not_for_us("The disclosure inside is another one than the package names.")
    disclosure = open_disclosure(envelope, directory, now)
    if disclosure.recipient != party or disclosure.recipient_keyset != header.keyset:
        raise _not_for_us("The disclosure inside names another recipient.")
    if now >= disclosure.until_at:
        raise _refusals(State.EXPIRED)
    return Opened(envelope, disclosure, read_contents(plain[4 + size :], disclosure))


def require_usable(state: State) -> None:
    """Raises `Conflict` if the records are open already, `Refused` in every state in which they may not be opened (rule 4)."""
    if state is State.RECEIVED:
        raise Conflict(
            "These records are open already.",
            "A package opens once.",
            "See where they lie: cloister disclosure list",
        )
    if state is not State.OFFERED:
        raise _refusals(state)


def _split(package: bytes) -> tuple[Header, bytes, bytes]:
    if not 4 <= len(package) <= MAX_PACKAGE:
        raise _malformed()
    (size,) = struct.unpack_from(">I", package)
    if size > MAX_HEADER or len(package) < 4 + size + OVERHEAD:
        raise _malformed()
    raw = package[4 : 4 + size]
    parse_canonical(raw, max_bytes=MAX_HEADER)
    return parse_document(Header, raw, "The package's header", max_bytes=MAX_HEADER), raw, package[4 + size :]


def _refusals(state: State) -> Refused:
    why, clause = {
        State.WITHDRAWN: ("Their owner has withdrawn them.", "disclosure-withdrawn"),
        State.DELETED: ("This server has deleted them and has said so.", "disclosure-deleted"),
    }.get(state, ("The time for which they were disclosed is over.", "disclosure-expired"))
    return Refused(
        "The records cannot be opened.",
        why,
        "Ask their owner for a new disclosure, if you still need them.",
        clause=clause,
    )


def _malformed() -> BadInput:
    return BadInput(
        "The package could not be read.",
        "It is no package of disclosed records, or was cut short.",
        "Ask the owner for the file again.",
    )


def _not_for_us(why: str) -> NotTrusted:
    return NotTrusted(
        "The package is not for this party.",
        why,
        "Ask the owner to disclose the records to this party's present card.",
        clause="disclosure-recipient",
    )

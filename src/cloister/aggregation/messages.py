"""What participants and coordinator tell each other in one aggregation, and how it is laid out.

| from participant (signed: S) | from coordinator |
|---|---|
| S `Announcement`: this round's public keys | all announcements |
| S `Sharing`: commitments; beside it a `Parcel` for each other | all sharings, the parcels for the recipient |
| S `Masked`: the masked vector's digest; beside it the vector | all `Masked`: they name the survivors |
| S `Endorsement` of the survivors | all endorsements |
| `Reveal`: shares | `Total`: the sum, still under the outer mask |

A frame is `CLA1`, the header's length in four bytes (big endian), the header (canonical JSON), and for masked vectors
and totals the packed vector.

Rules:
1. A frame is read within limits; a header that is not canonical, or has other fields, is refused, as are bytes that
   are missing or left over.
2. What is signed is the canonical form of the signed part, as a payload of its own type, which names context and party.
3. Values that have one length are refused in any other.
"""

from __future__ import annotations

import struct
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from cloister.aggregation.context import Digest
from cloister.aggregation.keys import MLKEM_KEY, PAIR_CIPHERTEXT, SEAL_OVERHEAD, SEED, X25519_KEY, tagged
from cloister.aggregation.signing import MAX_SIGNATURE, Signing, Verifying
from cloister.aggregation.thresholds import MAX_PARTICIPANTS
from cloister.foundation.canonical import parse_canonical
from cloister.foundation.documents import AnyDocument, Document, invalid
from cloister.foundation.errors import BadInput
from cloister.identity.keys import PartyId, b64, unb64

MAGIC = b"CLA1"
MAX_HEADER = 64 << 20
PARCEL = 4 * SEED
HASH = 32


def blob(least: int, most: int | None = None) -> AfterValidator:
    """Base64 text of `least` to `most` bytes (exactly `least` unless told)."""
    limit = least if most is None else most

    def check(text: str) -> str:
        if len(text) > -(-limit // 3) * 4:
            raise ValueError("too long")
        try:
            size = len(unb64(text))
        except BadInput:
            raise ValueError("not base64") from None
        if not least <= size <= limit:
            raise ValueError("not of the agreed length")
        return text

    return AfterValidator(check)


Hash = Annotated[str, blob(HASH)]
Hashes = Annotated[str, blob(0, HASH * MAX_PARTICIPANTS)]
Key32 = Annotated[str, blob(X25519_KEY)]
Key1184 = Annotated[str, blob(MLKEM_KEY)]
SignatureText = Annotated[str, blob(1, MAX_SIGNATURE)]
Transcript = Hash


class Signable(Document):
    """A part that a participant signs."""

    context: Digest
    party: PartyId

    @property
    def payload_type(self) -> str:
        """DSSE payload type: one for each kind, so that none is taken for another."""
        return f"application/vnd.cloister.aggregation.{type(self).__name__.lower()}+json"

    @property
    def hash(self) -> bytes:
        """32 bytes that name this content."""
        return tagged(type(self).__name__, self.canonical())


class Announcement(Signable):
    """A participant's public keys for this aggregation, and the commitment to its self-mask seed."""

    round_x25519: Key32
    round_mlkem768: Key1184
    channel_x25519: Key32
    channel_mlkem768: Key1184
    self_mask: Hash


class Sharing(Signable):
    """Commitments to what one participant sends the others, one each in the order of those who announced.

    `parcels` are digests of the parcels; `seed_shares` and `mask_shares` commit to the shares, its own among them.
    """

    transcript: Transcript
    group: Hash
    parcels: Hashes
    seed_shares: Hashes
    mask_shares: Hashes


class Masked(Signable):
    """A masked vector's digest, and key confirmations for the participants before the sender, in order."""

    transcript: Transcript
    vector: Hash
    confirmations: Hashes


class Endorsement(Signable):
    """The sender will open secrets for exactly these survivors, and for no others."""

    transcript: Transcript


class Parcel(Document):
    """For one participant: shares, group contribution and confirmation, sealed; and the pair secret, encrypted."""

    sealed: Annotated[str, blob(PARCEL + SEAL_OVERHEAD)]
    pair: Annotated[str, blob(0, PAIR_CIPHERTEXT)]

    @property
    def hash(self) -> bytes:
        """32 bytes that name this content."""
        return tagged("Parcel", self.canonical())


class SignedAnnouncement(Document):
    content: Announcement
    signature: SignatureText


class SignedSharing(Document):
    content: Sharing
    signature: SignatureText


class SignedMasked(Document):
    content: Masked
    signature: SignatureText


class SignedEndorsement(Document):
    content: Endorsement
    signature: SignatureText


Signed = SignedAnnouncement | SignedSharing | SignedMasked | SignedEndorsement
_MANY = Field(strict=False, max_length=MAX_PARTICIPANTS)


class Announcements(Document):
    kind: Literal["announcements"] = "announcements"
    announcements: Annotated[tuple[SignedAnnouncement, ...], _MANY]


class SharingMessage(Document):
    kind: Literal["sharing"] = "sharing"
    sharing: SignedSharing
    parcels: Annotated[dict[PartyId, Parcel], Field(max_length=MAX_PARTICIPANTS)]


class Deliveries(Document):
    kind: Literal["deliveries"] = "deliveries"
    sharings: Annotated[tuple[SignedSharing, ...], _MANY]
    parcels: Annotated[dict[PartyId, Parcel], Field(max_length=MAX_PARTICIPANTS)]


class Survivors(Document):
    kind: Literal["survivors"] = "survivors"
    masked: Annotated[tuple[SignedMasked, ...], _MANY]


class Endorsements(Document):
    kind: Literal["endorsements"] = "endorsements"
    endorsements: Annotated[tuple[SignedEndorsement, ...], _MANY]


class Reveal(Document):
    """Shares of survivors' self-mask seeds and of the others' round seeds; never both of one participant."""

    kind: Literal["reveal"] = "reveal"
    context: Digest
    transcript: Transcript
    mask_shares: Annotated[dict[PartyId, Hash], Field(max_length=MAX_PARTICIPANTS)]
    seed_shares: Annotated[dict[PartyId, Hash], Field(max_length=MAX_PARTICIPANTS)]


class Total(Document):
    """Beside the sum: who is in it, and the endorsements that made them final."""

    kind: Literal["total"] = "total"
    context: Digest
    masked: Annotated[tuple[SignedMasked, ...], _MANY]
    endorsements: Annotated[tuple[SignedEndorsement, ...], _MANY]


def write(header: Document, vector: bytes | memoryview = b"") -> bytes:
    """A frame."""
    head = header.canonical()
    if len(head) > MAX_HEADER:
        raise _malformed(f"Its header has {len(head)} bytes; the limit is {MAX_HEADER}.")
    return b"".join((MAGIC, struct.pack(">I", len(head)), head, vector))


def read(
    kind: type[AnyDocument], data: bytes | memoryview, vector: int = 0
) -> tuple[AnyDocument, memoryview]:
    """The header and the packed vector of a frame, which must have exactly `vector` bytes.

    Raises:
        BadInput: rule 1.
    """
    if len(data) < 8 or data[:4] != MAGIC:
        raise _malformed("It does not begin as one.")
    (size,) = struct.unpack(">I", data[4:8])
    if size > MAX_HEADER or 8 + size + vector != len(data):
        raise _malformed("It is over a limit, cut short or too long.")
    head = bytes(data[8 : 8 + size])
    parse_canonical(head, max_bytes=MAX_HEADER)
    try:
        header = kind.model_validate_json(head)
    except ValidationError as error:
        raise invalid(error, "A message of a secure aggregation") from None
    return header, memoryview(data)[8 + size :]


def signed(content: Signable, signing: Signing) -> str:
    """The signature over a content, base64."""
    return b64(signing.sign(content.payload_type, content.canonical()))


def require_signature(item: Signed, verifying: Verifying) -> None:
    """Raises `NotTrusted` unless the party that the content names has signed it."""
    content = item.content
    verifying.verify(content.party, content.payload_type, content.canonical(), unb64(item.signature))


def pieces(text: str) -> list[bytes]:
    """The 32-byte values in a base64 text. Raises `BadInput` if it is not whole ones."""
    data = unb64(text)
    if len(data) % HASH:
        raise _malformed("A list of values is cut short.")
    return [data[start : start + HASH] for start in range(0, len(data), HASH)]


def _malformed(why: str) -> BadInput:
    return BadInput(
        "A message of a secure aggregation could not be read.",
        why,
        "Have every party run the same version of Cloister.",
    )

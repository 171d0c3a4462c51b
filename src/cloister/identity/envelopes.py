"""Signed documents: DSSE envelopes, signed with both algorithms of each signer.

Rules:
1. What is signed is the pre-authentication encoding of payload type and payload, never the payload alone, so a
   signature over one kind of document cannot be shown as one over another.
2. A signer counts only if the Ed25519 and the ML-DSA-65 signature both verify.
3. A verifier names the payload type and the signers that it expects; it never asks the envelope who signed.
4. Payloads are canonical JSON (RFC 8785); others are refused.
5. Which entries hold is said entry by entry (`holding`): a key's name is the writer's word, so an entry is never kept or
   counted for standing beside another one of the same party that holds. What is put together of several envelopes
   (`with_signatures`) is as well-formed, and as small, as what is read.

Source: DSSE 1.0 (github.com/secure-systems-lab/dsse, protocol.md and envelope.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.foundation.canonical import JSON, canonical, parse, parse_canonical
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, NotTrusted
from cloister.identity.keys import PublicKeys, SecretKeys, Signature, b64, unb64

MAX_ENVELOPE_BYTES = 8 << 20
MAX_SIGNATURES = 64
# Envelopes remembered, and the size of the largest: with all that is made of them 50 MiB at most.
_STORED, _STORED_BYTES = 128, 64 << 10
_KEYID = re.compile(r"([a-z2-7]{52})/([0-9a-f]{32})")


class KeyDirectory(Protocol):
    """Knows which keys speak (or once spoke) for which party; `cards.Directory` is one."""

    def keys(self, party: str, keyset: str) -> PublicKeys:
        """The party's keys of that name. Raises `NotTrusted` if unknown, revoked or not chained."""
        ...


class EnvelopeSignature(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    keyid: str = Field(max_length=128)
    sig: str = Field(max_length=8192)


class Envelope(BaseModel):
    """A payload, what kind it is, and signatures over both. `keyid` is `<party>/<keyset>`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    payloadType: str = Field(max_length=128)  # noqa: N815 - the name is DSSE's
    payload: str = Field(max_length=MAX_ENVELOPE_BYTES)
    signatures: tuple[EnvelopeSignature, ...] = Field(max_length=MAX_SIGNATURES)

    # A running node asks the same envelopes for these again and again.

    @cached_property
    def content(self) -> bytes:
        """The payload's bytes (not yet verified)."""
        return unb64(self.payload)

    @cached_property
    def digest(self) -> str:
        """The digest of the payload: the document's name, whoever signed it."""
        return digest(self.content)

    def document(self) -> Any:
        """The payload as JSON (not yet verified). Raises `BadInput` unless canonical."""
        return parse_canonical(self.content)

    @cached_property
    def encoded(self) -> bytes:
        """The envelope as canonical JSON."""
        return canonical(self.model_dump(mode="json"))

    def encode(self) -> bytes:
        """The envelope as canonical JSON (`encoded`)."""
        return self.encoded

    def __setattr__(self, name: str, value: object) -> None:
        # pydantic's frozen models still let cached properties be set.
        raise TypeError("An envelope does not change; make another one.")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy that remembers nothing of what was made of this one: it may have been changed."""
        copied = super().model_copy(update=update, deep=deep)
        for made in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[made]
        return copied

    @classmethod
    def decode(cls, data: bytes) -> Envelope:
        """Reads what `encode` wrote. Raises `BadInput`."""
        return cls.from_json(parse(data, max_bytes=MAX_ENVELOPE_BYTES))

    @classmethod
    def stored(cls, data: bytes) -> Envelope:
        """As `decode`, for what stands in this node's own database and is read again and again: remembered by its bytes."""
        return _stored(data) if len(data) <= _STORED_BYTES else cls.decode(data)

    @classmethod
    def from_json(cls, value: Any) -> Envelope:
        """The envelope in a JSON value. Raises `BadInput`."""
        try:
            data = canonical(value)
            made = cls.model_validate_json(data)
        except ValidationError:
            raise BadInput(
                "A signed document's envelope could not be read.",
                "Fields are missing, unknown or of the wrong kind.",
                "Ask the sender for it again.",
            ) from None
        if len(data) > MAX_ENVELOPE_BYTES:
            # Whatever is taken in can be read again after it was stored.
            raise BadInput(
                "A signed document is too large.",
                f"The limit is {MAX_ENVELOPE_BYTES} bytes, signatures included.",
                "Sign a smaller document.",
            )
        return made


@lru_cache(maxsize=_STORED)
def _stored(data: bytes) -> Envelope:
    return Envelope.decode(data)


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is really signed."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, document: JSON, party: str, keys: SecretKeys) -> Envelope:
    """An envelope over the canonical form of `document`, signed by one party."""
    payload = canonical(document)
    return Envelope(
        payloadType=payload_type,
        payload=b64(payload),
        signatures=(_signature(payload_type, payload, party, keys),),
    )


def cosign(envelope: Envelope, party: str, keys: SecretKeys) -> Envelope:
    """The same envelope with one more party's signature (replacing that party's earlier one with the same keys)."""
    added = _signature(envelope.payloadType, envelope.content, party, keys)
    kept = tuple(item for item in envelope.signatures if item.keyid != added.keyid)
    return with_signatures(envelope, (*kept, added))


def with_signatures(envelope: Envelope, signatures: Iterable[EnvelopeSignature]) -> Envelope:
    """The same document with exactly these entries. Raises `BadInput` if they are too many or too large."""
    value = envelope.model_dump(mode="json")
    value["signatures"] = [item.model_dump(mode="json") for item in signatures]
    return Envelope.from_json(value)


def holding(envelope: Envelope, payload_type: str, directory: KeyDirectory) -> tuple[EnvelopeSignature, ...]:
    """The entries that hold, in their order, one for each party and keyset; all others are left out (rule 5).

    Raises:
        NotTrusted: the envelope is of another payload type.
    """
    _require_type(envelope, payload_type)
    message = pae(envelope.payloadType, envelope.content)
    found: dict[str, EnvelopeSignature] = {}
    for item in envelope.signatures:
        match = _KEYID.fullmatch(item.keyid)
        if not match or item.keyid in found:
            continue
        try:
            directory.keys(match[1], match[2]).verify(message, Signature.decode(unb64(item.sig)))
        except (NotTrusted, BadInput):
            continue
        found[item.keyid] = item
    return tuple(found.values())


def signers(envelope: Envelope, payload_type: str, directory: KeyDirectory) -> frozenset[str]:
    """The parties whose signatures hold. Signatures that do not hold, or by unknown keys, are left out.

    Raises:
        NotTrusted: the envelope is of another payload type.
    """
    return frozenset(signer_of(item) for item in holding(envelope, payload_type, directory))


def signer_of(entry: EnvelopeSignature) -> str:
    """Whom an entry names; only the word of whoever wrote it, unless it comes from `holding`."""
    return entry.keyid.partition("/")[0]


def verify(envelope: Envelope, payload_type: str, required: Iterable[str], directory: KeyDirectory) -> Any:
    """The document, once every party in `required` is found to have signed it.

    Raises:
        NotTrusted: another payload type, or a required signature is missing or does not hold.
        BadInput: the payload is not canonical JSON.
    """
    wanted = frozenset(required)
    if not wanted:
        raise NotTrusted(
            "A signed document was to be checked against no signer.",
            "Anything would pass.",
            "Name who has to have signed it.",
            clause="signature",
        )
    missing = wanted - signers(envelope, payload_type, directory)
    if missing:
        raise NotTrusted(
            "A signed document lacks a valid signature.",
            f"{len(missing)} of {len(wanted)} required signers did not sign it, or signed something else.",
            "Have every required party sign this exact document.",
            clause="signature",
            missing=sorted(missing),
        )
    return envelope.document()


def verify_with_keys(envelope: Envelope, payload_type: str, party: str, keys: PublicKeys) -> Any:
    """The document, if `party` signed it with exactly these keys; for cards, before any directory knows them."""
    return verify(envelope, payload_type, [party], Single(party, keys))


class Single:
    """A directory of one party's one keyset."""

    def __init__(self, party: str, keys: PublicKeys) -> None:
        self._party, self._keys = party, keys

    def keys(self, party: str, keyset: str) -> PublicKeys:
        """These keys. Raises `NotTrusted` for all others."""
        if party != self._party or keyset != self._keys.keyset:
            raise NotTrusted(
                "A signature is by other keys.",
                "It was to be checked against one party's one keyset.",
                "Have it signed with the expected keys.",
                clause="signature",
            )
        return self._keys


def _signature(payload_type: str, payload: bytes, party: str, keys: SecretKeys) -> EnvelopeSignature:
    signature = keys.sign(pae(payload_type, payload))
    return EnvelopeSignature(keyid=f"{party}/{keys.public.keyset}", sig=b64(signature.encode()))


def _require_type(envelope: Envelope, payload_type: str) -> None:
    if envelope.payloadType != payload_type:
        raise NotTrusted(
            "A signed document is of another kind than expected.",
            f"Expected {payload_type}.",
            "Send the document where it belongs.",
            clause="payload-type",
        )

"""A party's card: which keys speak for it now, chained to its first keys, so that a stranger can check the whole story.

A card is a signed document. The first one (*genesis*) makes the party's fingerprint: it is computed from the first
keys and the digest of the recovery keys. Every later card names the digest of the one before it.

Rules:
1. A genesis card has sequence 0, no previous card, and a party id that is `keys.party_id` of its keys and recovery
   digest; it is signed by those keys. Anything else is forged.
2. A next card has the same party and the same recovery digest, the previous card's sequence plus one and its digest.
3. A next card is signed by its own keys (whoever announces keys holds them) and by the previous card's keys or the
   recovery keys. A renewal keeps the keys, so one signature does both.
4. A revocation is a card of status `revoked`, with unchanged keys, signed by the previous card's or the recovery
   keys. It is final: no card follows it.
5. A card that uses the recovery keys carries their public half, whose digest must be the party's recovery digest.
6. `issued` is not in the future (beyond `TOLERANCE`), not before the previous card's, and `expires` is at most
   `MAX_LIFETIME` later. An expired card speaks for nobody, though later cards may chain to it.
7. A card says `compromised_since` when the keys before it (for a revocation: its own) may be in other hands:
   signatures by them count only where they were demonstrably seen before that time (see `directory`). Such a card
   announces new keys, or is a revocation.

The directory holds rules on what was seen before: rolled back, forked, superseded.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from cloister.foundation.canonical import canonical
from cloister.foundation.clock import parse_rfc3339, rfc3339
from cloister.foundation.digests import DIGEST_PATTERN, digest_json
from cloister.foundation.errors import BadInput, NotTrusted
from cloister.identity.envelopes import (
    Envelope,
    EnvelopeSignature,
    Single,
    cosign,
    holding,
    sign,
    verify_with_keys,
    with_signatures,
)
from cloister.identity.keys import PartyId, PublicKeys, SecretKeys, party_id

CARD_TYPE = "application/vnd.cloister.card+json"
TOLERANCE = 300
"""Seconds by which a card's issue time may be ahead of the reader's clock."""
DAY = 86_400
DEFAULT_LIFETIME = 365 * DAY
MAX_LIFETIME = 2 * 366 * DAY
MAX_CARD_BYTES = 32 << 10

Role: TypeAlias = Literal["owner", "researcher", "user", "witness", "auditor", "hub"]


def _shown(text: str) -> str:
    """Names are shown on terminals and pages: no controls, no direction marks, one Unicode form."""
    if not text.isprintable() or text != text.strip() or unicodedata.normalize("NFC", text) != text:
        raise ValueError("not plain printable text")
    return text


def _time(text: str) -> str:
    try:
        parse_rfc3339(text)
    except BadInput:
        raise ValueError("not a time") from None
    return text


def _distinct(roles: tuple[Role, ...]) -> tuple[Role, ...]:
    if list(roles) != sorted(set(roles)):
        raise ValueError("roles must be sorted and distinct")
    return roles


Time = Annotated[str, Field(max_length=20), AfterValidator(_time)]
Digest = Annotated[str, Field(pattern=DIGEST_PATTERN)]


class Card(BaseModel):
    """Which keys speak for a party from `issued` until `expires`. All fields are always written."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: Literal["cloister/card@1"]
    party: PartyId
    name: Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_shown)]
    roles: Annotated[tuple[Role, ...], Field(min_length=1, max_length=6), AfterValidator(_distinct)]
    sequence: Annotated[int, Field(ge=0, le=1_000_000)]
    issued: Time
    expires: Time
    keys: PublicKeys
    recovery: Digest
    recovery_keys: PublicKeys | None
    previous: Digest | None
    status: Literal["active", "revoked"]
    compromised_since: Time | None
    contact: Annotated[str, Field(max_length=200), AfterValidator(_shown)] | None
    hub: Annotated[str, Field(max_length=200), AfterValidator(_shown)] | None

    @property
    def digest(self) -> str:
        """The card's digest: equal to its envelope's."""
        return digest_json(self.model_dump(mode="json"))

    @property
    def keyid(self) -> str:
        """`<party>/<keyset>`, as envelopes name the signer."""
        return f"{self.party}/{self.keys.keyset}"

    @property
    def issued_at(self) -> int:
        """Seconds since the epoch."""
        return parse_rfc3339(self.issued)

    @property
    def expires_at(self) -> int:
        """Seconds since the epoch."""
        return parse_rfc3339(self.expires)

    @property
    def recovered(self) -> bool:
        """Whether the recovery keys signed this card (checked when the card is)."""
        return self.recovery_keys is not None

    def usable(self, now: int) -> None:
        """Raises `NotTrusted` unless the card is active and fresh at `now`."""
        if self.status == "revoked":
            raise NotTrusted(
                f"{self.name} has revoked its keys.",
                f"The revocation was issued at {self.issued}.",
                "Ask them, by a way you trust, for the card of their new identity.",
                clause="card-revoked",
                party=self.party,
            )
        if now >= self.expires_at:
            raise NotTrusted(
                f"The card of {self.name} has expired.",
                f"It was valid until {self.expires}.",
                "Ask them for a renewed card.",
                clause="card-expired",
                party=self.party,
            )
        if self.issued_at > now + TOLERANCE:
            raise NotTrusted(
                f"The card of {self.name} is from the future.",
                f"It was issued at {self.issued}; this machine's clock says {rfc3339(now)}.",
                "Check both clocks.",
                clause="card-not-yet-valid",
                party=self.party,
            )


def recovery_digest(keys: PublicKeys) -> str:
    """The digest by which a party's first card binds its recovery keys."""
    return digest_json(keys.model_dump())


def genesis(
    name: str,
    roles: Iterable[Role],
    keys: SecretKeys,
    recovery: PublicKeys,
    now: int,
    *,
    lifetime: int = DEFAULT_LIFETIME,
    contact: str | None = None,
    hub: str | None = None,
) -> Envelope:
    """A new party's first card. Keep the recovery keys' secret half apart from the node."""
    bound = recovery_digest(recovery)
    party = party_id(keys.public, bound)
    document = {
        "type": "cloister/card@1",
        "party": party,
        "name": name,
        "roles": sorted(set(roles)),
        "sequence": 0,
        "issued": rfc3339(now),
        "expires": rfc3339(now + lifetime),
        "keys": keys.public.model_dump(),
        "recovery": bound,
        "recovery_keys": None,
        "previous": None,
        "status": "active",
        "compromised_since": None,
        "contact": contact,
        "hub": hub,
    }
    return sign(CARD_TYPE, _card(document).model_dump(mode="json"), party, keys)


def succeed(
    previous: Card,
    keys: SecretKeys,
    now: int,
    *,
    current: SecretKeys | None = None,
    recovery: SecretKeys | None = None,
    compromised_since: int | None = None,
    lifetime: int = DEFAULT_LIFETIME,
    **changes: Any,
) -> Envelope:
    """The next card: a rotation to `keys`, or a renewal when `keys` are the current ones.

    Args:
        previous: the party's latest card.
        keys: the keys that the new card announces; they sign it.
        now: seconds since the epoch.
        current: the secret half of `previous.keys`; not needed for a renewal.
        recovery: the recovery keys, when the current ones are lost or stolen.
        compromised_since: from when on the previous keys may be in other hands.
        lifetime: seconds until the new card expires.
        changes: new `name`, `roles`, `contact` or `hub`.
    """
    unknown = set(changes) - {"name", "roles", "contact", "hub"}
    if unknown:
        raise BadInput(
            "A card's chain cannot be changed by hand.",
            f"{', '.join(sorted(unknown))} follow from the chain.",
            "Change the name, the roles, the contact or the relay only.",
        )
    if "roles" in changes:
        changes["roles"] = sorted(set(changes["roles"]))
    following = _following(previous, now, lifetime, compromised_since, recovery)
    document = {**following, **changes, "keys": keys.public.model_dump()}
    envelope = sign(CARD_TYPE, _card(document).model_dump(mode="json"), previous.party, keys)
    for other in (current, recovery):
        if other is not None and other.public != keys.public:
            envelope = cosign(envelope, previous.party, other)
    return envelope


def revoke(
    previous: Card,
    now: int,
    *,
    current: SecretKeys | None = None,
    recovery: SecretKeys | None = None,
    compromised_since: int | None = None,
) -> Envelope:
    """The party's last card, signed by the current or the recovery keys."""
    signer = current or recovery
    if signer is None:
        raise BadInput(
            "A revocation needs keys to sign with.",
            "Neither current nor recovery keys were given.",
            "Fetch the recovery keys from where they are kept.",
        )
    following = _following(previous, now, DEFAULT_LIFETIME, compromised_since, recovery)
    document = {**following, "status": "revoked"}
    envelope = sign(CARD_TYPE, _card(document).model_dump(mode="json"), previous.party, signer)
    if recovery is not None and signer is not recovery:
        envelope = cosign(envelope, previous.party, recovery)
    return envelope


def read(envelope: Envelope) -> Card:
    """The card in an envelope, its form checked but no signature. Raises `BadInput` or `NotTrusted`."""
    if envelope.payloadType != CARD_TYPE:
        raise NotTrusted(
            "A signed document is not a party card.",
            f"Expected {CARD_TYPE}.",
            "Send the card itself.",
            clause="payload-type",
        )
    if len(envelope.content) > MAX_CARD_BYTES:
        raise BadInput(
            "A party card is too large.", f"The limit is {MAX_CARD_BYTES} bytes.", "Ask for the card again."
        )
    return _card(envelope.document())


def check_genesis(envelope: Envelope, now: int) -> Card:
    """The first card of a party, rules 1 and 6 checked. Raises `NotTrusted` or `BadInput`."""
    card = read(envelope)
    if card.sequence != 0 or card.previous is not None:
        raise _forged("It is not a first card, and the cards before it are missing.", clause="card-gap")
    if card.recovered or card.status != "active" or card.compromised_since is not None:
        raise _forged("A first card is active and by the first keys only.")
    if party_id(card.keys, card.recovery) != card.party:
        raise _forged("Its fingerprint does not belong to its keys.")
    _times(card, None, now)
    _signed(envelope, card.party, card.keys)
    return card


def check_next(previous: Card, envelope: Envelope, now: int) -> Card:
    """The card after `previous`, rules 2 to 6 checked. Raises `NotTrusted` or `BadInput`."""
    card = read(envelope)
    if previous.status == "revoked":
        raise NotTrusted(
            f"{previous.name} has revoked its keys; no further card is accepted.",
            f"The revocation was issued at {previous.issued} and is final.",
            "Ask them, by a way you trust, for the card of their new identity.",
            clause="card-revoked",
            party=previous.party,
        )
    if card.party != previous.party or card.recovery != previous.recovery:
        raise _forged("It is of another party, or names other recovery keys.")
    if card.sequence != previous.sequence + 1 or card.previous != previous.digest:
        raise _forged("It does not follow the card that it is said to follow.", clause="card-chain")
    _times(card, previous, now)
    if card.recovery_keys is not None:
        if recovery_digest(card.recovery_keys) != previous.recovery:
            raise _forged("The recovery keys in it are not the party's.")
        _signed(envelope, card.party, card.recovery_keys)
    else:
        _signed(envelope, card.party, previous.keys)
    if card.status == "revoked":
        if card.keys != previous.keys:
            raise _forged("A revocation announces no new keys.")
    else:
        if card.compromised_since is not None and card.keys == previous.keys:
            raise _forged("It calls its own keys compromised.")
        _signed(envelope, card.party, card.keys)
    return card


def bare(envelope: Envelope, card: Card, previous: Card | None) -> Envelope:
    """A checked card with the entries that count: by the keys that it announces, those before and the recovery keys.

    Whatever else came with it is unsigned, so anybody could make a card that is held as large as an envelope may be.
    """
    found: dict[str, EnvelopeSignature] = {}
    for keys in (card.keys, previous.keys if previous else None, card.recovery_keys):
        if keys is not None:
            found |= {item.keyid: item for item in holding(envelope, CARD_TYPE, Single(card.party, keys))}
    if len(found) == len(envelope.signatures):
        return envelope
    return with_signatures(envelope, found.values())


def _following(
    previous: Card, now: int, lifetime: int, since: int | None, recovery: SecretKeys | None
) -> dict[str, Any]:
    return {
        **previous.model_dump(mode="json"),
        "sequence": previous.sequence + 1,
        "issued": rfc3339(now),
        "expires": rfc3339(now + lifetime),
        "recovery_keys": recovery.public.model_dump() if recovery else None,
        "previous": previous.digest,
        "compromised_since": None if since is None else rfc3339(since),
    }


def _card(document: Any) -> Card:
    try:
        return Card.model_validate_json(canonical(document))
    except ValidationError as error:
        fields = sorted({str(item["loc"][0]) for item in error.errors() if item["loc"]})
        raise BadInput(
            "A party card could not be read.",
            f"Missing, unknown or malformed: {', '.join(fields)[:200] or 'the whole document'}.",
            "Ask the party for its card again.",
        ) from None


def _times(card: Card, previous: Card | None, now: int) -> None:
    if card.issued_at > now + TOLERANCE:
        raise NotTrusted(
            "A party card is from the future.",
            f"It was issued at {card.issued}; this machine's clock says {rfc3339(now)}.",
            "Check both clocks.",
            clause="card-not-yet-valid",
            party=card.party,
        )
    if not 0 < card.expires_at - card.issued_at <= MAX_LIFETIME:
        raise _forged("Its lifetime is not within the limit.", clause="card-lifetime")
    if previous is not None and card.issued_at < previous.issued_at:
        raise _forged("It was issued before the card that it follows.", clause="card-chain")
    if card.compromised_since is not None and parse_rfc3339(card.compromised_since) > card.issued_at:
        raise _forged("It says that keys will be compromised later than it was issued.")


def _signed(envelope: Envelope, party: str, keys: PublicKeys) -> None:
    try:
        verify_with_keys(envelope, CARD_TYPE, party, keys)
    except NotTrusted:
        raise _forged("It lacks a valid signature that it needs.") from None


def _forged(why: str, clause: str = "card-forged") -> NotTrusted:
    return NotTrusted(
        "A party card is not genuine.",
        why,
        "Ask the party for all its cards again and compare fingerprints.",
        clause=clause,
    )

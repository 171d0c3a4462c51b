"""What coordinator and owners tell each other in federated averaging, and the trail that keeps the coordinator honest.

Three kinds of messages, the round's number in the kind so that a late one is never taken for another round's:

- `weights-R` (coordinator → owner): the weights to start round R from, and the trail so far;
- `update-R` (owner → coordinator): what local training changed;
- `finished` (coordinator → owner): the whole trail, after the last round.

The *trail* is a list of links, one per state of the weights: the digest of the weights, and the digest of the list of
the answers that made them. Link 0 is the model file's own weights. Each owner checks that the trail it is shown
continues the one it saw before and that its own answer is in it; at the release it holds the candidate against it.
A coordinator that shows different weights to different owners ends with trails that do not agree.

Rules:
1. Every body is parsed within limits; unknown fields are refused.
2. No figure computed on records is in any message but the update itself: no loss, no count, no time.
3. An answer appears in the trail as a commitment, salted by its owner, so that other owners cannot test guesses.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.claims.offers import Digest
from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest_json, digest_stream
from cloister.foundation.errors import BadInput
from cloister.identity.keys import PartyId
from cloister.protections.federated.framing import Vector, decode, encode, wire

MAX_ROUNDS = 1000
MAX_OWNERS = 1000
MODEL = ConfigDict(frozen=True, extra="forbid", strict=True)

FINISHED = "finished"


def weights_kind(number: int) -> str:
    """The kind of the message that starts a round, counted from 1."""
    return f"weights-{number}"


def update_kind(number: int) -> str:
    """The kind of the message that answers a round, counted from 1."""
    return f"update-{number}"


class Link(BaseModel):
    """One state of the weights: their digest, and the digest of `party → commitment` of the answers behind them."""

    model_config = MODEL

    weights: Digest
    answers: Digest


Trail = Annotated[tuple[Link, ...], Field(strict=False, min_length=1, max_length=MAX_ROUNDS + 1)]
Answered = Annotated[dict[PartyId, Digest], Field(max_length=MAX_OWNERS)]


class WeightsHeader(BaseModel):
    """Beside the weights of a round: its number from 1, the trail up to these weights, the last round's answers."""

    model_config = MODEL

    round: int = Field(ge=1, le=MAX_ROUNDS)
    attempt: int = Field(ge=1, le=1_000_000)
    trail: Trail
    answered: Answered


class UpdateHeader(BaseModel):
    """Beside an update: the round, the weights it is on, and the salt of its commitment."""

    model_config = MODEL

    round: int = Field(ge=1, le=MAX_ROUNDS)
    attempt: int = Field(ge=1, le=1_000_000)
    on: Digest
    salt: str = Field(pattern=r"^[0-9a-f]{64}$")


class FinishedHeader(BaseModel):
    """After the last round: how many there were, the whole trail, the last round's answers."""

    model_config = MODEL

    rounds: int = Field(ge=1, le=MAX_ROUNDS)
    attempt: int = Field(ge=1, le=1_000_000)
    trail: Trail
    answered: Answered


Header = TypeVar("Header", bound=BaseModel)


def write(header: BaseModel, vector: Vector | None = None) -> bytes:
    """A message's body."""
    return encode(header.model_dump(mode="json"), *(() if vector is None else (vector,)))


def read(kind: type[Header], body: bytes, *, length: int) -> tuple[Header, Vector]:
    """The header and the vector of a body that must have exactly `length` numbers. Raises `BadInput`."""
    fields, vector = decode(body, max_length=length)
    if vector.shape != (length,):
        raise BadInput(
            "A training message could not be read.",
            "Its vector is not as long as the model's trainable weights.",
            "Have every party use the model that was agreed.",
        )
    return parse_header(kind, fields), vector


def parse_header(kind: type[Header], fields: dict[str, Any]) -> Header:
    """The typed header. Raises `BadInput`."""
    try:
        return kind.model_validate_json(canonical(fields))
    except (ValidationError, BadInput):
        raise BadInput(
            "A training message could not be read.",
            "Fields are missing, unknown or out of range.",
            "Have every party run the same version of Cloister.",
        ) from None


def commitment(salt: str, update: Vector) -> str:
    """The salted digest under which an answer appears in the trail."""
    return digest_stream((bytes.fromhex(salt), wire(update)))


def link(weights_digest: str, answered: dict[str, str]) -> Link:
    """The trail's next link."""
    return Link(weights=weights_digest, answers=digest_json(dict(sorted(answered.items()))))


def continues(seen: tuple[Link, ...], shown: tuple[Link, ...]) -> bool:
    """Whether the trail that is shown begins with the one that was seen."""
    return shown[: len(seen)] == seen

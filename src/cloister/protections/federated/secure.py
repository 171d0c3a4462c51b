"""What owners and coordinator of a secure training have in common: contexts, encodings, and the two small frames.

Each round is one secure aggregation (`cloister.aggregation`). Its context binds plan, round, attempt, roster and the
digest of the weights that the round is computed on, so that owners who would train on other weights than the rest have
another context and are left out.

Rules:
1. The roster of a round is whoever contributed to the round before: an owner that was missed stays out of the task, so
   that nobody needs to be told weights by somebody else. As many as the plan's `minimum_answers` must be left.
2. The coordinator holds no weights. It takes the digest that most owners name for its context; an owner that names
   another is left out of the round.
3. With noise, numbers are the mechanism's lattice points; a ring holds every sum of them but for a chance below 2^-40
   that is in delta. Without, updates are rounded as finely as 32 bits allow.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from cloister.aggregation import Context, Encoding, choose, floats, integers
from cloister.claims.offers import Digest, Request
from cloister.foundation.canonical import canonical, parse_canonical
from cloister.foundation.digests import digest_json
from cloister.foundation.errors import BadInput
from cloister.privacy import lattice
from cloister.privacy.mechanisms import Mechanism
from cloister.protections.federated.messages import MAX_ROUNDS, parse_header
from cloister.protections.federated.settings import Settings

MAGIC = b"CLS1"
MAX_HEADER = 512 << 10
RESULT = "result"
"""The kind of the message in which an owner tells the coordinator which model it ended with."""

MODEL = ConfigDict(frozen=True, extra="forbid", strict=True)


class AnnounceHeader(BaseModel):
    """Before an owner's announcement: the weights that it would train on in this round."""

    model_config = MODEL

    type: Literal["cloister/training-announcement@1"] = "cloister/training-announcement@1"
    round: int = Field(ge=1, le=MAX_ROUNDS)
    weights: Digest


class ResultHeader(BaseModel):
    """Which model an owner ended with: digest and bytes of its file, digest of its weights, answers in each round."""

    model_config = MODEL

    type: Literal["cloister/training-result@1"] = "cloister/training-result@1"
    content: Digest
    size: int = Field(ge=1, le=1 << 40)
    weights: Digest
    answers: tuple[int, ...] = Field(strict=False, max_length=MAX_ROUNDS)


Header = TypeVar("Header", bound=BaseModel)


def named(stage: str, number: int) -> str:
    """A phase's name, or the kind of the message that it sends: the stage and the round, counted from 1."""
    return f"{stage}-{number}"


def context(
    settings: Settings,
    request: Request,
    task: str,
    attempt: int,
    coordinator: str,
    roster: Iterable[str],
    number: int,
    weights: str,
) -> Context:
    """A round's context.

    Args:
        settings: of the plan.
        request: its computation is bound.
        task: the task's id.
        attempt: of the task, from 1.
        coordinator: who relays.
        roster: who takes part in this round.
        number: the round, from 1.
        weights: digest of the weights that it is computed on.

    Raises:
        Refused: too few are left on the roster (clause `aggregation-thresholds`).
    """
    secure = settings.secure
    assert secure is not None
    parties = tuple(sorted(roster))
    return Context(
        task=task,
        label=f"round-{number}",
        attempt=attempt,
        computation=request.computation.digest,
        hyperparameters=digest_json(settings.model_dump(mode="json")),
        weights=weights,
        coordinator=coordinator,
        roster=parties,
        thresholds=choose(
            len(parties), colluders=secure.colluders, dropouts=max(0, len(parties) - settings.minimum_answers)
        ),
        encoding=encoding(settings, len(parties)),
    )


def encoding(settings: Settings, participants: int) -> Encoding:
    """How the numbers of a round are added up (rule 3)."""
    secure = settings.secure
    assert secure is not None
    if settings.private is not None:
        return integers(settings.trained, participants, largest(settings.private.run.mechanism))
    return floats(settings.trained, participants, secure.update_norm)


def documents_limit(owners: int) -> int:
    """Bytes of a message without its vector at most: what is signed grows with the owners, and so does what is relayed."""
    return (1 << 20) + (128 << 10) * owners


def vector_limit(settings: Settings, owners: int) -> int:
    """Bytes of a packed vector at most."""
    return settings.trained * (encoding(settings, owners).bits + 7) // 8 + 64


def largest(mechanism: Mechanism) -> int:
    """The magnitude that no lattice point of any node in any step exceeds, but for a chance of 2^-40 in all."""
    numbers = mechanism.dimension * mechanism.steps * mechanism.nodes
    return mechanism.bound + lattice.tail(mechanism.variance, numbers, lattice.WRAP_PROBABILITY)


def join(header: BaseModel, payload: bytes) -> bytes:
    """A frame: `CLS1`, the header's length in four bytes (big endian), the header (canonical JSON), the payload."""
    head = canonical(header.model_dump(mode="json"))
    return b"".join((MAGIC, struct.pack(">I", len(head)), head, payload))


def split(kind: type[Header], data: bytes) -> tuple[Header, bytes]:
    """Header and payload of a frame. Raises `BadInput`."""
    if len(data) < 8 or data[:4] != MAGIC:
        raise _malformed("It does not begin as one.")
    (size,) = struct.unpack(">I", data[4:8])
    if size > MAX_HEADER or 8 + size > len(data):
        raise _malformed("Its header is over the limit or cut short.")
    fields = parse_canonical(data[8 : 8 + size], max_bytes=MAX_HEADER)
    if not isinstance(fields, dict):
        raise _malformed("Its header is not an object.")
    return parse_header(kind, fields), data[8 + size :]


def _malformed(why: str) -> BadInput:
    return BadInput(
        "A training message could not be read.", why, "Have the sender run the same version of Cloister."
    )

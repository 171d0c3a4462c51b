"""What participant and coordinator keep between two steps (see `turns` for how).

A participant's states have the shares that it holds for others and the group key, so they are as secret as its records; the
one before is replaced by each step, and the last holds no share. A coordinator's have nothing secret in them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cloister.aggregation import keys
from cloister.aggregation.messages import Announcement, Hash, Sharing, SignedEndorsement, SignedMasked, blob
from cloister.aggregation.thresholds import MAX_PARTICIPANTS
from cloister.aggregation.turns import State
from cloister.identity.keys import PartyId

_MANY = Field(strict=False, max_length=MAX_PARTICIPANTS)
_PAIR = Annotated[str, blob(keys.PAIR_CIPHERTEXT)]
_Pairs = Annotated[
    dict[PartyId, Annotated[dict[PartyId, _PAIR], Field(max_length=MAX_PARTICIPANTS)]],
    Field(max_length=MAX_PARTICIPANTS),
]
Members = Annotated[tuple[PartyId, ...], Field(strict=False, max_length=MAX_PARTICIPANTS)]
_SHARES = Annotated[str, blob(2 * keys.SEED)]


class Announced(State):
    stage: Literal["announced"] = "announced"


class Shared(State):
    stage: Literal["shared"] = "shared"
    announcements: Annotated[tuple[Announcement, ...], _MANY]
    own: Hash


class Hidden(State):
    """After masking: shares that this participant holds, and what the others must confirm."""

    stage: Literal["masked"] = "masked"
    transcript: Hash
    members: Members
    shares: Annotated[dict[PartyId, _SHARES], Field(max_length=MAX_PARTICIPANTS)]
    expected: Annotated[dict[PartyId, Hash], Field(max_length=MAX_PARTICIPANTS)]
    group: Hash
    own: Hash


class Endorsed(State):
    stage: Literal["endorsed"] = "endorsed"
    transcript: Hash
    members: Members
    survivors: Members
    final: Hash
    shares: Annotated[dict[PartyId, _SHARES], Field(max_length=MAX_PARTICIPANTS)]
    group: Hash


class Revealed(State):
    stage: Literal["revealed"] = "revealed"
    transcript: Hash
    members: Members
    final: Hash
    group: Hash


class Gathered(State):
    stage: Literal["gathered"] = "gathered"
    announcements: Annotated[tuple[Announcement, ...], _MANY]


class Relayed(State):
    """`pairs`: sender → recipient → the encrypted pair secret, for when the recipient drops out."""

    stage: Literal["relayed"] = "relayed"
    announcements: Annotated[tuple[Announcement, ...], _MANY]
    sharings: Annotated[tuple[Sharing, ...], _MANY]
    pairs: _Pairs


class Collected(State):
    """`sum`: the hash of what is kept beside it, the sum of the survivors' masked vectors."""

    stage: Literal["collected"] = "collected"
    announcements: Annotated[tuple[Announcement, ...], _MANY]
    sharings: Annotated[tuple[Sharing, ...], _MANY]
    pairs: _Pairs
    masked: Annotated[tuple[SignedMasked, ...], _MANY]
    sum: Hash


class Confirmed(Collected):
    stage: Literal["confirmed"] = "confirmed"  # type: ignore[assignment]  # one more step with the same content
    endorsements: Annotated[tuple[SignedEndorsement, ...], _MANY]


class Finished(State):
    stage: Literal["finished"] = "finished"
    contributors: Members

"""Claims: what is guaranteed about which artefact, against whom, under which assumption, and how it is reached.

Rules:
1. A claim speaks of one artefact and one adversary. Two claims are comparable only where they speak of the same
   artefact, and the one that is to satisfy the other holds against at least as strong an adversary, under assumptions
   that the other accepts.
2. No claim is stronger than the protocol behind it; where there is none, the claim is `disclosed`, with what it means.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator


def _printable(text: str) -> str:
    """A plan comes from its requester and is shown to those who approve it: nothing in it may act on a terminal."""
    if not text.isprintable():
        raise ValueError("not plain printable text")
    return text


Words = Annotated[str, AfterValidator(_printable)]
"""Text that people read: no controls, escape sequences or marks that turn the direction of writing."""

MODEL = ConfigDict(frozen=True, extra="forbid", strict=True, use_enum_values=False)


class Artefact(StrEnum):
    """What a claim is about."""

    INPUT = "input"
    """Records, images and labels at an owner's node."""
    UPDATE = "update"
    """One owner's contribution on the way, for example its weights after a round."""
    AGGREGATE = "aggregate"
    """The combination of the owners' contributions before the gates."""
    RESULT = "result"
    """What is released."""
    LINK = "link"
    """Messages between nodes."""


class Behaviour(StrEnum):
    """How the adversary may behave; later values are stronger adversaries."""

    HONEST_BUT_CURIOUS = "honest-but-curious"
    MALICIOUS = "malicious"


class Assumption(StrEnum):
    """What a claim needs to be true besides the mathematics."""

    NONE = "none"
    HONEST_MAJORITY = "honest-majority"
    HARDWARE = "hardware"
    PUBLIC_SETUP = "public-setup"
    HONEST_OWNERS = "honest-owners"
    """Owners' nodes run Cloister as published and tell the truth about their data."""


class Adversary(BaseModel):
    """Against whom: which seats (or `outsider`, `hub`), how many of them together, behaving how."""

    model_config = MODEL

    seats: tuple[Annotated[Words, Field(max_length=40)], ...] = Field(
        strict=False, min_length=1, max_length=32
    )
    colluding: int = Field(default=1, ge=1, le=1000)
    behaviour: Behaviour = Field(default=Behaviour.HONEST_BUT_CURIOUS, strict=False)

    @field_validator("seats", mode="before")
    @classmethod
    def _sorted(cls, value: object) -> object:
        # One order, so that equal claims have equal bytes.
        return tuple(sorted(set(value))) if isinstance(value, list | tuple | set | frozenset) else value


class Hidden(BaseModel):
    """The adversary learns nothing about the artefact."""

    model_config = MODEL
    how: Literal["hidden"] = "hidden"


class Threshold(BaseModel):
    """Hidden unless more than `k` parties pool what they hold."""

    model_config = MODEL
    how: Literal["threshold"] = "threshold"
    k: int = Field(ge=1, le=1000)


class DifferentiallyPrivate(BaseModel):
    """(epsilon, delta)-differential privacy for one unit under add/remove adjacency, by the named mechanism.

    Attributes:
        epsilon, delta: of the guarantee.
        unit: what is added or removed, for example `image`.
        mechanism: where the noise comes from; not compared.
        occurrences: at how many owners the unit may occur and is still protected, wherever it occurs.
    """

    model_config = MODEL
    how: Literal["dp"] = "dp"
    epsilon: float = Field(gt=0, le=1000)
    delta: float = Field(ge=0, lt=1)
    unit: Words = Field(max_length=60)
    mechanism: Words = Field(max_length=60)
    occurrences: int = Field(default=1, ge=1, le=1000)


class Signed(BaseModel):
    """Changes are noticed; the author is known."""

    model_config = MODEL
    how: Literal["signed"] = "signed"


class Sealed(BaseModel):
    """Readable by the named recipient only; `quantum_safe` if that also holds against a later quantum computer."""

    model_config = MODEL
    how: Literal["sealed"] = "sealed"
    quantum_safe: bool = True


class Disclosed(BaseModel):
    """The honest opposite of a guarantee: the adversary may learn `what`."""

    model_config = MODEL
    how: Literal["disclosed"] = "disclosed"
    what: Words = Field(max_length=400)


Reached = Annotated[
    Hidden | Threshold | DifferentiallyPrivate | Signed | Sealed | Disclosed, Field(discriminator="how")
]


class Claim(BaseModel):
    """One guarantee, or one honest gap, that somebody can check."""

    model_config = MODEL

    artefact: Artefact = Field(strict=False)
    against: Adversary
    reached: Reached
    assumption: Assumption = Field(default=Assumption.NONE, strict=False)
    citation: Words = Field(default="", max_length=200)

    def satisfies(self, floor: Claim, accepted: frozenset[Assumption]) -> bool:
        """Whether this claim is at least what `floor` asks for, under assumptions that are accepted."""
        return (
            self.artefact == floor.artefact
            and set(self.against.seats) >= set(floor.against.seats)
            and self.against.colluding >= floor.against.colluding
            and _BEHAVIOUR[self.against.behaviour] >= _BEHAVIOUR[floor.against.behaviour]
            and (
                self.assumption is Assumption.NONE
                or self.assumption == floor.assumption
                or self.assumption in accepted
            )
            and _reaches(self.reached, floor.reached)
        )


_BEHAVIOUR = {Behaviour.HONEST_BUT_CURIOUS: 0, Behaviour.MALICIOUS: 1}


def _reaches(offered: Reached, wanted: Reached) -> bool:
    match offered, wanted:
        case Disclosed(what=told), Disclosed(what=accepted):
            return told == accepted
        case ((Hidden() | Threshold() | DifferentiallyPrivate() | Sealed()), Disclosed()):
            return True
        case Hidden(), (Hidden() | Threshold()):
            return True
        case Threshold(k=have), Threshold(k=need):
            return have >= need
        case DifferentiallyPrivate() as have, DifferentiallyPrivate() as need:
            return (
                have.epsilon <= need.epsilon
                and have.delta <= need.delta
                and have.unit == need.unit
                and have.occurrences >= need.occurrences
            )
        case Signed(), Signed():
            return True
        case Sealed(quantum_safe=have), Sealed(quantum_safe=need):
            return have or not need
    return False


class Claims(BaseModel):
    """All that a plan claims, and all that it does not protect, said plainly."""

    model_config = MODEL

    guarantees: tuple[Claim, ...] = Field(default=(), max_length=64, strict=False)
    not_protected: tuple[Annotated[Words, Field(max_length=400)], ...] = Field(
        default=(), max_length=64, strict=False
    )

    def below(self, floor: tuple[Claim, ...], accepted: frozenset[Assumption]) -> tuple[Claim, ...]:
        """The floor's claims that nothing here satisfies; empty when all are met."""
        return tuple(
            need for need in floor if not any(have.satisfies(need, accepted) for have in self.guarantees)
        )

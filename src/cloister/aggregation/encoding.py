"""Numbers as ring elements: bounded integers, or floats rounded to a lattice, such that no sum of n of them wraps.

An encoding is public and the same at every participant: it stands in the aggregation's context. Integers (counts, or
updates to which noise was added on a lattice) go in as they are. A float x becomes the nearest whole multiple of
2^exponent, so that the sum of n values differs from the true sum by at most n · 2^(exponent - 1), and is decoded
exactly: both the integer sum and its product with a power of two are exact in float64. For a weighted sum, participants
multiply by their public weights first, and the bound is of the products.

Rules:
1. A ring of k bits is chosen as the smallest with 2^k > 2 · n · bound: sums of n values within the bound never wrap.
2. A value that is over the bound or not finite is refused where it is, before anything is sent.
3. A sum that so many values within the bound cannot have is refused.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cloister.aggregation.ring import MAX_BITS, Ring, mask_of, word
from cloister.aggregation.thresholds import MAX_PARTICIPANTS
from cloister.foundation.documents import Document
from cloister.foundation.errors import BadInput, Tampered

MAX_LENGTH = 200_000_000
MAX_EXPONENT = 900
MAX_BOUND = (1 << 53) - 1
FLOAT_BITS = 32
"""Ring bits that `floats` uses unless told: 4 bytes on the wire, as a float32 takes."""


class Encoding(Document):
    """How vectors become ring elements.

    Attributes:
        kind: what goes in and what the sum is: `integers` (int64) or `floats` (float64).
        length: values in a vector.
        participants: n, the most vectors that are summed.
        bound: the largest absolute value of one participant's number, in lattice steps.
        exponent: the lattice step is 2^exponent; 0 for integers.
        bits: k, ring bits per value.
    """

    kind: Literal["integers", "floats"]
    length: Annotated[int, Field(ge=1, le=MAX_LENGTH)]
    participants: Annotated[int, Field(ge=1, le=MAX_PARTICIPANTS)]
    bound: Annotated[int, Field(ge=1, le=MAX_BOUND)]
    exponent: Annotated[int, Field(ge=-MAX_EXPONENT, le=MAX_EXPONENT)]
    bits: Annotated[int, Field(ge=2, le=MAX_BITS)]

    @model_validator(mode="after")
    def _rule_1(self) -> Encoding:
        if self.bits != bits_for(self.participants, self.bound):
            raise ValueError("the ring is not the smallest that no sum wraps in")
        if self.kind == "integers" and self.exponent != 0:
            raise ValueError("integers have a lattice step of 1")
        if self.kind == "floats" and self.bits > 53:
            raise ValueError("sums of floats must be exact in float64")
        return self

    @property
    def step(self) -> float:
        """The lattice step, 2^exponent."""
        return math.ldexp(1.0, self.exponent)

    @property
    def error(self) -> float:
        """The most by which a sum of all participants' floats differs from the true one, per value."""
        return 0.0 if self.kind == "integers" else self.participants * self.step / 2

    def quantise(self, vector: NDArray[Any]) -> NDArray[np.int64]:
        """The vector in lattice steps, shape (length,). Raises `BadInput` by rule 2."""
        if vector.shape != (self.length,):
            raise _refused("It is not as long as agreed.", "Aggregate vectors of the agreed length.")
        if self.kind == "integers":
            if vector.dtype.kind not in "iu" or not np.can_cast(vector.dtype, np.int64):
                raise _refused("Its values are not integers.", "Round them, or agree on floats.")
            steps = vector.astype(np.int64)
        else:
            if vector.dtype.kind != "f":
                raise _refused("Its values are not floats.", "Convert them, or agree on integers.")
            with np.errstate(over="ignore", invalid="ignore"):  # what overflows is over the bound
                scaled = np.ldexp(vector.astype(np.float64), -self.exponent)
                np.rint(scaled, out=scaled)
            # Also false for what is not finite; and compared before the conversion, which would wrap.
            if not (scaled.min() >= -self.bound and scaled.max() <= self.bound):
                raise self._over()
            return scaled.astype(np.int64)
        if steps.min() < -self.bound or steps.max() > self.bound:
            raise self._over()
        return steps

    def embed(self, steps: NDArray[np.int64]) -> Ring:
        """Lattice steps as ring elements, in words of `ring.word(bits)`."""
        return steps.astype(word(self.bits))

    def centre(self, total: Ring, contributors: int) -> NDArray[np.int64]:
        """A sum's ring elements as signed lattice steps. Raises `Tampered` by rule 3."""
        values = (total & total.dtype.type(mask_of(self.bits))).astype(np.int64)
        values -= (values >> (self.bits - 1)) << self.bits
        limit = contributors * self.bound
        if values.min() < -limit or values.max() > limit:
            raise Tampered(
                "A sum is not one.",
                "It has values that so many bounded inputs cannot add up to.",
                "Start again; if it repeats, find out who sent something else than agreed.",
                clause="aggregation-sum",
            )
        return values

    def decode(self, steps: NDArray[np.int64]) -> NDArray[Any]:
        """A sum in lattice steps as what it is of: int64 or float64."""
        return steps if self.kind == "integers" else np.ldexp(steps.astype(np.float64), self.exponent)

    def _over(self) -> BadInput:
        return _refused(
            "A value is over the agreed bound, or not finite.", "Clip the values, or agree on a larger bound."
        )


def bits_for(participants: int, bound: int) -> int:
    """The smallest k with 2^k > 2 · participants · bound (rule 1)."""
    return (2 * participants * bound).bit_length()


def integers(length: int, participants: int, bound: int) -> Encoding:
    """An encoding for integers of at most `bound` in absolute value. Raises `BadInput` if no ring is large enough."""
    return _made("integers", length, participants, bound, 0)


def floats(length: int, participants: int, bound: float, *, bits: int = FLOAT_BITS) -> Encoding:
    """An encoding for floats of at most `bound` in absolute value, as fine as a ring of `bits` bits allows.

    Args:
        length: values in a vector.
        participants: the most vectors that are summed.
        bound: largest absolute value of one participant's number.
        bits: at most 53; each further bit halves the rounding error.

    Raises:
        BadInput: out of range, or the ring is too small for so many participants.
    """
    if not (math.isfinite(bound) and bound > 0) or not 2 <= bits <= 53 or participants < 1:
        raise _refused("The bound must be positive and finite, the ring of 2 to 53 bits.", "Agree on others.")
    most = mask_of(bits) // (2 * participants)
    if most < 1:
        raise _refused("The ring is too small for so many participants.", "Agree on more bits.")
    exponent = math.frexp(bound)[1] - most.bit_length() - 1
    while (steps := _ceil_steps(bound, exponent)) > most:
        exponent += 1
    return _made("floats", length, participants, steps, exponent)


def _ceil_steps(bound: float, exponent: int) -> int:
    # Exact: a float is a ratio of integers.
    top, bottom = bound.as_integer_ratio()
    top, bottom = (top << -exponent, bottom) if exponent < 0 else (top, bottom << exponent)
    return -(-top // bottom)


def _made(
    kind: Literal["integers", "floats"], length: int, participants: int, bound: int, exponent: int
) -> Encoding:
    try:
        return Encoding(
            kind=kind,
            length=length,
            participants=participants,
            bound=bound,
            exponent=exponent,
            bits=bits_for(max(participants, 1), max(bound, 1)),
        )
    except ValueError:
        raise _refused(
            "Its length, bound or number of participants is out of range.", "Agree on smaller ones."
        ) from None


def _refused(why: str, remedy: str) -> BadInput:
    return BadInput("A vector cannot be aggregated.", why, remedy)

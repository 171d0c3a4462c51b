"""How much noise each node adds to its vector, and what that is worth: the Gaussian mechanism on a lattice.

A node holds a vector to which each unit contributes at most `clip` in L2 norm: a sum of clipped gradients, a row of
counts. The vector is brought to a lattice (`lattice`), and integer noise from an exact sampler (`discrete_gaussian`)
is added, so that no floating-point number's low bits carry anything (Mironov 2012). One mechanism serves two cases:

- *local*: each node's noisy vector is seen by others; every node adds the whole noise.
- *distributed*: only the sum of all nodes' noisy vectors is seen (secure aggregation); each adds a share, so that the
  shares of those who neither drop out nor collude make up the whole.

Privacy: add-or-remove one unit. The noise in the sum is, up to a factor of exp(±2^-100) at every point, a
post-processing of the continuous Gaussian mechanism with variance `honest · variance - 9` (lattice units), whatever the
number of nodes, steps and coordinates within the limits below (`docs/proofs/discrete-gaussian.md`). So everything that
is known of the (Poisson-sampled) Gaussian mechanism holds with `noise_multiplier`; `accounting` does the rest.

Rules:
1. Everything here is a public constant of the plan; each node computes `noise_multiplier` for itself from it.
2. Each share has variance ≥ total / (nodes - dropouts - colluders); without secure aggregation it is the whole.
3. The sensitivity counts clipping, rounding, the float summation's error and every node at which a unit may occur.
4. Noise is computed from a journalled secret: a step that runs again gives the same bytes.

Sources: Canonne, Kamath, Steinke, "The discrete Gaussian for differential privacy", NeurIPS 2020 (arXiv 2004.00010);
Kairouz, Liu, Steinke, "The distributed discrete Gaussian mechanism", ICML 2021 (arXiv 2102.06387); Peikert, "An
efficient and parallel Gaussian sampler for lattices", CRYPTO 2010.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cloister.foundation.errors import BadInput, Refused
from cloister.privacy import lattice
from cloister.privacy.discrete_gaussian import MAX_VARIANCE, discrete_gaussian
from cloister.privacy.stream import NoiseStream

SMOOTHING: Final = 9
"""Variance (lattice units) given up in comparing the discrete with the continuous Gaussian."""
LEAST_SHARE: Final = 2 * SMOOTHING
_LEAST_TOTAL: Final = 1 << 20
_UP: Final = 1 + 1e-12


class Mechanism(BaseModel):
    """The noise of one step of a task, as the plan states it. Usually made by `mechanism_for`.

    Attributes:
        dimension: coordinates of the vector.
        clip: the most that one unit contributes at one node, in L2 norm.
        exponent: the lattice's step is 2^-exponent.
        bound: the largest magnitude of a coordinate before noise, in lattice units; more is clamped.
        variance: of each node's noise, in lattice units.
        nodes: how many nodes add noise.
        distributed: whether only the sum over the nodes is seen.
        dropouts, colluders: how many nodes' shares may be missing, or known to the adversary; 0 if not distributed.
        occurrences: at how many nodes one unit may occur.
        slack: by which fraction of `clip` the computed vector may miss the exact one (see `summation_slack`).
        exact: whether the vector lies on the lattice already, as counts do, so that nothing is rounded.
        steps: how many such vectors the run publishes; a part of the ring's size only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dimension: int = Field(ge=1, le=1 << 31)
    clip: float = Field(ge=1e-12, le=1e12, allow_inf_nan=False)
    exponent: int = Field(ge=-lattice.MAX_EXPONENT, le=lattice.MAX_EXPONENT)
    bound: int = Field(ge=0, le=lattice.MAX_BOUND)
    variance: int = Field(ge=LEAST_SHARE, le=MAX_VARIANCE)
    nodes: int = Field(ge=1, le=1000)
    distributed: bool
    dropouts: int = Field(default=0, ge=0, le=1000)
    colluders: int = Field(default=0, ge=0, le=1000)
    occurrences: int = Field(default=1, ge=1, le=1000)
    slack: float = Field(default=0.0, ge=0, le=0.5, allow_inf_nan=False)
    exact: bool = False
    steps: int = Field(default=1, ge=1, le=1 << 20)

    @model_validator(mode="after")
    def _coherent(self) -> Mechanism:
        if self.distributed:
            if self.colluders < 1 or self.honest < 1:
                raise ValueError("no honest node is left, or no colluder is provided for")
        elif self.dropouts or self.colluders:
            raise ValueError("only distributed noise has dropouts and colluders")
        if self.occurrences > self.nodes:
            raise ValueError("a unit cannot occur at more nodes than there are")
        return self

    @property
    def honest(self) -> int:
        """How many shares surely are in what is seen, and unknown to the adversary."""
        return self.nodes - self.dropouts - self.colluders if self.distributed else 1

    @property
    def sensitivity(self) -> float:
        """By how much one unit moves what is seen, in L2 norm and lattice units; rounded up (rule 3)."""
        rounding = 0.0 if self.exact else math.sqrt(self.dimension)
        return self.occurrences * (math.ldexp(self.clip * (1 + self.slack), self.exponent) + rounding) * _UP

    @property
    def noise_multiplier(self) -> float:
        """Standard deviation over sensitivity of the continuous Gaussian mechanism that this is as private as."""
        return math.sqrt(max(self.honest * self.variance - SMOOTHING, 0)) / self.sensitivity / _UP

    @property
    def ring_bits(self) -> int:
        """Bits of the ring to sum in. Raises `BadInput` if none is large enough."""
        return lattice.ring_bits(
            self.nodes, self.bound, self.nodes * self.variance, self.dimension * self.steps
        )

    @property
    def wrap(self) -> float:
        """The chance that a sum of the run wraps around; a part of the run's `failure`."""
        return lattice.WRAP_PROBABILITY if self.distributed else 0.0

    @property
    def deviation(self) -> float:
        """Standard deviation of the noise in what is seen when every node is there, in units of the vector."""
        shares = self.nodes if self.distributed else 1
        return math.ldexp(math.sqrt(shares * self.variance), -self.exponent)

    def noisy(self, vector: NDArray[Any], secret: bytes, label: str) -> NDArray[np.int64]:
        """A node's vector on the lattice, with its noise: what may leave the node (masked, if distributed).

        Args:
            vector: floats (dimension,). Each unit's part is clipped and finite; that is the caller's duty.
            secret: 32 bytes from the journal, for this task and attempt.
            label: names step and purpose; never the same for two vectors.

        Raises:
            BadInput: wrong shape, or not finite.
        """
        if vector.shape != (self.dimension,):
            raise BadInput(
                "A vector does not fit its noise.",
                f"It has the shape {vector.shape}, the plan says {self.dimension} numbers.",
                "Plan again.",
            )
        if self.exact and not lattice.lies_on(vector, self.exponent):
            raise BadInput(
                "A vector does not fit its noise.",
                "The plan says that it lies on the lattice, and it does not.",
                "Plan for floats.",
            )
        point = lattice.encode(vector, self.exponent, self.bound)
        point += discrete_gaussian(NoiseStream(secret, label), self.variance, self.dimension)
        return point

    def read(self, total: NDArray[np.int64]) -> NDArray[np.float64]:
        """A noisy lattice point, or a sum of them, in units of the vector."""
        return lattice.decode(total, self.exponent)


def mechanism_for(
    *,
    dimension: int,
    clip: float,
    noise_multiplier: float,
    largest: float,
    nodes: int = 1,
    distributed: bool = False,
    dropouts: int = 0,
    colluders: int = 0,
    occurrences: int = 1,
    slack: float = 0.0,
    exact_exponent: int | None = None,
    steps: int = 1,
) -> Mechanism:
    """The mechanism on the coarsest lattice that keeps the rules, with at least this noise multiplier.

    Args:
        dimension: coordinates.
        clip: the L2 norm to which a unit's contribution at a node is clipped.
        noise_multiplier: at least this, from `accounting.noise_multiplier`.
        largest: a public bound of a coordinate's magnitude at one node, for example `clip` times the batch's size.
        nodes: how many add noise.
        distributed: whether only the sum is seen.
        dropouts: how many nodes' shares may be missing.
        colluders: how many nodes' shares the adversary may know.
        occurrences: at how many nodes a unit may occur.
        slack: see `summation_slack`.
        steps: how many vectors the run publishes.
        exact_exponent: of the lattice on which the vectors lie already (0 for counts); `None` for floats.

    Raises:
        Refused: too few nodes are left after dropouts and colluders (clause `noise-shares`).
        BadInput: the numbers lead to no lattice or ring that Cloister computes with.
    """
    honest = nodes - dropouts - colluders if distributed else 1
    if honest < 1:
        raise Refused(
            "The noise cannot be shared.",
            f"Of {nodes} nodes, {dropouts} may drop out and {colluders} may collude: none is left.",
            "Include more owners, or permit fewer dropouts.",
            clause="noise-shares",
        )
    if not 1e-3 <= noise_multiplier <= 1e6 or not 1e-12 <= clip <= 1e12 or not 0 <= largest <= 1e15:
        raise BadInput(
            "There is no noise for these numbers.",
            "Noise multiplier, clipping norm or bound is out of range.",
            "Choose a clipping norm near 1.",
        )
    exponent = exact_exponent if exact_exponent is not None else lattice.finest_needed(dimension, clip)
    while True:
        reach = math.ldexp(largest, exponent)
        if reach >= lattice.MAX_BOUND:
            raise BadInput(
                "There is no lattice for these numbers.",
                "The largest coordinate would be too many steps from zero.",
                "Use a smaller batch, or a larger clipping norm.",
            )
        draft = _checked(
            dimension=dimension,
            clip=clip,
            exponent=exponent,
            bound=math.ceil(reach),
            variance=LEAST_SHARE,
            nodes=nodes,
            distributed=distributed,
            dropouts=dropouts,
            colluders=colluders,
            occurrences=occurrences,
            slack=slack,
            exact=exact_exponent is not None,
            steps=steps,
        )
        total = math.ceil((noise_multiplier * _UP * _UP * draft.sensitivity) ** 2 * _UP) + SMOOTHING
        # On a coarse lattice the comparison with the continuous Gaussian would cost more than a thousandth.
        if total >= _LEAST_TOTAL and total >= LEAST_SHARE * honest:
            break
        exponent += 1
    if total > MAX_VARIANCE:
        raise BadInput(
            "There is no noise for these numbers.", "It would be too large.", "Use a smaller clipping norm."
        )
    found = _checked(**{**draft.model_dump(), "variance": -(-total // honest)})
    if distributed:
        assert found.ring_bits <= lattice.MAX_RING_BITS
    assert found.noise_multiplier >= noise_multiplier
    return found


def _checked(**values: Any) -> Mechanism:
    try:
        return Mechanism.model_validate(values)
    except ValidationError as error:
        fields = ", ".join(sorted({str(item["loc"][0]) for item in error.errors() if item["loc"]}))
        raise BadInput(
            "There is no mechanism for these numbers.",
            f"Out of range: {fields}." if fields else "They contradict each other.",
            "Plan with other numbers.",
        ) from None


def summation_slack(terms: int, *, bits: int = 24) -> float:
    """By which fraction of `clip` a sum of `terms` vectors can miss the exact sum for two neighbouring datasets.

    Adding in whatever order, each coordinate is off by at most (terms - 1) u / (1 - (terms - 1) u) of the sum of
    magnitudes (Higham 2002, 4.4), u = 2^-bits; the vectors of magnitudes sum to at most `terms` · clip, and both
    neighbours are off. Two more roundings scale each term. (Casacuberta et al. 2022 tell what comes of ignoring it.)

    Args:
        terms: the most vectors that are added, with padding.
        bits: of the significand: 24 for single, 53 for double precision.

    Raises:
        BadInput: so many terms that the bound says nothing; sum in double precision.
    """
    error = (terms + 2) * 2.0**-bits if terms >= 1 and 8 <= bits <= 53 else 1.0
    found = 2 * terms * error / (1 - error) if error < 1 else math.inf
    if found > 0.5:
        raise BadInput(
            "The sum's rounding error is too large for a guarantee.",
            "So many numbers are added in a precision too low.",
            "Add in double precision, or in smaller batches.",
        )
    return found

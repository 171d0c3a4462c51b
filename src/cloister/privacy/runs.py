"""A private run as a plan states it: noise, sampling, batches and steps in one document, and what it is worth.

The planner makes it with `private_run`; every owner's node reads it from the plan, computes epsilon for itself, and charges
its loss in full before the first step. Whoever trains takes noise, batch size and rate from nowhere else.

Rules:
1. Epsilon follows from the document alone; whoever made it cannot state another.
   Machines may differ in the last digits of what they count (other libraries, other processors). So a plan claims a millionth
   more than is counted where it is made (`claim`), and every other node accepts that if it is not below what it counts
   itself, and hardly above (`claim_holds`). What is claimed, not what was counted, is charged.
2. What may fail (sums that wrap, batches that overflow at any node in any step) is in delta.
3. The slack for float summation is that of a full batch.
"""

from __future__ import annotations

import math
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cloister.foundation.errors import BadInput
from cloister.privacy import accounting, filters
from cloister.privacy.accounting import LEAST_DELTA, LEAST_RATE, MAX_UNITS, Accountant, Run
from cloister.privacy.filters import EPSILON_GRAIN
from cloister.privacy.mechanisms import Mechanism, mechanism_for, summation_slack

CLAIM_ABOVE: Final = 2.0**-20
"""By what share a plan claims more than is counted (rule 1); machines differ by less than a thousandth of it."""
CLAIM_ROOM: Final = 1e-3
"""By what share a claim may be above what another node counts: other versions of a library may count less."""
_FAILURE_SHARE: Final = 1e-3


class PrivateRun(BaseModel):
    """Steps of noise on Poisson samples, fixed in advance.

    Attributes:
        mechanism: the noise of one step; `mechanism.steps` is how many there are.
        rate: the chance of each unit to be in a step's sample, at each node for itself.
        units: a public bound of the units at one node.
        capacity: how many units a padded batch holds; what is drawn beyond is left out.
        bits: of the significand in which the batch is summed (24: float32).
        delta: of the guarantee.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    mechanism: Mechanism
    rate: float = Field(ge=LEAST_RATE, le=1)
    units: int = Field(ge=1, le=MAX_UNITS)
    capacity: int = Field(ge=1, le=MAX_UNITS)
    bits: int = Field(default=24, ge=8, le=53)
    delta: float = Field(ge=LEAST_DELTA, lt=1)

    @model_validator(mode="after")
    def _coherent(self) -> PrivateRun:
        if not self.mechanism.exact and self.mechanism.slack < _slack(self.capacity, self.bits):
            raise ValueError("the slack is less than a full batch's summation needs")
        return self

    @property
    def run(self) -> Run:
        """What is accounted. Raises `BadInput` for noise out of range."""
        batches = self.mechanism.steps * self.mechanism.nodes
        failure = accounting.overflow(self.units, self.rate, self.capacity, batches)
        if failure >= 0.5:
            raise BadInput(
                "The batches are too small.", "They overflow too often.", "Plan with a larger capacity."
            )
        return accounting.run_of(self.mechanism, self.rate, self.mechanism.steps, failure)

    def epsilon(self, accountant: Accountant = "pld") -> float:
        """Epsilon at `delta`; `inf` if none is proved."""
        return accounting.epsilon(self.run, self.delta, accountant)

    def loss(self, accountant: Accountant = "pld") -> filters.Loss:
        """What to charge, once, before the first step."""
        return filters.of_run(self.run, self.delta, accountant)

    def claim(self, accountant: Accountant = "pld") -> float:
        """The epsilon that a plan with this run claims (rule 1), in whole grains; `inf` if none is proved."""
        counted = self.loss(accountant).epsilon
        return claim_of(counted)


def claim_of(counted: int) -> float:
    """What is claimed where so many grains of epsilon are counted."""
    return math.inf if counted >= filters.CAP else math.ceil(counted * (1 + CLAIM_ABOVE)) * EPSILON_GRAIN


def claim_holds(claimed: float, counted: int) -> bool:
    """Whether a node that counts so many grains of epsilon may stand by a claim (rule 1): never by one that is below."""
    here = counted * EPSILON_GRAIN
    return here <= claimed <= here * (1 + CLAIM_ROOM)


def private_run(
    *,
    epsilon: float,
    delta: float,
    dimension: int,
    clip: float,
    units: int,
    rate: float,
    steps: int,
    nodes: int,
    distributed: bool,
    dropouts: int = 0,
    colluders: int = 0,
    occurrences: int = 1,
    capacity: int | None = None,
    bits: int = 24,
    accountant: Accountant = "pld",
) -> PrivateRun:
    """The run with the least noise whose claim keeps `epsilon` at `delta`.

    Args:
        epsilon: the target, for one unit.
        delta: of the guarantee.
        dimension: numbers in a step's vector.
        clip: L2 norm to which each unit's part is clipped.
        units: a public bound of the units at one node.
        rate: of sampling.
        steps: how many.
        nodes: how many take part.
        distributed: whether sums only are seen (secure aggregation).
        dropouts: how many nodes may be missing from a sum.
        colluders: how many nodes' noise the adversary may know.
        occurrences: at how many nodes a unit may occur.
        capacity: of a batch; chosen so that overflow takes a thousandth of delta if absent.
        bits: of the precision of sums.
        accountant: `renyi` is quicker and a little worse.

    Raises:
        Refused: no noise reaches it (clauses `noise`, `noise-shares`).
        BadInput: a number is out of range.
    """
    if not (
        0 < epsilon <= 1000 and LEAST_DELTA <= delta < 1 and 1 <= steps <= 1 << 20 and 1 <= nodes <= 1000
    ):
        raise BadInput(
            "There is no such run.", "Epsilon, delta, steps or nodes are out of range.", "Plan again."
        )
    if capacity is None:
        capacity = batch_capacity(
            units, rate, steps * nodes, _FAILURE_SHARE * delta / (1 + math.exp(min(epsilon, 700.0)))
        )
    draft = {
        "dimension": dimension,
        "clip": clip,
        "largest": clip * capacity,
        "nodes": nodes,
        "distributed": distributed,
        "dropouts": dropouts,
        "colluders": colluders,
        "occurrences": occurrences,
        "slack": _slack(capacity, bits),
        "steps": steps,
    }

    def planned(multiplier: float) -> PrivateRun:
        mechanism = mechanism_for(noise_multiplier=multiplier, **draft)  # type: ignore[arg-type]  # a dict of several types
        try:
            return PrivateRun(
                mechanism=mechanism, rate=rate, units=units, capacity=capacity, bits=bits, delta=delta
            )
        except ValidationError:
            raise BadInput("There is no such run.", "A number is out of range.", "Plan again.") from None

    # Rate and failure do not depend on the noise.
    known = planned(1.0).run
    multiplier = accounting.noise_multiplier(
        epsilon * (1 - 2 * CLAIM_ABOVE),
        delta,
        rate=known.rate,
        steps=steps,
        failure=known.failure,
        accountant=accountant,
    )
    return planned(multiplier)


def batch_capacity(units: int, rate: float, batches: int, failure: float) -> int:
    """The smallest capacity with which all these batches hold their samples but for this chance."""
    low, high = 0, units
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if accounting.overflow(units, rate, middle, batches) <= failure else (middle, high)
        )
    return high


def _slack(capacity: int, bits: int) -> float:
    return summation_slack(capacity, bits=bits)

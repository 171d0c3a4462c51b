"""What a task charges: what its signed plan claims, once in each attempt, before anything made from the data is kept.

A plan's *price* is the most that it claims, in epsilon and in delta: it is what people agreed to and what the certificate
will say. A protection works out its own loss, and hands it in when it charges. The two must be one and the same, and
they come from different places, so each is held against the other.

Rules:
1. The price is the greatest epsilon and the greatest delta of all claims, and of the declared cost, so that no part of a
   plan can understate it. Claims must speak of the population's own unit.
2. A loss below the price is refused: a protection's mistake may not undercharge. So is one whose Rényi bounds say less
   than the price, where filters count by those.
3. A loss above the price is refused: what was signed would not be true.
4. Between the two there is room for rounding only, and the greater of both is charged.
   Where the plan states its run (`runs.PrivateRun`), the run's own Rényi bounds, worked out here, are the least.
5. A task charges a population once in an attempt; a second charge would be beyond its price.
6. A step that was given protected data ends only if its task has charged in this attempt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from cloister.claims.offers import Offer
from cloister.claims.vocabulary import DifferentiallyPrivate
from cloister.foundation.canonical import canonical
from cloister.foundation.errors import BadInput, Conflict, Refused
from cloister.privacy import renyi
from cloister.privacy.filters import CAP, DELTA_GRAIN, EPSILON_GRAIN, ORDERS, Loss, pair
from cloister.privacy.runs import PrivateRun

ROUNDING: Final = 1e-3
"""How far below the price a loss may lie, relatively: plans are read by people, who round."""
_ABOVE: Final = 2.0**-30
_CURVE: Final = 1.1
"""Rényi bounds are nearly always looser than the price, which is worked out exactly; but for discretisation."""
_LEAST_SHARE: Final = 1e-12


@dataclass(frozen=True)
class Price:
    """What a plan costs each owner, as (epsilon, delta)."""

    epsilon: float
    delta: float

    @property
    def nothing(self) -> bool:
        """Whether the plan claims no differential privacy."""
        return self.epsilon <= 0 and self.delta <= 0


def price(offer: Offer, unit: str | None = None) -> Price:
    """What a plan's offer claims (rule 1).

    Args:
        offer: signed with the plan.
        unit: the population's; every claim must be in it. `None`: not asked.

    Raises:
        Refused: a claim is about another unit (clause `budget-unit`).
    """
    claimed = [
        claim.reached for claim in offer.claims.guarantees if isinstance(claim.reached, DifferentiallyPrivate)
    ]
    if unit is not None and any(item.unit != unit for item in claimed):
        raise Refused(
            "The plan protects another unit than the population's.",
            f"The population counts each {unit} by itself.",
            "Plan for that unit.",
            clause="budget-unit",
        )
    return Price(
        max([offer.cost.epsilon, *(item.epsilon for item in claimed)]),
        max([0.0, *(item.delta for item in claimed)]),
    )


def foreseen(offer: Offer) -> Loss:
    """What a plan will charge, as far as it tells: its price, and Rényi bounds (rule 4).

    They are those of the run that it states; without one, those of any mechanism of that price.
    """
    agreed = price(offer)
    run = stated(offer.parameters)
    if run is None:
        return pair(agreed.epsilon, agreed.delta)
    bounds = run.loss(
        "renyi"
    )  # the bounds are the same whichever accountant makes an epsilon of them, and this is quick
    return Loss(
        _up(agreed.epsilon, EPSILON_GRAIN),
        _up(agreed.delta, DELTA_GRAIN),
        bounds.curve,
        bounds.slip,
        bounds.failure,
    )


def stated(parameters: Mapping[str, Any], depth: int = 4) -> PrivateRun | None:
    """The private run in a plan's parameters, wherever its protection puts it; `None` if there is none that can be read."""
    if set(parameters) == set(PrivateRun.model_fields):
        try:
            run = PrivateRun.model_validate_json(canonical(dict(parameters)))
            _ = run.run
        except (ValidationError, BadInput):
            return None
        return run
    if depth == 0:
        return None
    inner = (value for _, value in sorted(parameters.items()) if isinstance(value, Mapping))
    return next((found for value in inner if (found := stated(value, depth - 1)) is not None), None)


def due(data: bytes, offer: Offer, unit: str) -> Loss:
    """What is to be charged: the loss that a step hands in, held against the plan (rules 1 to 4).

    Args:
        data: of `Loss.encode`, from a protection.
        offer: the plan's.
        unit: the population's.

    Raises:
        Refused: it is not readable, below the price, or above it (clause `budget-claim`); it is of another unit
            (`budget-unit`).
    """
    agreed, least = price(offer, unit), foreseen(offer)
    try:
        loss = Loss.decode(data)
    except BadInput:
        raise _refused("What it hands in cannot be read.") from None
    epsilon, delta = loss.epsilon * EPSILON_GRAIN, loss.delta * DELTA_GRAIN
    if epsilon < agreed.epsilon * (1 - ROUNDING) or delta < agreed.delta * (1 - ROUNDING):
        raise _refused("It would charge less than the plan claims.")
    if curve_epsilon(loss, agreed.delta) * _CURVE < agreed.epsilon:
        raise _refused("Its Rényi bounds say less than the plan claims.")
    if (
        epsilon > agreed.epsilon * (1 + _ABOVE) + EPSILON_GRAIN
        or delta > agreed.delta * (1 + _ABOVE) + DELTA_GRAIN
    ):
        raise _refused("It costs more than the plan claims, so the claim would not be true.")
    told = stated(offer.parameters) is not None
    return Loss(
        max(loss.epsilon, least.epsilon),
        max(loss.delta, least.delta),
        tuple(map(max, loss.curve, least.curve)) if told else loss.curve,
        max(loss.slip, least.slip) if told else loss.slip,
        max(loss.failure, least.failure) if told else loss.failure,
    )


def curve_epsilon(loss: Loss, delta: float) -> float:
    """The epsilon that a loss's Rényi bounds give at `delta`; `inf` if what they leave out takes all of delta."""
    rest = DELTA_GRAIN * (loss.slip + loss.failure * (1 + math.exp(min(loss.epsilon * EPSILON_GRAIN, 700.0))))
    share = delta - rest
    if share <= 0 < rest:
        return math.inf
    # A mechanism without a delta keeps its epsilon at any; its bounds are looked at with a tiny one.
    share = max(share, _LEAST_SHARE)
    return min(
        used * EPSILON_GRAIN + renyi.conversion(order, share)
        for used, order in zip(loss.curve, ORDERS, strict=True)
    )


def require_first(charged: Sequence[int], position: int) -> None:
    """Raises `Conflict` if another step of this attempt has charged (rule 5); `charged`: the positions of those that did."""
    if any(item != position for item in charged):
        raise Conflict(
            "A task charged a population a second time.",
            "What its plan claims was charged before; more would be beyond it.",
            "Report this protection's mistake to its authors.",
            clause="charge-once",
        )


def require_charged(charged: Sequence[int]) -> None:
    """Raises `Refused` if no step of this attempt has charged (rule 6)."""
    if not charged:
        raise Refused(
            "A step used protected data without charging its privacy budget.",
            "The data belongs to a population with a budget, or the plan claims differential privacy.",
            "Use a privacy method that charges; if this one claims to, report its mistake to its authors.",
            clause="budget-charged",
        )


def _up(value: float, grain: float) -> int:
    # A plan is a foreign document: its numbers may be as large as numbers are.
    return CAP if value / grain >= CAP else math.ceil(value / grain)


def _refused(why: str) -> Refused:
    return Refused(
        "What a step charges is not what its plan claims.",
        why,
        "Report this protection's mistake to its authors.",
        clause="budget-claim",
    )

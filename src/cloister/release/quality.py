"""Whether a candidate is good enough on an owner's own records, and what of that may be told.

Where a plan claims no differential privacy, the agreed metric is computed and held against the floor. Where it does, an
exact answer would be one that nobody charged for, so the vote is decided by noisy sums of units' scores
(`privacy.threshold`), which the run's own charge covers. The exact figure is shown to the owner's own people in both cases.

Rules:
1. Where the plan claims differential privacy, nothing exact decides: the vote follows from noisy sums, or is a refusal.
2. A floor that noise cannot decide is refused when a plan is made and when it is admitted, by the clause `quality`: a
   metric that is no mean of units' scores between 0 and 1, a floor outside of that, nothing kept apart.
3. The noise comes from a journalled secret of the task, which a private training has put on disk before it charges: a step
   that runs again, also from an older disk, gives the same vote.
4. In an attempt of a task one candidate is weighed; another gets no answer, so that noise cannot be averaged away.

Source: `docs/proofs/quality-gate.md`.
"""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

from cloister.agreements.clauses import QualityFloor
from cloister.agreements.terms import Terms
from cloister.claims.offers import Plan
from cloister.foundation.errors import BadInput, CloisterError, Refused
from cloister.journal.program import Local
from cloister.privacy import charging, threshold
from cloister.privacy.runs import PrivateRun
from cloister.training.fitting import read_recipe
from cloister.training.metrics import PER_UNIT
from cloister.training.recipe import TrainingRecipe

SECRET: Final = "quality"  # noqa: S105 - the label of a secret, not one
"""The label of the secret of votes' noise (`journal.Local.secret`)."""
_PURPOSE: Final = b"cloister/release/quality\0"


@dataclass(frozen=True)
class Judged:
    """Whether a candidate is good enough.

    Attributes:
        holds: it is. This alone may be told to others.
        why: for the owner's own people.
    """

    holds: bool
    why: str


def private(plan: Plan) -> bool:
    """Whether the plan claims differential privacy, so that noise decides."""
    return not charging.price(plan.offer).nothing


def exact(floor: QualityFloor, value: float) -> Judged:
    """A figure against the floor; NaN never holds."""
    return Judged(
        value >= floor.minimum,
        f"{floor.metric} on this server's validation records is {value:.4g}; at least {floor.minimum:g} is agreed.",
    )


def noisy(plan: Plan, floor: QualityFloor, scores: NDArray[Any], secret: bytes) -> Judged:
    """Units' scores against the floor, with noise.

    Args:
        plan: claims differential privacy.
        floor: agreed.
        scores: of the units kept apart, each by itself (`training.evaluate.scores`).
        secret: from `secret_for`.

    Raises:
        Refused: noise cannot decide (clause `quality`).
    """
    run = _run(plan)
    try:
        found = threshold.weigh(run, floor.minimum, scores, secret)
    except BadInput as error:
        raise _refused(error.why, error.remedy) from None
    if not found.units:
        return Judged(
            found.reached, "No records are kept apart at this server; noise alone decided about its vote."
        )
    return Judged(
        found.reached,
        f"{floor.metric} on this server's validation records is {found.mean:.4g} ({found.units} kept apart); at least "
        f"{floor.minimum:g} is agreed. With noise, which decides, it is {found.noisy:.4g}.",
    )


def secret_for(local: Local, candidate: str) -> bytes:
    """The secret of one candidate's noise (rule 3); `candidate`: its digest."""
    return hmac.digest(local.secret(SECRET, 32), _PURPOSE + candidate.encode(), "sha256")


def require_decidable(floor: QualityFloor | None, recipe: TrainingRecipe) -> None:
    """Raises `Refused` (clause `quality`) unless noise can decide about a floor (rule 2); `None` asks for nothing."""
    if floor is None:
        return
    if floor.metric not in PER_UNIT:
        raise _refused(
            f"The agreement asks for a least {floor.metric} on each owner's own records, and no bound is known of what one "
            "record can change in it, so noise cannot cover the answer.",
            f"Amend the agreement: ask for {' or '.join(sorted(PER_UNIT))}, or for no least quality.",
        )
    if not 0 <= floor.minimum <= 1:
        raise _refused(
            f"The agreement asks for a {floor.metric} of at least {floor.minimum:g}, and it lies between 0 and 1.",
            "Amend the agreement so that its least quality lies between 0 and 1.",
        )
    if recipe.validation <= 0:
        raise _refused(
            "The agreement asks for a least quality, and the recipe keeps no records apart to find it on.",
            "Set the recipe's `validation` above 0.",
        )


def require_planned(plan: Plan, terms: Terms) -> None:
    """What an owner's node asks of a plan before it admits it (rule 2). Raises `Refused` (clause `quality`)."""
    floor = terms.release.quality
    if floor is None or plan.request.computation.kind != "training" or not private(plan):
        return
    try:
        recipe = read_recipe(plan.request.computation.settings)
    except CloisterError as error:
        raise _refused(error.what, error.remedy) from None
    require_decidable(floor, recipe)
    if not isinstance(recipe.preparation, PER_UNIT[floor.metric]):
        raise _refused(
            f"The agreement asks for a least {floor.metric}, and the recipe's preparation is {recipe.preparation.name}.",
            "Correct the recipe, or amend the agreement.",
        )
    try:
        threshold.noise(_run(plan), floor.minimum)
    except BadInput as error:
        raise _refused(error.why, error.remedy) from None


def coarse(run: PrivateRun) -> tuple[float, int]:
    """What noise does to votes, at any floor: its standard deviation in scores, and how many units make it one in twenty.

    Raises `BadInput` for a run out of range.
    """
    return threshold.deviation(run, 1.0), threshold.needed(run, 1.0, 0.05)


def _run(plan: Plan) -> PrivateRun:
    found = charging.stated(plan.offer.parameters)
    if found is None or not math.isfinite(found.run.noise_multiplier):
        raise _refused(
            "The plan claims differential privacy and states no run from which noise could be taken for the vote.",
            "Ask for a privacy method that states its run, or amend the agreement so that no least quality is asked.",
        )
    return found


def _refused(why: str, remedy: str) -> Refused:
    return Refused(
        "The agreed quality cannot be decided without more privacy than is claimed.",
        why,
        remedy,
        clause="quality",
    )

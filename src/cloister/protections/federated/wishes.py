"""What a request may wish for in a federated training: public constants, each checked, each with the reason if it cannot be.

Wishes that are not listed here are for others (the planner's `protection` and `deadline`, other methods') and not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.foundation.canonical import canonical
from cloister.foundation.errors import CloisterError, Refused
from cloister.privacy.accounting import LEAST_DELTA, MAX_UNITS
from cloister.protections.federated.messages import MAX_OWNERS, MAX_ROUNDS
from cloister.protections.federated.settings import MAX_ROUND_SECONDS, MAX_STEPS

Weights = Annotated[dict[str, Any], Field(max_length=MAX_OWNERS)]


class Wishes(BaseModel):
    """The preferences that this protection reads; absent ones are chosen.

    Attributes:
        coordinator: a party by its fingerprint; the requester if absent.
        rounds: how many. With noise each is one step.
        local_steps: steps of each owner in a round; with noise always 1.
        round_seconds: how long a round's answers are waited for.
        minimum_answers: the fewest owners in every round.
        dropouts: the same, said the other way: how many may be missing.
        weights: party → how much it counts, a whole number.
        combining: how updates become one; other ways than the mean need to see each update.
        aggregation: `secure-sum` or `none`; whatever is stronger if absent.
        noise: `private-steps` or `none`; what the agreement's budgets ask for if absent.
        colluders: how many owners may pool what they hold.
        update_norm: without noise, the Euclidean norm to which updates are shortened before a secure sum.
        epsilon, delta: what the training may spend; at most what was agreed. Without epsilon it is all that was agreed, and
            the plan says so: what is kept back helps nobody unless somebody means to train again.
        clip: the Euclidean norm to which each unit's gradient is shortened.
        units: a public bound of how many units an owner has.
        batch: how many units an owner with that many takes for a step, on average.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    coordinator: str | None = None
    rounds: int | None = Field(default=None, ge=1, le=MAX_ROUNDS)
    local_steps: int | None = Field(default=None, ge=1, le=MAX_STEPS)
    round_seconds: int | None = Field(default=None, ge=1, le=MAX_ROUND_SECONDS)
    minimum_answers: int | None = Field(default=None, ge=1, le=MAX_OWNERS)
    dropouts: int | None = Field(default=None, ge=0, lt=MAX_OWNERS)
    weights: Weights | None = None
    combining: Literal["mean", "median", "trimmed-mean", "krum", "multi-krum", "clipped-mean"] = "mean"
    aggregation: Literal["none", "secure-sum"] | None = None
    noise: Literal["none", "private-steps"] | None = None
    colluders: int | None = Field(default=None, ge=1, le=MAX_OWNERS)
    update_norm: float | None = Field(default=None, gt=0, le=1e9, allow_inf_nan=False)
    epsilon: float | None = Field(default=None, gt=0, le=1000, allow_inf_nan=False)
    delta: float | None = Field(default=None, ge=LEAST_DELTA, lt=1, allow_inf_nan=False)
    clip: float | None = Field(default=None, ge=1e-6, le=1e6, allow_inf_nan=False)
    units: int | None = Field(default=None, ge=1, le=MAX_UNITS)
    batch: int | None = Field(default=None, ge=1, le=MAX_UNITS)


def read_wishes(preferences: Mapping[str, Any]) -> Wishes:
    """The wishes among a request's preferences. Raises `Refused` (clause `preference`) naming the wish and its range."""
    try:
        return Wishes.model_validate_json(canonical(dict(preferences)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "preferences"
        raise Refused(
            f"The wish `{name}` cannot be met.",
            f"The wish `{name}` cannot be met: {first['msg'][:200]}.",
            "Correct it, or leave it out.",
            clause="preference",
        ) from None
    except CloisterError as error:
        raise Refused(
            "The wishes could not be read.", error.what, "Correct the preferences.", clause="preference"
        ) from None

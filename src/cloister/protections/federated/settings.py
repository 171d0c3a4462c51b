"""The public constants of one federated training, as they stand in the signed plan.

Rules:
1. An owner's weight in the average is public: equal, or agreed in the plan. It is never a record count.
2. `aggregation` and `noise` are slots. Only `none` is filled yet; a plan that names anything else is refused rather
   than run without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cloister.foundation.canonical import canonical
from cloister.foundation.errors import CloisterError, Refused
from cloister.identity.keys import PartyId
from cloister.protections.federated.messages import MAX_OWNERS, MAX_ROUNDS
from cloister.training.recipe import ServerRecipe, TrainingRecipe

MODEL = ConfigDict(frozen=True, extra="forbid", strict=True)
MAX_PARAMETERS = 50_000_000
MAX_STEPS = 100_000
MAX_ROUND_SECONDS = 86_400


class EqualWeights(BaseModel):
    """Every owner that answers counts the same."""

    model_config = MODEL
    rule: Literal["equal"] = "equal"


class AgreedWeights(BaseModel):
    """Owners count as agreed in the plan, normalised over those who answer."""

    model_config = MODEL
    rule: Literal["agreed"] = "agreed"
    weights: dict[PartyId, Annotated[int, Field(ge=1, le=1_000_000)]] = Field(
        min_length=1, max_length=MAX_OWNERS
    )


class Slot(BaseModel):
    """A place for a technique that is not there yet."""

    model_config = MODEL
    name: Literal["none"] = "none"


class Settings(BaseModel):
    """What coordinator and owners go by.

    Attributes:
        algorithm: `fedavg` (McMahan et al. 2017) or `fedprox` (Li et al. 2020), which adds mu/2 ‖w - w_round‖² to
            each owner's loss.
        rounds: how often the owners' updates are averaged.
        local_steps: optimiser steps at each owner in each round.
        proximal_mu: FedProx's mu; zero for FedAvg.
        server: how the coordinator moves the weights along the average update (FedAvgM, FedAdam: Reddi et al. 2021).
        round_seconds: how long the coordinator waits for a round's answers.
        minimum_answers: with fewer in any round the task fails.
        dropouts: how many owners may be missing; the agreement limits it. Always owners less `minimum_answers`.
        weighting: how owners count in the average.
        parameters: how many trainable numbers the model has.
        norm_limit: an update with a larger Euclidean norm is refused by its sender and left out by the coordinator;
            a sanity bound, not a privacy mechanism.
        aggregation: slot for secure aggregation.
        noise: slot for differential privacy.
    """

    model_config = MODEL

    algorithm: Literal["fedavg", "fedprox"]
    rounds: int = Field(ge=1, le=MAX_ROUNDS)
    local_steps: int = Field(ge=1, le=MAX_STEPS)
    proximal_mu: float = Field(ge=0, le=1000, allow_inf_nan=False)
    server: ServerRecipe = ServerRecipe()
    round_seconds: int = Field(ge=1, le=MAX_ROUND_SECONDS)
    minimum_answers: int = Field(ge=1, le=MAX_OWNERS)
    dropouts: int = Field(ge=0, lt=MAX_OWNERS)
    weighting: Annotated[EqualWeights | AgreedWeights, Field(discriminator="rule")] = EqualWeights()
    parameters: int = Field(ge=1, le=MAX_PARAMETERS)
    norm_limit: float = Field(gt=0, allow_inf_nan=False)
    aggregation: Slot = Slot()
    noise: Slot = Slot()

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if (self.algorithm == "fedprox") != (self.proximal_mu > 0):
            raise ValueError("mu is for fedprox, and fedprox needs it")
        return self

    def shares(self, owners: tuple[str, ...]) -> dict[str, float]:
        """Owner → its public weight, not yet normalised."""
        if isinstance(self.weighting, AgreedWeights):
            return {owner: float(self.weighting.weights[owner]) for owner in owners}
        return dict.fromkeys(owners, 1.0)


def read_settings(parameters: Mapping[str, Any], owners: tuple[str, ...]) -> Settings:
    """The settings in an offer's parameters. Raises `Refused` for anything this protection would not offer."""
    try:
        settings = Settings.model_validate(dict(parameters))
    except ValidationError as error:
        places = sorted(
            {".".join(str(part) for part in item["loc"]) or "algorithm" for item in error.errors()}
        )
        raise _refused("Out of range, missing or unknown: " + ", ".join(places)[:400] + ".") from None
    if settings.minimum_answers + settings.dropouts != len(owners):
        raise _refused("The fewest answers and the dropouts together are not the owners.")
    if isinstance(settings.weighting, AgreedWeights) and set(settings.weighting.weights) != set(owners):
        raise _refused("The agreed weights are not of exactly the owners.")
    return settings


def read_recipe(settings: Mapping[str, Any]) -> TrainingRecipe:
    """The recipe in a computation's settings. Raises `Refused` naming the field."""
    try:
        return TrainingRecipe.model_validate_json(canonical(dict(settings)))
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])[:100]
        raise _refused(f"The recipe could not be read: {place}.") from None
    except CloisterError as error:
        raise _refused(f"The recipe could not be read: {error.what}") from None


def _refused(why: str) -> Refused:
    return Refused(
        "A plan for federated training cannot be run.",
        why,
        "Have the task planned again.",
        clause="plan-parameters",
    )

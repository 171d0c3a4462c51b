"""The public constants of one federated training, as they stand in the signed plan.

Rules:
1. An owner's weight in the average is public: equal, or agreed in the plan. It is never a record count.
2. `aggregation` and `noise` are slots: what fills them says everything that the slot needs, and a plan whose parts do not
   fit together is refused rather than run without one of them.
3. With noise, a round is one step of DP-SGD: every owner counts the same, and the sum of clipped gradients is divided by a
   public constant.
4. Rules that look at single updates (`combining` other than `mean`) exclude secure aggregation, which hides them, and noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cloister.foundation.canonical import canonical
from cloister.foundation.errors import CloisterError, Refused
from cloister.identity.keys import PartyId
from cloister.privacy.filters import Loss
from cloister.privacy.runs import PrivateRun, claim_holds, claim_of
from cloister.protections.federated.messages import MAX_OWNERS, MAX_ROUNDS
from cloister.training.recipe import ServerRecipe, TrainingRecipe

MODEL = ConfigDict(frozen=True, extra="forbid", strict=True)
MAX_PARAMETERS = 50_000_000
MAX_STEPS = 100_000
MAX_ROUND_SECONDS = 86_400
SUMMED_BITS = 24
"""Of the numbers in which workers sum (float32): a plan that claims more would understate the error."""


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


class Nothing(BaseModel):
    """An empty slot: each update is seen by the coordinator, or no noise is added."""

    model_config = MODEL
    name: Literal["none"] = "none"


class SecureSum(BaseModel):
    """Only sums are seen, and only by owners (`cloister.aggregation`).

    Attributes:
        colluders: how many owners may pool what they hold, the coordinator and the hub with them.
        update_norm: without noise, each owner shortens its update to this Euclidean norm; with noise, 0.
    """

    model_config = MODEL
    name: Literal["secure-sum"] = "secure-sum"
    colluders: int = Field(ge=1, le=MAX_OWNERS)
    update_norm: float = Field(ge=0, le=1e9, allow_inf_nan=False)


class PrivateSteps(BaseModel):
    """Each round is one step of differentially private gradient descent.

    Attributes:
        run: noise, sampling, batches and steps; epsilon follows from it.
        unit: what is protected, for example `image`; the agreement's budgets count the same.
    """

    model_config = MODEL
    name: Literal["private-steps"] = "private-steps"
    run: PrivateRun
    unit: str = Field(min_length=1, max_length=80)


class Settings(BaseModel):
    """What coordinator and owners go by.

    Attributes:
        algorithm: `fedavg` (McMahan et al. 2017) or `fedprox` (Li et al. 2020), which adds mu/2 ‖w - w_round‖² to
            each owner's loss.
        rounds: how often the owners' updates are averaged.
        local_steps: optimiser steps at each owner in each round.
        proximal_mu: FedProx's mu; zero for FedAvg.
        server: how the weights are moved along the average update (FedAvgM, FedAdam: Reddi et al. 2021).
        round_seconds: how long the coordinator waits for a round's answers.
        minimum_answers: with fewer in any round the task fails.
        dropouts: how many owners may be missing; the agreement limits it. Always owners less `minimum_answers`.
        weighting: how owners count in the average.
        parameters: how many trainable numbers the model has.
        trained: how many of them the recipe trains.
        norm_limit: an update with a larger Euclidean norm is refused by its sender and, where updates are seen, left out of the round;
            a sanity bound, not a privacy mechanism.
        combining: how updates become one: their weighted mean, or a rule that bounds what a few bad ones can do.
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
    trained: int = Field(ge=1, le=MAX_PARAMETERS)
    norm_limit: float = Field(gt=0, allow_inf_nan=False)
    combining: Literal["mean", "median", "trimmed-mean", "krum", "multi-krum", "clipped-mean"] = "mean"
    aggregation: Annotated[Nothing | SecureSum, Field(discriminator="name")] = Nothing()
    noise: Annotated[Nothing | PrivateSteps, Field(discriminator="name")] = Nothing()

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if (self.algorithm == "fedprox") != (self.proximal_mu > 0):
            raise ValueError("mu is for fedprox, and fedprox needs it")
        if self.trained > self.parameters:
            raise ValueError("more numbers are trained than there are")
        if self.combining != "mean" and (self.secure or self.private):
            raise ValueError("rules that look at single updates need to see them, without noise")
        if self.combining != "mean" and isinstance(self.weighting, AgreedWeights):
            raise ValueError("these rules count every owner the same")
        if self.secure is not None and (self.secure.update_norm > 0) == (self.private is not None):
            raise ValueError("updates have a norm without noise, gradients a clipping norm with it")
        if self.private is not None:
            mechanism, secure = self.private.run.mechanism, self.secure
            if (
                mechanism.dimension != self.trained
                or mechanism.steps != self.rounds
                or mechanism.exact
                or mechanism.nodes != self.minimum_answers + self.dropouts
                or mechanism.distributed != (secure is not None)
                or (secure is not None and mechanism.dropouts != self.dropouts)
                or (secure is not None and mechanism.colluders != secure.colluders)
                or self.private.run.bits != SUMMED_BITS
                or self.local_steps != 1
                or self.proximal_mu
                or isinstance(self.weighting, AgreedWeights)
            ):
                raise ValueError("the noise is for another training than this")
        return self

    @property
    def secure(self) -> SecureSum | None:
        """The secure aggregation, if there is one."""
        return self.aggregation if isinstance(self.aggregation, SecureSum) else None

    @property
    def private(self) -> PrivateSteps | None:
        """The private steps, if noise is added."""
        return self.noise if isinstance(self.noise, PrivateSteps) else None

    def shares(self, owners: tuple[str, ...]) -> dict[str, float]:
        """Owner → its public weight, not yet normalised."""
        if isinstance(self.weighting, AgreedWeights):
            return {owner: float(self.weighting.weights[owner]) for owner in owners}
        return dict.fromkeys(owners, 1.0)


def epsilon(settings: Settings) -> float:
    """What a plan with these settings claims, 0 without noise; at the delta of its run. It is charged to each population."""
    return 0.0 if settings.private is None else claim_of(loss_of(settings.private).epsilon)


def claims_enough(settings: Settings, claimed: float) -> bool:
    """Whether this node may stand by a plan that claims so much epsilon: not less than it counts itself, hardly more."""
    if settings.private is None:
        return claimed == 0
    return claim_holds(claimed, loss_of(settings.private).epsilon)


@lru_cache(maxsize=64)
def _counted(run: PrivateRun) -> Loss:
    # Counting takes seconds, and programs are made again for each step.
    return run.loss()


def loss_of(private: PrivateSteps) -> Loss:
    """What a run costs as it is counted here, the least that may be charged."""
    return _counted(private.run)


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

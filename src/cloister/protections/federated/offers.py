"""What federated training offers for a request, or why not. Pure: public facts in, offers out.

Four variants, by what is seen of the owners' contributions: `plain` (each, by the coordinator), `secure` (sums, by owners),
`secure-private` (noisy sums, by owners), `private` (each with all of its noise, by the coordinator).

Rules:
1. Only training computations with a model, between a coordinator and owners that are not the coordinator.
2. Everything that shapes the run is a public constant in the offer's parameters.
3. What an offer says of itself (claims, disclosures, epsilon, prediction, variant, holder) is a function of the settings
   and the owners alone (`promises`, `sizing`), so that every node can hold a plan's against its own.
4. Exact variants are not offered where a privacy budget is agreed, nor private ones where none is: their answers are what
   the agreement's budgets are about.
5. With a secure sum as many owners may be missing as the agreement permits and the thresholds allow. Unless a number is
   wished for, fewer may be missing rather than there being no secure sum.
6. With noise, the steps are as a private run wants them: one in each round, every owner counting the same. Without a
   secure sum the same privacy takes more noise, so this is offered only where there can be no secure sum, or none is wished.
7. With noise, a least quality that the agreement asks for must be one that noise can decide (`release.quality`, rule 2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from cloister.aggregation import choose
from cloister.agreements.terms import Terms
from cloister.claims.offers import Declined, Facts, Offer, Request
from cloister.data.schema import DatasetDescription
from cloister.foundation.errors import CloisterError, Refused
from cloister.protections.federated import sizing
from cloister.protections.federated.estimates import cost
from cloister.protections.federated.promises import (
    PAIR_WARNING,
    UPDATE_WARNING,
    WAYS,
    claims,
    discloses,
    holder,
    variant,
)
from cloister.protections.federated.robust import LEAST_ANSWERS, used
from cloister.protections.federated.settings import Settings, read_recipe, read_settings
from cloister.protections.federated.sizing import expected
from cloister.protections.federated.wishes import Wishes, read_wishes
from cloister.release.quality import require_decidable
from cloister.training.recipe import TrainingRecipe

__all__ = [
    "NAME",
    "PAIR_WARNING",
    "UPDATE_WARNING",
    "VARIANTS",
    "Variant",
    "claims",
    "discloses",
    "expected",
    "holder",
    "offers",
    "says",
    "variant",
]

Variant: TypeAlias = Literal["plain", "secure", "secure-private", "private"]

NAME = "federated-averaging"
VARIANTS: tuple[Variant, ...] = ("plain", "secure", "secure-private", "private")
DEFAULT_ROUNDS = 5
DEFAULT_ROUND_SECONDS = 600
RMS_LIMIT = 10.0
"""An update whose typical number is larger than this is a sign of diverged training, whatever the model."""
UPDATE_RMS = 1.0
"""Before a secure sum an update whose typical number is larger than this is shortened, unless another norm is wished."""


@dataclass(frozen=True)
class _Case:
    """A request that some variant may do."""

    request: Request
    facts: Facts
    terms: Terms
    wishes: Wishes
    recipe: TrainingRecipe
    catalogue: Mapping[str, DatasetDescription]
    seats: Mapping[str, tuple[str, ...]]
    parameters: int
    dropouts: int

    @property
    def owners(self) -> tuple[str, ...]:
        return self.seats["owner"]

    @property
    def trained(self) -> int:
        return self.facts.trained or self.parameters

    @property
    def colluders(self) -> int:
        return self.terms.colluders if self.wishes.colluders is None else self.wishes.colluders

    @property
    def dropouts_wished(self) -> bool:
        return self.wishes.dropouts is not None or self.wishes.minimum_answers is not None


def offers(
    request: Request, facts: Facts, variants: Sequence[Variant] = VARIANTS
) -> tuple[Offer | Declined, ...]:
    """For each of the variants an offer, or the reason why there is none; one reason where it is the same for all."""
    try:
        case = _case(request, facts)
        _objection(case)
    except CloisterError as error:
        return (_declined("", error),)
    return tuple(_offered(case, name) for name in variants)


def says(settings: Settings, owners: tuple[str, ...]) -> dict[str, Any]:
    """All that an offer with these settings says of itself, but what it costs in time and bytes; for holding a plan's
    against. `epsilon` of its cost is `settings.epsilon`.
    """
    return {
        "variant": variant(settings),
        "claims": claims(settings, owners),
        "discloses": discloses(settings, owners),
        "holder": holder(settings),
        "prediction": expected(settings),
    }


# What all variants need ------------------------------------------------------------------------------------------------


def _case(request: Request, facts: Facts) -> _Case:
    computation = request.computation
    if computation.kind != "training":
        raise _no(f"It trains models; this is a {computation.kind}.", "Ask for a training.")
    if "model" not in computation.contents:
        raise _no("The computation has no model.", "Add an ONNX file as its content `model`.")
    if not facts.parameters:
        raise _no(
            "The model has no trainable weights, or their number is not known.",
            "Run `cloister model check` on the file.",
        )
    wishes = read_wishes(request.preferences)
    owners = tuple(sorted(request.datasets))
    coordinator = wishes.coordinator or request.requester
    if coordinator in owners:
        raise _no(
            "The coordinator would also be an owner; nobody may take both seats.",
            "Ask from a party that gives no dataset, or name one as the preference `coordinator`.",
        )
    recipe = read_recipe(computation.settings)
    terms = Terms.from_odrl(facts.agreement)
    seats = {"coordinator": (coordinator,), "owner": owners}
    recipients = tuple(sorted(set(request.recipients) - set(owners) - {coordinator}))
    if recipients:
        seats["recipient"] = recipients
    catalogue = sizing.described(facts.catalogue)
    dropouts = _dropouts(terms, wishes, len(owners))
    return _Case(request, facts, terms, wishes, recipe, catalogue, seats, facts.parameters, dropouts)


def _dropouts(terms: Terms, wishes: Wishes, owners: int) -> int:
    """How many owners may be missing, as wished or as many as the agreement permits."""
    least = max(terms.minimum_parties, owners - terms.dropouts)
    answers = least if wishes.minimum_answers is None else wishes.minimum_answers
    if wishes.dropouts is not None:
        if wishes.minimum_answers not in (None, owners - wishes.dropouts):
            raise _no(
                "The wishes `minimum_answers` and `dropouts` contradict each other.", "Leave out one of them."
            )
        answers = owners - wishes.dropouts
    if owners < least:
        raise _no(
            f"There are too few owners: {owners}, and it takes {least}.", "Ask for more owners' datasets."
        )
    if not least <= answers <= owners:
        name = "dropouts" if wishes.dropouts is not None else "minimum_answers"
        raise _no(
            f"The wish `{name}` does not fit the agreement and the owners.",
            f"Between {least} and {owners} answers can be asked for.",
        )
    return owners - answers


def _objection(case: _Case) -> None:
    """Raises what the agreement has against it. Each node's admission decides; this saves the trip."""
    terms, computation = case.terms, case.request.computation
    allowed = terms.computation("training")
    if allowed is None or NAME not in allowed.protections:
        raise _no(
            "The agreement does not permit training by federated averaging.",
            "Amend the agreement so that it names this method.",
        )
    if computation.digest in terms.forbidden:
        raise _no("The agreement forbids exactly this computation.", "Ask for another one.")
    for seat, parties in case.seats.items():
        for party in parties:
            member = terms.member(party)
            if member is None or seat not in member.seats:
                raise _no(
                    f"{terms.name_of(party)} may not take the seat {seat}.",
                    "Seat somebody else, or amend the agreement.",
                )
    if case.wishes.colluders is not None and case.wishes.colluders < terms.colluders:
        raise _no(
            f"The agreement asks to withstand {terms.colluders} colluding parties; fewer are wished for.",
            f"Wish for at least {terms.colluders}.",
        )


# Each variant ----------------------------------------------------------------------------------------------------------


def _offered(case: _Case, name: Variant) -> Offer | Declined:
    make: Mapping[Variant, Callable[[_Case], dict[str, Any]]] = {
        "plain": _plain,
        "secure": _secure,
        "secure-private": _secure_private,
        "private": _private,
    }
    try:
        _wished(case, name)
        settings = read_settings(make[name](case), case.owners)
        if settings.local_steps > case.recipe.steps:
            raise _no(
                "More local steps are wished for than the recipe has.",
                f"Wish for at most {case.recipe.steps}, or change the recipe.",
            )
        return _offer(case, settings)
    except CloisterError as error:
        return _declined(WAYS["secure" in name, "private" in name], error)


def _offer(case: _Case, settings: Settings) -> Offer:
    owners = case.owners
    return Offer(
        protection=NAME,
        parameters=settings.model_dump(mode="json"),
        seats=dict(case.seats),
        cost=cost(settings, case.recipe, len(owners), len(case.request.recipients), case.facts.bench),
        **says(settings, owners),
    )


def _wished(case: _Case, name: Variant) -> None:
    """Raises where a variant is not one that was asked for."""
    asked = (
        ("aggregation", case.wishes.aggregation, "secure-sum" if "secure" in name else "none"),
        ("noise", case.wishes.noise, "private-steps" if "private" in name else "none"),
    )
    for wish, wanted, found in asked:
        if wanted not in (None, found):
            raise _no("Another way was asked for.", f"Leave out the preference `{wish}`.")


def _plain(case: _Case) -> dict[str, Any]:
    _exact(case)
    combining, answers = case.wishes.combining, len(case.owners) - case.dropouts
    if combining != "mean" and case.wishes.weights is not None:
        raise _no("Owners are weighted, and this rule counts every owner the same.", "Leave out the weights.")
    if answers < LEAST_ANSWERS[combining]:
        raise _no(
            f"The rule {combining} needs at least {LEAST_ANSWERS[combining]} answers in every round, and there may be "
            f"{answers}.",
            "Ask for more owners' data, or permit fewer dropouts.",
        )
    if used(combining, answers) < case.terms.minimum_parties:
        raise _no(
            f"The rule {combining} makes a round of {used(combining, answers)} of {answers} owners' updates, and the agreement "
            f"asks for {case.terms.minimum_parties} owners in a result.",
            "Ask for another rule, or for more owners' data.",
        )
    return {**_parameters(case, case.dropouts), "combining": combining}


def _secure(case: _Case) -> dict[str, Any]:
    _exact(case)
    _mean_only(case)
    norm = case.wishes.update_norm
    return {
        **_parameters(case, _surviving(case)),
        "aggregation": {
            "name": "secure-sum",
            "colluders": case.colluders,
            "update_norm": UPDATE_RMS * float(case.trained) ** 0.5 if norm is None else norm,
        },
    }


def _secure_private(case: _Case) -> dict[str, Any]:
    _steps_only(case)
    sum_of = {"name": "secure-sum", "colluders": case.colluders, "update_norm": 0.0}
    return {**_noisy(case, _surviving(case), distributed=True), "aggregation": sum_of}


def _private(case: _Case) -> dict[str, Any]:
    _steps_only(case)
    sizing.agreed(case.terms, case.request.datasets, case.catalogue)
    if case.wishes.aggregation is None:
        try:
            _surviving(case)
        except Refused:
            pass
        else:
            raise _no(
                "The same privacy takes less noise with secure sums, and hides single contributions as well.",
                "Ask for it by the preference `aggregation` (none).",
            )
    return _noisy(case, case.dropouts, distributed=False)


def _exact(case: _Case) -> None:
    """Raises unless the agreement lets results out that are not differentially private (rule 4)."""
    allowed = case.terms.computation("training")
    found = sizing.budgets(case.terms, case.request.datasets, case.catalogue)
    private = [case.terms.name_of(owner) for owner, budget in found.items() if budget is not None]
    if allowed is None or allowed.records == "refused":
        raise _no(
            "The result may contain input records, and the agreement does not accept that.",
            "Train with noise, for which there are privacy budgets."
            if private
            else "Amend the agreement so that owners may accept it, or so that it has privacy budgets for noise.",
        )
    if private:
        raise _no(
            f"Exact answers would void the guarantee of the privacy budgets of: {', '.join(private)}.",
            "Train with noise, or amend the agreement so that these have no budget.",
        )


def _mean_only(case: _Case) -> None:
    if case.wishes.combining != "mean":
        raise _no(
            f"The rule {case.wishes.combining} needs to see each owner's update without noise.",
            "Combine by the mean, or ask for no secure sums and no noise.",
        )


def _steps_only(case: _Case) -> None:
    _mean_only(case)
    require_decidable(case.terms.release.quality, case.recipe)
    if case.wishes.weights is not None:
        raise _no("With noise every owner counts the same.", "Leave out the preference `weights`.")
    if case.wishes.local_steps not in (None, 1):
        raise _no("With noise a round is one step.", "Leave out the preference `local_steps`.")
    if case.wishes.update_norm is not None:
        raise _no("With noise it is gradients that are shortened.", "Wish for `clip`, not `update_norm`.")


def _surviving(case: _Case) -> int:
    """How many owners may be missing from a secure sum (rule 5). Raises `Refused` if there can be none."""
    fewest = case.dropouts if case.dropouts_wished else 0
    for dropouts in range(case.dropouts, fewest - 1, -1):
        try:
            choose(len(case.owners), colluders=case.colluders, dropouts=dropouts)
        except Refused:
            if dropouts == fewest:
                raise
        else:
            return dropouts
    raise AssertionError("there is at least one number to try")


def _noisy(case: _Case, dropouts: int, *, distributed: bool) -> dict[str, Any]:
    terms, wishes = case.terms, case.wishes
    listed = sizing.agreed(terms, case.request.datasets, case.catalogue)
    units = sizing.units_of(wishes, list(case.catalogue.values()))
    batch = wishes.batch or min(units, sizing.MOST_BATCH, sizing.BATCHES * case.recipe.batch)
    rounds = wishes.rounds or sizing.DEFAULT_STEPS
    run = sizing.sized(
        wishes,
        listed,
        units=units,
        batch=batch,
        dimension=case.trained,
        steps=rounds,
        nodes=len(case.owners),
        owners_per_unit=terms.owners_per_unit,
        colluders=case.colluders,
        dropouts=dropouts,
        distributed=distributed,
    )
    return {
        **_parameters(case, dropouts),
        "algorithm": "fedavg",
        "proximal_mu": 0.0,
        "rounds": rounds,
        "local_steps": 1,
        "noise": {"name": "private-steps", "run": run.model_dump(mode="json"), "unit": listed[0].unit},
    }


def _parameters(case: _Case, dropouts: int) -> dict[str, Any]:
    wishes, recipe = case.wishes, case.recipe
    weights = wishes.weights
    return {
        "algorithm": "fedprox" if recipe.proximal > 0 else "fedavg",
        "rounds": wishes.rounds or DEFAULT_ROUNDS,
        "local_steps": wishes.local_steps or recipe.steps,
        "proximal_mu": float(recipe.proximal),
        "server": recipe.server.model_dump(mode="json"),
        "round_seconds": wishes.round_seconds or DEFAULT_ROUND_SECONDS,
        "minimum_answers": len(case.owners) - dropouts,
        "dropouts": dropouts,
        "weighting": {"rule": "equal"} if weights is None else {"rule": "agreed", "weights": weights},
        "parameters": case.parameters,
        "trained": case.trained,
        "norm_limit": RMS_LIMIT * float(case.parameters) ** 0.5,
        "aggregation": {"name": "none"},
        "noise": {"name": "none"},
    }


def _no(why: str, remedy: str) -> Refused:
    return Refused("Federated training cannot be offered.", why, remedy)


def _declined(title: str, error: CloisterError) -> Declined:
    return Declined(
        protection=NAME,
        variant=title,
        reason=(error.why or error.what)[:1000],
        remedy=(error.remedy or "Change the preferences or the recipe.")[:1000],
    )

"""What federated averaging offers for a request, or why not. Pure: public facts in, an offer out.

Rules:
1. Only training computations with a model, between a coordinator and owners that are not the coordinator.
2. The claims are those of the protocol and no stronger: links are sealed and signed, records stay with their owner,
   and each update is *disclosed* to the coordinator, and between owners where two answers make a round. What is not
   protected is said in words.
3. Everything that shapes the run is a public constant in the offer's parameters.
4. Claims and disclosures are a function of the settings and the owners alone, so that every node can hold a plan's
   against its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloister.agreements.terms import Terms
from cloister.claims.offers import Cost, Declined, Facts, Offer, Request
from cloister.claims.vocabulary import (
    Adversary,
    Artefact,
    Behaviour,
    Claim,
    Claims,
    Disclosed,
    Hidden,
    Sealed,
    Signed,
)
from cloister.foundation.errors import CloisterError, Refused
from cloister.protections.federated.settings import Settings, read_recipe, read_settings
from cloister.training.recipe import TrainingRecipe

NAME = "federated-averaging"
DEFAULT_ROUNDS = 5
DEFAULT_ROUND_SECONDS = 600
DEFAULT_BYTES_PER_SECOND = 10e6
DEFAULT_SECONDS_PER_STEP = 0.5
RMS_LIMIT = 10.0
"""An update whose typical number is larger than this is a sign of diverged training, whatever the model."""

UPDATE_WARNING = "each owner's update is seen by the coordinator; may contain input records"
PAIR_WARNING = "in a round that only two owners answered, each of them can work out the other's update"
HEAVY_WARNING = "an owner outweighs the others of a round together; the average is close to its update"


def _between_owners(settings: Settings, owners: tuple[str, ...]) -> Hidden | Disclosed:
    """What owners learn of each other's updates besides the averages, which are claimed apart."""
    if len(owners) == 1:
        return Hidden()
    if settings.minimum_answers <= 2:
        # Of two answers, the average and one give the other.
        return Disclosed(what=PAIR_WARNING)
    shares = sorted(settings.shares(owners).values(), reverse=True)
    least = sum(shares[-(settings.minimum_answers - 1) :])
    return Disclosed(what=HEAVY_WARNING) if shares[0] > least else Hidden()


def claims(settings: Settings, owners: tuple[str, ...]) -> Claims:
    """What plain federated averaging guarantees with these settings, and what it does not."""
    between = _between_owners(settings, owners)
    outside = Adversary(seats=("hub", "outsider"), behaviour=Behaviour.MALICIOUS)
    return Claims(
        guarantees=(
            Claim(artefact=Artefact.LINK, against=outside, reached=Sealed(quantum_safe=True)),
            Claim(artefact=Artefact.LINK, against=outside, reached=Signed()),
            Claim(artefact=Artefact.INPUT, against=outside, reached=Hidden()),
            Claim(artefact=Artefact.UPDATE, against=outside, reached=Hidden()),
            Claim(artefact=Artefact.UPDATE, against=Adversary(seats=("owner",)), reached=between),
            Claim(
                artefact=Artefact.UPDATE,
                against=Adversary(seats=("coordinator",)),
                reached=Disclosed(what=UPDATE_WARNING),
                citation="Geiping et al. 2020, Inverting Gradients (NeurIPS)",
            ),
            Claim(
                artefact=Artefact.AGGREGATE,
                against=Adversary(seats=("coordinator", "owner")),
                reached=Disclosed(what="the averaged weights after every round"),
            ),
            Claim(
                artefact=Artefact.RESULT,
                against=Adversary(seats=("recipient",)),
                reached=Disclosed(what="the released model; may contain input records"),
            ),
        ),
        not_protected=(
            "The coordinator sees each owner's update, from which records can sometimes be rebuilt.",
            "The averaged weights and the released model may contain input records; no noise is added.",
            "Owners together, or an owner together with the coordinator, learn what the others contributed.",
            "An owner that lies about its data can spoil the model.",
            "The hub sees who talks to whom, when, and how much.",
        ),
    )


def discloses(settings: Settings, owners: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """What each seat learns on the way."""
    between = _between_owners(settings, owners)
    return {
        "coordinator": (UPDATE_WARNING, "which owners answered each round"),
        "owner": (
            "the averaged weights after every round",
            "which owners answered each round",
            *((between.what,) if isinstance(between, Disclosed) else ()),
        ),
    }


def offers(request: Request, facts: Facts) -> tuple[Offer | Declined, ...]:
    """One offer, or one reason why there is none."""
    return (_offer(request, facts),)


def _offer(request: Request, facts: Facts) -> Offer | Declined:
    computation, wishes = request.computation, request.preferences
    if computation.kind != "training":
        return _declined(f"It trains models; this is a {computation.kind}.", "Ask for a training.")
    if "model" not in computation.contents:
        return _declined("The computation has no model.", "Add an ONNX file as its content `model`.")
    if not facts.parameters:
        return _declined(
            "The model has no trainable weights, or their number is not known.",
            "Run `cloister model check` on the file.",
        )
    owners = tuple(sorted(request.datasets))
    coordinator = wishes.get("coordinator", request.requester)
    if not isinstance(coordinator, str):
        return _declined("The wish `coordinator` is no party.", "Name a party by its fingerprint.")
    if coordinator in owners:
        return _declined(
            "The coordinator would also be an owner; it sees the others' updates.",
            "Ask from a party that gives no dataset, or name one as the preference `coordinator`.",
        )
    try:
        recipe = read_recipe(computation.settings)
    except Refused as error:
        return _declined(error.why, "Correct the computation's settings.")
    try:
        terms = Terms.from_odrl(facts.agreement)
    except CloisterError as error:
        return _declined(f"The agreement could not be read: {error.what}"[:1000], error.remedy[:1000])

    seats = {"coordinator": (coordinator,), "owner": owners}
    recipients = tuple(sorted(set(request.recipients) - set(owners) - {coordinator}))
    if recipients:
        seats["recipient"] = recipients
    least = terms.minimum_parties
    refusal = _objection(request, terms, seats, least)
    if refusal is not None:
        return refusal
    answers = wishes.get("minimum_answers", max(least, len(owners) - terms.dropouts))
    if not isinstance(answers, int) or not max(least, len(owners) - terms.dropouts) <= answers <= len(owners):
        return _declined(
            "The wish `minimum_answers` does not fit the agreement and the owners.",
            f"Between {max(least, len(owners) - terms.dropouts)} and {len(owners)} answers can be asked for.",
        )
    try:
        settings = read_settings(_parameters(request, recipe, facts.parameters, owners, answers), owners)
    except Refused as error:
        return _declined(error.why, "Change the preferences or the recipe.")

    if settings.local_steps > recipe.steps:
        return _declined(
            "More local steps are wished for than the recipe has.",
            f"Wish for at most {recipe.steps}, or change the recipe.",
        )

    size = 4 * facts.parameters
    each_way = size * settings.rounds * len(owners)
    rate = facts.bench.get("bytes_per_second", DEFAULT_BYTES_PER_SECOND)
    step = facts.bench.get("seconds_per_step", DEFAULT_SECONDS_PER_STEP)
    return Offer(
        protection=NAME,
        parameters=settings.model_dump(mode="json"),
        seats=seats,
        discloses=discloses(settings, owners),
        claims=claims(settings, owners),
        cost=Cost(
            seconds=settings.rounds * settings.local_steps * step + 2 * each_way / rate,
            bytes_up=each_way,
            bytes_down=each_way + (len(owners) + len(request.recipients)) * size,
        ),
    )


def _parameters(
    request: Request, recipe: TrainingRecipe, parameters: int, owners: tuple[str, ...], answers: int
) -> dict[str, Any]:
    wishes = request.preferences
    weights = wishes.get("weights")
    return {
        "algorithm": "fedprox" if recipe.proximal > 0 else "fedavg",
        "rounds": wishes.get("rounds", DEFAULT_ROUNDS),
        "local_steps": wishes.get("local_steps", recipe.steps),
        "proximal_mu": float(recipe.proximal),
        "server": recipe.server.model_dump(mode="json"),
        "round_seconds": wishes.get("round_seconds", DEFAULT_ROUND_SECONDS),
        "minimum_answers": answers,
        "dropouts": len(owners) - answers,
        "weighting": {"rule": "equal"} if weights is None else {"rule": "agreed", "weights": weights},
        "parameters": parameters,
        "trained": parameters,
        "norm_limit": RMS_LIMIT * float(parameters) ** 0.5,
        "aggregation": {"name": "none"},
        "noise": {"name": "none"},
    }


def _objection(
    request: Request, terms: Terms, seats: Mapping[str, tuple[str, ...]], least: int
) -> Declined | None:
    """Why the agreement does not let this happen, or `None`. Each node's admission decides; this saves the trip."""
    allowed = terms.computation("training")
    if allowed is None or NAME not in allowed.protections:
        return _declined(
            "The agreement does not permit training by federated averaging.",
            "Amend the agreement so that it names this method.",
        )
    if request.computation.digest in terms.forbidden:
        return _declined("The agreement forbids exactly this computation.", "Ask for another one.")
    if allowed.records == "refused":
        return _declined(
            "The result may contain input records, and the agreement does not accept that.",
            "Amend the agreement so that owners may accept it; this method adds no noise.",
        )
    if len(seats["owner"]) < least:
        return _declined(
            f"There are too few owners: {len(seats['owner'])}, and it takes {least}.",
            "Ask for more owners' datasets.",
        )
    for seat, parties in seats.items():
        for party in parties:
            member = terms.member(party)
            if member is None or seat not in member.seats:
                return _declined(
                    f"{terms.name_of(party)} may not take the seat {seat}.",
                    "Seat somebody else, or amend the agreement.",
                )
    return None


def _declined(reason: str, remedy: str) -> Declined:
    return Declined(protection=NAME, reason=reason, remedy=remedy)

"""What federated averaging offers for a request, or why not. Pure: public facts in, an offer out.

Rules:
1. Only training computations with a model, between a coordinator and owners that are not the coordinator.
2. The claims are those of the protocol and no stronger: links are sealed and signed, records stay with their owner,
   and each update is *disclosed* to the coordinator. What is not protected is said in words.
3. Everything that shapes the run is a public constant in the offer's parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from cloister.foundation.errors import Refused
from cloister.protections.federated.settings import read_settings

NAME = "federated-averaging"
DEFAULT_ROUNDS = 5
DEFAULT_STEPS = 20
DEFAULT_ROUND_SECONDS = 600
DEFAULT_BYTES_PER_SECOND = 10e6
DEFAULT_SECONDS_PER_STEP = 0.5
RMS_LIMIT = 10.0
"""An update whose typical number is larger than this is a sign of diverged training, whatever the model."""

UPDATE_WARNING = "each owner's update is seen by the coordinator; may contain input records"


def claims() -> Claims:
    """What plain federated averaging guarantees, and what it does not."""
    outside = Adversary(seats=("hub", "outsider"), behaviour=Behaviour.MALICIOUS)
    return Claims(
        guarantees=(
            Claim(artefact=Artefact.LINK, against=outside, reached=Sealed(quantum_safe=True)),
            Claim(artefact=Artefact.LINK, against=outside, reached=Signed()),
            Claim(artefact=Artefact.INPUT, against=outside, reached=Hidden()),
            Claim(artefact=Artefact.UPDATE, against=outside, reached=Hidden()),
            Claim(artefact=Artefact.UPDATE, against=Adversary(seats=("owner",)), reached=Hidden()),
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
    if coordinator in owners:
        return _declined(
            "The coordinator would also be an owner; it sees the others' updates.",
            "Ask from a party that gives no dataset, or name one as the preference `coordinator`.",
        )
    rules = _AgreementView(facts.agreement)
    refusal = rules.objection(request, coordinator, owners)
    if refusal is not None:
        return refusal
    parameters = _parameters(request, facts, owners, rules)
    if parameters["minimum_answers"] < rules.minimum_parties(len(owners)):
        return _declined(
            f"Fewer answers per round are wished for than the agreement allows ({rules.minimum_parties(len(owners))}).",
            "Raise the preference `minimum_answers`.",
        )
    try:
        settings = read_settings(parameters, owners)
    except Refused as error:
        return _declined(error.why, "Change the preferences or the recipe.")

    recipients = tuple(sorted(set(request.recipients) - set(owners) - {coordinator}))
    seats = {"coordinator": (coordinator,), "owner": owners}
    if recipients:
        seats["recipient"] = recipients
    size = 4 * facts.parameters
    each_way = size * settings.rounds * len(owners)
    rate = facts.bench.get("bytes_per_second", DEFAULT_BYTES_PER_SECOND)
    step = facts.bench.get("seconds_per_step", DEFAULT_SECONDS_PER_STEP)
    return Offer(
        protection=NAME,
        parameters=settings.model_dump(mode="json"),
        seats=seats,
        discloses={
            "coordinator": (UPDATE_WARNING, "which owners answered each round"),
            "owner": ("the averaged weights after every round", "which owners answered each round"),
        },
        claims=claims(),
        cost=Cost(
            seconds=settings.rounds * settings.local_steps * step + 2 * each_way / rate,
            bytes_up=each_way,
            bytes_down=each_way + (len(owners) + len(request.recipients)) * size,
        ),
    )


def _parameters(
    request: Request, facts: Facts, owners: tuple[str, ...], rules: _AgreementView
) -> dict[str, Any]:
    recipe, wishes = request.computation.settings, request.preferences
    mu = recipe.get("proximal_mu", 0.0)
    weights = wishes.get("weights")
    assert facts.parameters is not None
    return {
        "algorithm": "fedprox" if isinstance(mu, int | float) and mu > 0 else "fedavg",
        "rounds": wishes.get("rounds", recipe.get("rounds", DEFAULT_ROUNDS)),
        "local_steps": wishes.get("local_steps", recipe.get("local_steps", DEFAULT_STEPS)),
        "proximal_mu": float(mu) if isinstance(mu, int) else mu,
        "round_seconds": wishes.get("round_seconds", DEFAULT_ROUND_SECONDS),
        "minimum_answers": wishes.get("minimum_answers", rules.minimum_parties(len(owners))),
        "weighting": {"rule": "equal"} if weights is None else {"rule": "agreed", "weights": weights},
        "parameters": facts.parameters,
        "norm_limit": RMS_LIMIT * float(facts.parameters) ** 0.5,
        "aggregation": {"name": "none"},
        "noise": {"name": "none"},
    }


class _AgreementView:
    """The clauses that bear on whether, and how, this protection can offer. Admission decides; this saves the trip."""

    def __init__(self, terms: Mapping[str, Any]) -> None:
        self.terms = terms

    def minimum_parties(self, owners: int) -> int:
        """Owners that must answer each round: all, less the dropouts that the agreement permits, and at least two."""
        least = max(2, int(self.terms.get("minimum_parties", 2)))
        return max(least, owners - int(self.terms.get("dropouts", 0)))

    def objection(self, request: Request, coordinator: str, owners: tuple[str, ...]) -> Declined | None:
        """Why the agreement does not let this happen, or `None`."""
        least = max(2, int(self.terms.get("minimum_parties", 2)))
        if len(owners) < least:
            return _declined(
                f"There are too few owners: {len(owners)}, and it takes {least}.",
                "Ask for more owners' datasets.",
            )
        del request, coordinator
        return None


def _declined(reason: str, remedy: str) -> Declined:
    return Declined(protection=NAME, reason=reason, remedy=remedy)

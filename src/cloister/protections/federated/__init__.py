"""Federated averaging: owners train on their own records, what changed is averaged, round by round.

FedAvg (McMahan et al. 2017), FedProx (Li et al. 2020), FedAdam (Reddi et al. 2021). Records stay where they are. Two slots
of the plan say what else is kept: with a secure sum the coordinator sees neither an update nor the average, with noise a
round is one step of differentially private gradient descent.

Files: `offers` (when, and with which claims), `settings` (the plan's constants); `coordinator` and `owner` (the two
programs where updates are seen), `secure_coordinator` and `secure_owner` (where only sums are), `secure` (what those have
in common); `wishes` (what a request may ask for), `promises` (all that a plan says of itself), `sizing` (noise, and what it does),
`estimates` (cost), `robust` (rules where updates are seen); `contribution` (what an owner gives to a round), `messages` and `framing` (what travels), `averaging` and `server`
(the arithmetic), `worker` (what the engine is asked).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cloister.claims.offers import Declined, Facts, Offer, Request
from cloister.claims.vocabulary import Claim, DifferentiallyPrivate
from cloister.foundation.errors import Refused
from cloister.journal.program import Program
from cloister.protections.federated import secure_coordinator, secure_owner
from cloister.protections.federated.coordinator import coordinator
from cloister.protections.federated.offers import NAME, offers, says
from cloister.protections.federated.owner import owner
from cloister.protections.federated.settings import claims_enough, epsilon, read_recipe, read_settings

__all__ = ["FederatedAveraging"]


class FederatedAveraging:
    """The protection; see the package."""

    name: str = NAME
    maturity: Literal["stable", "experimental"] = "stable"

    def offers(self, request: Request, facts: Facts) -> Sequence[Offer | Declined]:
        """An offer, or the reason why there is none, for each of the four ways; one reason where it is the same for all."""
        return offers(request, facts)

    def program(self, offer: Offer, request: Request, seat: str) -> Program:
        """One seat's program. Raises `Refused` for an offer that it would not make, or a seat that it has not.

        The requester writes the plan. What it claims is decided on (floors, records in the result, budgets) and shown
        to people, so every seat's node works the claims out anew from the settings and refuses any others. Of epsilon the
        last digits may differ between machines: one number, which is not below what is counted here, stands in all claims.

        Recipients take no part in the training; their node goes straight to the release.
        """
        owners = offer.seats.get("owner", ())
        coordinators = offer.seats.get("coordinator", ())
        model = request.computation.contents.get("model")
        if (
            offer.protection != NAME
            or request.computation.kind != "training"
            or seat not in {"coordinator", "owner"}
            or len(coordinators) != 1
            or not owners
            or set(owners) != set(request.datasets)
            or coordinators[0] in owners
            or model is None
        ):
            raise Refused(
                "A plan for federated training cannot be run.",
                "Its seats, datasets or contents are not those of an offer of this protection.",
                "Have the task planned again.",
                clause="plan-seats",
            )
        settings = read_settings(offer.parameters, owners)
        recipe = read_recipe(request.computation.settings)
        if (
            (settings.proximal_mu != recipe.proximal and settings.private is None)
            or settings.server != recipe.server
            or settings.local_steps > recipe.steps
        ):
            raise Refused(
                "A plan for federated training cannot be run.",
                "Its local steps, its mu or its server's optimiser are not those of the computation's recipe.",
                "Have the task planned again.",
                clause="plan-parameters",
            )
        here = epsilon(settings)
        counted = _counted_here(offer, here)
        if (
            not claims_enough(settings, offer.cost.epsilon)
            or counted.cost.epsilon != here
            or any(getattr(counted, name) != told for name, told in says(settings, owners).items())
            or offer.maturity != self.maturity
        ):
            raise Refused(
                "A plan claims what its privacy method does not give.",
                "What it says of guarantees, gaps or disclosures is not what federated averaging says of these settings.",
                "Have the task planned again, and ask the requester how the plan came about.",
                clause="plan-claims",
            )
        if settings.secure is not None:
            if seat == "coordinator":
                return secure_coordinator.coordinator(settings, request, coordinators[0])
            return secure_owner.owner(settings, request, coordinators[0])
        if seat == "coordinator":
            return coordinator(settings, model, owners)
        return owner(settings, model, request.computation.settings, dict(request.datasets), coordinators[0])


def _counted_here(offer: Offer, here: float) -> Offer:
    """The offer as it would be made here: with the epsilon that is claimed here, where all of its claims have its cost's."""
    claims = offer.claims.guarantees
    if any(dp.epsilon != offer.cost.epsilon for claim in claims if (dp := _private(claim)) is not None):
        return offer

    def own(claim: Claim) -> Claim:
        dp = _private(claim)
        changes = {} if dp is None else {"reached": dp.model_copy(update={"epsilon": here})}
        return claim.model_copy(update=changes)

    told = offer.claims.model_copy(update={"guarantees": tuple(own(claim) for claim in claims)})
    return offer.model_copy(update={"claims": told, "cost": offer.cost.model_copy(update={"epsilon": here})})


def _private(claim: Claim) -> DifferentiallyPrivate | None:
    return claim.reached if isinstance(claim.reached, DifferentiallyPrivate) else None

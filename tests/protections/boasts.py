"""Offers that say other things of themselves than their protection would: what a dishonest requester may put in a plan.

The requester writes the plan, and agreements, people and gates decide on what it says of itself. So every change of
what is guaranteed, disclosed, spent or called stable must be noticed by the protection, whose words they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cloister.claims.offers import Offer, Prediction, Request
from cloister.claims.vocabulary import (
    Adversary,
    Artefact,
    Assumption,
    Behaviour,
    Claim,
    Claims,
    DifferentiallyPrivate,
    Disclosed,
    Hidden,
)
from cloister.foundation.errors import Refused
from cloister.journal.program import Program

NOISE = DifferentiallyPrivate(epsilon=0.1, delta=1e-9, unit="record", mechanism="gaussian")
EVERYBODY = Adversary(
    seats=("coordinator", "hub", "outsider", "owner", "recipient"), behaviour=Behaviour.MALICIOUS
)


def boasts(offer: Offer) -> Iterator[tuple[str, Offer]]:
    """(what is wrong, the offer with that one thing changed); all else is the protection's own."""
    for name, claims in _claims(offer.claims):
        yield name, offer.model_copy(update={"claims": claims})
    for name, discloses in _discloses(offer.discloses):
        yield name, offer.model_copy(update={"discloses": discloses})
    other = "experimental" if offer.maturity == "stable" else "stable"
    yield f"calls itself {other}", offer.model_copy(update={"maturity": other})
    yield "calls itself another way", offer.model_copy(update={"variant": f"{offer.variant} and better"})
    holder = "owner" if offer.holder == "coordinator" else "coordinator"
    yield f"is held by the {holder}", offer.model_copy(update={"holder": holder})
    for name, prediction in _predictions(offer.prediction):
        yield name, offer.model_copy(update={"prediction": prediction})
    spent = offer.cost.epsilon
    for epsilon in {0.0, spent / 2, spent + 0.5} - {spent}:
        cost = offer.cost.model_copy(update={"epsilon": epsilon})
        yield f"spends {epsilon}", offer.model_copy(update={"cost": cost})


def _predictions(told: Prediction | None) -> Iterator[tuple[str, Prediction | None]]:
    if told is None:
        yield "expects noise where there is none", Prediction(noise=0.0, sentences=("No loss.",))
        return
    yield "expects no noise", None
    yield "expects less noise", told.model_copy(update={"noise": told.noise / 2})
    yield "expects it in other words", told.model_copy(update={"sentences": ("No loss.",)})


def _claims(claims: Claims) -> Iterator[tuple[str, Claims]]:
    kept, gaps = claims.guarantees, claims.not_protected

    def put(place: int, *found: Claim) -> Claims:
        return claims.model_copy(update={"guarantees": (*kept[:place], *found, *kept[place + 1 :])})

    for place, claim in enumerate(kept):
        yield f"leaves out guarantee {place}", put(place)
        for name, stronger in _stronger(claim):
            yield f"guarantee {place} {name}", put(place, stronger)
            yield f"guarantee {place} also {name}", put(place, claim, stronger)
    for artefact in Artefact:
        for reached in (Hidden(), NOISE):
            extra = Claim(artefact=artefact, against=EVERYBODY, reached=reached)
            yield (
                f"also the {artefact} is {reached.how} from everybody",
                claims.model_copy(update={"guarantees": (*kept, extra)}),
            )
    for place in range(len(gaps)):
        left = (*gaps[:place], *gaps[place + 1 :])
        yield f"leaves out gap {place}", claims.model_copy(update={"not_protected": left})
    yield "names no gap", claims.model_copy(update={"not_protected": ()})
    yield "names a gap in other words", claims.model_copy(update={"not_protected": (*gaps[1:], "None.")})
    yield "says nothing", Claims()


def _stronger(claim: Claim) -> Iterator[tuple[str, Claim]]:
    def changed(**changes: object) -> Claim:
        return claim.model_copy(update=changes)

    if isinstance(claim.reached, Disclosed):
        yield "is hidden", changed(reached=Hidden())
        yield "is noised", changed(reached=NOISE)
        yield "discloses less", changed(reached=Disclosed(what="nothing of interest"))
    if isinstance(claim.reached, DifferentiallyPrivate):
        half = claim.reached.model_copy(update={"epsilon": claim.reached.epsilon / 2})
        yield "has half the epsilon", changed(reached=half)
    if claim.assumption is not Assumption.NONE:
        yield "assumes nothing", changed(assumption=Assumption.NONE)
    if claim.against.behaviour is not Behaviour.MALICIOUS:
        yield (
            "holds against cheats",
            changed(against=claim.against.model_copy(update={"behaviour": Behaviour.MALICIOUS})),
        )
    together = claim.against.model_copy(update={"colluding": claim.against.colluding + 1})
    yield "holds against one more", changed(against=together)
    if claim.against.seats != EVERYBODY.seats:
        wider = claim.against.model_copy(update={"seats": EVERYBODY.seats})
        yield "holds against everybody", changed(against=wider)


def _discloses(
    discloses: dict[str, tuple[str, ...]],
) -> Iterator[tuple[str, dict[str, tuple[str, ...]]]]:
    for seat, told in discloses.items():
        others = {other: what for other, what in discloses.items() if other != seat}
        yield f"{seat} is not said to learn anything", others
        for place in range(len(told)):
            less = (*told[:place], *told[place + 1 :])
            yield f"{seat} learns less by {place}", {**others, seat: less}
    yield "a further seat is named", {**discloses, "stranger": ("everything",)}


class HonestOffers:
    """The part of a protection's contract (`contract.ProtectionContract`) that holds its plans to its own words."""

    protection: Any

    def request(self) -> Request:
        raise NotImplementedError

    def offer(self) -> Offer:
        raise NotImplementedError

    def programs(self) -> dict[str, Program]:
        raise NotImplementedError

    def others(self) -> tuple[Offer, ...]:
        """Offers for the same request with other parameters and therefore other claims, where there are any."""
        return ()

    def test_a_plan_that_says_other_than_the_protection_says_of_itself_is_refused(self):
        """Guarantees, gaps, disclosures, spent privacy, maturity: agreements decide on them, and the requester wrote them."""
        for offer in (self.offer(), *self.others()):
            for seat in self.programs():
                self.protection.program(offer, self.request(), seat)
                for name, wrong in boasts(offer):
                    self.refused_for_its_claims(name, wrong, seat)

    def test_the_claims_of_other_parameters_are_refused(self):
        found = [self.offer(), *self.others()]
        pairs = [(mine, other) for mine in found for other in found if _says(mine) != _says(other)]
        assert pairs or not self.others()
        for mine, other in pairs:
            mixed = mine.model_copy(update={"parameters": other.parameters})
            for seat in self.programs():
                self.refused_for_its_claims("has the parameters of another", mixed, seat)

    def refused_for_its_claims(self, name: str, offer: Offer, seat: str) -> None:
        caught = None
        try:
            self.protection.program(offer, self.request(), seat)
        except Refused as error:
            caught = error
        if caught is None:
            pytest.fail(f"{seat} runs an offer that {name}")
        assert caught.clause == "plan-claims", name
        assert caught.remedy, name


def _says(offer: Offer) -> tuple[Any, ...]:
    return offer.claims, offer.discloses, offer.cost.epsilon

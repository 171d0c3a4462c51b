"""Sentences for claims: what a plan, a certificate and a web page say about a guarantee, always in the same words.

A statement says what is protected, from whom, how, under which assumption. It never says more than the claim: a
`disclosed` claim is a sentence about what somebody sees.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

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
    Sealed,
    Signed,
    Threshold,
)

ARTEFACTS: Mapping[Artefact, str] = {
    Artefact.INPUT: "An owner's records",
    Artefact.UPDATE: "Each owner's own contribution",
    Artefact.AGGREGATE: "The combined contributions before their release",
    Artefact.RESULT: "The released result",
    Artefact.LINK: "Messages between the parties' servers",
}
ASSUMPTIONS: Mapping[Assumption, str] = {
    Assumption.NONE: "",
    Assumption.HONEST_MAJORITY: "as long as most of the computing parties are honest",
    Assumption.HARDWARE: "as long as the named hardware keeps its maker's promise",
    Assumption.PUBLIC_SETUP: "as long as the published setup of the proof system was made honestly",
    Assumption.HONEST_OWNERS: (
        "as long as the owners that are not in league with them run Cloister as published and tell the truth about their data"
    ),
}
BEHAVIOURS: Mapping[Behaviour, str] = {
    Behaviour.HONEST_BUT_CURIOUS: "as long as they follow the protocol",
    Behaviour.MALICIOUS: "even if they cheat",
}
_PEOPLE = {"outsider": "outsiders", "hub": "the relay", "recipient": "its recipients"}


def statement(claim: Claim) -> str:
    """One sentence that says what a claim says, for example in a plan or a certificate."""
    artefact, people = ARTEFACTS[claim.artefact], against(claim.against, claim.artefact)
    match claim.reached:
        case Disclosed(what=what):
            # Who may see something sees it whether or not they keep to the protocol.
            return f"Not hidden from {people}: {what.rstrip('.')}."
        case Hidden():
            text = f"{artefact} {_be(claim)} hidden from {people}"
        case Threshold(k=k):
            text = f"{artefact} {_be(claim)} hidden from {people} unless more than {k} of them pool what they hold"
        case DifferentiallyPrivate() as dp:
            at_once = "" if dp.occurrences == 1 else f" (at up to {dp.occurrences} owners at once)"
            text = (
                f"{artefact} {_tell(claim)} {people} only so much about any single {dp.unit}: whoever guesses whether one"
                f"{at_once} was used is right in at most {_right(dp)} % of cases, where chance gives 50 % "
                f"(differentially private: epsilon {number(dp.epsilon)}, delta {number(dp.delta)}, by {dp.mechanism})"
            )
        case Signed():
            text = f"{artefact} cannot be changed or passed off as somebody else's by {people} unnoticed"
        case Sealed(quantum_safe=quantum_safe):
            later = ", now or with a later quantum computer" if quantum_safe else ""
            text = f"{artefact} {_be(claim)} sealed: {people} cannot read {_them(claim)}{later}"
    conditions = [text, BEHAVIOURS[claim.against.behaviour], ASSUMPTIONS[claim.assumption]]
    return ", ".join(part for part in conditions if part) + "."


def statements(claims: Claims) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is guaranteed, and what is not protected: two lists of sentences, in the claims' order."""
    promised = tuple(statement(item) for item in claims.guarantees if not isinstance(item.reached, Disclosed))
    open_ = tuple(statement(item) for item in claims.guarantees if isinstance(item.reached, Disclosed))
    return promised, (*open_, *claims.not_protected)


def against(adversary: Adversary, artefact: Artefact | None = None) -> str:
    """Against whom, in words; what an owner may not see of an owner's own things is kept from the other owners."""
    owners = "the other owners" if artefact in (Artefact.INPUT, Artefact.UPDATE) else "the owners"
    named = [owners if seat == "owner" else _PEOPLE.get(seat, f"the {seat}") for seat in adversary.seats]
    text = named[0] if len(named) == 1 else ", ".join(named[:-1]) + " and " + named[-1]
    if adversary.colluding > 1:
        text += f" (up to {adversary.colluding} of them together)"
    return text


def number(value: float) -> str:
    """A number as people read it: `0.5`, `8`, `1e-06`."""
    return f"{value:.6g}"


def _right(dp: DifferentiallyPrivate) -> str:
    """In how many of 100 cases a guess is right at best, rounded up.

    Of two datasets that differ by the unit, equally likely beforehand, whoever sees the outcome names the right one with a
    chance of at most (exp(epsilon) + delta) / (exp(epsilon) + 1) (Kairouz, Oh, Viswanath 2015, theorem 2.1).
    """
    odds = math.exp(-dp.epsilon)
    chance = (1 + dp.delta * odds) / (1 + odds)
    digits = 10 ** max(1, min(6, 1 - math.floor(math.log10(100 * (1 - chance))))) if chance < 1 - 1e-9 else 1
    return f"{math.ceil(min(100 * chance, 100) * digits - 1e-9) / digits:.10g}"


_PLURAL = (Artefact.INPUT, Artefact.AGGREGATE, Artefact.LINK)


def _be(claim: Claim) -> str:
    return "are" if claim.artefact in _PLURAL else "is"


def _tell(claim: Claim) -> str:
    return "tell" if claim.artefact in _PLURAL else "tells"


def _them(claim: Claim) -> str:
    return "them" if claim.artefact in _PLURAL else "it"

"""A plan in words: what will be done, by whom, what each one sees, what is promised and what is not, what it costs."""

from __future__ import annotations

from collections.abc import Mapping

from cloister.agreements.words import KINDS, Section, Sentence, join, printed
from cloister.claims.offers import Plan
from cloister.claims.statements import statements
from cloister.planner.cost import sentences


def sections(plan: Plan, names: Mapping[str, str] | None = None) -> tuple[Section, ...]:
    """The plan in plain sentences.

    Args:
        plan: chosen or received.
        names: party → name; the start of the fingerprint where there is none.
    """
    known = names or {}

    def name(party: str) -> str:
        return known.get(party, f"{party[:8]}…")

    request, offer = plan.request, plan.offer
    promised, open_ = statements(offer.claims)
    predicted = offer.prediction.sentences if offer.prediction is not None else ()
    lead = f"{name(request.requester)} asks to {KINDS[request.computation.kind]}, for: {request.purpose}."
    experimental = " It is experimental." if offer.maturity == "experimental" else ""
    seats = [
        Sentence(f"{join([name(party) for party in parties])}: {seat}.", "seats")
        for seat, parties in sorted(offer.seats.items())
    ]
    sees = [
        Sentence(
            f"{join([name(party) for party in offer.seats.get(seat, ())])} ({seat}): {'; '.join(what)}.",
            "claims",
        )
        for seat, what in sorted(offer.discloses.items())
        if what
    ]
    silent = sorted(seat for seat in offer.seats if not offer.discloses.get(seat))
    sees += [Sentence(f"The seat {seat} learns nothing on the way.", "claims") for seat in silent]
    return (
        Section(
            "What will be done",
            (
                Sentence(lead, "purpose"),
                Sentence(f"Data of {join(sorted(name(owner) for owner in request.datasets))}.", "datasets"),
                Sentence(f"By the privacy method {offer.title}.{experimental}", "protection"),
                Sentence(
                    f"The result goes to {join([name(item) for item in request.recipients])}.", "recipients"
                ),
            ),
        ),
        Section("Who does what", tuple(seats)),
        Section("What each one learns on the way", tuple(sees)),
        Section("What is guaranteed", tuple(Sentence(text, "claims") for text in promised)),
        Section("What is not protected", tuple(Sentence(text, "claims") for text in open_)),
        Section("What it costs", tuple(Sentence(text, "budget") for text in sentences(offer.cost))),
        *(
            (Section("What noise does to the result", tuple(Sentence(text, "budget") for text in predicted)),)
            if predicted
            else ()
        ),
        Section("Why not another way", _alternatives(plan)),
    )


def explain(plan: Plan, names: Mapping[str, str] | None = None, width: int = 100) -> str:
    """The plan as text, the clauses' machine names at the right; see `sections`."""
    lines = [*printed(sections(plan, names), width), f"Task {plan.digest}"]
    return "\n".join(lines) + "\n"


def _alternatives(plan: Plan) -> tuple[Sentence, ...]:
    if not plan.alternatives:
        return (Sentence("No other privacy method is installed.", "protection"),)
    return tuple(
        Sentence(f"{item.title}: {item.reason}{' ' + item.remedy if item.remedy else ''}", "protection")
        for item in plan.alternatives
    )

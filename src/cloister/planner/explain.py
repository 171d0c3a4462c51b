"""A plan in words: what will be done, by whom, what each one sees, what is promised and what is not, what it costs.

The model that a training starts from is part of the plan: everybody who takes part gets it, so it counts as public, and what
is in it already nothing here protects. The plan names it by its digest; a node that knows the digest says what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloister.agreements.words import WORK, Section, Sentence, join, printed
from cloister.claims.offers import Plan
from cloister.claims.statements import statements
from cloister.foundation.text import party_name
from cloister.planner.cost import sentences


def starting_point(plan: Plan, models: Mapping[str, str] | None = None) -> dict[str, Any] | None:
    """The model that a training starts from, for programs; `None` where none is named.

    Args:
        plan: chosen or received.
        models: digest → what it is, in words, of models that are known here.

    Returns:
        `model` (its digest), `name` (in words, or `None`), `public` (always true: everybody in the task gets it),
        `parameters` and `trained` (how many numbers, where the plan tells), `trainable` (how the names of the weights
        begin that are trained; empty for all).
    """
    computation = plan.request.computation
    model = computation.contents.get("model")
    if computation.kind != "training" or model is None:
        return None
    chosen = computation.settings.get("trainable")
    return {
        "model": model,
        "name": (models or {}).get(model),
        "public": True,
        "parameters": _count(plan, "parameters"),
        "trained": _count(plan, "trained"),
        "trainable": [str(item) for item in chosen] if isinstance(chosen, list | tuple) else [],
    }


def _count(plan: Plan, name: str) -> int | None:
    found = plan.offer.parameters.get(name)
    return found if isinstance(found, int) else None


def _start(plan: Plan, models: Mapping[str, str] | None) -> tuple[Sentence, ...]:
    found = starting_point(plan, models)
    if found is None:
        return ()
    digest = str(found["model"])[:23]
    what = f"{found['name']} ({digest}…)" if found["name"] else f"the model whose digest begins with {digest}"
    lines = [
        f"It starts from {what}.",
        "Everybody who takes part gets that model as it is: it counts as public, and what it holds already is not protected.",
    ]
    if found["parameters"] and found["trained"]:
        which = ""
        if found["trainable"]:
            named = join([f"“{item}”" for item in found["trainable"][:_MOST_NAMES]])
            which = f": the weights whose names begin with {named}"
            more = len(found["trainable"]) - _MOST_NAMES
            which += f" (and {more} more)" if more > 0 else ""
        lines.append(
            f"All of its {found['parameters']:,} numbers are trained."
            if found["trained"] == found["parameters"]
            else f"Of its {found['parameters']:,} numbers {found['trained']:,} are trained{which}."
        )
    return tuple(Sentence(text, "computation") for text in lines)


_MOST_NAMES = 8


def sections(
    plan: Plan, names: Mapping[str, str] | None = None, models: Mapping[str, str] | None = None
) -> tuple[Section, ...]:
    """The plan in plain sentences.

    Args:
        plan: chosen or received.
        names: party → name; the start of the fingerprint where there is none.
        models: digest → what it is, in words, of models that are known here.
    """
    known = names or {}

    def name(party: str) -> str:
        return party_name(party, known)

    request, offer = plan.request, plan.offer
    promised, open_ = statements(offer.claims)
    predicted = offer.prediction.sentences if offer.prediction is not None else ()
    lead = f"{name(request.requester)} asks to {WORK[request.computation.kind]}, for: {request.purpose}."
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
                *_start(plan, models),
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
        Section(
            "What it costs",
            tuple(Sentence(text, "budget") for text in (*sentences(offer.cost), *_whole(plan))),
        ),
        *(
            (Section("What noise does to the result", tuple(Sentence(text, "budget") for text in predicted)),)
            if predicted
            else ()
        ),
        Section("Why not another way", _alternatives(plan)),
    )


def explain(
    plan: Plan,
    names: Mapping[str, str] | None = None,
    width: int = 100,
    *,
    models: Mapping[str, str] | None = None,
) -> str:
    """The plan as text, the clauses' machine names at the right; see `sections`."""
    lines = [*printed(sections(plan, names, models), width), f"Task {plan.digest}"]
    return "\n".join(lines) + "\n"


def _whole(plan: Plan) -> tuple[str, ...]:
    """A training that was asked for without an epsilon gets the least noise that was agreed, and leaves no room for another."""
    if not plan.offer.cost.epsilon or plan.request.preferences.get("epsilon") is not None:
        return ()
    return (
        (
            "No epsilon was asked for, so it takes all that the agreement has for these owners' data together: under this"
            " agreement no second training with all of them follows. The preference `epsilon` asks for less, with more noise."
        ),
    )


def _alternatives(plan: Plan) -> tuple[Sentence, ...]:
    if not plan.alternatives:
        return (Sentence("No other privacy method is installed.", "protection"),)
    return tuple(
        Sentence(f"{item.title}: {item.reason}{' ' + item.remedy if item.remedy else ''}", "protection")
        for item in plan.alternatives
    )

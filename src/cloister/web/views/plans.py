"""A plan as a page shows it: the same sentences as everywhere (`planner.explain`, `claims.statements`), laid out to be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloister.claims.offers import Declined, Plan
from cloister.claims.statements import statements
from cloister.foundation.text import party_name
from cloister.node.node import Node
from cloister.node.tasks.known import known_models
from cloister.planner.cost import LEAST_PER_NODE, sentences
from cloister.planner.explain import sections
from cloister.web import filters

SEATS = {
    "coordinator": "leads the task from step to step",
    "owner": "computes on its own data, at its own server",
    "recipient": "gets the approved result",
}
"""What a seat does, in words; a seat that is not here is told by its name."""


def plan_view(node: Node, plan: Plan) -> dict[str, Any]:
    """Everything that a person should know before it agrees to a plan.

    Args:
        node: where it is looked at; it gives the names.
        plan: made here or received.
    """
    names = node.parties.names()
    promised, open_ = statements(plan.offer.claims)
    told = {
        section.title: [sentence.text for sentence in section.sentences]
        for section in sections(plan, names, known_models())
    }
    prediction = plan.offer.prediction
    return {
        "digest": plan.digest,
        "method": plan.offer.title,
        "experimental": plan.offer.maturity == "experimental",
        "purpose": plan.request.purpose,
        "done": told.get("What will be done", []),
        "seats": _seats(plan, names),
        "promised": promised,
        "open": open_,
        "cost": figures(plan),
        "cost_words": [*sentences(plan.offer.cost), *_rest(told.get("What it costs", []), plan)],
        "noise": None if prediction is None else prediction.noise,
        "prediction": [] if prediction is None else list(prediction.sentences),
        "alternatives": [alternative(item) for item in plan.alternatives],
        "facts": _facts(plan),
    }


def figures(plan: Plan) -> dict[str, Any]:
    """What a plan costs, as numbers and as words."""
    cost = plan.offer.cost
    exchanged = cost.bytes_up + cost.bytes_down
    return {
        "seconds": cost.seconds,
        "duration": filters.seconds(cost.seconds),
        "bytes": exchanged,
        "size": filters.size(exchanged),
        "least": LEAST_PER_NODE,
        "epsilon": cost.epsilon,
    }


def alternative(item: Declined | Mapping[str, Any]) -> dict[str, str]:
    """A way that was not taken, with the reason; also from a refusal's detail, which lists them as JSON."""
    found = item if isinstance(item, Declined) else Declined.model_validate(dict(item))
    return {"title": found.title, "reason": found.reason, "remedy": found.remedy}


def _seats(plan: Plan, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """A row for each organisation: what it does, and what it learns on the way."""
    rows = [
        {
            "party": party,
            "name": party_name(party, names),
            "seat": seat,
            "does": SEATS.get(seat, seat),
            "learns": list(plan.offer.discloses.get(seat, ())),
        }
        for seat, parties in plan.offer.seats.items()
        for party in parties
    ]
    order = {"coordinator": 0, "owner": 1, "recipient": 2}
    return sorted(rows, key=lambda row: (order.get(str(row["seat"]), 9), str(row["name"]).lower()))


def _rest(lines: list[str], plan: Plan) -> list[str]:
    return lines[len(sentences(plan.offer.cost)) :]


def _facts(plan: Plan) -> list[tuple[str, str]]:
    parameters = plan.offer.parameters
    owners = len(plan.offer.seats.get("owner", ()))
    wanted = (
        ("Rounds", parameters.get("rounds")),
        ("Local steps in each", parameters.get("local_steps")),
        ("Owners", owners or None),
        ("Answers that each round needs", parameters.get("minimum_answers")),
        ("Numbers in the model", parameters.get("parameters")),
        ("Numbers that are trained", parameters.get("trained")),
    )
    return [(name, f"{value:,}") for name, value in wanted if isinstance(value, int)]

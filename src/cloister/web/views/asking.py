"""What a person may ask for, and the wishes in a form's fields, as the planner takes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from cloister.agreements.lifecycle import State
from cloister.agreements.terms import Terms
from cloister.applications.trainings import tabular_recipe, tool_training
from cloister.claims.offers import Computation, Plan
from cloister.data.schema import DatasetDescription
from cloister.foundation.canonical import parse
from cloister.foundation.errors import BadInput, CloisterError, Conflict
from cloister.node.node import Node
from cloister.node.tasks.asked import keep
from cloister.web.views import typed
from cloister.web.views.plans import figures

WHOLE = ("rounds", "local_steps", "dropouts", "units", "batch")
NUMBERS = ("epsilon", "deadline")
WORDS = ("protection", "aggregation", "noise")
FIELDS = (*WHOLE, *NUMBERS, *WORDS)
COMPARABLE = {
    "rounds": "the rounds",
    "epsilon": "the privacy budget",
    "dropouts": "the owners that may be missing",
}
"""Wishes along which plans can be compared, in words."""
COMPARING = 20.0
"""Seconds after which no further plan is begun for a comparison: with noise each can take many."""
_AT_ONCE, _PATIENCE = threading.BoundedSemaphore(2), 90.0
_LONGEST = 40


@dataclass(frozen=True)
class Wanted:
    """What a plan's form says.

    Attributes:
        agreement: its digest.
        computation: digest of what is kept (`node.tasks.asked`).
        purpose: one of the agreement's; its first if empty.
        owners: whose data; everybody's if empty.
        wishes: by field, as typed; empty ones are not there.
        compare: the wish along which plans are compared, if any.
    """

    agreement: str
    computation: str
    purpose: str = ""
    owners: tuple[str, ...] = ()
    wishes: Mapping[str, str] = field(default_factory=dict)
    compare: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str], owners: Sequence[str]) -> Wanted:
        """What is in a form's fields; of each no more than it can need."""
        given = {name: query.get(name, "").strip()[:_LONGEST] for name in FIELDS}
        compare = query.get("compare", "")
        return cls(
            query.get("agreement", "")[:100],
            query.get("computation", "")[:100],
            query.get("purpose", "")[:200],
            tuple(sorted({owner[:60] for owner in owners[:1000]})),
            {name: text for name, text in given.items() if text},
            compare if compare in COMPARABLE else "",
        )

    def path(self, **changes: str) -> str:
        """The address of the plan's page with these wishes, some of them changed (an empty one is left out)."""
        pairs = [("agreement", self.agreement), ("computation", self.computation)]
        if self.purpose:
            pairs.append(("purpose", self.purpose))
        pairs += [("owners", owner) for owner in self.owners]
        wishes = {**self.wishes, **changes}
        pairs += [(name, wishes[name]) for name in FIELDS if wishes.get(name)]
        if compare := changes.get("compare", self.compare):
            pairs.append(("compare", compare))
        return f"/ask/plan?{urlencode(pairs)}"

    def preferences(self) -> dict[str, Any]:
        """The wishes as the planner takes them. Raises `BadInput` for what is no number."""
        found: dict[str, Any] = {}
        for name, text in self.wishes.items():
            if name in WORDS:
                found[name] = text
                continue
            found[name] = (
                typed.number(text, _quoted(name)) if name in NUMBERS else typed.whole(text, _quoted(name))
            )
        return found


def agreements(node: Node) -> list[dict[str, Any]]:
    """The agreements under which this organisation may ask now."""
    found = []
    for digest in node.agreements.digests():
        try:
            terms = node.agreements.get(digest).terms
            if node.agreements.state(digest) is not State.FINALIZED or node.party not in terms.having(
                "researcher"
            ):
                continue
        except CloisterError:
            continue
        found.append({"digest": digest, "title": terms.title, "version": terms.version, "terms": terms})
    return found


def choices(node: Node, terms: Terms) -> dict[str, Any]:
    """What an agreement leaves open: whose data, which purposes, how far the wishes go."""
    entries = _entries(node, terms)
    budget = min((item.epsilon for item in terms.budgets), default=None)
    owners = [
        {
            "party": owner,
            "name": terms.name_of(owner),
            "dataset": entries[owner].title if owner in entries else "",
        }
        for owner in terms.owners
    ]
    return {
        "title": terms.title,
        "purposes": list(terms.purposes),
        "owners": owners,
        "minimum": terms.minimum_parties,
        "dropouts": terms.dropouts,
        "epsilon": budget,
        "quality": None
        if terms.release.quality is None
        else f"{terms.release.quality.metric} of at least {terms.release.quality.minimum:g}",
    }


def columns(node: Node, terms: Terms) -> list[str]:
    """The columns that every owner's table under an agreement has, in the first one's order."""
    tables = [entry for entry in _entries(node, terms).values() if entry.kind == "table"]
    if not tables:
        return []
    common = set.intersection(*({item.name for item in entry.columns} for entry in tables))
    return [item.name for item in tables[0].columns if item.name in common]


def _entries(node: Node, terms: Terms) -> dict[str, DatasetDescription]:
    found: dict[str, DatasetDescription] = {}
    for entry in node.datasets.entries():
        if terms.dataset(entry.owner, entry.commitment, entry) is not None:
            known = found.get(entry.owner)
            if known is None or entry.version >= known.version:
                found[entry.owner] = entry
    return found


def keep_tool(node: Node, agreement: str, tool: str) -> Computation:
    """Keeps the training of a built-in tool's model, with noise where the agreement has budgets."""
    terms = node.agreements.in_force(agreement).terms
    model, settings = tool_training(tool, private=bool(terms.budgets))
    return keep_training(node, str(node.computations.add_model(model)["digest"]), settings)


def keep_training(node: Node, model: str, settings: Mapping[str, Any]) -> Computation:
    """Keeps a training of a model that is at this node."""
    return keep(
        node.durable.database, {"kind": "training", "contents": {"model": model}, "settings": dict(settings)}
    )


def recipe_of(form: Mapping[str, str]) -> dict[str, Any]:
    """The recipe that a form for tables stands for; one that was written out takes its place. Raises `BadInput`."""
    from cloister.applications.trainings import checked_recipe

    written = form.get("recipe", "").strip()
    if written:
        found = parse(written.encode())
        if not isinstance(found, dict):
            raise BadInput(
                "That is no recipe.", "It must be a JSON object.", "See docs/reference/recipes.md."
            )
        return checked_recipe(found)
    return tabular_recipe(
        columns=_names(form.get("columns", "")),
        label=form.get("label", "").strip(),
        input=form.get("input", "").strip(),
        output=form.get("output", "").strip(),
        loss=form.get("loss", ""),
        metric=form.get("metric", ""),
        learning_rate=typed.number(form.get("learning_rate", ""), _quoted("learning_rate"), example="0.05"),
        batch=typed.whole(form.get("batch", ""), _quoted("batch"), example="32"),
        classes=_names(form.get("classes", "")),
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.replace("\n", ",").split(",") if name.strip()]


def _quoted(name: str) -> str:
    return f"“{name.replace('_', ' ')}”"


def plan_of(node: Node, wanted: Wanted, computation: Computation) -> Plan:
    """The plan for what a form says; nothing is sent.

    Raises:
        CloisterError: why it cannot be planned; a refusal's detail has each way's reason.
    """
    asked: dict[str, Any] = {
        "agreement": wanted.agreement,
        "computation": computation.model_dump(mode="json"),
        "purpose": wanted.purpose or None,
        "preferences": wanted.preferences(),
    }
    if wanted.owners:
        terms = node.agreements.in_force(wanted.agreement).terms
        entries = _entries(node, terms)
        unknown = [owner for owner in wanted.owners if owner not in entries]
        if unknown:
            raise BadInput("An owner that was chosen has no dataset here.", "", "Choose among those shown.")
        asked["datasets"] = {owner: entries[owner].commitment for owner in wanted.owners}
    if not _AT_ONCE.acquire(timeout=_PATIENCE):
        raise Conflict("Other plans are being made here.", "Each takes its time.", "Try again in a minute.")
    try:
        return node.computations.plan(asked)[0]
    finally:
        _AT_ONCE.release()


def compared(node: Node, wanted: Wanted, computation: Computation, now: Plan) -> list[dict[str, Any]]:
    """The same request with other values of one wish: what each costs and what its noise does; or why it cannot be."""
    name = wanted.compare
    if not name:
        return []
    rows = []
    until = time.monotonic() + COMPARING
    for value in _values(node, wanted, now):
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        tried = replace(wanted, wishes={**wanted.wishes, name: text}, compare="")
        row: dict[str, Any] = {
            "value": text,
            "path": wanted.path(**{name: text}),
            "now": text == wanted.wishes.get(name),
        }
        try:
            if time.monotonic() > until:
                raise Conflict("Not computed: it takes long.", "", "Choose the value to see its plan.")
            plan = plan_of(node, tried, computation)
        except CloisterError as error:
            rows.append({**row, "error": error})
            continue
        noise = None if plan.offer.prediction is None else plan.offer.prediction.noise
        rows.append({**row, "error": None, "cost": figures(plan), "noise": noise, "method": plan.offer.title})
    return rows


def _values(node: Node, wanted: Wanted, now: Plan) -> list[int | float]:
    terms = node.agreements.in_force(wanted.agreement).terms
    if wanted.compare == "epsilon":
        most = min((item.epsilon for item in terms.budgets), default=None)
        return [] if most is None else [most, most / 2, most / 4, most / 8]
    if wanted.compare == "dropouts":
        return list(range(min(terms.dropouts, 4) + 1))
    rounds = now.offer.parameters.get("rounds")
    middle = rounds if isinstance(rounds, int) else 4
    return sorted({max(1, middle // 4), max(1, middle // 2), middle, middle * 2, middle * 4})

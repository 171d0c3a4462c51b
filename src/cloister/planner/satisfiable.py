"""Whether an agreement can ever be used: for each kind of work that it allows, could any installed method do it under its terms?

Terms can promise more than any method here keeps (no update seen by another, differential privacy where none is installed).
Nothing is wrong with signing such terms, since more methods may come; but whoever writes them should know, clause by clause.

Rules:
1. The answer comes from planning an exemplary request under the terms (`planner.make_plan`), by the same rules as a real one;
   there is no second opinion here of what a clause means.
2. What only a real request can show (its size, its model, whose approval) is taken as favourable: what is named here fails for
   every request of that kind.
3. Kinds of which no example is known are looked at for their methods only, and nothing is said of their claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cloister.agreements.clauses import AllowedComputation, UsableDataset
from cloister.agreements.terms import Terms
from cloister.claims.offers import Computation, Facts, Request
from cloister.data.schema import DatasetDescription
from cloister.foundation.digests import digest
from cloister.foundation.errors import CloisterError, Refused
from cloister.planner.planner import make_plan
from cloister.protections.interface import Protection

_MODEL = digest(b"an exemplary model")
_PARAMETERS = 1000
_PREFERENCES = {"rounds": 1, "units": 100, "batch": 100}
"""A small private run, of which noise is found at once."""
_WHOLE = frozenset({"record", "image"})
"""Units that are no column of a table."""
_LONGEST = 128


@dataclass(frozen=True)
class Unmet:
    """A kind of work that no installed method can do under the terms.

    Attributes:
        kind: of work.
        clause: of the agreement, as refusals name it.
        reason: why not.
        remedy: what would help.
    """

    kind: str
    clause: str
    reason: str
    remedy: str


def unmet(terms: Terms, protections: Sequence[Protection]) -> list[Unmet]:
    """What the terms allow and no installed method can do, in the order of the terms' computations.

    Args:
        terms: not yet signed.
        protections: those installed.
    """
    # Which computations are listed is a matter of the request: an example of ours is never listed.
    computations = tuple(_open(item) for item in terms.computations)
    open_terms = terms.model_copy(update={"computations": computations})
    found = (
        _unmet(open_terms, kind, protections) for kind in dict.fromkeys(item.kind for item in computations)
    )
    return [item for item in found if item is not None]


def _open(item: AllowedComputation) -> AllowedComputation:
    accepted = {"records": "owner-accepts"} if item.digests_with_records else {}
    return item.model_copy(
        update={"digests": (), "digests_with_records": (), "approval": "each-time", **accepted}
    )


def _unmet(terms: Terms, kind: str, protections: Sequence[Protection]) -> Unmet | None:
    allowed = terms.computation(kind)
    assert allowed is not None
    installed = {item.name: item for item in protections}
    named = [installed[name] for name in allowed.protections if name in installed]
    if allowed.protections and not named:
        return Unmet(
            kind,
            "protection",
            f"None of the privacy methods that it names is installed here: {', '.join(allowed.protections)}.",
            "Name a method that every party has, or wait for a release that has one.",
        )
    blocked = [
        item.name for item in named if item.maturity != "stable" and item.name not in allowed.experimental
    ]
    if named and len(blocked) == len(named):
        return Unmet(
            kind,
            "experimental",
            f"Experimental methods run only where the agreement names them as such: {', '.join(blocked)}.",
            "Name them in the list `experimental` as well.",
        )
    if kind != "training":
        return None
    return _planned(terms, protections)


def _planned(terms: Terms, protections: Sequence[Protection]) -> Unmet | None:
    """The refusal that every example meets; `None` if one of the askers gets a plan."""
    askers = [member.party for member in terms.members if "researcher" in member.roles]
    if not askers:
        return Unmet(
            "training", "requester", "No party may ask for work.", "Give one the role of a researcher."
        )
    refusals = []
    for asker in askers:
        try:
            request, facts = _example(terms, asker)
            make_plan(request, facts, protections, now=terms.valid.start + 1, nonce="0" * 32)
        except CloisterError as error:
            refusals.append(error)
        else:
            return None
    first = refusals[0]
    clause = first.clause if isinstance(first, Refused) and first.clause else "protection"
    return Unmet("training", clause, first.why or first.what, first.remedy)


def _example(terms: Terms, asker: str) -> tuple[Request, Facts]:
    entries = [_entry(terms, item) for item in terms.datasets]
    request = Request(
        agreement=terms.digest,
        requester=asker,
        computation=Computation(kind="training", contents={"model": _MODEL}, settings=_recipe(terms)),
        datasets={entry.owner: entry.commitment for entry in entries},
        purpose=terms.purposes[0],
        recipients=tuple(sorted(terms.recipients)),
        preferences=_PREFERENCES,
    )
    catalogue = {entry.commitment: entry.model_dump(mode="json") for entry in entries}
    facts = Facts(
        agreement=terms.to_odrl(), catalogue=catalogue, sizes={_MODEL: _PARAMETERS}, parameters=_PARAMETERS
    )
    return request, facts


def _columns(terms: Terms) -> tuple[str, ...] | None:
    """The columns that all datasets may give; `None` where no dataset is limited to some, and pictures do as well."""
    listed = [item.columns for item in terms.datasets if item.columns is not None]
    if not listed:
        units = {unit for item in terms.datasets if (unit := _unit(terms, item)) not in _WHOLE}
        return ("x", *sorted(units)) if units else None
    return tuple(name for name in listed[0] if all(name in others for others in listed))


def _recipe(terms: Terms) -> dict[str, Any]:
    columns = _columns(terms)
    recipe: dict[str, Any] = {"loss": "mean-squared-error", "input": "x", "output": "y"}
    if columns is None:
        return recipe | {"preparation": {"name": "points"}}
    names = columns or ("none in common",)
    return recipe | {"preparation": {"name": "tabular", "columns": [{"name": names[0]}], "label": names[-1]}}


def _entry(terms: Terms, dataset: UsableDataset) -> DatasetDescription:
    columns = _columns(terms)
    document: dict[str, Any] = {
        "name": dataset.name,
        "title": dataset.name,
        "owner": dataset.owner,
        "commitment": dataset.commitment or digest(f"{dataset.owner} {dataset.name}".encode()),
        "residency": terms.residency[0] if terms.residency else "DE",
        "registered": terms.valid_from,
    }
    if columns is None:
        document |= {
            "kind": "image-points",
            "image": {"sensitivity": dataset.sensitivity, "labels": "centres"},
            "unit_of_privacy": {"kind": _unit(terms, dataset, "image")},
        }
    else:
        unit = _unit(terms, dataset)
        column = None if unit in _WHOLE else unit
        names = dict.fromkeys([*(dataset.columns or ()), *columns, *([column] if column else [])]) or {
            "x": None
        }
        document |= {
            "kind": "table",
            "columns": tuple(
                {"name": name, "kind": "real", "sensitivity": dataset.sensitivity} for name in names
            ),
            # A table has no images: where its budget counts them, the method says what is wrong.
            "unit_of_privacy": {"kind": "column", "column": column} if column else {"kind": "record"},
        }
    return DatasetDescription.model_validate(document)


def _unit(terms: Terms, dataset: UsableDataset, default: str = "record") -> str:
    """What the agreed budget of a dataset counts, and the example dataset too; a name too long for a column is left out."""
    budget = terms.budget(dataset.owner, dataset.name)
    return default if budget is None or len(budget.unit) > _LONGEST else budget.unit

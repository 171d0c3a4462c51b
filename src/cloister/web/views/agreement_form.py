"""The form of a new agreement: what there is to choose from, and how what was typed becomes a template's answers.

Everything stays text until it is sent, so that nothing typed is lost when something does not fit.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, Field

from cloister.agreements.usual_cases import UsualCase
from cloister.data.countries import countries
from cloister.data.schema import DatasetDescription
from cloister.foundation.clock import parse_rfc3339, rfc3339
from cloister.foundation.errors import BadInput
from cloister.node.node import Node
from cloister.web.views import typed

DAY = 86400
_TEXT = 200
_CHOICES = 200
_DEFAULT_DAYS = 365
METRICS = (
    ("accuracy", "accuracy: share of records that are right"),
    ("r2", "r2: share of the variation that is explained"),
    ("count-accuracy", "count accuracy: how well pictures are counted"),
)
"""Metrics of which more is better, with a word for people."""


class Answers(BaseModel):
    """What was typed; every field as text."""

    title: str = Field(default="", max_length=2 * _TEXT)
    data: list[str] = Field(default=[], max_length=_CHOICES)
    researchers: list[str] = Field(default=[], max_length=_CHOICES)
    users: list[str] = Field(default=[], max_length=_CHOICES)
    witnesses: list[str] = Field(default=[], max_length=_CHOICES)
    purposes: str = Field(default="", max_length=8000)
    until: str = Field(default="", max_length=40)
    noise: str = Field(default="", max_length=10)
    epsilon: str = Field(default="", max_length=40)
    delta: str = Field(default="", max_length=40)
    unit: str = Field(default="", max_length=_TEXT)
    disjoint: str = Field(default="", max_length=10)
    quorum: str = Field(default="", max_length=10)
    dropouts: str = Field(default="", max_length=10)
    group: str = Field(default="", max_length=10)
    metric: str = Field(default="", max_length=60)
    minimum: str = Field(default="", max_length=40)
    residency: str = Field(default="", max_length=1000)
    sensitivity: str = Field(default="", max_length=20)
    exact: str = Field(default="", max_length=10)


def empty(case: UsualCase, node: Node) -> Answers:
    """What stands in the form at first: this organisation's part is ticked."""
    own = [f"{node.party} {item.name}" for item in node.datasets.entries() if item.owner == node.party]
    until = datetime.fromtimestamp(node.clock.now(), UTC).date() + timedelta(days=_DEFAULT_DAYS)
    return Answers(
        data=own[:1],
        researchers=[] if own or not case.least_researchers else [node.party],
        until=until.isoformat(),
        noise="yes" if case.always_noise else "",
        epsilon="4",
        delta="0.000001",
        group="50" if case.name == "retailers" else "10",
        dropouts="0",
    )


def folded(answers: Answers) -> bool:
    """Whether nothing stands in the part of the form that is folded away."""
    return not (
        answers.metric or answers.residency or answers.sensitivity or answers.exact or answers.witnesses
    )


def from_kept(kept: dict[str, Any]) -> Answers:
    """The form of answers that were kept with a draft."""
    quality = kept.get("quality") or {}
    end = parse_rfc3339(str(kept["starts"])) + int(kept.get("days", _DEFAULT_DAYS)) * DAY
    return Answers(
        title=kept["title"],
        data=[f"{item['party']} {item['dataset']}" for item in kept["owners"]],
        researchers=[item["party"] for item in kept.get("researchers", [])],
        users=[item["party"] for item in kept.get("users", [])],
        witnesses=[item["party"] for item in kept.get("witnesses", [])],
        purposes="\n".join(kept["purposes"]),
        until=datetime.fromtimestamp(end - DAY, UTC).date().isoformat(),
        noise="yes" if kept.get("epsilon") else "no",
        epsilon=_number(kept.get("epsilon") or 4),
        delta=_number(kept.get("delta", 1e-6)),
        unit=str(kept.get("unit", "")),
        disjoint="yes" if kept.get("owners_per_unit") == 1 else "",
        quorum=str(kept.get("quorum") or ""),
        dropouts=str(kept.get("dropouts", 0)),
        group=str(kept.get("minimum_group", 10)),
        metric=str(quality.get("metric", "")),
        minimum=_number(quality["minimum"]) if quality else "",
        residency=", ".join(kept.get("residency", [])),
        sensitivity=str(kept.get("sensitivity") or ""),
        exact="yes" if any(item.get("commitment") for item in kept["owners"]) else "",
    )


def kept(answers: Answers, case: UsualCase, node: Node) -> dict[str, Any]:
    """The template's answers (`agreements.inputs.Inputs` as JSON). Raises `BadInput` naming what does not fit."""
    entries = {f"{item.owner} {item.name}": item for item in node.datasets.entries()}
    chosen = [entries[key] for key in dict.fromkeys(answers.data) if key in entries]
    if len(chosen) != len(set(answers.data)):
        raise BadInput("A dataset that was chosen is not known any more.", "", "Choose among those listed.")
    now = node.clock.now()
    starts = now - now % DAY
    found: dict[str, Any] = {
        "title": _line(answers.title, "The title"),
        "owners": [_owner(node, item, exact=answers.exact == "yes") for item in chosen],
        "researchers": _parties(node, answers.researchers),
        "users": _parties(node, answers.users),
        "witnesses": _parties(node, answers.witnesses),
        "purposes": [" ".join(line.split()) for line in answers.purposes.splitlines() if line.strip()],
        "starts": rfc3339(starts),
        "days": _days(answers.until, starts),
        "residency": countries(answers.residency),
        "sensitivity": answers.sensitivity or None,
        "dropouts": typed.whole(answers.dropouts or "0", "How many owners may drop out", example="0"),
    }
    _check(found, case, answers)
    if case.groups:
        found["minimum_group"] = typed.whole(answers.group or "1", "The smallest group")
    if answers.quorum.strip():
        found["quorum"] = typed.whole(answers.quorum, "How many owners must sign a result")
    if answers.metric:
        found["quality"] = {
            "metric": answers.metric.strip(),
            "minimum": typed.number(answers.minimum, "The least quality", example="0.8"),
        }
    if answers.noise == "yes" or case.always_noise:
        units = list(dict.fromkeys(item.unit_of_privacy.word for item in chosen))
        found["epsilon"] = typed.number(answers.epsilon, "Epsilon", above=0, most=1000, example="1")
        found["delta"] = typed.number(answers.delta, "Delta", least=0, below=1, example="0.00001")
        found["unit"] = " ".join(answers.unit.split()) or units[0]
        found["owners_per_unit"] = 1 if answers.disjoint == "yes" else None
    return {key: value for key, value in found.items() if value is not None}


def organisations(node: Node) -> list[dict[str, Any]]:
    """Whom this server knows: this organisation first, then by name."""
    found = [
        {
            "party": item["party"],
            "name": item["name"],
            "own": item["own"],
            "trusted": item["own"] or node.parties.trusted(item["party"]),
        }
        for item in node.parties.listing()
    ]
    return sorted(found, key=lambda item: (not item["own"], str(item["name"]).casefold(), str(item["party"])))


def datasets(node: Node) -> list[dict[str, Any]]:
    """The datasets that this server knows, this organisation's first."""
    found = [
        {
            "key": f"{item.owner} {item.name}",
            "title": item.title,
            "name": item.name,
            "owner": item.owner,
            "own": item.owner == node.party,
            "kind": "pictures" if item.kind == "image-points" else "table",
            "residency": item.residency,
            "sensitivity": _highest(item),
            "unit": item.unit_of_privacy.word,
        }
        for item in node.datasets.entries()
    ]
    return sorted(found, key=lambda item: (not item["own"], str(item["owner"]), str(item["name"])))


_ORDER = ("public", "internal", "confidential", "personal")


def _highest(item: DatasetDescription) -> str:
    if item.image is not None:
        return item.image.sensitivity
    return max((column.sensitivity for column in item.columns), key=_ORDER.index)


def _owner(node: Node, item: DatasetDescription, *, exact: bool) -> dict[str, Any]:
    found = {"party": item.owner, "name": node.parties.name(item.owner), "dataset": item.name}
    return {**found, "commitment": item.commitment} if exact else found


def _parties(node: Node, chosen: list[str]) -> list[dict[str, str]]:
    for party in chosen:
        if not node.parties.known(party):
            raise BadInput(
                "An organisation that was chosen is not known here.", "", "Choose among those listed."
            )
    return [{"party": party, "name": node.parties.name(party)} for party in dict.fromkeys(chosen)]


def _check(found: dict[str, Any], case: UsualCase, answers: Answers) -> None:
    owners = {item["party"] for item in found["owners"]}
    if len(owners) < len(found["owners"]):
        raise BadInput(
            "Two datasets of one organisation were chosen.",
            "A template takes one of each.",
            "Choose one; or write the agreement as a document afterwards, where several can stand.",
        )
    if len(owners) < case.least_owners:
        raise BadInput(
            "Too few datasets were chosen.",
            f"This kind of agreement needs data of at least {case.least_owners} "
            f"{'organisation' if case.least_owners == 1 else 'organisations'}.",
            "Choose them under “Data”; what others have registered is listed once their servers are here.",
        )
    if len(found["researchers"]) < case.least_researchers:
        raise BadInput(
            "Nobody was chosen who may ask.",
            f"It is missing: {case.researchers}.",
            "Choose who may ask for work.",
        )
    if not case.always_noise and answers.noise not in ("yes", "no"):
        raise BadInput(
            "It was not said whether noise is added.",
            "Both are possible; nothing is taken for granted.",
            "Choose one under “How strictly”.",
        )
    if not found["purposes"]:
        raise BadInput(
            "No purpose was given.", "Work is done for a stated purpose only.", "Write at least one."
        )


def _line(text: str, what: str) -> str:
    plain = " ".join(text.split())
    if not 1 <= len(plain) <= _TEXT:
        raise BadInput(
            f"{what} is missing or too long.", f"It has 1 to {_TEXT} characters.", "Write another."
        )
    return plain


def _days(until: str, starts: int) -> int:
    end = typed.day(until, "The last day")
    days = (end - datetime.fromtimestamp(starts, UTC).date()).days + 1
    if not 1 <= days <= 36500:
        raise BadInput("The last day is not in the future.", "", "Choose a later day.")
    return days


def _number(value: float) -> str:
    return f"{float(value):.12f}".rstrip("0").rstrip(".")

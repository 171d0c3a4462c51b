"""What the steps of registering a dataset make of what was typed. Nothing here is decided: `data.registry.register` does that.

A step keeps everything that was typed, also what it then complains about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

from cloister.data.countries import country
from cloister.data.profile import PicturesProfile, TableProfile
from cloister.data.schema import ColumnKind, Sensitivity, size_band
from cloister.foundation.errors import BadInput, Conflict, NotFound
from cloister.foundation.text import acts
from cloister.node.datasets_service import NOTES_MOST
from cloister.node.node import Node
from cloister.web.views import typed
from cloister.web.views.dataset_draft import Draft
from cloister.web.views.datasets import Profile, described

STEPS = ("The data", "What it holds", "Its rules", "Review")
PART = 100
"""Columns on one page."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
_LINE = 200


def first_name(source: Path) -> str:
    """A name for a dataset from the name of its file or folder."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", source.stem.lower()).strip("-._")[:64].strip("-._")
    return plain or "data"


def unit_of(draft: Draft, found: Profile) -> str:
    """The unit of privacy as it stands."""
    if isinstance(found, PicturesProfile):
        return "image"
    names = {f"column:{column.name}" for column in found.columns}
    return draft.unit if draft.unit in names else "record"


def unit_document(unit: str) -> dict[str, str]:
    """The same as registering takes it."""
    kind, _, column = unit.partition(":")
    return {"kind": kind, "column": column} if column else {"kind": kind}


def unit_word(unit: str) -> str:
    """What one unit is called in budgets."""
    return unit.partition(":")[2] or unit


# What was typed ------------------------------------------------------------------------------------------------------


def with_columns(draft: Draft, found: TableProfile, given: Mapping[str, str], first: int) -> Draft:
    """The draft with what was said about the columns from number `first` on, one part of the page."""
    kinds, levels = dict(draft.kinds), dict(draft.sensitivity)
    units, told = dict(draft.units), dict(draft.descriptions)
    for number, column in list(enumerate(found.columns))[first : first + PART]:
        kind, level = given.get(f"k{number}", ""), given.get(f"s{number}", "")
        as_found = kind == column.kind and column.name not in kinds and not column.trouble
        known = kind in get_args(ColumnKind) and not found.stored
        _set(kinds, column.name, kind if known and not as_found else "")
        if level in get_args(Sensitivity):
            levels[column.name] = cast("Sensitivity", level)
        _set(units, column.name, given.get(f"u{number}", units.get(column.name, "")).strip()[:_LINE])
        _set(told, column.name, given.get(f"d{number}", told.get(column.name, "")).strip()[:_LINE])
    if (every := given.get("every", "")) in get_args(Sensitivity) and given.get("do") == "every":
        levels = {column.name: cast("Sensitivity", every) for column in found.columns}
    decimal = given.get("decimal", draft.decimal)
    return draft.model_copy(
        update={
            "kinds": kinds,
            "sensitivity": levels,
            "units": units,
            "descriptions": told,
            "decimal": decimal if decimal in {"", ".", ","} else "",
            "unit": given.get("unit", draft.unit)[:200],
        }
    )


def with_pictures(draft: Draft, given: Mapping[str, str]) -> Draft:
    """The draft with what was said about pictures."""
    level = given.get("sensitivity", "")
    return draft.model_copy(
        update={
            "sensitivity": {"": level} if level in get_args(Sensitivity) else draft.sensitivity,
            "description": given.get("description", "").strip()[:_LINE],
            "micrometres": given.get("micrometres", "").strip()[:40],
            "unit": "image",
        }
    )


def with_rules(draft: Draft, given: Mapping[str, str]) -> Draft:
    """The draft with what was said about the dataset as a whole."""
    population = given.get("population", "")
    return draft.model_copy(
        update={
            "name": draft.replaces or given.get("name", "").strip()[:_LINE],
            "title": given.get("title", "").strip()[:_LINE],
            "residency": given.get("residency", "").strip()[:_LINE],
            "tell_size": bool(given.get("tell_size")),
            "notes": given.get("notes", "")[: NOTES_MOST * 2],
            "population": population if population in {"existing", "new"} else "",
            "population_name": given.get(
                "population_known" if population == "existing" else "population_name", ""
            ).strip()[:_LINE],
            "epsilon": given.get("epsilon", "").strip()[:40],
            "delta": given.get("delta", "").strip()[:40],
        }
    )


def _set(kept: dict[str, Any], name: str, value: str) -> None:
    if value:
        kept[name] = value
    else:
        kept.pop(name, None)


# What is wrong with it -----------------------------------------------------------------------------------------------


def check_columns(draft: Draft, found: Profile) -> None:
    """Raises `BadInput` for what registering would refuse of the second step."""
    if isinstance(found, PicturesProfile):
        micrometres(draft)
        _seen(draft.description, "The description")
        return
    for column in found.columns:
        if column.trouble:
            raise BadInput(
                f"The column {column.name} cannot be used as it is.",
                column.trouble,
                "Correct the file and read it again, or choose to read the column as text.",
            )
        _seen(draft.units.get(column.name, ""), f"The unit of {column.name}")
        _seen(draft.descriptions.get(column.name, ""), f"The description of {column.name}")


def check_rules(draft: Draft, found: Profile, node: Node) -> None:
    """Raises `BadInput` or `Conflict` for what registering would refuse of the third step."""
    if not _NAME.fullmatch(draft.name):
        raise BadInput(
            "The name cannot be used.",
            "It has small letters, digits, dots, hyphens and underscores, at most 64, and begins and ends with a letter or digit.",
            "For example strength-tests",
        )
    if not draft.replaces and any(item["name"] == draft.name for item in node.datasets.own()):
        raise Conflict(
            f"There is a dataset named {draft.name} already.",
            "Registered data never changes; new data is a new version of it.",
            "Choose another name, or open that dataset and register a new version.",
        )
    _seen(draft.title, "The title")
    code(draft)
    if len(draft.notes) > NOTES_MOST:
        raise BadInput("The notes are too long.", f"At most {NOTES_MOST} characters.", "Shorten them.")
    if draft.population:
        _check_population(draft, found, node)


def _check_population(draft: Draft, found: Profile, node: Node) -> None:
    population_name(draft.population_name)
    known = {item["population"]: item for item in budgets(node)}
    unit = unit_word(unit_of(draft, found))
    if draft.population == "existing":
        item = known.get(draft.population_name)
        if item is None:
            raise NotFound("There is no such protected population.", "", "Choose one of the list.")
        if item["unit"] != unit:
            raise BadInput(
                "Units of privacy differ.",
                f"This data counts each {unit} by itself, the population each {item['unit']}.",
                "Choose another population, or go back and choose another unit.",
            )
        return
    if draft.population_name in known:
        raise Conflict(
            "There is a protected population of that name already.", "", "Choose it, or another name."
        )
    limit(draft.epsilon, draft.delta)


def budgets(node: Node) -> list[dict[str, Any]]:
    """The protected populations of this node."""
    from cloister.node.reports import budgets_view

    return list(budgets_view(node)["populations"])


def population_name(text: str) -> str:
    """The name of a new population. Raises `BadInput`."""
    name = text.strip()
    if not name or len(name) > _LINE:
        raise BadInput(
            "The protected population needs a name.",
            f"At most {_LINE} characters.",
            "For example: our plants",
        )
    _seen(name, "The population's name")
    return name


def limit(epsilon: str, delta: str) -> tuple[float, float]:
    """The most that may be spent of a population. Raises `BadInput`."""
    return (
        typed.number(epsilon, "Epsilon", above=0, most=1000, example="1"),
        typed.number(delta, "Delta", least=0, below=1, example="0.00001"),
    )


def micrometres(draft: Draft) -> float | None:
    """The scale of pictures, if it was told. Raises `BadInput`."""
    return (
        None if not draft.micrometres else typed.number(draft.micrometres, "The scale", above=0, most=999_999)
    )


def code(draft: Draft) -> str:
    """The country's code. Raises `BadInput`."""
    return country(draft.residency)


def _seen(text: str, what: str) -> None:
    if acts(text):
        raise BadInput(
            f"{what} has characters that cannot be seen, or that turn the direction of writing.",
            "Others would read something else than you do.",
            "Type it anew.",
        )


# What it becomes -----------------------------------------------------------------------------------------------------


def fields(draft: Draft, found: Profile, node: Node) -> dict[str, Any]:
    """What `DatasetsService.add` takes. Raises as `check_rules` and `check_columns`."""
    check_columns(draft, found)
    check_rules(draft, found, node)
    made: dict[str, Any] = {
        "name": draft.name,
        "title": draft.title or draft.name,
        "residency": code(draft),
        "tell_size": draft.tell_size,
        "version": version(draft, node),
        "unit_of_privacy": unit_document(unit_of(draft, found)),
    }
    if isinstance(found, PicturesProfile):
        return made | {
            "sensitivity": {"": draft.sensitivity.get("", "confidential")},
            "micrometres_per_pixel": micrometres(draft),
            "description": draft.description,
        }
    names = [column.name for column in found.columns]
    made |= {
        key: {name: value for name, value in getattr(draft, key).items() if name in names}
        for key in ("sensitivity", "units", "descriptions")
    }
    if not found.stored:
        # What was reviewed is what is registered: further down the file nothing may turn a column into another kind.
        made |= {
            "decimal": found.decimal,
            "kinds": {column.name: column.kind for column in found.columns},
        }
    return made


def version(draft: Draft, node: Node) -> int:
    """1, or one more than what it replaces."""
    if not draft.replaces:
        return 1
    return int(node.datasets.one(draft.replaces)["catalogue"]["version"]) + 1


def shown(draft: Draft, found: Profile, node: Node) -> dict[str, Any]:
    """What others would see, before it is registered: the catalogue entry without commitment and date."""
    about = found.pictures if isinstance(found, PicturesProfile) else found.about
    made: dict[str, Any] = {
        "name": draft.name,
        "title": draft.title or draft.name,
        "residency": code(draft),
        "unit_of_privacy": unit_document(unit_of(draft, found)),
        "size_band": size_band(about) if draft.tell_size else None,
        "version": version(draft, node),
        "owner": node.party,
        "commitment": "sha256:" + "0" * 64,
        "registered": "2000-01-01T00:00:00Z",
    }
    if isinstance(found, PicturesProfile):
        made |= {
            "kind": "image-points",
            "image": {
                "sensitivity": draft.sensitivity.get("", "confidential"),
                "labels": found.labels,
                "micrometres_per_pixel": micrometres(draft),
                "description": draft.description,
            },
        }
    else:
        made |= {
            "kind": "table",
            "columns": [
                {
                    "name": column.name,
                    "kind": column.kind,
                    "sensitivity": draft.sensitivity.get(column.name, "confidential"),
                    "unit": draft.units.get(column.name, ""),
                    "description": draft.descriptions.get(column.name, ""),
                }
                for column in found.columns
            ],
        }
    return described(made).model_dump(mode="json")


def again(node: Node, name: str) -> dict[str, Any]:
    """What a new version of a dataset begins with: what was said of the last one."""
    item = node.datasets.one(name)
    description = described(item["catalogue"])
    manifest = node.datasets.glance(item["commitment"]).manifest
    unit = description.unit_of_privacy
    return {
        "replaces": name,
        "name": name,
        "title": description.title,
        "residency": description.residency,
        "tell_size": description.size_band is not None,
        "sensitivity": {column.name: column.sensitivity for column in description.columns}
        if description.image is None
        else {"": description.image.sensitivity},
        "units": {column.name: column.unit for column in description.columns if column.unit},
        "descriptions": {c.name: c.description for c in description.columns if c.description},
        "unit": f"column:{unit.column}" if unit.column else unit.kind,
        "decimal": manifest.decimal if manifest.kinds else "",
        "description": description.image.description if description.image else "",
        "micrometres": str((description.image and description.image.micrometres_per_pixel) or ""),
        "notes": item["notes"],
    }

"""What people see of datasets: lists, the profile and what others see beside it, agreements and budgets that concern one."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from cloister.agreements.lifecycle import ENDED, State
from cloister.data.profile import PicturesProfile, TableProfile, profile
from cloister.data.schema import ColumnKind, DatasetDescription, UnitOfPrivacy, parse_description
from cloister.foundation.errors import CloisterError
from cloister.node.node import Node
from cloister.node.reports import budgets_view

Profile = TableProfile | PicturesProfile
KINDS: Mapping[str, str] = {
    "boolean": "true or false",
    "integer": "whole numbers",
    "real": "numbers",
    "text": "text",
    "timestamp": "dates and times",
}
"""Kinds of columns as people read them."""
SENSITIVITIES: Mapping[str, str] = {
    "public": "public",
    "internal": "internal",
    "confidential": "confidential",
    "personal": "personal",
}
LABELS: Mapping[str, str] = {
    "none": "none",
    "centres": "centres of objects",
    "centres and diameters": "centres and diameters of objects",
}
WORDS: Mapping[str, Any] = {"kinds": KINDS, "sensitivities": SENSITIVITIES, "labels": LABELS}
"""For templates."""
LIVE = frozenset(State) - ENDED - {State.NONE}
_KEPT = 8
_SECONDS = 60.0


class Profiles:
    """Profiles that were made a moment ago, in memory only; one is made at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Any, tuple[float, Profile]] = OrderedDict()

    def of(self, source: Path, kinds: Mapping[str, ColumnKind] | None = None, decimal: str = "") -> Profile:
        """The profile of a file or folder as it is now. Raises as `data.profile.profile`."""
        key = (str(source), _state(source), tuple(sorted((kinds or {}).items())), decimal)
        with self._lock:
            known = self._kept.get(key)
            if known is not None and time.monotonic() - known[0] < _SECONDS:
                return known[1]
            made = profile(source, kinds, cast("Literal['.', ','] | None", decimal or None))
            self._kept[key] = (time.monotonic(), made)
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return made

    def forget(self) -> None:
        """Lets all go."""
        with self._lock:
            self._kept.clear()


def _state(source: Path) -> tuple[int, ...]:
    found = []
    for path in (source, source / "images", source / "labels", source / "labels.csv"):
        try:
            stat = path.stat()
        except OSError:
            continue
        found += [stat.st_mtime_ns, stat.st_size]
    return tuple(found)


@dataclass(frozen=True)
class Row:
    """One own dataset in the list."""

    name: str
    title: str
    kind: str
    records: int
    unit: str
    residency: str
    version: int
    registered: str
    unchanged: bool
    population: Mapping[str, Any] | None


def described(entry: Mapping[str, Any]) -> DatasetDescription:
    """A catalogue entry from its JSON. Raises `BadInput`."""
    return parse_description(json.dumps(entry).encode())


def unit_words(unit: UnitOfPrivacy) -> str:
    """What protection covers, in words."""
    if unit.kind == "column":
        return f"all rows of one {unit.column}"
    return "each picture" if unit.kind == "image" else "each row"


def rows(node: Node, *, budgets: bool) -> list[Row]:
    """The own datasets, each with its protected population if whoever looks may see budgets."""
    populations = _by_dataset(budgets_view(node)["populations"]) if budgets else {}
    found = []
    for item in node.datasets.own():
        description = described(item["catalogue"])
        found.append(
            Row(
                description.name,
                description.title,
                kind_words(description),
                item["private"]["records"],
                unit_words(description.unit_of_privacy),
                description.residency,
                description.version,
                description.registered,
                item["private"]["looks_unchanged"],
                populations.get(description.name),
            )
        )
    return found


def kind_words(description: DatasetDescription) -> str:
    """What sort of data it is."""
    if description.kind == "image-points":
        return "pictures"
    count = len(description.columns)
    return f"table, {count} column{'' if count == 1 else 's'}"


def _by_dataset(populations: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {name: item for item in populations for name in item["datasets"]}


def population_of(node: Node, name: str) -> Mapping[str, Any] | None:
    """The protected population that a dataset belongs to, as `reports.budgets_view` tells it."""
    return _by_dataset(budgets_view(node)["populations"]).get(name)


def told_by_others(node: Node) -> list[tuple[str, list[DatasetDescription]]]:
    """What others tell of their datasets: owner → its newest entries by name."""
    newest: dict[tuple[str, str], DatasetDescription] = {}
    for entry in node.datasets.entries():
        if entry.owner == node.party:
            continue
        known = newest.get((entry.owner, entry.name))
        if known is None or (entry.version, entry.registered) > (known.version, known.registered):
            newest[entry.owner, entry.name] = entry
    found: dict[str, list[DatasetDescription]] = {}
    for (owner, _name), entry in sorted(newest.items()):
        found.setdefault(owner, []).append(entry)
    return sorted(found.items(), key=lambda item: node.parties.name(item[0]).casefold())


def agreements_about(node: Node, description: DatasetDescription) -> list[dict[str, Any]]:
    """The agreements that name a dataset of this organisation's, newest first, ended ones last."""
    found = []
    for digest in node.agreements.digests():
        try:
            terms = node.agreements.get(digest).terms
            used = terms.dataset(node.party, description.commitment, description)
            if used is None:
                # It may name an earlier version, which is refused now.
                used = next(
                    (i for i in terms.datasets if i.owner == node.party and i.name == description.name), None
                )
                stale = used is not None
            else:
                stale = False
            if used is None:
                continue
            summary = node.agreements.summary(digest)
        except CloisterError:
            continue
        columns = None if used.columns is None else sorted(used.columns)
        found.append(summary | {"columns": columns, "stale": stale, "live": summary["state"] in LIVE})
    found.reverse()
    return sorted(found, key=lambda item: not item["live"])


def running_on(node: Node, commitment: str) -> list[str]:
    """The tasks that run now on a dataset."""
    found = []
    for row in node.runner.tasks():
        if row.status != "running":
            continue
        try:
            if commitment in node.tasks.plan(row.id).request.datasets.values():
                found.append(row.id)
        except CloisterError:
            continue
    return found


def amount(value: float) -> str:
    """An epsilon or delta as people read it."""
    if value > 1e6:  # a write-off of everything
        return "everything"
    return f"{value:.3g}" if value == 0 or not 1e-9 < value < 1e-3 else f"{value:.12f}".rstrip("0")


def charges(
    population: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """What was spent of a population, newest first, each with the title of its agreement."""
    titles = {part["uid"]: (part["title"], part["agreement"]) for part in population["agreements"]}
    found = []
    for charge in reversed(population["charges"]):
        title, digest = titles.get(charge["agreement"], ("", ""))
        found.append(
            {**charge, "title": title, "agreement_digest": digest, "known": charge["task"] in (tasks or {})}
        )
    return found

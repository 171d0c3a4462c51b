"""Samples that people keep: put on disk on their word, found again, compared over time, exported, deleted.

Rules:
1. A sample is kept as it was measured; only its label can be changed afterwards. What people correct stands beside it, entry by
   entry, and is never changed.
2. Pictures are kept only if that was asked for, each within a limit; what was left out is told.
3. What one person keeps, everybody at this server with the right to read samples sees: it is the plant's record. It remembers whose
   it is (`Who.key`), so that doors let only that person, or whoever manages samples, label or delete it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from cloister.foundation.clock import Clock, rfc3339
from cloister.foundation.digests import digest_json
from cloister.foundation.errors import BadInput, NotFound, OutOfSpace
from cloister.foundation.text import acts
from cloister.node.toolroom.limits import RoomLimits
from cloister.node.toolroom.recent import Sample
from cloister.node.toolroom.records import described, facts_of, restored
from cloister.storage.database import Database
from cloister.storage.samples import MOST, SampleRow, Samples, Wanted
from cloister.tools import types as t
from cloister.tools.corrections import Entry, Journal
from cloister.tools.serving import FILES
from cloister.tools.steps.reporting import as_csv

Pictures: TypeAlias = Literal["none", "overlay", "all"]
_KEPT_WITH: Mapping[Pictures, tuple[str, ...]] = {
    "none": ("table.csv", "result.json", "outlines.json"),
    "overlay": ("table.csv", "result.json", "outlines.json", "overlay.png", "overlay.jpg", "report.html"),
    "all": (
        "table.csv",
        "result.json",
        "outlines.json",
        "overlay.png",
        "overlay.jpg",
        "report.html",
        "original.png",
        "original.jpg",
    ),
}
MAX_LABEL = 80
_ID = re.compile(r"[0-9a-f]{48}")
_LABELS = 200


@dataclass(frozen=True)
class Page:
    """Some of the samples, newest first.

    Attributes:
        samples: without their files.
        total: how many there are in all.
        older: what to ask for next, or empty.
        newer: what to ask for to go back, or empty.
    """

    samples: tuple[Sample, ...]
    total: int
    older: str
    newer: str


@dataclass(frozen=True)
class Point:
    """One sample in a trend."""

    at: int
    value: float
    sample: str
    file: str
    label: str


@dataclass(frozen=True)
class Series:
    """Samples whose figures may be compared: of one tool, with the same settings and size of a pixel.

    Attributes:
        key: names it in an address.
        tool: name and version.
        um_per_pixel: None: lengths are in pixels.
        settings: that were chosen.
        samples: how many.
        uncalibrated: of how many of them the size of a pixel was only stated.
    """

    key: str
    tool: str
    um_per_pixel: float | None
    settings: Mapping[str, Any]
    samples: int
    uncalibrated: int


@dataclass(frozen=True)
class Trend:
    """One figure over time, oldest first.

    Attributes:
        figure: its name.
        unit: of all points; empty for a plain number.
        points: in order of time.
        series: that the samples make, the one with the newest sample first.
        chosen: key of the one whose points these are; empty where no sample has the figure.
        cut: whether there are more samples than are looked at.
    """

    figure: str
    unit: str
    points: tuple[Point, ...]
    series: tuple[Series, ...]
    chosen: str
    cut: bool


class History:
    """The kept samples of a database.

    Args:
        database: where.
        clock: tells the time.
        limits: of the room.
    """

    def __init__(self, database: Database, clock: Clock, limits: RoomLimits) -> None:
        self._database, self._clock, self._limits = database, clock, limits

    def keep(self, sample: Sample, label: str, who: str, pictures: Pictures) -> tuple[str, ...]:
        """Puts a sample on disk; gives the names of files that were too large to keep.

        Args:
            sample: as the room held it.
            label: a batch, a line, a shift; may be empty.
            who: keeps it.
            pictures: which are kept with the figures.

        Raises:
            BadInput: the label cannot be used.
            OutOfSpace: there are as many samples as this server keeps.
        """
        label = check_label(label)
        chosen = {name: content for name, content in sample.files.items() if name in _KEPT_WITH[pictures]}
        files = {name: content for name, content in chosen.items() if len(content) <= self._limits.kept_file}
        row = SampleRow(
            sample.id,
            sample.at,
            sample.tool,
            sample.version,
            sample.digest,
            sample.input,
            sample.file,
            label,
            who,
            sample.count,
            facts_of(sample),
            sum(len(content) for content in files.values()),
            sample.owner,
        )
        with self._database.transaction() as tx:
            samples = Samples(tx)
            if samples.get(sample.id) is None:
                if (
                    samples.count(Wanted()) >= self._limits.kept
                    or samples.size() + row.size > self._limits.kept_bytes
                ):
                    raise OutOfSpace(
                        "There is no room for more samples.",
                        f"At most {self._limits.kept} are kept here, and {self._limits.kept_bytes >> 30} GiB of them.",
                        "Export and delete old ones.",
                    )
                samples.add(row, files)
                for position, entry in enumerate(sample.journal.entries):
                    samples.append_correction(sample.id, position, _written(entry))
        return tuple(sorted(set(chosen) - set(files)))

    def get(self, sample: str) -> Sample:
        """A kept sample with the names of its files, without their content. Raises `NotFound`."""
        if not _ID.fullmatch(sample):
            raise _none()
        with self._database.read() as tx:
            row = Samples(tx).get(sample)
            names = Samples(tx).files(sample) if row is not None else {}
        if row is None:
            raise _none()
        return restored(row, dict.fromkeys(names, b""))

    def file(self, sample: str, name: str) -> bytes:
        """One of a sample's files. Raises `NotFound`."""
        if not _ID.fullmatch(sample) or name not in FILES:
            raise _none()
        with self._database.read() as tx:
            content = Samples(tx).file(sample, name)
        if content is None:
            raise _none()
        return content

    def journal(self, sample: str) -> Journal:
        """What people corrected in a kept sample."""
        with self._database.read() as tx:
            return _journal(Samples(tx), sample)

    def correct(self, sample: str, change: Callable[[Journal], Journal]) -> Journal:
        """A kept sample's journal after `change` of the one it had; nobody else changes it meanwhile. Raises `NotFound`."""
        with self._database.transaction() as tx:
            samples = Samples(tx)
            if not _ID.fullmatch(sample) or samples.get(sample) is None:
                raise _none()
            before = _journal(samples, sample)
            after = change(before)
            for position in range(before.version, after.version):
                samples.append_correction(sample, position, _written(after.entries[position]))
        return after

    def page(self, wanted: Wanted, *, limit: int = 50, before: str = "", after: str = "") -> Page:
        """Some of the samples, newest first.

        Args:
            wanted: which.
            limit: how many, 1 to 500.
            before: `older` of another page.
            after: `newer` of another page.

        Raises:
            BadInput: a place is malformed.
        """
        limit = max(1, min(limit, 500))
        old, new = (_place(before) if before else None), (_place(after) if after else None)
        with self._database.read() as tx:
            samples = Samples(tx)
            rows = samples.find(wanted, limit + 1, old, new)
            total = samples.count(wanted)
        more = len(rows) > limit
        rows = (rows[1:] if new is not None else rows[:limit]) if more else rows
        older = more if new is None else bool(rows)
        newer = more if new is not None else old is not None and bool(rows)
        return Page(
            tuple(restored(row, {}) for row in rows),
            total,
            _mark(rows[-1]) if older else "",
            _mark(rows[0]) if newer else "",
        )

    def trend(self, wanted: Wanted, figure: str, series: str = "") -> Trend:
        """One figure of the samples over time: of one series, for what is measured otherwise moves a figure, too.

        Args:
            wanted: which samples.
            figure: its name.
            series: key of a series; the newest sample's if there is none of that key.
        """
        found, cut = self._all(wanted)
        groups: dict[str, list[Sample]] = {}
        for sample in found:
            if sample.figures.values.get(figure) is not None:
                groups.setdefault(_series_of(sample), []).append(sample)
        chosen = series if series in groups else next(iter(groups), "")
        shown = groups.get(chosen, [])
        points = [
            Point(item.at, float(value), item.id, item.file, item.label)
            for item in reversed(shown)
            if (value := item.figures.values[figure]) is not None
        ]
        unit = shown[0].figures.units.get(figure, "") if shown else ""
        told = tuple(_series(key, group) for key, group in groups.items())
        return Trend(figure, unit, tuple(points), told, chosen, cut)

    def figures(self, wanted: Wanted) -> list[str]:
        """The names of figures that the newest samples have, `count` first."""
        with self._database.read() as tx:
            rows = Samples(tx).find(wanted, 20)
        names = {name for row in rows for name in restored(row, {}).figures.values}
        return sorted(names, key=lambda name: (name != "count", name))

    def tools(self) -> list[str]:
        """Tools that have samples."""
        with self._database.read() as tx:
            return Samples(tx).tools()

    def labels(self) -> list[str]:
        """Labels in use, the one used last first."""
        with self._database.read() as tx:
            return Samples(tx).labels(_LABELS)

    def relabel(self, sample: str, label: str) -> None:
        """Gives a sample another label. Raises `NotFound`, `BadInput`."""
        label = check_label(label)
        with self._database.transaction() as tx:
            if not _ID.fullmatch(sample) or not Samples(tx).relabel(sample, label):
                raise _none()

    def remove(self, samples: Iterable[str]) -> int:
        """Deletes samples with their files; how many there were."""
        with self._database.transaction() as tx:
            return sum(Samples(tx).remove(sample) for sample in samples if _ID.fullmatch(sample))

    def as_csv(self, wanted: Wanted) -> bytes:
        """One line for each sample, a column for each figure in each unit."""
        found, _ = self._all(wanted)
        keys = sorted(
            {
                (name, s.figures.units.get(name, ""))
                for s in found
                for name in s.figures.values
                if name != "count"
            }
        )
        head = ("sample", "time", "tool", "version", "label", "file", "kept_by", "count")
        columns: dict[str, list[Any]] = {name: [] for name in head}
        for sample in found:
            line = (
                sample.id,
                rfc3339(sample.at),
                sample.tool,
                sample.version,
                sample.label,
                sample.file,
                sample.who,
                sample.count,
            )
            for name, value in zip(head, line, strict=True):
                columns[name].append(value)
        for name, unit in keys:
            columns[f"{name} ({unit})" if unit else name] = [
                s.figures.values.get(name) if s.figures.units.get(name, "") == unit else None for s in found
            ]
        columns["um_per_pixel"] = [sample.um_per_pixel for sample in found]
        columns["file_digest"] = [sample.input for sample in found]
        columns["tool_digest"] = [sample.digest for sample in found]
        return as_csv(t.Table({name: np.array(values, dtype=object) for name, values in columns.items()}))

    def as_json(self, wanted: Wanted) -> bytes:
        """The samples as a JSON list, newest first."""
        found, cut = self._all(wanted)
        told = {"samples": [described(sample) for sample in found], "complete": not cut}
        return json.dumps(told, ensure_ascii=False, allow_nan=False).encode("utf-8")

    def _all(self, wanted: Wanted) -> tuple[list[Sample], bool]:
        with self._database.read() as tx:
            samples = Samples(tx)
            rows = samples.find(wanted, MOST)
            total = samples.count(wanted)
        return [restored(row, {}) for row in rows], total > len(rows)


def check_label(label: str) -> str:
    """A label as it is kept. Raises `BadInput`."""
    label = " ".join(label.split())
    if len(label) > MAX_LABEL or acts(label):
        raise BadInput(
            "The label cannot be used.",
            f"It may have {MAX_LABEL} characters in one line.",
            "Write a short one, such as a batch number.",
        )
    return label


def _series_of(sample: Sample) -> str:
    conditions = [sample.digest, sample.um_per_pixel, dict(sample.settings)]
    return digest_json(conditions).removeprefix("sha256:")[:12]


def _series(key: str, group: list[Sample]) -> Series:
    newest = group[0]
    stated = [item for item in group if item.um_per_pixel is not None and item.calibration is None]
    tool = f"{newest.tool} {newest.version}"
    return Series(key, tool, newest.um_per_pixel, newest.settings, len(group), len(stated))


def _journal(samples: Samples, sample: str) -> Journal:
    return Journal(tuple(Entry.model_validate_json(entry) for entry in samples.corrections(sample)))


def _written(entry: Entry) -> bytes:
    return entry.model_dump_json().encode("utf-8")


def _mark(row: SampleRow) -> str:
    return f"{row.at}.{row.id}"


def _place(mark: str) -> tuple[int, str]:
    at, dot, name = mark[:100].partition(".")
    if not dot or not at.isascii() or not at.isdigit() or len(at) > 12:
        raise BadInput("That is no place in the list.", "", "Begin at its start.")
    return int(at), name


def _none() -> NotFound:
    return NotFound(
        "There is no such sample.",
        "It was not kept, it was deleted, or it is somebody else's.",
        "See the list of samples, or drop the picture again.",
    )

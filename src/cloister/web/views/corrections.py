"""Corrections in words and as JSON: what holds, who changed what, and what a form asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import BadInput
from cloister.node.toolroom.room import Corrected
from cloister.tools.corrections import (
    Entry,
    Journal,
    Merge,
    Redo,
    Remove,
    Split,
    Thing,
    Undo,
    corrected,
    figures_of,
    told,
)
from cloister.tools.corrections.edits import MAX_AT_ONCE, AddDisc, Change
from cloister.web.views import typed

TABLE_MOST = 3000
"""Rows of the page's table of objects; all are in the CSV."""
_WORDS = {
    "add": "added",
    "add-disc": "added",
    "remove": "removed",
    "split": "cut",
    "merge": "merged",
    "reshape": "redrawn",
}


@dataclass(frozen=True)
class Line:
    """An entry of the journal in words.

    Attributes:
        at: when, seconds.
        who: whose.
        text: what was done, so that it reads on after the name.
        holds: whether it was not undone.
    """

    at: int
    who: str
    text: str
    holds: bool


@dataclass(frozen=True)
class Shown:
    """What a result's page shows of corrections.

    Attributes:
        version: how many entries there are.
        can_undo: whether one holds.
        can_redo: whether one was undone last.
        summary: `3 added, 1 removed`; empty where nothing holds.
        people: who made what holds.
        at: when the last entry came; 0 for none.
        lines: the entries, newest first.
        figures: after corrections.
        rows: of the table of objects, at most `TABLE_MOST`.
        total: how many objects there are.
        unit: of lengths.
    """

    version: int
    can_undo: bool
    can_redo: bool
    summary: str
    people: str
    at: int
    lines: Sequence[Line]
    figures: Any
    rows: Sequence[Mapping[str, Any]]
    total: int
    unit: str


def shown(state: Corrected) -> Shown:
    """What a page shows."""
    journal = state.journal
    done, undone = journal.standing()
    things = state.things()
    return Shown(
        journal.version,
        bool(done),
        bool(undone),
        summary(journal),
        ", ".join(dict.fromkeys(entry.who or "somebody" for entry in journal.holding())),
        journal.entries[-1].at if journal.entries else 0,
        lines(journal),
        figures_of(state.found, things),
        told(state.found, things[:TABLE_MOST]),
        len(things),
        "px" if state.found.micrometres_per_pixel is None else "µm",
    )


def summary(journal: Journal) -> str:
    """How much of what kind holds: `3 added, 1 removed`; empty where nothing does."""
    counts: Counter[str] = Counter()
    for entry in journal.holding():
        counts[_WORDS[entry.edit.kind]] += (
            len(entry.removed) if isinstance(entry.edit, (Remove, Merge)) else 1
        )
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def lines(journal: Journal) -> list[Line]:
    """The entries in words, newest first."""
    holding = set(journal.standing()[0])
    return [
        Line(entry.at, entry.who or "somebody", _text(entry), place in holding)
        for place, entry in reversed(list(enumerate(journal.entries)))
    ]


def state_json(state: Corrected) -> dict[str, Any]:
    """The whole state, as JSON."""
    return _told(state) | {"objects": told(state.found, state.things())}


def change_json(state: Corrected, after: int) -> dict[str, Any]:
    """What changed since the entry `after`, as JSON: numbers that went, objects that came."""
    before = corrected(state.found, Journal(state.journal.entries[:after]))
    now = state.things()
    numbers = {thing.number for thing in now}
    came: list[Thing] = [thing for thing in now if thing.number not in before]
    return _told(state) | {
        "removed": [number for number in before if number not in numbers],
        "objects": told(state.found, came),
    }


def _told(state: Corrected) -> dict[str, Any]:
    done, undone = state.journal.standing()
    figures = figures_of(state.found, state.things())
    return {
        "version": state.journal.version,
        "can_undo": bool(done),
        "can_redo": bool(undone),
        "summary": summary(state.journal),
        "width": state.found.width,
        "height": state.found.height,
        "um_per_pixel": state.found.micrometres_per_pixel,
        "units": dict(state.found.units),
        "figures": dict(figures.values),
        "entries": [
            {"time": rfc3339(line.at), "who": line.who, "text": line.text, "holds": line.holds}
            for line in lines(state.journal)
        ],
    }


def asked(fields: Mapping[str, str], um_per_pixel: float | None) -> Change | Undo | Redo:
    """The correction that a form without script asks for.

    Args:
        fields: `action` and, as it needs them, `numbers` (apart by spaces or commas), `x` and `y` (pixels), `diameter`
            (micrometres where the size of a pixel is known, else pixels).
        um_per_pixel: of the picture.

    Raises:
        BadInput: a field cannot be used.
    """
    match fields.get("action", ""):
        case "remove":
            return Remove(numbers=_numbers(fields.get("numbers", "")))
        case "merge":
            numbers = _numbers(fields.get("numbers", ""))
            if len(numbers) < 2:
                raise BadInput("One object cannot be merged.", "", "Write the numbers of two or more.")
            return Merge(numbers=numbers)
        case "add":
            x, y, diameter = (
                typed.number(fields.get(name, ""), title)
                for name, title in (("x", "The place x"), ("y", "The place y"), ("diameter", "The diameter"))
            )
            pixels = diameter / (um_per_pixel or 1.0)
            if not (abs(x) <= 1e5 and abs(y) <= 1e5 and 1.0 <= pixels <= 1e5):
                raise BadInput(
                    "There can be no such object.",
                    "It is out of the picture, or too small.",
                    "See the picture's size.",
                )
            return AddDisc(x=x, y=y, diameter=pixels)
        case "undo":
            return Undo()
        case "redo":
            return Redo()
        case _:
            raise BadInput("That is no correction.", "", "Use the forms of the result's page.")


def _numbers(text: str) -> tuple[int, ...]:
    words = text.replace(",", " ").replace(";", " ").split()
    if not 1 <= len(words) <= MAX_AT_ONCE:
        raise BadInput(
            "Which objects is not clear.", f"Write 1 to {MAX_AT_ONCE} numbers.", "Such as: 3, 7, 12."
        )
    return tuple(
        dict.fromkeys(typed.whole(word, "An object's number", least=1, most=10_000_000) for word in words)
    )


def _text(entry: Entry) -> str:
    removed = ", ".join(str(number) for number in entry.removed[:12]) + (
        "…" if len(entry.removed) > 12 else ""
    )
    made = " and ".join(str(one.number) for one in entry.made)
    match entry.edit:
        case Undo():
            return "undid the last correction"
        case Redo():
            return "made an undone correction again"
        case Remove():
            return f"removed {removed}"
        case Split():
            return f"cut {removed} into {made}"
        case Merge():
            return f"merged {removed} into {made}"
        case _ if entry.removed:
            return f"redrew {removed} as {made}"
        case _:
            return f"added {made}"

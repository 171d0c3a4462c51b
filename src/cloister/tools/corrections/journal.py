"""The journal of corrections: who changed what, when; and what holds after it.

Rules:
1. Entries are only added. Undoing is an entry too; nothing that was done or undone is ever taken out.
2. A correction says after which entry it comes. If others came meanwhile it is refused, and the journal is as it was: nobody's
   work is overwritten.
3. A correction that is sent twice, under one key by one person, is made once.
4. A number belongs to one object for ever, also after that object was removed or its adding undone.
5. An entry holds what came of it (which objects went, which came with which outline): what holds later does not depend on how a
   later version of this software cuts or joins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, assert_never

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from cloister.foundation.errors import BadInput, Conflict
from cloister.foundation.text import one_line
from cloister.tools.corrections import shapes
from cloister.tools.corrections.edits import (
    Add,
    AddDisc,
    Change,
    Corners,
    Edit,
    Merge,
    Number,
    Redo,
    Remove,
    Reshape,
    Split,
    Undo,
)
from cloister.tools.corrections.found import MAX_OBJECTS, Found, Thing

MAX_ENTRIES = 5_000
MAX_CORNERS = 200_000
"""Of all outlines in a journal: some 10 MB, which are parsed in a third of a second; an outline drawn by hand has up to 200."""
_FEW = 3


class Made(BaseModel):
    """An object that came of a correction."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    number: Number
    points: Corners


class Entry(BaseModel):
    """One line of the journal.

    Args:
        at: when, seconds since the epoch.
        who: the person's name, as it was then.
        whose: tells people of one name apart.
        key: drawn by whoever sent it, so that sending it twice does it once.
        edit: what was wanted.
        removed: numbers of the objects that went.
        made: the objects that came.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    at: Annotated[int, Field(ge=0)]
    who: Annotated[str, Field(max_length=200)]
    whose: Annotated[str, Field(max_length=200)]
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
    edit: Edit
    removed: tuple[Number, ...] = ()
    made: tuple[Made, ...] = ()


@dataclass(frozen=True)
class Journal:
    """All entries, oldest first."""

    entries: tuple[Entry, ...] = ()

    @property
    def version(self) -> int:
        """How many entries there are: after what the next one comes."""
        return len(self.entries)

    def standing(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Positions of the corrections that hold, oldest first; and of those that can be made again, the next one last."""
        done: list[int] = []
        undone: list[int] = []
        for place, entry in enumerate(self.entries):
            match entry.edit:
                case Undo():
                    undone.append(done.pop())
                case Redo():
                    done.append(undone.pop())
                case _:
                    done.append(place)
                    undone.clear()
        return tuple(done), tuple(undone)

    def holding(self) -> list[Entry]:
        """The corrections that hold, oldest first."""
        return [self.entries[place] for place in self.standing()[0]]


EMPTY = Journal()


def corrected(found: Found, journal: Journal) -> dict[int, Thing]:
    """The objects after the corrections that hold, by number in order."""
    things = dict(found.things)
    for entry in journal.holding():
        for number in entry.removed:
            things.pop(number, None)
        for made in entry.made:
            points = np.array(made.points, dtype=np.float64)
            things[made.number] = Thing(made.number, points, {}, by_hand=True)
    return things


def correct(
    found: Found,
    journal: Journal,
    edit: Change | Undo | Redo,
    *,
    after: int,
    key: str,
    who: str,
    whose: str,
    at: int,
) -> Journal:
    """The journal with one more entry, or the same if the entry is there already (rule 3).

    Args:
        found: what the tool found.
        journal: as it is now.
        edit: what is wanted.
        after: how many entries the person had seen.
        key: 8 to 64 letters, digits, - or _, drawn for this correction.
        who: the person's name.
        whose: tells people apart.
        at: now, seconds since the epoch.

    Raises:
        BadInput: the correction cannot be made, or the key was used for another one.
        Conflict: others corrected meanwhile (rule 2), or there are as many corrections as are kept.
    """
    for entry in journal.entries:
        if entry.key == key and entry.whose == whose:
            if entry.edit != edit:
                raise BadInput("The key was used for another correction.", "", "Draw a new one for this one.")
            return journal
    if after != journal.version:
        raise _meanwhile(journal.entries[max(0, after) :] if after < journal.version else ())
    if journal.version >= MAX_ENTRIES:
        raise _full()
    removed, made = _outcome(found, journal, edit)
    everything = (*(one for before in journal.entries for one in before.made), *made)
    if sum(len(one.points) for one in everything) > MAX_CORNERS:
        raise _full()
    entry = Entry(
        at=at, who=one_line(who)[:200], whose=whose[:200], key=key, edit=edit, removed=removed, made=made
    )
    return Journal((*journal.entries, entry))


def _full() -> Conflict:
    return Conflict(
        "This result has too many corrections.",
        f"At most {MAX_ENTRIES} are kept, with {MAX_CORNERS} corners.",
        "Keep the result, drop the picture again, and go on there.",
    )


def _outcome(
    found: Found, journal: Journal, edit: Change | Undo | Redo
) -> tuple[tuple[int, ...], tuple[Made, ...]]:
    things = corrected(found, journal)
    outlines: Sequence[NDArray[np.float64]] = ()
    gone: tuple[int, ...] = ()
    match edit:
        case Undo():
            if not journal.standing()[0]:
                raise Conflict(
                    "There is nothing to undo.", "No correction holds.", "Look at the list of them."
                )
        case Redo():
            if not journal.standing()[1]:
                raise Conflict("There is nothing to do again.", "", "Look at the list of corrections.")
        case AddDisc():
            outlines = [shapes.disc(edit.x, edit.y, edit.diameter)]
        case Add():
            outlines = [np.array(edit.points, dtype=np.float64)]
        case Remove():
            gone = tuple(thing.number for thing in _those(things, edit.numbers))
        case Split():
            (thing,) = _those(things, [edit.number])
            gone, outlines = (thing.number,), shapes.split(thing.points, np.array(edit.line))
        case Merge():
            several = _those(things, edit.numbers)
            gone = tuple(thing.number for thing in several)
            outlines = [shapes.merge([thing.points for thing in several])]
        case Reshape():
            (thing,) = _those(things, [edit.number])
            gone, outlines = (thing.number,), [np.array(edit.points, dtype=np.float64)]
        case _:
            assert_never(edit)
    if isinstance(edit, (Add, AddDisc, Reshape)):
        outlines = [shapes.usable(outline, found.width, found.height) for outline in outlines]
    if len(things) - len(gone) + len(outlines) > MAX_OBJECTS:
        raise BadInput("There are too many objects.", f"At most {MAX_OBJECTS} are kept of a picture.", "")
    first = _highest(found, journal) + 1
    return gone, tuple(
        Made(number=number, points=tuple((round(float(x), 2), round(float(y), 2)) for x, y in outline))
        for number, outline in enumerate(outlines, first)
    )


def _highest(found: Found, journal: Journal) -> int:
    """The highest number that any object has or had (rule 4)."""
    made = (one.number for entry in journal.entries for one in entry.made)
    return max(max(found.things, default=0), max(made, default=0))


def _those(things: dict[int, Thing], numbers: Sequence[int]) -> list[Thing]:
    if len(set(numbers)) != len(numbers):
        raise BadInput("A number is named twice.", "", "Name each object once.")
    lacking = [number for number in numbers if number not in things]
    if lacking:
        raise BadInput(
            f"There is no object {lacking[0]}.",
            "It was removed, cut or merged before, or never there.",
            "See the numbers in the picture or the table.",
        )
    return [things[number] for number in numbers]


def _meanwhile(others: Sequence[Entry]) -> Conflict:
    names = list(dict.fromkeys(entry.who or "somebody" for entry in others))
    by = ", ".join(names[:_FEW]) + (" and others" if len(names) > _FEW else "")
    count = f"{len(others)} correction{'s' if len(others) != 1 else ''} came"
    return Conflict(
        "Somebody else corrected this picture meanwhile.",
        f"{count} from {by} after what you saw. Nothing of theirs is lost, and yours was not made."
        if others
        else "What you saw is not this picture's latest state. Nothing was changed.",
        "Look at the picture as it is now, and correct it again.",
    )

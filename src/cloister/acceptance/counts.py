"""What people counted, from CSV files: image, person, repeat, count; one row for each count.

Rules:
1. Files are read within limits; separators and decimal habits of spreadsheets are understood, nothing is guessed.
2. A count is a whole number from zero. Every picture, person and repeat is one of the plan's, and is counted once.
3. An empty count is a missing one. Missing counts are told, never filled in.
4. A sheet that carries another plan's digest is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cloister.acceptance.study import MAX_COUNT, MAX_PICTURES, CountValue, Plan
from cloister.data.column_kinds import TableLimits
from cloister.data.csv_tables import parse_text
from cloister.data.schema import Digest, Line
from cloister.foundation.digests import digest
from cloister.foundation.documents import Document
from cloister.foundation.errors import BadInput, Conflict
from cloister.foundation.files import read_limited
from cloister.foundation.text import one_line

MAX_FILE_BYTES = 4 << 20
_LIMITS = TableLimits(max_bytes=MAX_FILE_BYTES, max_rows=200_000, max_columns=32)
COLUMNS = ("image", "person", "repeat", "count")
PLAN_COLUMN = "plan"
_WHOLE = re.compile(r"[0-9]{1,8}")


class OneCount(Document):
    """One person's count of one picture."""

    image: Line
    person: Line
    repeat: Annotated[int, Field(ge=1, le=10)]
    count: CountValue


class PeoplesCounts(Document):
    """All counts of a study, in the plan's order, and the files that they came from."""

    type: Literal["cloister/study-counts@1"] = "cloister/study-counts@1"
    plan: Digest
    counts: Annotated[tuple[OneCount, ...], Field(max_length=MAX_PICTURES * 200)]
    files: Annotated[dict[Line, Digest], Field(default_factory=dict, max_length=400)]

    def cube(self, plan: Plan) -> NDArray[np.float64]:
        """Pictures x people x repeats; not a number where a count is missing."""
        places = {picture.name: number for number, picture in enumerate(plan.pictures)}
        people = {person: number for number, person in enumerate(plan.people)}
        made = np.full((len(places), len(people), plan.repeats), np.nan)
        for item in self.counts:
            made[places[item.image], people[item.person], item.repeat - 1] = item.count
        return made


def read_counts(paths: Sequence[Path], plan: Plan) -> PeoplesCounts:
    """The counts in several files together. Raises `BadInput` naming file and line, `Conflict` for another plan's."""
    return parse_counts({str(path): read_limited(path, MAX_FILE_BYTES) for path in paths}, plan)


def parse_counts(files: Mapping[str, bytes], plan: Plan) -> PeoplesCounts:
    """The counts in several files' bytes.

    Args:
        files: by name.
        plan: of the study.

    Raises:
        BadInput: no such column, picture, person or repeat; not a whole number; counted twice.
        Conflict: a sheet was made for another plan.
    """
    found: dict[tuple[str, str, int], int] = {}
    for path, data in files.items():
        name = one_line(Path(path).name)[:200]
        for line, key, count in _rows(data, name, plan):
            if key in found:
                raise BadInput(
                    f"{name} counts a picture a second time.",
                    f"Line {line}: the same picture, person and repeat were there before.",
                    "Keep one of them; give the other its own repeat number if it is another count.",
                )
            found[key] = count
    order = {picture.name: number for number, picture in enumerate(plan.pictures)}
    people = {person: number for number, person in enumerate(plan.people)}
    ordered = sorted(found.items(), key=lambda item: (order[item[0][0]], people[item[0][1]], item[0][2]))
    return PeoplesCounts(
        plan=plan.digest(),
        counts=tuple(
            OneCount(image=image, person=person, repeat=repeat, count=count)
            for (image, person, repeat), count in ordered
        ),
        files=_named(files),
    )


def _named(files: Mapping[str, bytes]) -> dict[str, str]:
    """Digests by the files' names; files of one name from several folders get a number."""
    made: dict[str, str] = {}
    for path, data in files.items():
        name = one_line(Path(path).name)[:180]
        alike = sum(other == name or other.startswith(f"{name} (") for other in made)
        made[f"{name} ({alike + 1})" if alike else name] = digest(data)
    return made


def _rows(data: bytes, name: str, plan: Plan) -> list[tuple[int, tuple[str, str, int], int]]:
    if len(data) > MAX_FILE_BYTES:
        raise BadInput(
            f"{name} is too large.", f"The limit is {MAX_FILE_BYTES} bytes.", "Use the count sheets."
        )
    table = parse_text(data, limits=_LIMITS, name=name)
    columns = {str(column).strip().lower(): str(column) for column in table.column_names}
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise BadInput(
            f"{name} has no column {missing[0]!r}.",
            f"It takes the columns {', '.join(COLUMNS)}.",
            "Fill in the count sheets that came with the plan.",
        )
    cells = {
        column: [(value or "").strip() for value in table.column(columns[column]).to_pylist()]
        for column in (*COLUMNS, *((PLAN_COLUMN,) if PLAN_COLUMN in columns else ()))
    }
    known = {picture.name for picture in plan.pictures}
    mark = short_digest(plan)
    made = []
    for place, text in enumerate(cells["count"]):
        line = place + 2
        if not text:
            continue
        if cells.get(PLAN_COLUMN) and cells[PLAN_COLUMN][place] not in ("", mark):
            raise Conflict(
                f"{name} was written for another plan.",
                f"Line {line} names another plan's digest than this study's.",
                "Use the sheets of this study; a plan that was changed takes new counts.",
            )
        image = cells["image"][place]
        if image not in known:
            # Sheets shield names that a spreadsheet would run as a formula.
            image = image.removeprefix("'")
        person, repeat = cells["person"][place], cells["repeat"][place]
        if person not in plan.people:
            person = person.removeprefix("'")
        for fits, what, which in (
            (image in known, "picture", "pictures"),
            (person in plan.people, "person", "people"),
            (bool(_WHOLE.fullmatch(repeat)) and 1 <= int(repeat) <= plan.repeats, "repeat", "repeats"),
        ):
            if not fits:
                raise BadInput(
                    f"{name} has a {what} that is not in the plan.",
                    f"Line {line} names none of the plan's {which}.",
                    "Correct the name there; it is written as in the count sheet.",
                )
        if not _WHOLE.fullmatch(text) or int(text) > MAX_COUNT:
            raise BadInput(
                f"{name} has a count that is no whole number.",
                f"Line {line} must have digits only, at most {MAX_COUNT}.",
                "Write how many were counted, or leave it empty.",
            )
        made.append((line, (image, person, int(repeat)), int(text)))
    return made


def short_digest(plan: Plan) -> str:
    """The start of the plan's digest, as it stands on the sheets."""
    return plan.digest().removeprefix("sha256:")[:16]

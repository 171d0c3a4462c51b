"""The study's documents: a plan that is fixed before anybody counts, and what the tool counted afterwards.

Rules:
1. The plan holds the method, the pictures by digest, who counts how often, and the limits. Its digest stands on every count sheet, so
   that limits cannot be chosen after the counts are known without its being seen.
2. The tool's counts are only taken by the plan's own method, of the plan's own pictures.
3. A study is one JSON file, canonical, read within limits.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, ValidationError, model_validator

from cloister.acceptance.method import Method, Validity, is_valid_for
from cloister.data.images import image_size
from cloister.data.schema import Digest, Line
from cloister.foundation.clock import parse_rfc3339, rfc3339
from cloister.foundation.digests import digest_file, same
from cloister.foundation.documents import Document, invalid, parse_document
from cloister.foundation.errors import BadInput, Conflict, NotFound, Tampered
from cloister.foundation.files import read_limited
from cloister.foundation.text import one_line
from cloister.sizing.calibration import Calibration, expect_size

MAX_BYTES = 4 << 20
MAX_PICTURES = 1000
RECOMMENDED = 30
"""Pictures: with fewer the limits of agreement are known too badly to decide much."""

MAX_COUNT = 10_000_000
Limit: TypeAlias = Annotated[float, Field(gt=0, lt=1e9)]
CountValue: TypeAlias = Annotated[int, Field(ge=0, le=MAX_COUNT)]


def _moment(text: str) -> str:
    try:
        parse_rfc3339(text)
    except BadInput:
        raise ValueError("it is no time of the form 2026-11-22T14:00:00Z") from None
    return text


Moment: TypeAlias = Annotated[Line, AfterValidator(_moment)]


class StudyPicture(Document):
    """One picture of the study.

    Args:
        name: the file's name, unique in the study.
        content: digest of the file.
        path: where the file lay, relative to the study's file; a help for finding it, no part of what was studied.
    """

    name: Annotated[Line, Field(min_length=1)]
    content: Digest
    path: Annotated[str, Field(max_length=4096)] = ""


class Limits(Document):
    """What is acceptable, set before anybody counts.

    Args:
        form: `objects`, differences in counts; or `ratio`, the tool's count over the people's.
        bias: how far the mean difference may be from zero; of a ratio the share, 0.05 for 1/1.05 to 1.05.
        agreement: how far 95 % of single pictures may be, in the same form.
        gauge: the largest GRR with the tool among the counters, per cent of total variation; None: it decides nothing.
        categories: the fewest distinct categories with the tool among the counters; None: it decides nothing.
    """

    form: Literal["objects", "ratio"]
    bias: Limit
    agreement: Limit
    gauge: Annotated[float, Field(gt=0, le=100)] | None = None
    categories: Annotated[int, Field(ge=1, le=1000)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Limits:
        if self.bias > self.agreement:
            raise ValueError(
                "the limit of the bias is beyond that of agreement, which single pictures may reach"
            )
        return self


class Plan(Document):
    """A study before it begins.

    Args:
        title: for people.
        organisation: whose pictures and people.
        counted: plural noun of what is counted.
        created: when the plan was made.
        method: what will count.
        pictures: in the order of the tables.
        people: how those who count are called; labels suffice.
        repeats: how often each person counts each picture.
        limits: what is acceptable.
        seed: of the orders on the count sheets.
    """

    type: Literal["cloister/study-plan@1"] = "cloister/study-plan@1"
    title: Annotated[Line, Field(min_length=1)]
    organisation: Line = ""
    counted: Annotated[Line, Field(min_length=1)] = "objects"
    created: Moment
    method: Method
    pictures: Annotated[tuple[StudyPicture, ...], Field(min_length=3, max_length=MAX_PICTURES)]
    people: Annotated[tuple[Annotated[Line, Field(min_length=1)], ...], Field(min_length=2, max_length=20)]
    repeats: Annotated[int, Field(ge=1, le=10)]
    limits: Limits
    seed: Annotated[int, Field(ge=0, lt=2**53)]

    @model_validator(mode="after")
    def _distinct(self) -> Plan:
        for what, names in (
            ("picture name", [picture.name for picture in self.pictures]),
            ("picture", [picture.content for picture in self.pictures]),
            ("person", list(self.people)),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"a {what} is there twice")
        return self


class ToolRun(Document):
    """What the tool counted.

    Args:
        plan: digest of the plan.
        time: when.
        counts: one list for each repeat, one entry for each of the plan's pictures; None where it gave no count.
        remarks: what the tool said of pictures, or why it gave no count.
    """

    plan: Digest
    time: Moment
    counts: Annotated[
        tuple[Annotated[tuple[CountValue | None, ...], Field(max_length=MAX_PICTURES)], ...],
        Field(min_length=1, max_length=10),
    ]
    remarks: Annotated[
        tuple[Annotated[str, Field(max_length=2000)], ...], Field(max_length=MAX_PICTURES)
    ] = ()


class Study(Document):
    """A plan, and what the tool counted once it ran."""

    type: Literal["cloister/study@1"] = "cloister/study@1"
    plan: Plan
    run: ToolRun | None = None

    @model_validator(mode="after")
    def _belongs(self) -> Study:
        if self.run is not None:
            if not same(self.run.plan, self.plan.digest()):
                raise ValueError("the tool's counts belong to another plan")
            if any(len(counts) != len(self.plan.pictures) for counts in self.run.counts):
                raise ValueError("the tool's counts are not one for each picture")
            if len(self.run.counts) < self.plan.repeats:
                raise ValueError("the tool counted less often than the plan says")
        return self

    def is_valid_for(self, method: Method) -> Validity:
        """Whether `method` is the one studied, and if not, what changed."""
        return is_valid_for(self.plan.method, method)


def make_plan(
    method: Method,
    pictures: Sequence[Path],
    *,
    beside: Path,
    people: Sequence[str],
    repeats: int,
    limits: Limits,
    title: str,
    organisation: str,
    counted: str,
    now: int,
    seed: int,
    calibration: Calibration | None = None,
) -> Plan:
    """A plan for these pictures.

    Args:
        method: what will count.
        pictures: files; each name once, each content once.
        beside: the study's file; the pictures' places are kept relative to its folder.
        people: labels of those who count.
        repeats: how often each counts each picture.
        limits: what is acceptable.
        title: for people.
        organisation: whose study.
        counted: plural noun.
        now: seconds since the epoch.
        seed: of the orders on the count sheets.
        calibration: the method's, if it has one; every picture has to be of its size.

    Raises:
        BadInput: fewer than three pictures, one twice, one of another size, or a field that cannot be used.
        NotFound: a picture is not there.
    """
    twice = [name for name, count in Counter(path.name for path in pictures).items() if count > 1]
    if twice:
        raise BadInput(
            f"Two pictures are called {twice[0]}.",
            "People write their counts by the pictures' names.",
            "Give each picture a name of its own.",
        )
    if not 3 <= len(pictures) <= MAX_PICTURES:
        raise BadInput(
            "A study cannot be made of so many pictures.",
            f"{len(pictures)} were named; it takes 3 to {MAX_PICTURES}, and {RECOMMENDED} are a good number.",
            "Name the pictures, for example pictures/*.png",
        )
    if calibration is not None:
        for path in pictures:
            expect_size(calibration, image_size(path), one_line(path.name))
    home = beside.absolute().parent
    listed = tuple(_picture(path, home) for path in pictures)
    if len({picture.content for picture in listed}) != len(listed):
        raise BadInput(
            "Two of the pictures are the same.", "Their files are equal.", "Leave one of them out."
        )
    try:
        return Plan(
            title=title,
            organisation=organisation,
            counted=counted,
            created=rfc3339(now),
            method=method,
            pictures=listed,
            people=tuple(people),
            repeats=repeats,
            limits=limits,
            seed=seed,
        )
    except ValidationError as error:
        raise invalid(error, "The study's plan") from None


def read_study(path: Path) -> Study:
    """A study from its file. Raises `BadInput` naming the field, `NotFound`."""
    return parse_document(Study, read_limited(path, MAX_BYTES), "The study", max_bytes=MAX_BYTES)


def find_pictures(plan: Plan, beside: Path, folder: Path | None = None) -> list[Path]:
    """The plan's pictures on this machine, in order.

    Args:
        plan: of the study.
        beside: the study's file.
        folder: where the pictures lie now, if not where they lay.

    Raises:
        NotFound: one is missing.
        Tampered: one is not the file that was planned.
    """
    found = []
    for picture in plan.pictures:
        path = folder / picture.name if folder is not None else beside.absolute().parent / picture.path
        if not path.is_file():
            raise NotFound(
                f"The picture {picture.name} is not there.",
                "It was moved or removed since the study was planned.",
                "Say where the pictures lie now: --pictures FOLDER",
            )
        if not same(digest_file(path), picture.content):
            raise Tampered(
                f"{picture.name} is another picture than the one planned.",
                "Its digest differs.",
                "Put the planned file back, or plan a new study.",
                clause="study-pictures",
            )
        found.append(path)
    return found


def expect_method(study: Study, present: Method) -> None:
    """Refuses to count by another method than the plan's. Raises `Conflict` that names what changed."""
    validity = study.is_valid_for(present)
    if not validity.valid:
        raise Conflict(
            "This is not the method that the study was planned for.",
            f"{validity.changes[0]}."
            + (f" And {len(validity.changes) - 1} more." if validity.changes[1:] else ""),
            "Plan a new study for the present method, or go back to the one planned.",
            changes=[str(change) for change in validity.changes],
        )


def _picture(path: Path, home: Path) -> StudyPicture:
    if not path.is_file():
        raise NotFound(f"There is no file {path}.", "", "Name pictures, for example pictures/*.png")
    try:
        place = Path(os.path.relpath(path.absolute(), home)).as_posix()
    except ValueError:  # another drive
        place = path.absolute().as_posix()
    try:
        return StudyPicture(name=path.name, content=digest_file(path), path=place)
    except ValidationError as error:
        raise invalid(error, "A picture's name") from None

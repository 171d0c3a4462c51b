"""What is in a dataset, for its owner's eyes: counts, ranges, missing and frequent values, a few rows. Quick, on a sample.

A profile holds values of the data. Rules:
1. It is made for whoever looks after the data (the right `datasets.write`), shown on a page that nobody keeps, and neither written
   to disk nor to a log, nor sent anywhere.
2. It reads so much of a file and no more (`ProfileLimits`), and says whether that was all of it: a person waits for it.
3. What it finds is found as registering finds it: by the same readers. Where registering would refuse a column, the profile says
   why (without a value) and goes on with that column as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from cloister.data.column_kinds import TABLE_LIMITS, TableLimits, kind_of
from cloister.data.csv_columns import typed
from cloister.data.csv_tables import parse_text
from cloister.data.images import SUFFIXES, image_size
from cloister.data.readers import folder_files, labels_told, read_image_folder
from cloister.data.schema import Column, ColumnKind
from cloister.data.tables import open_parquet, parquet_kinds, require_room
from cloister.foundation.documents import invalid
from cloister.foundation.errors import BadInput, NotFound
from cloister.foundation.text import one_line

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".parquet", ".pq"})
_BINS = 12
_FREQUENT = 3
_CELL = 120
_STEPS_BACK = 50


@dataclass(frozen=True)
class ProfileLimits:
    """How much is looked at: bytes of a CSV, rows of a table, bytes of the rows written out, pictures of a folder; how many rows are shown."""

    max_bytes: int = 16 << 20
    max_rows: int = 100_000
    max_unpacked: int = 512 << 20
    max_pictures: int = 200
    examples: int = 5


PROFILE_LIMITS = ProfileLimits()


@dataclass(frozen=True)
class ColumnProfile:
    """What was seen of one column.

    Attributes:
        name: as in the file.
        kind: what its values were read as.
        missing: how many rows have nothing there.
        distinct: how many different values there are.
        least: the smallest value, as people write it; empty for text and where there is none.
        middle: the median of numbers.
        most: the largest value.
        frequent: the most frequent values of text and booleans, with how often they occur.
        bins: how many numbers lie in each of at most twelve equal parts of their range.
        longest: characters of the longest text.
        trouble: why registering would refuse the column as it is, in words without a value; empty if it would not.
    """

    name: str
    kind: ColumnKind
    missing: int
    distinct: int
    least: str = field(default="", repr=False)
    middle: str = field(default="", repr=False)
    most: str = field(default="", repr=False)
    frequent: tuple[tuple[str, int], ...] = field(default=(), repr=False)
    bins: tuple[int, ...] = ()
    longest: int = 0
    trouble: str = ""


@dataclass(frozen=True)
class TableProfile:
    """What was seen of a table.

    Attributes:
        columns: in order.
        rows: how many were looked at.
        whole: whether that was all of them.
        about: how many there are in all: exact if `whole` or told by the file itself, else an estimate.
        exact: whether `about` is.
        bytes: of the file.
        decimal: the decimal sign that it was read with.
        stored: the file itself says what kinds its columns have (Parquet).
        examples: the first rows, cell by cell, as text.
    """

    columns: tuple[ColumnProfile, ...]
    rows: int
    whole: bool
    about: int
    exact: bool
    bytes: int
    decimal: Literal[".", ","] = "."
    stored: bool = False
    examples: tuple[tuple[str, ...], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class PicturesProfile:
    """What was seen of a folder of pictures.

    Attributes:
        pictures: how many there are.
        looked_at: how many of them were opened.
        bytes: of all files, labels included.
        sizes: width and height in pixels with how many pictures have them, the most frequent first.
        labelled: how many of those looked at have labels.
        points: labels of those, in all.
        labels: which labels there are.
        formats: file endings with how many files have them.
        examples: file name, size and number of labels of the first few.
    """

    pictures: int
    looked_at: int
    bytes: int
    sizes: tuple[tuple[int, int, int], ...]
    labelled: int
    points: int
    labels: Literal["none", "centres", "centres and diameters"]
    formats: tuple[tuple[str, int], ...]
    examples: tuple[tuple[str, str, str], ...] = field(default=(), repr=False)

    @property
    def whole(self) -> bool:
        """Whether every picture was opened."""
        return self.looked_at == self.pictures


def profile(
    source: Path,
    kinds: Mapping[str, ColumnKind] | None = None,
    decimal: Literal[".", ","] | None = None,
    *,
    limits: ProfileLimits = PROFILE_LIMITS,
    tables: TableLimits = TABLE_LIMITS,
) -> TableProfile | PicturesProfile:
    """Looks at a table or a folder of pictures.

    Args:
        source: the file or folder.
        kinds: declared kinds of CSV columns.
        decimal: the decimal sign of a CSV; told from the data if absent.
        limits: look at no more.
        tables: refuse what registering would refuse.

    Raises:
        NotFound: there is nothing there.
        BadInput: it is neither, or cannot be read at all; file and line are named, never a value.
    """
    if source.is_dir():
        return _pictures(source, limits)
    if not source.is_file():
        raise NotFound("There is no such file or folder.", "", "Check where it lies.")
    size = source.stat().st_size
    if size > tables.max_bytes:
        raise BadInput(
            f"{source.name} is too large.", f"The limit is {tables.max_bytes} bytes.", "Split the table."
        )
    suffix = source.suffix.lower()
    if suffix in {".parquet", ".pq"}:
        return _parquet(source, size, limits, tables)
    if suffix not in TABLE_SUFFIXES:
        raise BadInput(
            f"{source.name} is not a table that can be read.",
            "Tables end in .csv, .tsv or .parquet.",
            "Save it as one of them.",
        )
    return _csv(source, size, kinds or {}, decimal, limits, tables)


# Tables --------------------------------------------------------------------------------------------------------------


def _csv(
    source: Path,
    size: int,
    kinds: Mapping[str, ColumnKind],
    decimal: Literal[".", ","] | None,
    limits: ProfileLimits,
    tables: TableLimits,
) -> TableProfile:
    with source.open("rb") as stream:
        data = stream.read(limits.max_bytes + 1)
    all_bytes = len(data) <= limits.max_bytes
    if not all_bytes:
        data = _whole_lines(data[: limits.max_bytes])
    text = parse_text(data, limits=tables, name=source.name)
    _names(text.column_names)
    _some(text.num_rows, source.name)
    read, whole = len(data), all_bytes and text.num_rows <= limits.max_rows
    rows = text.num_rows
    text = text.slice(0, limits.max_rows)
    commas = decimal == ","
    columns, troubles = _typed(text, kinds, decimal or ".", source.name)
    if decimal is None and any(error.detail.get("decimal") == "," for error in troubles.values()):
        columns, troubles = _typed(text, kinds, ",", source.name)
        commas = True
    found = tuple(_column(name, values, _why(troubles.get(name))) for name, values in columns.items())
    about = rows if all_bytes else max(rows, round(rows * size / max(read, 1)))
    return TableProfile(
        found,
        text.num_rows,
        whole,
        about,
        exact=all_bytes,
        bytes=size,
        decimal="," if commas else ".",
        examples=_examples(columns, limits.examples),
    )


def _whole_lines(data: bytes) -> bytes:
    """As much of the start of a CSV as ends with a line, outside quotes."""
    end = data.rfind(b"\n")
    for _ in range(_STEPS_BACK):
        if end < 1:
            break
        if data.count(b'"', 0, end) % 2 == 0:
            return data[: end + 1]
        # A quoted value goes on beyond here: back to the line before the one where it began.
        end = data.rfind(b"\n", 0, data.rfind(b'"', 0, end))
    raise BadInput(
        "The table could not be read as CSV.",
        "A line does not end, or a quote is left open.",
        "Check the file.",
    )


def _typed(
    text: Any, kinds: Mapping[str, ColumnKind], decimal: str, name: str
) -> tuple[dict[str, Any], dict[str, BadInput]]:
    """Every column as its kind, and why some had to stay text."""
    columns, troubles = {}, {}
    for column in text.column_names:
        try:
            columns[column] = typed(text, column, kinds.get(column), decimal, name)
        except BadInput as error:
            columns[column], troubles[column] = text.column(column), error
    return columns, troubles


def _why(error: BadInput | None) -> str:
    return "" if error is None else f"{error.what} {error.why}"


def _parquet(source: Path, size: int, limits: ProfileLimits, tables: TableLimits) -> TableProfile:
    import pyarrow as pa

    with source.open("rb") as stream:
        file = open_parquet(stream, limits=tables, name=source.name)
        rows = file.metadata.num_rows
        _names(file.schema_arrow.names)
        _some(rows, source.name)

        def some() -> Any:
            batches, had = [], 0
            for batch in file.iter_batches(batch_size=min(limits.max_rows, 65_536), use_threads=False):
                batches.append(batch.slice(0, limits.max_rows - had))
                had += len(batches[-1])
                if had >= limits.max_rows:
                    break
            table = pa.Table.from_batches(batches)
            require_room(table, limits.max_unpacked, source.name)
            return table

        table = parquet_kinds(file.schema_arrow, some, source.name)
    columns = {name: table.column(name) for name in table.column_names}
    return TableProfile(
        tuple(_column(name, values, "") for name, values in columns.items()),
        table.num_rows,
        table.num_rows == rows,
        rows,
        exact=True,
        bytes=size,
        stored=True,
        examples=_examples(columns, limits.examples),
    )


def _names(names: list[str]) -> None:
    """Raises `BadInput` for names that no catalogue entry can have, before a person describes a hundred columns."""
    from pydantic import ValidationError

    try:
        for name in names:
            Column(name=name, kind="text")
    except ValidationError as error:
        raise invalid(error, "A column's name in the first line") from None


def _some(rows: int, name: str) -> None:
    if not rows:
        raise BadInput(f"{name} has no rows.", "An empty table cannot be registered.", "Check the file.")


def _column(name: str, values: Any, trouble: str) -> ColumnProfile:
    import pyarrow.compute as pc

    kind = kind_of(values.type)
    told: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "missing": values.null_count,
        "distinct": pc.count_distinct(values).as_py(),
        "trouble": trouble,
    }
    if values.null_count == len(values):
        return ColumnProfile(**told)
    if kind in {"integer", "real", "timestamp"}:
        ends = pc.min_max(values).as_py()
        told |= {"least": _cell(ends["min"]), "most": _cell(ends["max"])}
    if kind in {"integer", "real"}:
        told |= {
            "middle": _cell(pc.approximate_median(values).as_py()),
            "bins": _binned(values, whole=kind == "integer"),
        }
    if kind in {"text", "boolean"}:
        counts = sorted(
            pc.value_counts(values.drop_null()).to_pylist(),
            key=lambda item: (-item["counts"], str(item["values"])),
        )
        told["frequent"] = tuple((_cell(item["values"]), item["counts"]) for item in counts[:_FREQUENT])
    if kind == "text":
        told["longest"] = pc.max(pc.utf8_length(values)).as_py() or 0
    return ColumnProfile(**told)


def _binned(values: Any, *, whole: bool) -> tuple[int, ...]:
    import numpy as np

    numbers = values.drop_null().to_numpy().astype(np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    if not high > low or not np.isfinite(high - low):
        return ()
    if whole and high - low < _BINS:
        low, high = low - 0.5, high + 0.5  # each whole number has a part of its own
    edges = np.linspace(low, high, int(high - low) + 1 if whole and high - low <= _BINS else _BINS + 1)
    if any(not before < after for before, after in pairwise(edges.tolist())):
        return ()
    return tuple(int(count) for count in np.histogram(numbers, edges)[0])


def _examples(columns: Mapping[str, Any], most: int) -> tuple[tuple[str, ...], ...]:
    parts = [values.slice(0, most).to_pylist() for values in columns.values()]
    return tuple(tuple(_cell(value) for value in row) for row in zip(*parts, strict=True))


def _cell(value: Any) -> str:
    """A value as a person reads it, in one line, cut where it is long."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return _moment(value)
    text = one_line(str(value)[: _CELL * 2])
    return text if len(text) <= _CELL else text[: _CELL - 1] + "…"


def _moment(value: datetime) -> str:
    if (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0):
        return f"{value:%Y-%m-%d}"
    return f"{value:%Y-%m-%d %H:%M}" + (f":{value:%S}" if value.second else "") + " UTC"


# Pictures ------------------------------------------------------------------------------------------------------------


def _pictures(folder: Path, limits: ProfileLimits) -> PicturesProfile:
    files = folder_files(folder)
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
    looked = read_image_folder(folder, most=limits.max_pictures)
    sizes: dict[tuple[int, int], int] = {}
    examples: list[tuple[str, str, str]] = []
    labelled = points = 0
    for image in looked:
        size = image_size(image.path)
        sizes[size] = sizes.get(size, 0) + 1
        count = None if image.labels is None else len(image.labels.centres)
        labelled += count is not None
        points += count or 0
        if len(examples) < limits.examples:
            told = "none" if count is None else str(count)
            examples.append((_cell(image.path.name), f"{size[0]} x {size[1]}", told))
    formats: dict[str, int] = {}
    for path in pictures:
        ending = path.suffix.lower().lstrip(".")
        formats[ending] = formats.get(ending, 0) + 1
    return PicturesProfile(
        len(pictures),
        len(looked),
        sum(path.stat().st_size for path in files),
        tuple(
            (*size, count) for size, count in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:6]
        ),
        labelled,
        points,
        labels_told(looked),
        tuple(sorted(formats.items(), key=lambda item: (-item[1], item[0]))),
        tuple(examples),
    )

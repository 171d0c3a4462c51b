"""CSV and Parquet tables, typed strictly, as Arrow tables of five kinds of columns.

Kinds: boolean, integer (64 bits), real (64 bits, finite), text, timestamp (microseconds, UTC). Rules:
1. A CSV column's kind is inferred from all its values, not from the first rows; an empty cell is missing.
2. A column that is nearly all numbers but not quite is an error, not silently text: that is how a stray `n/a` or a
   decimal comma spoils a study. Declare the column as text to keep it so.
3. Errors name line and column, never the value.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloister.data.schema import Column, ColumnKind, Sensitivity, invalid
from cloister.foundation.errors import BadInput, NotFound

_INTEGER = r"^[+-]?[0-9]{1,18}$"
_REAL = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
_BOOLEAN = r"^([Tt]rue|[Ff]alse|TRUE|FALSE)$"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
_PATTERNS: tuple[tuple[ColumnKind, str], ...] = (
    ("boolean", _BOOLEAN),
    ("integer", _INTEGER),
    ("real", _REAL),
    ("timestamp", _TIME),
)
_NEARLY = 0.8


@dataclass(frozen=True)
class TableLimits:
    """How much a table may ask of this machine: bytes of the file (and of a Parquet file unpacked), rows, columns."""

    max_bytes: int = 2 << 30
    max_rows: int = 20_000_000
    max_columns: int = 2000


TABLE_LIMITS = TableLimits()


def read_table(
    path: Path,
    kinds: Mapping[str, ColumnKind] | None = None,
    *,
    decimal: str = ".",
    limits: TableLimits = TABLE_LIMITS,
) -> Any:
    """A `pyarrow.Table` from a .csv (or .tsv) or .parquet file.

    Args:
        path: the file.
        kinds: declared kinds of columns by name (CSV only); the others are inferred.
        decimal: `.` or `,` (CSV only).
        limits: refuse more than this.

    Raises:
        NotFound: no such file.
        BadInput: malformed, over a limit, or a value that is not of its column's kind (line and column are named).
    """
    if not path.is_file():
        raise NotFound(f"There is no file {path}.", "", "Check the path.")
    size = path.stat().st_size
    if size > limits.max_bytes:
        raise BadInput(
            f"{path.name} is too large.", f"The limit is {limits.max_bytes} bytes.", "Split the table."
        )
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        return parse_csv(path.read_bytes(), kinds, decimal=decimal, limits=limits, name=path.name)
    if path.suffix.lower() in (".parquet", ".pq"):
        return parse_parquet(path.read_bytes(), limits=limits, name=path.name)
    raise BadInput(
        f"{path.name} is not a table that can be read.",
        "Tables end in .csv, .tsv or .parquet.",
        "Save it as one of them.",
    )


def columns_of(
    table: Any, sensitivity: Mapping[str, Sensitivity] | None = None, units: Mapping[str, str] | None = None
) -> tuple[Column, ...]:
    """The schema of a table as read here; columns without a stated sensitivity are confidential."""
    from pydantic import ValidationError

    for given in (sensitivity or {}, units or {}):
        for name in given:
            if name not in table.column_names:
                raise BadInput(
                    f"The table has no column {name!r}.",
                    "A sensitivity or unit was stated for it.",
                    "Check the spelling.",
                )
    try:
        return tuple(
            Column(
                name=field.name,
                kind=_kind_of(field.type),
                sensitivity=(sensitivity or {}).get(field.name, "confidential"),
                unit=(units or {}).get(field.name, ""),
            )
            for field in table.schema
        )
    except ValidationError as error:
        raise invalid(error, "The table's schema") from None


def parse_csv(
    data: bytes,
    kinds: Mapping[str, ColumnKind] | None = None,
    *,
    decimal: str = ".",
    limits: TableLimits = TABLE_LIMITS,
    name: str = "The table",
) -> Any:
    """A CSV file's bytes as an Arrow table. The separator (comma, semicolon or tab) is told from the header."""
    import pyarrow as pa
    from pyarrow import csv

    if decimal not in (".", ","):
        raise BadInput("A decimal sign is either . or a comma.", "", "Choose one of them.")
    data = data.removeprefix(b"\xef\xbb\xbf")
    names, separator = _header(data, limits, name)
    bad: list[tuple[int, int]] = []

    def report(row: Any) -> str:
        bad.append((row.number or 0, row.actual_columns))
        return "error"

    try:
        table = csv.read_csv(
            io.BytesIO(data),
            read_options=csv.ReadOptions(
                use_threads=False, skip_rows=1, column_names=names, block_size=8 << 20
            ),
            parse_options=csv.ParseOptions(
                delimiter=separator,
                newlines_in_values=True,
                ignore_empty_lines=len(names) > 1,
                invalid_row_handler=report,
            ),
            convert_options=csv.ConvertOptions(
                column_types={column: pa.string() for column in names},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowException) as error:
        raise _csv_error(data, bad, len(names), name, empty="Empty CSV" in str(error)) from None
    if table.num_rows > limits.max_rows:
        raise BadInput(f"{name} has too many rows.", f"The limit is {limits.max_rows}.", "Split the table.")
    for column in kinds or {}:
        if column not in names:
            raise BadInput(
                f"{name} has no column {column!r}.", "A kind was declared for it.", "Check the spelling."
            )
    arrays = [_typed(table, column, (kinds or {}).get(column), decimal, name) for column in names]
    return pa.table(dict(zip(names, arrays, strict=True)))


def parse_parquet(data: bytes, *, limits: TableLimits = TABLE_LIMITS, name: str = "The table") -> Any:
    """A Parquet file's bytes as an Arrow table of the five kinds."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(data))
        meta = file.metadata
        unpacked = sum(meta.row_group(group).total_byte_size for group in range(meta.num_row_groups))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInput(
            f"{name} is not a Parquet file, or damaged.", type(error).__name__, "Write it again."
        ) from None
    for value, limit, unit in (
        (meta.num_rows, limits.max_rows, "rows"),
        (meta.num_columns, limits.max_columns, "columns"),
        (unpacked, limits.max_bytes, "bytes unpacked"),
    ):
        if value > limit:
            raise BadInput(f"{name} has too many {unit}.", f"The limit is {limit}.", "Split the table.")
    targets = [(field.name, _arrow_target(field, name)) for field in file.schema_arrow]
    names = [column for column, _ in targets]
    if len(set(names)) != len(names):
        raise BadInput(
            f"{name} has two columns of one name.", "Columns are addressed by name.", "Rename one of them."
        )
    try:
        table = file.read(use_threads=False)
        columns = {column: _to_utc(table.column(column), target) for column, target in targets}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInput(
            f"{name} has values that its columns' kinds cannot hold.",
            type(error).__name__,
            "Integers have 64 bits; times microseconds.",
        ) from None
    result = pa.table(columns)
    _finite_only(result, name)
    return result


def rows_of(table: Any, columns: Sequence[Column]) -> Any:
    """An iterator over a table's rows as Python values by column kind (timestamps as microseconds since 1970 UTC)."""
    import pyarrow as pa

    cast = [
        table.column(column.name).cast(pa.int64())
        if column.kind == "timestamp"
        else table.column(column.name)
        for column in columns
    ]
    slim = pa.table(cast, names=[str(place) for place in range(len(cast))])
    for batch in slim.to_batches(max_chunksize=65_536):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _header(data: bytes, limits: TableLimits, name: str) -> tuple[list[str], str]:
    import csv

    line = data[: 1 << 20].split(b"\n", 1)[0].rstrip(b"\r")
    try:
        text = line.decode("utf-8")
        separator = max(",;\t", key=text.count)
        names = [cell.strip() for cell in next(csv.reader([text], delimiter=separator, strict=True), [])]
    except (UnicodeDecodeError, csv.Error):
        raise BadInput(
            f"{name} has no readable first line.",
            "Line 1 must name the columns, in UTF-8.",
            "Save it as UTF-8 CSV.",
        ) from None
    if not names or len(names) > limits.max_columns:
        raise BadInput(
            f"{name} has no columns, or too many.",
            f"The limit is {limits.max_columns}.",
            "Check its first line.",
        )
    for number, column in enumerate(names, 1):
        if not column or names.index(column) != number - 1:
            raise BadInput(
                f"{name} has a column without a name of its own.",
                f"Column {number} of line 1 is empty or repeats.",
                "Name each column once.",
            )
    return names, separator


def _csv_error(data: bytes, bad: list[tuple[int, int]], expected: int, name: str, *, empty: bool) -> BadInput:
    if empty:
        return BadInput(f"{name} has no rows.", "There is nothing below its first line.", "Check the file.")
    if bad:
        row, actual = bad[0]
        # Arrow counts rows from the first below the skipped header, or from the header, by version: the text is rescanned.
        line = _first_ragged_line(data, expected) or row + 1
        return BadInput(
            f"{name} is ragged.",
            f"Line {line} has {actual} cells; the first line has {expected}.",
            "Check quotes and separators there.",
        )
    for number, line_bytes in enumerate(data.split(b"\n"), 1):
        try:
            line_bytes.decode("utf-8")
        except UnicodeDecodeError:
            return BadInput(f"{name} is not UTF-8 text.", f"Line {number} is not.", "Save it as UTF-8.")
    return BadInput(f"{name} could not be read as CSV.", "A quote may be left open.", "Check the file.")


def _first_ragged_line(data: bytes, expected: int) -> int | None:
    import csv

    text = data.decode("utf-8", errors="replace")
    separator = max(",;\t", key=text.split("\n", 1)[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    start = 1
    try:
        for row in reader:
            if row and len(row) != expected:
                return start
            start = reader.line_num + 1
    except csv.Error:
        return start
    return None


def _typed(table: Any, column: str, declared: ColumnKind | None, decimal: str, name: str) -> Any:
    import pyarrow.compute as pc

    values = table.column(column)
    if decimal == ",":
        numeric = pc.replace_substring(values, pattern=",", replacement=".")
        if declared == "real" or (declared is None and _share(numeric, _REAL) > _NEARLY):
            values = numeric
    if declared is None:
        declared, culprit = _infer(values)
        if culprit is not None:
            raise BadInput(
                f"{name} has something that is not a number in a column of numbers.",
                f"Line {_line(table, culprit)}, column {column!r}.",
                "Correct it, leave it empty if it is missing, or declare the column as text.",
            )
    return _convert(values, table, column, declared, name)


def _share(values: Any, pattern: str) -> float:
    import pyarrow.compute as pc

    present: int = len(values) - values.null_count
    if not present:
        return 0.0
    matching: int = pc.sum(pc.match_substring_regex(values, pattern)).as_py() or 0
    return matching / present


def _infer(values: Any) -> tuple[ColumnKind, int | None]:
    """The kind of a column of text, and the first row that spoils a column of numbers."""
    import pyarrow.compute as pc

    if values.null_count == len(values):
        return "text", None
    for kind, pattern in _PATTERNS:
        if _share(values, pattern) == 1.0:
            return kind, None
    if _share(values, _REAL) > _NEARLY:
        spoilt = pc.invert(pc.fill_null(pc.match_substring_regex(values, _REAL), fill_value=True))
        return "text", int(pc.index(spoilt, value=True).as_py())
    return "text", None


def _convert(values: Any, table: Any, column: str, kind: ColumnKind, name: str) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind == "text":
        return values
    pattern = dict(_PATTERNS)[kind]
    fits = pc.fill_null(pc.match_substring_regex(values, pattern), fill_value=True)
    wrong = pc.index(fits, value=False).as_py()
    if wrong < 0:
        try:
            if kind == "boolean":
                return pc.equal(pc.utf8_lower(values), "true")
            if kind == "timestamp":
                return _parse_times(values)
            # Arrow reads no leading plus sign.
            numbers = pc.replace_substring_regex(values, pattern=r"^\+", replacement="").cast(_target(kind))
            if kind == "integer" or pc.all(pc.is_finite(numbers)).as_py() is not False:
                return numbers
            wrong = pc.index(pc.is_finite(numbers), value=False).as_py()
        except pa.ArrowException:
            wrong = _first_failure(values, kind)
    raise BadInput(
        f"{name} has a value that is not of its column's kind.",
        f"Line {_line(table, wrong)}, column {column!r}: not {_ARTICLES[kind]}.",
        "Correct it, or declare the column as text.",
    )


_ARTICLES = {
    "boolean": "true or false",
    "integer": "an integer of at most 18 digits",
    "real": "a finite number",
    "timestamp": "a date, or a time as 2026-11-22T14:00:00Z",
}


def _parse_times(values: Any) -> Any:
    """Times to microseconds UTC; those without an offset are taken as UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    offset = pc.match_substring_regex(values, r"(Z|[+-][0-9]{2}:?[0-9]{2})$")
    timed = pc.match_substring_regex(values, r"[T ]")
    # A date alone also ends like an offset (-22), so only values with a time of day can have one.
    zoned = pc.if_else(
        pc.and_(offset, timed), values, pc.binary_join_element_wise(_at_midnight(values, timed), "Z", "")
    )
    return zoned.cast(pa.timestamp("us", tz="UTC"))


def _at_midnight(values: Any, timed: Any) -> Any:
    import pyarrow.compute as pc

    return pc.if_else(timed, values, pc.binary_join_element_wise(values, "T00:00:00", ""))


def _first_failure(values: Any, kind: ColumnKind) -> int:
    """The first row that cannot be converted, by halving: at most 25 partial conversions."""
    import pyarrow as pa

    def fails(upto: int) -> bool:
        part = values.slice(0, upto)
        try:
            _ = _parse_times(part) if kind == "timestamp" else part.cast(_target(kind))
        except pa.ArrowException:
            return True
        return False

    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fails(middle) else (middle, high)
    return low


def _line(table: Any, row: int) -> int:
    """The line of the file where data row `row` (from 0) starts; line breaks inside earlier quoted values are counted."""
    import pyarrow.compute as pc

    breaks = 0
    for column in table.columns:
        breaks += pc.sum(pc.count_substring(column.slice(0, row), "\n")).as_py() or 0
    return row + 2 + int(breaks)


def _target(kind: ColumnKind) -> Any:
    import pyarrow as pa

    return {
        "boolean": pa.bool_(),
        "integer": pa.int64(),
        "real": pa.float64(),
        "text": pa.string(),
        "timestamp": pa.timestamp("us", tz="UTC"),
    }[kind]


def _kind_of(arrow_type: Any) -> ColumnKind:
    import pyarrow as pa

    checks: tuple[tuple[Any, ColumnKind], ...] = (
        (pa.types.is_boolean, "boolean"),
        (pa.types.is_integer, "integer"),
        (pa.types.is_floating, "real"),
        (pa.types.is_timestamp, "timestamp"),
        (pa.types.is_date, "timestamp"),
        (pa.types.is_string, "text"),
        (pa.types.is_large_string, "text"),
    )
    for check, kind in checks:
        if check(arrow_type):
            return kind
    raise BadInput(
        "A table has a column of an unknown kind.",
        str(arrow_type)[:100],
        "Use numbers, text, booleans and times.",
    )


def _arrow_target(field: Any, name: str) -> Any:
    import pyarrow as pa

    arrow_type = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    try:
        return _target(_kind_of(arrow_type))
    except BadInput:
        raise BadInput(
            f"{name} has a column of a kind that cannot be used.",
            f"Column {field.name!r} is {str(field.type)[:100]}.",
            "Use numbers, text, booleans and times; unpack lists and structures into columns.",
        ) from None


def _to_utc(column: Any, target: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_timestamp(target) and pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    return column.cast(target)


def _finite_only(table: Any, name: str) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    for column in table.column_names:
        values = table.column(column)
        if pa.types.is_floating(values.type) and pc.all(pc.is_finite(values)).as_py() is False:
            row = pc.index(pc.is_finite(values), value=False).as_py()
            raise BadInput(
                f"{name} has a number that is not finite.",
                f"Row {row + 1}, column {column!r}.",
                "Write missing values as null.",
            )

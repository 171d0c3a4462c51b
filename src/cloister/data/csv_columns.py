"""A CSV column's text as values of one kind: told from all its values, or checked against the kind declared.

A column that is nearly all numbers but not quite is an error, not silently text: that is how a stray `n/a` spoils a study.
So is one whose values are nearly all numbers once commas are read as points, where no decimal comma was declared. Errors
name line and column, never the value.
"""

from __future__ import annotations

from typing import Any

from cloister.data.column_kinds import arrow_type
from cloister.data.schema import ColumnKind
from cloister.foundation.errors import BadInput

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


_ARTICLES = {
    "boolean": "true or false",
    "integer": "an integer of at most 18 digits",
    "real": "a finite number",
    "timestamp": "a date, or a time as 2026-11-22T14:00:00Z",
}


def typed(table: Any, column: str, declared: ColumnKind | None, decimal: str, name: str) -> Any:
    """One column of a table of text, converted.

    Args:
        table: every column as `pyarrow` text.
        column: which one.
        declared: its kind, or None to infer it.
        decimal: `.` or `,`.
        name: what errors call the file.
    """
    import pyarrow.compute as pc

    values = table.column(column)
    if decimal == ",":
        numeric = pc.replace_substring(values, pattern=",", replacement=".")
        if declared == "real" or (declared is None and _share(numeric, _REAL) > _NEARLY):
            values = numeric
    if declared is None:
        declared, culprit = _infer(values)
        if declared == "text" and culprit is None and decimal == ".":
            _no_decimal_commas(values, table, column, name)
        if culprit is not None:
            raise BadInput(
                f"{name} has something that is not a number in a column of numbers.",
                f"Line {_line(table, culprit)}, column {column!r}.",
                f"Correct it, leave it empty if it is missing, or declare the column as text: --column {column}=text",
            )
    return _convert(values, table, column, declared, name)


def _no_decimal_commas(values: Any, table: Any, column: str, name: str) -> None:
    """Refuses a column of text that is nearly all numbers once commas are read as points."""
    import pyarrow.compute as pc

    numbers = pc.replace_substring(values, pattern=",", replacement=".")
    if _share(numbers, _REAL) <= _NEARLY:
        return
    comma = pc.fill_null(pc.match_substring(values, ","), fill_value=False)
    first = int(pc.index(comma, value=True).as_py())
    raise BadInput(
        f"Column {column!r} looks like numbers with a decimal comma.",
        f"The first one in {name} stands in line {_line(table, first)}.",
        f"Say --decimal , or --column {column}=text.",
        decimal=",",
    )


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
            numbers = pc.replace_substring_regex(values, pattern=r"^\+", replacement="").cast(
                arrow_type(kind)
            )
            if kind == "integer" or pc.all(pc.is_finite(numbers)).as_py() is not False:
                return numbers
            wrong = pc.index(pc.is_finite(numbers), value=False).as_py()
        except pa.ArrowException:
            wrong = _first_failure(values, kind)
    raise BadInput(
        f"{name} has a value that is not of its column's kind.",
        f"Line {_line(table, wrong)}, column {column!r}: not {_ARTICLES[kind]}.",
        f"Correct it, or declare the column as text: --column {column}=text",
    )


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
            _ = _parse_times(part) if kind == "timestamp" else part.cast(arrow_type(kind))
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

"""CSV within limits: the header and the separator, ragged lines found, every column typed by `csv_columns`."""

from __future__ import annotations

import codecs
import io
from collections.abc import Mapping
from typing import Any

from cloister.data.column_kinds import TABLE_LIMITS, TableLimits
from cloister.data.csv_columns import typed
from cloister.data.schema import ColumnKind
from cloister.foundation.errors import BadInput


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

    if decimal not in (".", ","):
        raise BadInput("A decimal sign is either . or a comma.", "", "Choose one of them.")
    table = parse_text(data, limits=limits, name=name)
    names = table.column_names
    for column in kinds or {}:
        if column not in names:
            raise BadInput(
                f"{name} has no column {column!r}.", "A kind was declared for it.", "Check the spelling."
            )
    arrays = [typed(table, column, (kinds or {}).get(column), decimal, name) for column in names]
    return pa.table(dict(zip(names, arrays, strict=True)))


def parse_text(data: bytes, *, limits: TableLimits = TABLE_LIMITS, name: str = "The table") -> Any:
    """A CSV file's bytes as an Arrow table in which every column is text; an empty cell is missing."""
    import pyarrow as pa
    from pyarrow import csv

    data = data.removeprefix(b"\xef\xbb\xbf")
    names, separator = _header(data, limits, name)
    _check_utf8(data, name)
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
    return table


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


def _check_utf8(data: bytes, name: str) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    piece = 1 << 20
    for at in range(0, len(data), piece):
        try:
            decoder.decode(data[at : at + piece], final=at + piece >= len(data))
        except UnicodeDecodeError as error:
            # A character cut between two pieces is reported within the second, at most three bytes late.
            line = data.count(b"\n", 0, at + error.start) + 1
            raise BadInput(
                f"{name} is not UTF-8 text.", f"Line {line} is not.", "Save it as UTF-8."
            ) from None


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

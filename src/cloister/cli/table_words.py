"""What people read of tables that a tool made: what was counted, and the first rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cloister.cli.common import table
from cloister.foundation.text import one_line

if TYPE_CHECKING:
    from cloister.tools.run import Result

ROWS = 12


def shortened(result: Result) -> Result:
    """A result without its outputs and with the first rows of its table: what `summary_of_tables` needs."""
    found = result.table
    if found is None:
        return replace(result, outputs={})
    head = replace(found, columns={name: values[: ROWS + 1] for name, values in found.columns.items()})
    return replace(result, outputs={}, table=head)


def summary_of_tables(results: Sequence[Result]) -> list[Any]:
    """What was counted in each table, and the first rows of what came of it."""
    parts: list[Any] = []
    for result in results:
        if result.error is not None:
            parts.append(f"Not used: {result.name}: {result.error}")
            continue
        parts.append(result.name + ("" if result.count is None else f": {result.count}"))
        found = result.table
        if found is not None:
            shown = [[_cell(value) for value in values[:ROWS].tolist()] for values in found.columns.values()]
            parts.append(
                table(
                    [found.heading(name) for name in found.columns],
                    [list(row) for row in zip(*shown, strict=True)],
                )
            )
            if found.rows > ROWS:
                parts.append(f"The first {ROWS} rows; with --out all are in a file.")
    return parts


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else one_line(str(value))[:60]

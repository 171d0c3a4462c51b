"""Lists that are tables: of what a server answers, for eyes, for Arrow and for pandas."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from cloister.foundation.errors import BadInput

T = TypeVar("T", bound="Record")
_CELL, _ROWS = 40, 30


class asked(property):  # noqa: N801 - it is written as a decorator, as `property` is
    """A property of a record whose first look may ask the server; `AsyncCloister` gives something to await for it."""


class Record:
    """Something that a server told of: its facts as attributes.

    Attributes:
        facts: everything that the server told, as JSON values.
    """

    columns: Sequence[str] = ()

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts = dict(facts)

    def __getattr__(self, name: str) -> Any:
        if name != "facts" and name in self.facts:
            return self.facts[name]
        raise AttributeError(name)

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *(key for key in self.facts if key.isidentifier())]

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={_cell(self.facts.get(name))}" for name in self.columns)
        return f"{type(self).__name__}({told})"


class Table(list[T], Generic[T]):
    """A list of records that is shown as a table, and becomes one."""

    def __repr__(self) -> str:
        if not self:
            return "(none)"
        names = list(self[0].columns)
        rows = [[_cell(item.facts.get(name)) for name in names] for item in self[:_ROWS]]
        widths = [max(len(row[at]) for row in [names, *rows]) for at in range(len(names))]
        lines = [names, ["-" * width for width in widths], *rows]
        text = "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )
        return text if len(self) <= _ROWS else f"{text}\n… and {len(self) - _ROWS} more"

    def to_arrow(self) -> Any:
        """A `pyarrow.Table`: a column for each fact; what is nested stands as JSON text."""
        import pyarrow as pa

        names = list(dict.fromkeys(name for item in self for name in item.facts))
        return pa.table({name: pa.array(_column([item.facts.get(name) for item in self])) for name in names})

    def to_pandas(self) -> Any:
        """A pandas `DataFrame`. Raises `BadInput` where pandas is not installed."""
        if importlib.util.find_spec("pandas") is None:
            raise BadInput(
                "pandas is not installed.", "", "Install it, or use to_arrow(), which needs nothing more."
            )
        return self.to_arrow().to_pandas()


def _column(values: list[Any]) -> list[Any]:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool} or kinds <= {str} or kinds <= {int, float}:
        return values
    return [
        value
        if value is None or isinstance(value, str)
        else json.dumps(value, ensure_ascii=False, sort_keys=True)
        for value in values
    ]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= _CELL else text[: _CELL - 1] + "…"


def write_table(data: Any, path: Path) -> Path:
    """Writes a table as Parquet, for a server to register.

    Args:
        data: a `pyarrow.Table`, a pandas `DataFrame`, or columns by name.
        path: where.

    Raises:
        BadInput: it is none of these.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if isinstance(data, pa.Table):
            table = data
        elif isinstance(data, Mapping):
            table = pa.table({str(name): pa.array(column) for name, column in data.items()})
        else:
            table = pa.Table.from_pandas(data, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError, AttributeError):
        raise BadInput(
            "That is no table.", "", "Give a path, a pyarrow table, a pandas frame, or columns by name."
        ) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path

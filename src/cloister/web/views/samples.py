"""What a sample's page says about its figures, in words: which objects have a size, what a figure means, how bars are labelled."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cloister.foundation.errors import CloisterError
from cloister.foundation.text import one_line
from cloister.node.toolroom.recent import Sample
from cloister.node.toolroom.room import ToolRoom, Who
from cloister.node.toolroom.shelf import Opened
from cloister.tools.check import parameters_of
from cloister.tools.steps.cleaned import CLEANS
from cloister.web.views.tools import figure, figure_name

_ROWS, _COLUMNS, _CELL = 25, 12, 60
"""How much of a result's table a page shows; all of it is in the file."""
_BORDER = "border"
_SHARES = {"d10": "one tenth is smaller", "d50": "half is smaller", "d90": "nine tenths are smaller"}


def tool_of(room: ToolRoom, sample: Sample) -> Opened | None:
    """The very tool that a sample was made by; none where another version is in use by now."""
    try:
        opened = room.shelf.open(sample.tool)
    except CloisterError:
        return None
    return opened if opened.package.tool.digest == sample.digest else None


def can_be_cleaned(sample: Sample, opened: Opened | None) -> bool:
    """Whether a cleaned copy of a result's picture can be made: it is here, and so is the tool, which makes such."""
    if opened is None or not any(name.startswith("original.") for name in sample.files):
        return False
    return any(use.step == CLEANS for use in opened.manifest.pipeline)


def without_size(sample: Sample, opened: Opened | None) -> str:
    """Why fewer objects have a size than were counted; empty where all have one.

    Args:
        sample: with `count` and, say, `diameter_measured` among its figures.
        opened: the tool that it was made by, which knows whom it measures.
    """
    for name, measured in sample.figures.values.items():
        if not name.endswith("_measured") or measured is None or sample.count is None:
            continue
        left = int(sample.count - measured)
        if left <= 0:
            return ""
        counted, rest = figure(sample.count), figure(measured)
        if opened is not None and _edge_alone(opened, name.removesuffix("_measured")):
            is_cut = "is" if left == 1 else "are"
            return (
                f"{figure(left)} of the {counted} {is_cut} cut by the picture's edge: counted, but how large they are"
                f" cannot be seen. Sizes are those of the other {rest}."
            )
        return f"Sizes are those of {rest} of the {counted}: the tool does not measure the others."
    return ""


def _edge_alone(opened: Opened, column: str) -> bool:
    """Whether a tool leaves out what touches the edge, and nothing else."""
    for use in opened.manifest.pipeline:
        step = use.step.partition("@")[0]
        if step == "size_figures" and column == "diameter":
            return True
        if step != "aggregate":
            continue
        parameters = parameters_of(use)
        if getattr(parameters, "column", None) == column:
            return {entry.column for entry in getattr(parameters, "measured_where", ())} == {_BORDER}
    return False


def figure_told(name: str) -> str:
    """A figure's name with what it means, where that is known."""
    if name.endswith("_measured"):
        return f"With a {name.removesuffix('_measured').replace('_', ' ')}"
    share = _SHARES.get(re.sub(r".*_", "", name))
    return f"{figure_name(name)}: {share}" if share else figure_name(name)


@dataclass(frozen=True)
class Rows:
    """The beginning of a result's table.

    Attributes:
        headings: of the columns.
        rows: cells as people read them, and whether each is a number.
        more: how many rows and columns are left out.
    """

    headings: list[str]
    rows: list[list[tuple[str, bool]]]
    more: tuple[int, int]


def rows_of(room: ToolRoom, sample: Sample, asked: Who) -> Rows | None:
    """The beginning of the table that a sample has; None where it has none, or it was not kept."""
    if "table.csv" not in sample.files:
        return None
    try:
        text = room.file(sample.id, "table.csv", asked).decode("utf-8", "replace")
    except CloisterError:
        return None
    lines = csv.reader(io.StringIO(text, newline=""))
    headings = [_cell(cell)[0] for cell in next(lines, [])]
    rows = [[_cell(cell) for cell in line[:_COLUMNS]] for line in itertools.islice(lines, _ROWS)]
    return Rows(headings[:_COLUMNS], rows, (sum(1 for _ in lines), max(0, len(headings) - _COLUMNS)))


def _cell(text: str) -> tuple[str, bool]:
    """A cell as people read it: numbers with three digits that count, text without what acts on a page."""
    try:
        number = float(text)
    except ValueError:
        return one_line(text)[:_CELL], False
    return (figure(number) if math.isfinite(number) else "", True)


def bars(edges: Sequence[float]) -> list[str]:
    """Between which sizes each bar lies: all with as many decimals as tell neighbours apart."""
    width = min((high - low for low, high in itertools.pairwise(edges)), default=1.0)
    decimals = max(0, 1 - math.floor(math.log10(width))) if width > 0 else 0
    texts = [f"{edge:.{min(decimals, 9)}f}" for edge in edges]
    return [f"{low} to {high}" for low, high in itertools.pairwise(texts)]

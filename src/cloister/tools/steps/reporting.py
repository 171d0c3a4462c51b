"""The finished files of one result: a page that needs nothing else, a table for spreadsheets, JSON for programs."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from collections.abc import Sequence
from html import escape
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from cloister.data.schema import Line
from cloister.foundation.spreadsheets import harmless
from cloister.sizing.calibration import Calibration
from cloister.tools import types as t
from cloister.tools.sizes import outside_known_sizes
from cloister.tools.steps.base import Context, Parameters, Slot, Step
from cloister.tools.steps.outline_files import as_outlines_json, as_svg, plain

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:64rem;margin:2rem auto;padding:0 1rem}
.wide{overflow-x:auto;margin:1rem 0}table{border-collapse:collapse}th,td{border:1px solid #ccc;padding:.2rem .6rem;text-align:right}
th{background:#f3f3f3}th:first-child,td:first-child{text-align:left}img,svg{max-width:100%;height:auto}
.warning{border-left:.3rem solid #d55e00;padding-left:.6rem}figure{margin:.5rem 0}.count{font-size:2rem;font-weight:600}small,dd{color:#555;overflow-wrap:anywhere}
"""


class Report(Parameters):
    """What the page says.

    Args:
        heading: instead of the tool's title.
        counted: what is counted, in the plural, for example `crystals`.
        rows: at most this many rows of the table on the page; the CSV has all.
        preview: longest side of the overlay on the page, pixels.
    """

    heading: Line = ""
    counted: Line = "objects"
    rows: Annotated[int, Field(ge=0, le=10_000)] = 200
    preview: Annotated[int, Field(ge=100, le=4000)] = 1600


def report(
    context: Context,
    parameters: Report,
    *,
    figures: t.Figures,
    table: t.Table | None = None,
    overlay: t.Picture | None = None,
    chart: t.Picture | None = None,
    outlines: t.Outlines | None = None,
) -> t.Report:
    """`report.html`, `result.json`, with a table `table.csv`, and with outlines `outlines.json` and `outlines.svg`."""
    files = {
        "report.html": _page(context, parameters, figures, table, overlay, chart).encode("utf-8"),
        "result.json": as_json(context, figures, table),
    }
    if table is not None:
        files["table.csv"] = as_csv(table)
    if outlines is not None:
        files["outlines.json"] = as_outlines_json(outlines, table, context.micrometres_per_pixel)
        files["outlines.svg"] = as_svg(outlines, table, f"{parameters.counted} of {context.subject}")
    return t.Report(files)


def as_csv(table: t.Table) -> bytes:
    """A table as CSV, UTF-8, units in the header. Text that a spreadsheet would run as a formula is quoted by `'`."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow([harmless(table.heading(name)) for name in table.columns])
    columns = (
        ["" if value is None else harmless(value) for value in plain(values)]
        for values in table.columns.values()
    )
    writer.writerows(zip(*columns, strict=True))
    return stream.getvalue().encode("utf-8")


def as_json(context: Context, figures: t.Figures, table: t.Table | None) -> bytes:
    """Figures and table as JSON, with what they were computed by."""
    document: dict[str, Any] = {
        "subject": context.subject,
        "figures": {name: _plain(value) for name, value in figures.values.items()},
        "units": dict(figures.units),
        "histograms": {
            name: {"edges": list(edges), "counts": list(counts)}
            for name, (edges, counts) in figures.histograms.items()
        },
        "facts": dict(context.facts),
        "calibration": None if context.calibration is None else as_told(context.calibration),
    }
    if table is not None:
        document["table"] = {
            "units": dict(table.units),
            "columns": {name: plain(values) for name, values in table.columns.items()},
        }
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8")


def as_told(calibration: Calibration) -> dict[str, Any]:
    """A calibration for programs: its document and its digest."""
    return {"digest": calibration.digest(), **calibration.model_dump(mode="json")}


def page(title: str, body: str) -> str:
    """An HTML page that loads nothing from anywhere."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data: 'self'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width"><title>'
        f"{escape(title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>"
    )


def wide(table: str, name: str) -> str:
    """A table that scrolls by itself, also by keyboard, where the window is narrower than it is."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="{escape(name)}">{table}</div>'


def figure_table(figures: t.Figures) -> str:
    """The figures as an HTML table."""
    rows = "".join(
        f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{_shown(value)}</td><td>{escape(figures.units.get(name, ''))}</td></tr>"
        for name, value in figures.values.items()
    )
    return wide(f"<table><tr><th>figure</th><th>value</th><th>unit</th></tr>{rows}</table>", "figures")


def _page(
    context: Context,
    parameters: Report,
    figures: t.Figures,
    table: t.Table | None,
    overlay: t.Picture | None,
    chart: t.Picture | None,
) -> str:
    heading = parameters.heading or context.title or "Result"
    parts = [f"<h1>{escape(heading)}</h1>", f"<p>{escape(context.subject)}</p>"]
    if "count" in figures.values:
        parts.append(f'<p class="count">{_shown(figures.values["count"])} {escape(parameters.counted)}</p>')
    warning = outside_known_sizes(table, context.sizes, context.micrometres_per_pixel)
    parts += [f'<p class="warning">{escape(line)}</p>' for line in (warning, *context.doubts) if line]
    if overlay is not None:
        parts.append(image(preview(overlay, parameters.preview)))
    parts.append("<h2>Figures</h2>" + figure_table(figures))
    if chart is not None:
        parts.append(image(chart))
    for name, (edges, counts) in figures.histograms.items():
        bars = "".join(
            f"<tr><td>{low:.4g} to {high:.4g}</td><td>{count}</td></tr>"
            for low, high, count in zip(edges, edges[1:], counts, strict=False)
        )
        parts.append(
            f"<details><summary>Histogram of {escape(name)} as a table</summary>"
            + wide(
                f"<table><tr><th>{escape(name)}</th><th>count</th></tr>{bars}</table>", f"histogram of {name}"
            )
            + "</details>"
        )
    if table is not None and parameters.rows:
        parts.append(_rows(table, parameters.rows))
    if context.limits:
        parts.append(limits_list(context.limits))
    facts = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in context.facts.items()
    )
    if facts:
        parts.append(f"<h2>Computed by</h2><dl>{facts}</dl>")
    return page(f"{heading}: {context.subject}", "".join(parts))


def _rows(table: t.Table, limit: int) -> str:
    head = "".join(f"<th>{escape(table.heading(name))}</th>" for name in table.columns)
    cut = [plain(values[:limit]) for values in table.columns.values()]
    body = "".join(
        "<tr>" + "".join(f"<td>{_shown(value)}</td>" for value in row) + "</tr>"
        for row in zip(*cut, strict=True)
    )
    note = f"<p>The first {limit} of {table.rows} rows; all are in the CSV.</p>" if table.rows > limit else ""
    return f"<h2>Table</h2>{note}" + wide(f"<table><tr>{head}</tr>{body}</table>", "objects")


def limits_list(limits: Sequence[str]) -> str:
    """What a tool is not good for, as HTML."""
    lines = "".join(f"<li>{escape(line)}</li>" for line in limits)
    return f"<h2>What this tool is not good for</h2><ul>{lines}</ul>"


def image(picture: t.Picture) -> str:
    """A picture as HTML that needs no other file."""
    if picture.media_type == "image/svg+xml":
        return f"<figure>{picture.data.decode('utf-8')}</figure>"
    data = base64.b64encode(picture.data).decode("ascii")
    return f'<figure><img alt="{escape(picture.alternative)}" src="data:{picture.media_type};base64,{data}"></figure>'


def preview(picture: t.Picture, longest: int) -> t.Picture:
    """A smaller JPEG, so that a page about a large picture stays small."""
    if picture.media_type != "image/png":
        return picture
    from PIL import Image, PngImagePlugin

    if picture.pixels is not None:
        if max(picture.pixels.shape[:2]) <= longest:
            return picture
        whole = Image.fromarray(picture.pixels)
    else:
        # The bytes come from this tool's own overlay step; the bomb check of Image.open would refuse very large ones.
        whole = PngImagePlugin.PngImageFile(io.BytesIO(picture.data))
        if max(whole.size) <= longest:
            return picture
        whole = whole.convert("RGB")
    share = longest / max(whole.size)
    size = max(1, round(whole.width * share)), max(1, round(whole.height * share))
    small = whole.resize(size, Image.Resampling.BOX)
    stream = io.BytesIO()
    small.save(stream, format="JPEG", quality=88)
    return t.Picture(stream.getvalue(), "image/jpeg", picture.alternative)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _shown(value: Any) -> str:
    if value is None:
        return "–"  # noqa: RUF001 - an en dash is how an empty figure is printed
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))


STEPS = (
    Step(
        "report",
        1,
        "Writes a self-contained page, a CSV table and JSON.",
        {
            "figures": Slot("figures"),
            "table": Slot("table", optional=True),
            "overlay": Slot("picture", optional=True),
            "chart": Slot("picture", optional=True),
            "outlines": Slot("outlines", optional=True),
        },
        "report",
        Report,
        report,
    ),
)

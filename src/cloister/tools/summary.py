"""The page over all pictures of one run, so that a person opens one file and finds everything."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from cloister.tools import types as t
from cloister.tools.steps.reporting import image, limits_list, page, preview, wide

if TYPE_CHECKING:  # run imports this module
    from cloister.tools.run import Result
    from cloister.tools.tool import Tool

_THUMBNAIL = 240


def index_page(tool: Tool, results: Sequence[tuple[str, Result]]) -> str:
    """HTML: one line per file with its count, its files or its error."""
    failed = sum(not result.ok for _, result in results)
    rows = "".join(_row(result) for _, result in results)
    total = sum(result.count or 0 for _, result in results)
    told = f"{len(results)} files, {total} objects" + (f", {failed} could not be used" if failed else "")
    return page(
        tool.manifest.title,
        f"<h1>{escape(tool.manifest.title)}</h1><p>{escape(told)}</p>"
        + wide(
            f"<table><tr><th>file</th><th>count</th><th>seconds</th><th>results</th><td></td></tr>{rows}</table>",
            "files",
        )
        + (limits_list(tool.manifest.limits) if tool.manifest.limits else "")
        + f"<p><small>{escape(tool.name)} {escape(tool.manifest.version)}, {escape(tool.digest)}</small></p>",
    )


def _row(result: Result) -> str:
    if result.error is not None:
        told = " ".join(part for part in (result.error.what, result.error.why, result.error.remedy) if part)
        return f'<tr><td>{escape(result.name)}</td><td colspan="4">{escape(told)}</td></tr>'
    links = " ".join(f'<a href="{quote(path.name)}">{escape(_kind(path.name))}</a>' for path in result.files)
    count = "" if result.count is None else str(result.count)
    told = escape(result.name) + "".join(f"<br><small>{escape(line)}</small>" for line in result.warnings)
    return (
        f"<tr><td>{told}</td><td>{count}</td><td>{result.seconds:.1f}</td><td>{links}</td>"
        f"<td>{_thumbnail(result)}</td></tr>"
    )


def _thumbnail(result: Result) -> str:
    """The overlay, small, leading to the picture's report (to the overlay itself if the tool writes none)."""
    drawn = next(
        (
            value
            for value in result.outputs.values()
            if isinstance(value, t.Picture) and value.media_type == "image/png"
        ),
        None,
    )
    pages = [path.name for path in result.files if path.name.endswith((".report.html", ".png"))]
    if drawn is None or not pages:
        return ""
    target = min(pages, key=lambda name: not name.endswith(".report.html"))
    return f'<a href="{quote(target)}">{image(preview(drawn, _THUMBNAIL))}</a>'


def _kind(name: str) -> str:
    return ".".join(name.rsplit(".", 2)[1:])

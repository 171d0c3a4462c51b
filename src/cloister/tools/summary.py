"""The page over all pictures of one run, so that a person opens one file and finds everything."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from cloister.tools import types as t
from cloister.tools.steps.reporting import image, limits_list, page, preview, wide

if TYPE_CHECKING:  # run imports this module
    from cloister.tools.run import Result
    from cloister.tools.tool import Tool

_THUMBNAIL = 240
_SHOWN = 200


class Index:
    """The page as it grows: one line per file with its count, its files or its error, and nothing else kept of it.

    Args:
        tool: that is run.
        pictures: how many files there will be; of more than 200 no thumbnail is shown, so that the page still opens.
    """

    def __init__(self, tool: Tool, pictures: int) -> None:
        self._tool = tool
        self.thumbnails = pictures <= _SHOWN
        self._rows: list[str] = []
        self._objects = self._failed = 0

    def add(self, result: Result) -> None:
        """The next file."""
        self._rows.append(_row(result, thumbnail=self.thumbnails))
        self._objects += result.count or 0
        self._failed += not result.ok

    def page(self) -> bytes:
        """HTML."""
        manifest = self._tool.manifest
        told = f"{len(self._rows)} files, {self._objects} objects" + (
            f", {self._failed} could not be used" if self._failed else ""
        )
        return page(
            manifest.title,
            f"<h1>{escape(manifest.title)}</h1><p>{escape(told)}</p>"
            + wide(
                "<table><tr><th>file</th><th>count</th><th>seconds</th><th>results</th><td></td></tr>"
                f"{''.join(self._rows)}</table>",
                "files",
            )
            + (limits_list(manifest.limits) if manifest.limits else "")
            + f"<p><small>{escape(manifest.name)} {escape(manifest.version)}, {escape(self._tool.digest)}</small></p>",
        ).encode("utf-8")


def _row(result: Result, *, thumbnail: bool) -> str:
    if result.error is not None:
        told = " ".join(part for part in (result.error.what, result.error.why, result.error.remedy) if part)
        return f'<tr><td>{escape(result.name)}</td><td colspan="4">{escape(told)}</td></tr>'
    links = " ".join(f'<a href="{quote(path.name)}">{escape(_kind(path.name))}</a>' for path in result.files)
    count = "" if result.count is None else str(result.count)
    told = escape(result.name) + "".join(f"<br><small>{escape(line)}</small>" for line in result.warnings)
    return (
        f"<tr><td>{told}</td><td>{count}</td><td>{result.seconds:.1f}</td><td>{links}</td>"
        f"<td>{_thumbnail(result) if thumbnail else ''}</td></tr>"
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

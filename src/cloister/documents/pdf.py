"""A document as PDF: the same content gives the same bytes, so that the digest of a filed document can be recomputed.

Rules:
1. Nothing of this machine or this moment is in the file: dates are the document's own, fonts are embedded, names are fixed.
2. No scripts, no links, no forms, no attachments.
3. All text is escaped; what acts instead of being read is replaced (`letters`).
4. A table's head is repeated on every page; every page has a footer with its number and the number of pages.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cloister.documents.content import (
    Bullets,
    Facts,
    Figure,
    Heading,
    Notice,
    PageBreak,
    Paper,
    Paragraph,
    Part,
    Picture,
    Table,
    Tone,
)
from cloister.documents.letters import BOLD, TEXT, Letters
from cloister.documents.shapes import Box, Dot, Drawing, Stroke, Words, corners
from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import BadInput

MARGIN = 54.0
MAX_CELL = 400
"""Letters of a table's cell that are printed; what is longer ends in …, so that no row is higher than a page."""

_TONES: dict[Tone, tuple[str, str]] = {
    "plain": ("#666666", "#f4f4f4"),
    "good": ("#00694d", "#e6f4ef"),
    "bad": ("#a63c00", "#fbeae0"),
    "open": ("#8a6100", "#fdf3dc"),
}


def render(paper: Paper, fonts: Sequence[Path] = ()) -> bytes:
    """The document as PDF, A4.

    Args:
        paper: the document.
        fonts: TrueType files for characters that the built-in fonts lack (`letters.Letters`).

    Raises:
        BadInput: something does not fit on a page, or a font cannot be used.
    """
    from reportlab.lib.pagesizes import A4, landscape
    from reportlab.platypus import SimpleDocTemplate
    from reportlab.platypus.doctemplate import LayoutError

    letters = Letters(fonts)
    stream = io.BytesIO()
    size = landscape(A4) if paper.wide else A4
    template = SimpleDocTemplate(
        stream,
        pagesize=size,
        leftMargin=MARGIN - 6,  # reportlab's frame keeps 6 points free inside
        rightMargin=MARGIN - 6,
        topMargin=MARGIN,
        bottomMargin=MARGIN + 12,
        invariant=1,
        lang="en",
        title=paper.title,
        author=paper.organisation or "Cloister",
        subject=paper.subject or paper.subtitle,
        creator="Cloister",
        producer="Cloister, ReportLab",
        keywords=" ".join(paper.digests.values()),
    )
    maker = _Maker(letters, size[0] - 2 * MARGIN)
    try:
        template.build(maker.story(paper), canvasmaker=_numbered(paper, letters))
    except LayoutError:
        raise BadInput(
            "The document cannot be laid out.", "A part of it is larger than a page.", "Divide that part."
        ) from None
    return stream.getvalue()


class _Maker:
    """Parts of a document as reportlab's flowables."""

    def __init__(self, letters: Letters, width: float) -> None:
        from reportlab.lib.styles import ParagraphStyle

        self.letters = letters
        self.width = width

        def style(
            size: float, *, bold: bool = False, before: float = 0, after: float = 4, **more: Any
        ) -> Any:
            return ParagraphStyle(
                "s",
                fontName=BOLD if bold else TEXT,
                fontSize=size,
                leading=size * 1.35,
                spaceBefore=before,
                spaceAfter=after,
                **more,
            )

        self.styles = {
            "title": style(18, bold=True, after=2),
            "subtitle": style(11, after=2, textColor="#444444"),
            "head1": style(13, bold=True, before=12, after=4, keepWithNext=1),
            "head2": style(10.5, bold=True, before=8, after=3, keepWithNext=1),
            "text": style(9.5, after=5),
            "small": style(7.5, after=3, textColor="#555555"),
            "cell": style(8, after=0),
            "cellright": style(8, after=0, alignment=2),
            "cellhead": style(8, bold=True, after=0),
            "cellheadright": style(8, bold=True, after=0, alignment=2),
        }

    def story(self, paper: Paper) -> list[Any]:
        made = [self._text(paper.title, "title", bold=True)]
        if paper.subtitle:
            made.append(self._text(paper.subtitle, "subtitle"))
        line = " · ".join(part for part in (paper.organisation, rfc3339(paper.made)) if part)
        made.append(self._text(line, "small"))
        for part in paper.parts:
            made += self._part(part)
        if paper.digests:
            made += self._part(Heading("Digests", 2)) + self._part(Facts(list(paper.digests.items())))
        return made

    def _text(self, text: str, style: str, *, bold: bool = False) -> Any:
        from reportlab.platypus import Paragraph as Flow

        return Flow(self.letters.markup(text, bold=bold) or "&nbsp;", self.styles[style])

    def _part(self, part: Part) -> list[Any]:
        from reportlab.platypus import KeepTogether, Spacer
        from reportlab.platypus import PageBreak as Break

        match part:
            case Heading(text, level):
                return [self._text(text, f"head{level}", bold=True)]
            case Paragraph(text, small):
                return [self._text(text, "small" if small else "text")]
            case Bullets(lines):
                return self._bullets(lines)
            case Notice():
                return [self._notice(part), Spacer(1, 6)]
            case Facts(pairs):
                return self._facts(pairs)
            case Table():
                return self._table(part)
            case Figure(drawing, caption):
                below = [self._text(caption, "small")] if caption else []
                return [KeepTogether([_flowable(drawing, self.letters, self.width), *below])]
            case Picture():
                return [KeepTogether(self._picture(part))]
            case PageBreak():
                return [Break()]

    def _bullets(self, lines: Sequence[str]) -> list[Any]:
        from reportlab.platypus import Table as Grid

        if not lines:
            return []
        rows = [[self._text("•", "text"), self._text(line, "text")] for line in lines]
        return [
            Grid(
                rows, colWidths=[12, self.width - 12], style=[*_tight(), ("TOPPADDING", (0, 0), (-1, -1), 0)]
            )
        ]

    def _notice(self, notice: Notice) -> Any:
        from reportlab.platypus import Table as Grid

        edge, fill = _TONES[notice.tone]
        rows = [
            [self._text(notice.headline, "head2", bold=True)],
            *([self._text(line, "text")] for line in notice.lines),
        ]
        look = [
            ("FONTNAME", (0, 0), (-1, -1), TEXT),
            ("BACKGROUND", (0, 0), (-1, -1), fill),
            ("LINEBEFORE", (0, 0), (0, -1), 3, edge),
            ("LEFTPADDING", (0, 0), (-1, -1), 10),
            ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ]
        return Grid(rows, colWidths=[self.width], style=look)

    def _facts(self, pairs: Sequence[tuple[str, str]]) -> list[Any]:
        from reportlab.platypus import LongTable

        if not pairs:
            return []
        rows = [
            [self._text(name, "cellhead", bold=True), self._text(_cut(text), "cell")] for name, text in pairs
        ]
        return [
            LongTable(rows, colWidths=[self.width * 0.23, self.width * 0.77], style=_tight(), spaceAfter=6)
        ]

    def _table(self, table: Table) -> list[Any]:
        from reportlab.platypus import LongTable

        count = len(table.columns)
        if not count or any(len(row) != count for row in table.rows):
            raise BadInput("A table's rows do not fit its head.", "Each row is as long as the head.", "")
        align = table.align or ("left",) * count
        shares = table.widths or (1.0,) * count
        widths = [self.width * share / sum(shares) for share in shares]
        ends = ["right" if side == "right" else "" for side in align]
        head = [
            self._text(_cut(text), f"cellhead{end}", bold=True)
            for text, end in zip(table.columns, ends, strict=True)
        ]
        rows = [
            [self._text(_cut(text), f"cell{end}") for text, end in zip(row, ends, strict=True)]
            for row in table.rows
        ]
        look = [
            *_tight(),
            ("LINEBELOW", (0, 0), (-1, 0), 0.8, "#444444"),
            ("LINEBELOW", (0, 1), (-1, -1), 0.3, "#cccccc"),
        ]
        made = LongTable([head, *rows], colWidths=widths, repeatRows=1, style=look, spaceAfter=8)
        caption = [self._text(table.caption, "head2", bold=True)] if table.caption else []
        return [*caption, made]

    def _picture(self, picture: Picture) -> list[Any]:
        from reportlab.platypus import Image

        image = Image(io.BytesIO(picture.data))
        scale = min(picture.height / image.imageHeight, self.width / image.imageWidth)
        image.drawWidth, image.drawHeight = image.imageWidth * scale, image.imageHeight * scale
        image.hAlign = "LEFT"
        told = picture.caption or picture.alternative
        return [image, self._text(told, "small")]


def _tight() -> list[Any]:
    return [
        ("FONTNAME", (0, 0), (-1, -1), TEXT),  # else reportlab names a font that is not embedded
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 6),
        ("TOPPADDING", (0, 0), (-1, -1), 1.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
    ]


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"


def _flowable(drawing: Drawing, letters: Letters, room: float) -> Any:
    from reportlab.platypus import Flowable

    class Plot(Flowable):  # type: ignore[misc]
        """A drawing that takes its place in the text, made smaller where it is wider than the page."""

        def wrap(self, _width: float, _height: float) -> tuple[float, float]:
            self.scale = min(1.0, room / drawing.width)
            return drawing.width * self.scale, drawing.height * self.scale

        def draw(self) -> None:
            self.canv.scale(self.scale, self.scale)
            for shape in drawing.shapes:
                _draw(self.canv, shape, letters)

    return Plot()


def _draw(pen: Any, shape: Any, letters: Letters) -> None:
    match shape:
        case Stroke(points, colour, width, dash):
            pen.setStrokeColor(colour)
            pen.setLineWidth(width)
            pen.setDash(*([list(dash)] if dash else []))
            path = pen.beginPath()
            path.moveTo(*points[0])
            for point in points[1:]:
                path.lineTo(*point)
            pen.drawPath(path, stroke=1, fill=0)
            pen.setDash()
        case Box(x, y, width, height, fill):
            pen.setFillColor(fill)
            pen.rect(x, y, width, height, stroke=0, fill=1)
        case Dot(x, y, mark, colour, size):
            pen.setFillColor(colour)
            pen.setStrokeColor(colour)
            pen.setLineWidth(1.2)
            if mark in ("circle", "ring"):
                pen.circle(x, y, size, stroke=int(mark == "ring"), fill=int(mark == "circle"))
            else:
                path = pen.beginPath()
                first, *others = corners(shape)
                path.moveTo(*first)
                for point in others:
                    path.lineTo(*point)
                path.close()
                pen.drawPath(path, stroke=0, fill=1)
        case Words():
            _write(pen, shape, letters)


def _write(pen: Any, words: Words, letters: Letters) -> None:
    width = letters.width(words.text, words.size)
    pen.saveState()
    pen.translate(words.x, words.y)
    if words.up:
        pen.rotate(90)
    pen.setFillColor(words.colour)
    text = pen.beginText({"start": 0.0, "middle": -width / 2, "end": -width}[words.anchor], 0)
    for font, piece in letters.runs(words.text):
        text.setFont(font, words.size)
        text.textOut(piece)
    pen.drawText(text)
    pen.restoreState()


def _numbered(paper: Paper, letters: Letters) -> Callable[..., Any]:
    """A canvas that knows at its end how many pages there are, and writes the footers then."""
    from reportlab.pdfgen.canvas import Canvas

    first = next(iter(paper.digests.items()), None)
    note = f"{first[0]} {first[1][:23]}…" if first else ""
    stamp = rfc3339(paper.made).replace("-", "").replace(":", "").replace("T", "").replace("Z", "")

    class Numbered(Canvas):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **{**settings, "initialFontName": TEXT})
            self.setDateFormatter(lambda *_: f"D:{stamp}Z")
            self.pages: list[dict[str, Any]] = []

        def showPage(self) -> None:  # noqa: N802 - reportlab's name
            self.pages.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            for number, page in enumerate(self.pages, 1):
                self.__dict__.update(page)
                self.setLineWidth(0.4)
                self.setStrokeColor("#999999")
                width = self._pagesize[0]
                self.line(MARGIN, MARGIN, width - MARGIN, MARGIN)
                left = " · ".join(part for part in (paper.title[:60], note) if part)
                _write(self, Words(MARGIN, MARGIN - 11, left, 7, "start", "#555555"), letters)
                told = f"page {number} of {len(self.pages)}"
                _write(self, Words(width - MARGIN, MARGIN - 11, told, 7, "end", "#555555"), letters)
                super().showPage()
            super().save()

    return Numbered

"""A document as data: what it says, in which order, and nothing about how it looks.

Whoever reports something builds a `Paper` once; `pdf.render` makes the file that is signed and filed, `html.render` the page that is
read on a screen. All text is plain text: nothing in it is markup, so a file name such as `<b>.png` is shown as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from cloister.documents.shapes import Drawing

Tone: TypeAlias = Literal["plain", "good", "bad", "open"]
"""Of a notice: neutral, something holds, something does not hold, something is not decided."""

Align: TypeAlias = Literal["left", "right"]


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 begins a section, level 2 a part of it."""

    text: str
    level: Literal[1, 2] = 1


@dataclass(frozen=True)
class Paragraph:
    """Running text; `small` is for remarks and sources."""

    text: str
    small: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list without an order."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Notice:
    """What must not be overlooked: a headline and the reasons below it, in a box.

    Args:
        headline: one line. It says by itself what `tone` shows by colour.
        lines: below it.
        tone: colour of the box.
    """

    headline: str
    lines: Sequence[str] = ()
    tone: Tone = "plain"


@dataclass(frozen=True)
class Facts:
    """Names and what they are, one below the other."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows under a head, which is repeated on every page that the table reaches.

    Args:
        columns: the head.
        rows: each as long as the head.
        align: of each column; all left if empty.
        widths: relative widths of the columns; equal if empty.
        caption: above the table.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: Sequence[Align] = ()
    widths: Sequence[float] = ()
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """A plot with a caption below it; `drawing.alternative` says it in words."""

    drawing: Drawing
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A PNG or JPEG picture that the caller made itself (foreign pictures are decoded by `cloister.data.images` first).

    Args:
        data: the file.
        alternative: what it shows, in words.
        caption: below it.
        height: on paper, points (1/72 inch); the width follows.
    """

    data: bytes = field(repr=False)
    alternative: str
    caption: str = ""
    height: float = 240.0


@dataclass(frozen=True)
class PageBreak:
    """What follows begins on a new page."""


Part: TypeAlias = Heading | Paragraph | Bullets | Notice | Facts | Table | Figure | Picture | PageBreak


@dataclass(frozen=True)
class Paper:
    """A document.

    Args:
        title: of the document, also in its metadata.
        made: when, seconds since the epoch, UTC; the file's dates are this, so that the same content gives the same bytes.
        parts: in order.
        subtitle: below the title.
        organisation: whose document it is; the author in the metadata.
        subject: of the metadata.
        digests: what the document is about, by name; printed at its end, the first also in every footer.
        wide: pages lie on their side.
    """

    title: str
    made: int
    parts: Sequence[Part]
    subtitle: str = ""
    organisation: str = ""
    subject: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    wide: bool = False

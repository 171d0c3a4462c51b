"""Letters on paper: each character in a font that has it, or its number in brackets where none has.

A font without a character draws an empty box, and a box in a file name or a name of a person tells nothing. Rules:
1. The fonts are embedded. Bitstream Vera, which comes with reportlab, has the Latin letters of Western and partly of Central Europe,
   micro signs, superscripts, ≥ and dashes; the caller may add fonts for more.
2. A character that no font has is shown by its number: `[U+4E2D]`. Nothing is left out, nothing is replaced by a similar letter.
3. Scripts that are written from right to left are shown by numbers too, whatever the fonts: reportlab would draw them in the wrong order.
4. What would act instead of being read is replaced first (`foundation.text`).
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput
from cloister.foundation.files import read_limited
from cloister.foundation.text import readable

TEXT, BOLD = "CloisterText", "CloisterBold"
MINUS, DASH, TIMES = "\u2212", "\u2013", "\u00d7"
"""A minus sign, as wide as a plus; a dash, which stands for nothing found; a multiplication sign."""
_MAX_FONT_BYTES = 32 << 20
# The same mark under another number: Greek mu for the micro sign, hyphens, spaces of other widths.
_SAME = {
    "\u03bc": "\u00b5",
    "\u2010": "-",
    "\u2011": "-",
    "\u202f": "\u00a0",
    "\u2007": "\u00a0",
    "\u2009": " ",
}


class Letters:
    """The fonts of a document.

    Args:
        more: TrueType files for characters that Vera lacks, in order of preference. The bytes of a document depend on them.

    Raises:
        BadInput: a file is no TrueType font that can be embedded.
        NotFound: there is no such file.
    """

    def __init__(self, more: Sequence[Path] = ()) -> None:
        self._faces: dict[str, Any] = {
            TEXT: _registered(TEXT, "Vera.ttf"),
            BOLD: _registered(BOLD, "VeraBd.ttf"),
        }
        self._more: dict[str, Any] = {}
        for path in more:
            data = read_limited(path, _MAX_FONT_BYTES)
            name = f"Cloister{digest(data)[7:23]}"
            self._more[name] = _registered(name, str(path))

    def runs(self, text: str, *, bold: bool = False) -> list[tuple[str, str]]:
        """The text as (font, piece), in order; every piece can be drawn in its font."""
        main = BOLD if bold else TEXT
        found = [(self._font(letter, main), letter) for letter in _plain(text)]
        return list(self._joined(found, main))

    def markup(self, text: str, *, bold: bool = False) -> str:
        """The text as reportlab's paragraphs take it: escaped, with a font for each piece, lines kept."""
        parts = []
        for font, piece in self.runs(text, bold=bold):
            safe = escape(piece).replace("\n", "<br/>")
            parts.append(f'<font name="{font}">{safe}</font>' if font not in (TEXT, BOLD) else safe)
        return "".join(parts)

    def width(self, text: str, size: float, *, bold: bool = False) -> float:
        """Of one line, points."""
        from reportlab.pdfbase.pdfmetrics import stringWidth

        return float(sum(stringWidth(piece, font, size) for font, piece in self.runs(text, bold=bold)))

    def _font(self, letter: str, main: str) -> str | None:
        if letter in "\n ":
            return main
        if unicodedata.bidirectional(letter) in {"R", "AL", "AN"}:
            return None
        faces = {main: self._faces[main], **self._more}
        return next((name for name, face in faces.items() if ord(letter) in face.charToGlyph), None)

    @staticmethod
    def _joined(found: list[tuple[str | None, str]], main: str) -> Iterator[tuple[str, str]]:
        pieces = []
        for font, group in itertools.groupby(found, key=lambda item: item[0]):
            letters = [letter for _, letter in group]
            if font is None:
                pieces.append((main, "[" + " ".join(f"U+{ord(letter):04X}" for letter in letters) + "]"))
            else:
                pieces.append((font, "".join(letters)))
        for font, same in itertools.groupby(pieces, key=lambda item: item[0]):
            yield font, "".join(piece for _, piece in same)


def _plain(text: str) -> str:
    composed = unicodedata.normalize("NFC", text).replace("\t", " ")
    return "".join(_SAME.get(letter, letter) for letter in readable(composed))


def _registered(name: str, file: str) -> Any:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFError, TTFont

    try:
        font = pdfmetrics.getFont(name) if name in pdfmetrics.getRegisteredFontNames() else TTFont(name, file)
        pdfmetrics.registerFont(font)
        # Bold within a paragraph is asked for by name, never by markup: a family of one keeps reportlab from guessing.
        pdfmetrics.registerFontFamily(name, normal=name, bold=name, italic=name, boldItalic=name)
    except (TTFError, OSError, ValueError, KeyError, IndexError) as error:
        raise BadInput(
            f"{Path(file).name} is no font that can be embedded.",
            type(error).__name__,
            "Give a TrueType file (.ttf) with glyf outlines, for example DejaVuSans.ttf.",
        ) from None
    return font.face

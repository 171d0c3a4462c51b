"""Documents as PDF: the bytes are opened again by a reader of its own, so that what is on paper is known."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))
from pdfreading import Pdf

from cloister.documents import html, plots
from cloister.documents.content import (
    Bullets,
    Facts,
    Figure,
    Heading,
    Notice,
    PageBreak,
    Paper,
    Paragraph,
    Picture,
    Table,
)
from cloister.documents.letters import MINUS, Letters
from cloister.documents.pdf import render
from cloister.foundation.errors import BadInput

MADE = 1_800_000_000
DEJAVU = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
PLOT = plots.bland_altman(
    [10.0, 20.0, 30.0],
    [1.0, -1.0, 0.5],
    bias=plots.Rule("bias", [(0, 0.2)]),
    limits=[plots.Rule("upper", [(0, 2.0)]), plots.Rule("lower", [(0, -1.6)])],
    allowed=[plots.Rule("allowed", [(0, 3.0)])],
    x_label="mean",
    y_label="difference",
)


def paper(*parts, **more):
    return Paper(**({"title": "A report", "made": MADE, "parts": parts} | more))


def everything():
    stream = io.BytesIO()
    Image.new("RGB", (20, 10), "red").save(stream, format="PNG")
    return paper(
        Notice("Accepted", ["because"], "good"),
        Heading("One"),
        Paragraph("Text"),
        Paragraph("small print", small=True),
        Bullets(["first", "second"]),
        Facts([("name", "value")]),
        Table(("a", "b"), [("1", "2")], ("left", "right"), caption="A table"),
        Figure(PLOT, "A plot"),
        Picture(stream.getvalue(), "a red box"),
        PageBreak(),
        Paragraph("Last"),
        subtitle="of something",
        organisation="The plant",
        digests={"report": "sha256:" + "ab" * 32},
    )


def test_the_same_content_gives_the_same_bytes_and_another_date_other_ones():
    first = render(everything())
    assert first == render(everything())
    later = Paper(**{**vars(everything()), "made": MADE + 1})
    assert first != render(later)


def test_the_bytes_are_the_same_in_another_process_in_another_place(tmp_path):
    code = (
        "import sys, hashlib; from cloister.documents.content import *; from cloister.documents.pdf import render;"
        "sys.stdout.write(hashlib.sha256(render(Paper('t', 1800000000, [Paragraph('µ'), Table(('a',), [('b',)])]))).hexdigest())"
    )
    made = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=place,
            env={"PYTHONPATH": ":".join(sys.path), "TZ": zone, "HOME": str(tmp_path), "PYTHONHASHSEED": seed},
        ).stdout
        for place, zone, seed in ((tmp_path, "Asia/Tokyo", "1"), (Path("/"), "UTC", "2"))
    }
    assert len(made) == 1


def test_metadata_are_set_and_dates_are_the_documents_own():
    pdf = Pdf(render(everything()))
    assert pdf.info("Title") == "A report"
    assert pdf.info("Author") == "The plant"
    assert pdf.info("CreationDate") == pdf.info("ModDate") == "D:20270115080000Z"
    assert "/Lang" in str(pdf.objects[pdf.reference(pdf.trailer, b"Root")])


def test_nothing_in_the_file_acts_and_every_font_is_embedded():
    pdf = Pdf(render(everything()))
    everything_said = b"\n".join(pdf.objects.values())
    for name in (
        b"/JavaScript",
        b"/JS",
        b"/OpenAction",
        b"/AA",
        b"/Annot",
        b"/URI",
        b"/Launch",
        b"/EmbeddedFile",
        b"/AcroForm",
    ):
        assert not re.search(name + rb"\b", everything_said), name
    fonts = [body for body in pdf.objects.values() if re.search(rb"/Type /Font\b", body)]
    assert fonts
    for font in fonts:
        descriptor = pdf.objects[pdf.reference(font, b"FontDescriptor")]
        assert b"/FontFile2" in descriptor, font


def test_all_parts_and_the_digest_are_on_paper():
    pdf = Pdf(render(everything()))
    text = pdf.text()
    for word in (
        "Accepted",
        "because",
        "One",
        "Text",
        "small print",
        "first",
        "name",
        "value",
        "A table",
        "A plot",
        "Last",
    ):
        assert word in text, word
    assert "ab" * 20 in text.replace("\n", "")
    for number, page in enumerate(pdf.pages, 1):
        lines = pdf.lines(page)
        assert f"page {number} of {len(pdf.pages)}" in lines
        assert any("report sha256:abababab" in line for line in lines)


def test_markup_in_a_text_is_shown_and_never_interpreted():
    name = '<b>&amp;"x</b><img src=file:///etc/passwd/>.png'
    parts = (
        Heading(name),
        Paragraph(name),
        Bullets([name]),
        Notice(name, [name]),
        Facts([(name, name)]),
        Table((name,), [(name,)]),
        Figure(plots.scatter({name: [(1, 2)]}, name, name)),
    )
    told = Pdf(render(paper(*parts, title=name))).text().replace("\n", "")
    assert told.count("<b>&amp;") >= 9
    page = html.render(paper(*parts, title=name)).decode()
    assert "<b>" not in page
    assert "<img" not in page
    assert "default-src 'none'" in page


def test_units_and_dashes_are_drawn_and_letters_without_a_glyph_are_numbered():
    text = "µ \u03bc ² ³ ≥ ≤ \u2013 — ± \u00d7 é č š ł"
    shown = Pdf(render(paper(Paragraph(text)))).text()
    assert "µ µ ² ³ ≥ ≤ \u2013 — ± \u00d7 é č š ł" in shown
    told = Pdf(render(paper(Paragraph(f"中文名.png {MINUS}5 שלום Щ \u202e")))).text()
    assert f"[U+4E2D U+6587 U+540D].png {MINUS}5 [U+05E9 U+05DC U+05D5 U+05DD] [U+0429] [U+FFFD]" in told


@pytest.mark.skipif(not DEJAVU.is_file(), reason="DejaVu Sans is not installed on this machine")
def test_a_further_font_draws_what_the_first_lacks():
    told = Pdf(render(paper(Paragraph("Щука Dvořák 中")), [DEJAVU])).text()
    assert "Щука Dvořák [U+4E2D]" in told


def test_a_file_that_is_no_font_is_refused(tmp_path):
    bad = tmp_path / "font.ttf"
    bad.write_bytes(b"\0\1\0\0 no font")
    with pytest.raises(BadInput, match="no font"):
        Letters([bad])


def test_a_long_table_breaks_over_pages_and_repeats_its_head():
    rows = [(f"picture {number}", str(number)) for number in range(200)]
    pdf = Pdf(render(paper(Table(("which picture", "how many"), rows))))
    assert len(pdf.pages) >= 4
    seen = []
    for page in pdf.pages:
        lines = pdf.lines(page)
        assert "which picture" in lines
        seen += [line for line in lines if re.fullmatch(r"picture \d+", line)]
    assert seen == [row[0] for row in rows]


def test_a_cell_is_cut_visibly_before_it_fills_a_page():
    told = Pdf(render(paper(Table(("a",), [("word " * 3000,)])))).text()
    assert "…" in told


def test_plots_are_drawn_as_lines_and_not_as_pixels():
    pdf = Pdf(render(paper(Figure(PLOT))))
    assert not [body for body in pdf.objects.values() if b"/Subtype /Image" in body]
    content = pdf.content(pdf.pages[0])
    # Every point of a plot is a circle of four curves.
    assert len(re.findall(rb" c\b", content)) >= 12
    with_picture = Pdf(render(everything()))
    assert [body for body in with_picture.objects.values() if b"/Subtype /Image" in body]


def test_what_does_not_fit_is_refused_with_advice():
    with pytest.raises(BadInput, match="laid out"):
        render(paper(Notice("x", ["word " * 20_000])))
    with pytest.raises(BadInput, match="head"):
        render(paper(Table(("a", "b"), [("1",)])))


TEXT = st.text(st.characters(codec="utf-8"), max_size=60)


@settings(max_examples=15, deadline=None)
@given(text=TEXT, cells=st.lists(st.tuples(TEXT, TEXT), max_size=3))
def test_any_text_gives_a_file_that_can_be_read_again(text, cells):
    made = paper(Paragraph(text), Notice(text), Table((text, "b"), cells), Bullets([text]), title=text)
    pdf = Pdf(render(made))
    assert pdf.pages
    pdf.text()
    html.render(made).decode("utf-8")


@settings(max_examples=15, deadline=None)
@given(text=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40))
def test_plain_text_is_on_paper_letter_by_letter(text):
    assert text in Pdf(render(paper(Paragraph(text)))).text().replace("\n", "")


@pytest.mark.skipif(
    shutil.which("pdftotext") is None, reason="poppler's pdftotext is not installed on this machine"
)
def test_another_program_reads_the_same_text(tmp_path):
    file = tmp_path / "a.pdf"
    file.write_bytes(render(everything()))
    told = subprocess.run(["pdftotext", str(file), "-"], capture_output=True, text=True, check=True).stdout
    assert "Accepted" in told
    assert "page 1 of 2" in told

"""The document over all pictures of a sample: its figures against the tables beside it."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from cloister import __version__
from cloister.applications.crystals.factories import SEED_LIKE
from cloister.applications.crystals.synthesis import synthesise
from cloister.cli.main import cli
from cloister.documents import html, pdf
from cloister.documents.content import Facts, Figure, Notice, Picture, Table
from cloister.foundation.errors import BadInput
from cloister.tools.batch.discovery import RECORD
from cloister.tools.batch.report import read_results, sample_paper
from cloister.tools.batch.samples import Samples
from cloister.tools.builtin import builtin_tool

NOW = 1_800_000_000


def run(*words, home):
    return CliRunner().invoke(cli, [str(w) for w in words], env={"XDG_DATA_HOME": str(home)})


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    (folder / "in").mkdir()
    factory = replace(SEED_LIKE, width=400, height=320, crystals=(50, 90))
    for number in range(6):
        Image.fromarray(synthesise(factory, (777, number)).image).save(folder / "in" / f"<b>{number}.png")
    (folder / "in" / "broken.png").write_bytes(b"no picture")
    done = run(
        "tool", "run", "crystals", folder / "in", "--out", folder / "out", "--um-per-pixel", "2", home=folder
    )
    assert done.exit_code == 2, done.output
    return folder


def test_pooled_sizes_are_those_of_the_table_of_objects_weighted_for_the_edge(results):
    paper = sample_paper(results / "out", title="Sample", made=NOW)
    table = next(part for part in paper.parts if isinstance(part, Table) and part.columns[0] == "Figure")
    figures = {row[0]: float(row[1]) for row in table.rows}
    objects = pq.read_table(results / "out" / "objects.parquet").to_pydict()
    columns = {name: np.array(objects[name], float) for name in ("diameter", "across", "down", "border")}
    whole = columns["border"] == 0
    weight = 1 / ((1 - columns["across"] / 800) * (1 - columns["down"] / 640))
    sizes, weight = columns["diameter"][whole], weight[whole]
    assert figures["D[3,2]"] == pytest.approx((weight * sizes**3).sum() / (weight * sizes**2).sum(), rel=1e-3)
    assert figures["D[4,3]"] == pytest.approx((weight * sizes**4).sum() / (weight * sizes**3).sum(), rel=1e-3)
    order = np.argsort(sizes)
    shares = np.cumsum(weight[order]) / weight.sum()
    assert figures["D50 by number"] == pytest.approx(sizes[order][np.searchsorted(shares, 0.5)], rel=0.03)
    assert {row[3] for row in table.rows} == {"µm", ""}
    for row in table.rows:
        low, high = (float(part) for part in row[2].split(" to "))
        assert low <= float(row[1]) <= high


def test_the_document_counts_what_the_run_counted_and_shows_pictures(results):
    paper = sample_paper(results / "out", title="Sample", made=NOW, organisation="A plant")
    looked = read_results(results / "out")
    assert (len(looked.samples), looked.failed, looked.others) == (6, 1, 0)
    assert sum(isinstance(part, Picture) for part in paper.parts) == 4
    assert sum(isinstance(part, Figure) for part in paper.parts) == 3
    assert [name for name in paper.digests if not name.startswith("Picture")] == ["Tool", "Model objects"]
    assert len(paper.digests) == 8
    found = sum(len(rows) for rows in looked.rows)
    assert any(isinstance(part, Notice) and part.headline.startswith(str(found)) for part in paper.parts)


def test_the_document_names_models_certificate_and_software_or_says_that_there_is_none(results, tmp_path):
    def method(folder):
        facts = [
            part for part in sample_paper(folder, title="Sample", made=NOW).parts if isinstance(part, Facts)
        ]
        return dict(facts[-1].pairs)

    told = method(results / "out")
    assert told["Certificate"] == "none: no owners vouch for this tool or its models"
    assert told["Model objects"] == builtin_tool("crystals").manifest.models["objects"]
    assert told["Software"] == f"Cloister {__version__}"
    assert told["Calibration"].endswith("as stated: no calibration is named")
    shutil.copytree(results / "out", tmp_path / "out")
    released = "sha256:" + "5" * 64
    with sqlite3.connect(tmp_path / "out" / "samples.db") as raw:
        raw.execute("update samples set certificate = ?", (released,))
    assert method(tmp_path / "out")["Certificate"] == released
    assert sample_paper(tmp_path / "out", title="S", made=NOW).digests["Certificate"] == released
    with sqlite3.connect(tmp_path / "out" / "samples.db") as raw:
        raw.execute("update samples set certificate = null, models = null, software = null")
    assert "older version" in method(tmp_path / "out")["Models, certificate"]


def test_the_same_results_give_the_same_document_and_names_are_text(results):
    one, again = (sample_paper(results / "out", title="<i>", made=NOW) for _ in range(2))
    assert pdf.render(one) == pdf.render(again)
    page = html.render(one)
    assert page == html.render(again)
    assert b"<b>0.png" not in page
    assert b"&lt;b&gt;0.png" in page


def test_pictures_looked_at_with_other_settings_are_left_out_and_told(results, tmp_path):
    import shutil

    copy = tmp_path / "out"
    shutil.copytree(results / "out", copy)
    done = run(
        *("tool", "run", "crystals", results / "in" / "<b>0.png", "--out", copy, "--set", "threshold=0.9"),
        home=tmp_path,
    )
    assert done.exit_code == 0, done.output
    looked = read_results(copy)
    assert (len(looked.samples), looked.unit) == (1, "px")
    assert looked.others == 7
    paper = sample_paper(copy, title="Sample", made=NOW)
    headlines = [part.headline for part in paper.parts if isinstance(part, Notice)]
    assert "Sizes are in pixels." in headlines
    assert "The ranges are too narrow." in headlines


def test_a_picture_under_two_names_is_counted_once_and_told(results, tmp_path):
    again = tmp_path / "results"
    shutil.copytree(results / "out", again)
    record = Samples.open_file(again / RECORD)
    one = next(sample for sample in record.all() if sample.ok)
    record.put(replace(one, key="twice", file="renamed.png"))
    record.close()
    looked, once = read_results(again), read_results(results / "out")
    assert (len(looked.samples), looked.copies) == (len(once.samples), 1)
    assert (
        "the same picture under another name"
        in html.render(sample_paper(again, title="S", made=NOW)).decode()
    )


def test_the_command_writes_both_kinds_and_refuses_others(results, tmp_path):
    for name in ("r.pdf", "r.html"):
        done = run(
            "tool", "report", results / "out", "--out", tmp_path / name, "--title", "Line 2", home=tmp_path
        )
        assert done.exit_code == 0, done.output
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF-")
    assert b"Line 2" in (tmp_path / "r.html").read_bytes()
    done = run("tool", "report", results / "out", "--out", tmp_path / "r.doc", home=tmp_path)
    assert done.exit_code == 2
    assert ".pdf" in done.output


def test_a_folder_without_results_is_told(tmp_path):
    with pytest.raises(BadInput, match=r"samples\.db"):
        sample_paper(tmp_path, title="Sample", made=NOW)

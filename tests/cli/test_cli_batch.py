"""`cloister tool run`, `watch` and `trend` over folders, as a plant runs them: answers for programs, resuming, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from cloister.applications.crystals.factories import SEED_LIKE
from cloister.applications.crystals.synthesis import write_dataset
from cloister.cli.main import cli
from cloister.tools.batch.samples import Samples


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    write_dataset(folder, SEED_LIKE, 2, seed=21)
    return sorted((folder / "images").glob("*.png"))


@pytest.fixture
def camera(drawn, tmp_path):
    folder = tmp_path / "camera"
    (folder / "day").mkdir(parents=True)
    for place, path in enumerate(drawn):
        target = folder / ("day" if place else ".") / f"{place}.png"
        target.write_bytes(path.read_bytes())
        taken = datetime(2026, 3, 1, 7 + 8 * place).astimezone().timestamp()
        os.utime(target, (taken, taken))
    return folder


def call(*arguments, home, **environment):
    return CliRunner().invoke(
        cli, [str(item) for item in arguments], env={"XDG_DATA_HOME": str(home), **environment}
    )


CRYSTAL = ["x", "y", "length", "width", "area", "ecd", "circularity", "focus", "agglomerate", "border"]


def test_the_answer_for_programs_is_one_document_that_says_everything_of_each_picture(camera, tmp_path):
    (camera / "notes.png").write_text("no picture")
    told = call("tool", "run", "crystals", camera, "--json", "-", "--um-per-pixel", "2", home=tmp_path)
    assert told.exit_code == 2
    answer = json.loads(told.stdout)
    first, second, bad = answer["images"][0], answer["images"][1], answer["images"][2]
    assert [Path(image["file"]).name for image in answer["images"]] == ["0.png", "1.png", "notes.png"]
    for image in (first, second):
        assert image["ok"]
        assert image["error"] is None
        assert (image["width"], image["height"], image["um_per_px"]) == (640, 512, 2.0)
        assert {"count_low", "count_high", "agglomerates"} <= image.keys()
        assert len(image["crystals"]) == image["count"] > 5
        for crystal in image["crystals"]:
            assert list(crystal) == CRYSTAL
            assert -0.5 <= crystal["x"] < 639.5
            assert -0.5 <= crystal["y"] < 511.5
            assert crystal["length"] >= crystal["ecd"] * 0.99
            assert crystal["border"] in (True, False)
        # The older answer's words stay.
        assert {
            "name",
            "figures",
            "units",
            "seconds",
            "input",
            "tool",
            "models",
            "files",
            "warnings",
        } <= image.keys()
        assert image["crystal_units"]["length"] == "µm"
    in_pixels = json.loads(
        call("tool", "run", "crystals", camera / "0.png", "--json", "-", home=tmp_path).stdout
    )["images"][0]
    assert in_pixels["um_per_px"] is None
    for one, two in zip(first["crystals"], in_pixels["crystals"], strict=True):
        assert (one["x"], one["y"]) == (two["x"], two["y"])
        assert one["length"] == pytest.approx(2 * two["length"])
        assert one["area"] == pytest.approx(4 * two["area"])
    assert bad["count"] is None
    assert bad["crystals"] == []
    assert "is not a picture" in bad["error"]["what"]
    assert {"what", "why", "remedy"} <= bad["error"].keys()


def test_standard_output_is_the_document_and_nothing_else_also_with_names_that_act(camera, tmp_path):
    strange = camera / os.fsdecode(b"\x1b[31m\xff.png")
    strange.write_bytes((camera / "0.png").read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "cloister.cli.main", "tool", "run", "crystals", str(camera), "--flat",
         "--out", str(tmp_path / "out"), "--json", "-"],
        capture_output=True, check=True, env={**os.environ, "XDG_DATA_HOME": str(tmp_path)},
    )  # fmt: skip
    images = json.loads(done.stdout)["images"]
    assert [Path(image["file"]).name for image in images] == ["\\x1b[31m\\xff.png", "0.png"]
    assert images[0]["count"] == images[1]["count"]
    assert b"\x1b" not in done.stdout + done.stderr
    assert done.stderr == b""


def test_a_second_run_does_only_what_is_new_and_says_so(camera, drawn, tmp_path):
    out = tmp_path / "out"
    first = call("tool", "run", "crystals", camera, "--out", out, home=tmp_path)
    assert first.exit_code == 0, first.output
    assert "done before" not in first.output
    (camera / "2.png").write_bytes(drawn[0].read_bytes())
    second = call(
        "tool", "run", "crystals", camera, "--out", out, "--json", tmp_path / "a.json", home=tmp_path
    )
    assert "2 pictures of these were done before" in second.output
    answer = json.loads((tmp_path / "a.json").read_text())
    assert answer["done_before"] == 2
    assert [image["done_before"] for image in answer["images"]] == [True, False, True]
    assert all(len(image["crystals"]) == image["count"] for image in answer["images"])
    assert pq.read_table(out / "objects.parquet").num_rows == sum(
        image["count"] for image in answer["images"]
    )
    page = (out / "index.html").read_text("utf-8")
    assert page.count('src="data:image/') == 3
    again = call("tool", "run", "crystals", camera, "--out", out, "--again", home=tmp_path)
    assert "done before" not in again.output
    flat = call("tool", "run", "crystals", camera, "--out", out, "--flat", home=tmp_path)
    assert "2 of 2 pictures" in flat.output


def test_choices_that_do_not_go_together_are_refused(camera, tmp_path):
    assert "Add --out" in call("tool", "run", "crystals", camera, "--again", home=tmp_path).stderr
    among = call("tool", "run", "crystals", camera, "--out", camera, home=tmp_path)
    assert among.exit_code == 2
    assert "among the pictures" in among.stderr
    secret = call(
        "tool", "run", "crystals", camera, "--out", tmp_path / "o",
        "--database", "postgresql+psycopg://me:secret@host/db", home=tmp_path,
    )  # fmt: skip
    assert secret.exit_code == 3
    assert "secret" not in secret.output + secret.stderr


def test_a_trend_is_printed_drawn_and_written_from_results_or_the_plants_database(camera, tmp_path):
    out, plant = tmp_path / "out", tmp_path / "plant.db"
    ran = call(
        "tool", "run", "crystals", camera, "--out", out, home=tmp_path, CLOISTER_SAMPLES_DATABASE=str(plant)
    )
    assert ran.exit_code == 0, ran.output
    told = call(
        "tool", "trend", out, "--csv", tmp_path / "t.csv", "--svg", tmp_path / "t.svg", "--json", tmp_path / "t.json",
        home=tmp_path,
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    assert "2026-03-01 06:00" in told.output
    assert "2026-03-01 14:00" in told.output
    assert "Times are those of the zone" in told.output
    assert "control limits" in told.output
    assert "rough" in told.output
    answer = json.loads((tmp_path / "t.json").read_text())
    assert [point["samples"] for point in answer["points"]] == [1, 1]
    assert (tmp_path / "t.svg").read_text().startswith("<svg")
    assert len((tmp_path / "t.csv").read_text("utf-8").splitlines()) == 3
    from_plant = call(
        "tool", "trend", plant, "--by", "day", "--column", "count", "--zone", "UTC", home=tmp_path
    )
    assert "There are no control limits" in from_plant.output
    assert call("tool", "trend", tmp_path / "nothing", home=tmp_path).exit_code == 2


def lines_until(stream, words, count):
    told = []
    while sum(words in line for line in told) < count:
        line = stream.readline()
        assert line, told
        told.append(line)
    return told


def test_a_watch_takes_new_pictures_stops_cleanly_and_goes_on_after_a_restart(camera, drawn, tmp_path):
    out = tmp_path / "out"

    def start():
        return subprocess.Popen(
            [sys.executable, "-m", "cloister.cli.main", "tool", "watch", "crystals", str(camera), "--out", str(out),
             "--every", "0.05", "--settle", "0.1", "--json", "-"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "XDG_DATA_HOME": str(tmp_path)},
        )  # fmt: skip

    def stop(process, number):
        process.send_signal(number)
        told, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
        return json.loads(told)

    first = start()
    lines_until(first.stderr, "objects", 2)
    assert stop(first, signal.SIGTERM)["results"] == 2
    (camera / "late.png.part").write_bytes(drawn[1].read_bytes())
    (camera / "late.png.part").rename(camera / "late.png")
    second = start()
    lines_until(second.stderr, "objects", 1)
    time.sleep(0.3)
    told = stop(second, signal.SIGINT)
    assert (told["results"], told["done_before"], told["failed"]) == (1, 2, 0)
    record = Samples.open_file(out / "samples.db")
    assert len(list(record.all())) == 3
    record.close()

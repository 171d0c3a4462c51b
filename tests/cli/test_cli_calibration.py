"""`cloister calibration`: from a drawn picture of a scale to sizes in micrometres that name where their scale is from."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cloister.applications.crystals.factories import SEED_LIKE
from cloister.applications.crystals.synthesis import synthesise
from cloister.cli.main import cli
from cloister.sizing.calibration import read

WIDTH, HEIGHT = 400, 320
TODAY = dt.datetime.now().astimezone().date()


def ruler(period=17.3, degrees=7.0, noise=12.0, seed=0, size=(WIDTH, HEIGHT)):
    """A drawn object micrometer: equally spaced dark lines, every fifth and tenth longer, turned and noisy."""
    across, height = size
    v, u = np.mgrid[:height, :across].astype(float)
    turn = np.radians(degrees)
    along = (u - across / 2) * np.cos(turn) + (v - height / 2) * np.sin(turn) + 3.3
    aside = np.abs(-(u - across / 2) * np.sin(turn) + (v - height / 2) * np.cos(turn))
    number = np.round(along / period)
    length = np.where(number % 10 == 0, 120, np.where(number % 5 == 0, 90, 60))
    ink = np.clip(1.5 - np.abs(along - number * period), 0, 1) * (aside < length)
    grey = 200 - 150 * ink + np.random.default_rng(seed).normal(0, noise, (height, across))
    return np.clip(grey, 0, 255).astype(np.uint8)


@pytest.fixture
def call(tmp_path):
    def go(*words):
        return CliRunner().invoke(
            cli,
            [str(word) for word in words],
            env={"XDG_DATA_HOME": str(tmp_path / "data"), "CLOISTER_FOLDER": ""},
        )

    return go


@pytest.fixture
def picture(tmp_path):
    Image.fromarray(ruler()).save(tmp_path / "ruler.png")
    return tmp_path / "ruler.png"


def test_lines_in_a_picture_give_the_scale_within_its_stated_doubt(call, tmp_path):
    """Standard uncertainties from three thirds: t with two degrees of freedom; three times it holds for about nine in ten."""
    within, told = 0, []
    for seed, (period, degrees) in enumerate([(17.3, 7.0), (11.9, -33.0), (23.1, 81.0), (9.4, 2.0)] * 3):
        Image.fromarray(ruler(period, degrees, seed=seed)).save(tmp_path / f"{seed}.png")
        done = call(
            "calibration", "new", tmp_path / f"{seed}.png", "--objective", "10x", "--spacing", "10",
            "--out", tmp_path / f"{seed}.json",
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        made = read((tmp_path / f"{seed}.json").read_bytes())
        assert made.micrometres_per_pixel == pytest.approx(10 / period, rel=2e-3)
        assert 0 < made.relative_uncertainty < 2e-3
        assert (made.width, made.height, made.method) == (WIDTH, HEIGHT, "ruled-lines")
        within += abs(made.micrometres_per_pixel - 10 / period) <= 3 * made.uncertainty
        told.append(made.relative_uncertainty)
    assert within >= 10


def test_two_points_and_a_stated_scale_are_other_ways(call, picture, tmp_path):
    done = call(
        "calibration", "new", picture, "--objective", "10x", "--points", "10.5,20", "310.5,20", "--length", "150",
        "--uncertainty", "0.3", "--name", "points", "--camera", "A-1", "--operator", "Shift 2", "--json", "-",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    made = json.loads(done.output)
    assert made["micrometres_per_pixel"] == pytest.approx(0.5)
    assert made["uncertainty"] == pytest.approx(0.5 * np.hypot(0.002, np.sqrt(2) / 300))
    assert made["picture"].startswith("sha256:")
    assert (made["camera"], made["operator"]) == ("A-1", "Shift 2")
    done = call(
        "calibration", "new", "--objective", "4x", "--scale", "1.6", "--size", "1920x1080", "--name", "stated"
    )
    assert done.exit_code == 0, done.output
    listed = json.loads(call("calibration", "list", "--json", "-").output)
    assert [item["name"] for item in listed] == ["points", "stated"]
    shown = json.loads(call("calibration", "show", "stated", "--json", "-").output)
    assert shown["concerns"] == ["It is not known how exact the calibration is."]


@pytest.mark.parametrize(
    "words",
    [
        ["--spacing", "10", "--scale", "2", "--name", "a"],
        ["--name", "a"],
        ["--points", "1,1", "300,1", "--name", "a"],
        ["--points", "1,1", "900,1", "--length", "10", "--name", "a"],
        ["--points", "1,1", "here", "--length", "10", "--name", "a"],
        ["--points", "1,1", "4,1", "--length", "10", "--name", "a"],
        ["--spacing", "10"],
        ["--spacing", "10", "--name", "../a"],
        ["--spacing", "10", "--name", "a.json"],
        ["--spacing", "10", "--out", "a.txt"],
        ["--spacing", "10", "--name", "a", "--size", "1x1"],
        ["--spacing", "10", "--name", "a", "--day", "yesterday"],
        ["--spacing", "10", "--name", "a", "--valid-until", "2001-01-01"],
        ["--spacing", "10", "--name", "a", "--operator", "x\x1b[2J"],
    ],
)
def test_what_gives_no_scale_is_refused_and_nothing_is_kept(call, picture, words):
    done = call("calibration", "new", picture, "--objective", "10x", *words)
    assert done.exit_code == 2, done.output
    assert json.loads(call("calibration", "list", "--json", "-").output) == []


def test_pictures_without_lines_and_files_that_are_none_are_refused(call, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8)).save(
        tmp_path / "n.png"
    )
    (tmp_path / "b.png").write_bytes(b"no picture")
    for name in ("n.png", "b.png"):
        done = call(
            "calibration", "new", tmp_path / name, "--objective", "10x", "--spacing", "10", "--name", "a"
        )
        assert done.exit_code == 2, done.output
    (tmp_path / "bad.json").write_text('{"micrometres_per_pixel": 1}')
    for name in ("bad.json", "b.png"):
        assert call("calibration", "show", tmp_path / name).exit_code == 2
    assert call("calibration", "show", "nobody").exit_code == 2


def test_a_name_is_not_used_twice_and_a_damaged_one_does_not_hide_the_others(call, picture, tmp_path):
    new = ("calibration", "new", picture, "--objective", "10x", "--spacing")
    assert call(*new, "10", "--name", "a").exit_code == 0
    assert call(*new, "10", "--name", "a").exit_code == 0  # the same again
    assert call(*new, "20", "--name", "a").exit_code != 0
    folder = tmp_path / "data" / "cloister" / "calibrations"
    (folder / "b.json").write_text("{}")
    listed = json.loads(call("calibration", "list", "--json", "-").output)
    assert [(item["name"], item["error"] is None) for item in listed] == [("a", True), ("b", False)]
    assert call("calibration", "remove", "b").exit_code == 0
    assert call("calibration", "remove", "b").exit_code == 2
    assert call(*new, "10", "--out", folder / "a.json").exit_code != 0


def test_check_says_what_speaks_against_it(call, picture, tmp_path):
    until = (TODAY - dt.timedelta(days=3)).isoformat()
    made = (TODAY - dt.timedelta(days=30)).isoformat()
    call(
        "calibration", "new", picture, "--objective", "10x", "--spacing", "10", "--name", "a",
        "--day", made, "--valid-until", until,
    )  # fmt: skip
    Image.new("L", (200, 160)).save(tmp_path / "half.png")
    done = call(
        "calibration", "check", "a", picture, tmp_path / "half.png", "--objective", "20x", "--json", "-"
    )
    assert done.exit_code == 3
    told = json.loads(done.output)["concerns"]
    assert len(told) == 3
    assert f"valid until {until}" in told[0]
    assert "another objective" in told[1]
    assert "half.png is not of the size" in told[2]
    call("calibration", "new", picture, "--objective", "10x", "--spacing", "10", "--name", "b")
    assert call("calibration", "check", "b", picture).exit_code == 0


@pytest.fixture(scope="module")
def crystals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crystals")
    factory = replace(SEED_LIKE, width=WIDTH, height=HEIGHT, crystals=(40, 60))
    for number in range(2):
        Image.fromarray(synthesise(factory, (4242, number)).image).save(folder / f"{number}.png")
    return folder


def test_a_run_with_a_calibration_names_it_everywhere_and_refuses_other_sizes(
    call, picture, crystals, tmp_path
):
    assert call(
        "calibration", "new", picture, "--objective", "10x / 0.25", "--spacing", "10", "--name", "a"
    ).exit_code == 0  # fmt: skip
    digest = json.loads(call("calibration", "show", "a", "--json", "-").output)["digest"]
    small = tmp_path / "small.png"
    Image.open(crystals / "0.png").resize((200, 160)).save(small)
    out = tmp_path / "out"
    run = ("tool", "run", "crystals", crystals, small, "--out", out, "--calibration", "a", "--threads", "1")
    done = call(*run, "--json", "-")
    assert done.exit_code == 2, done.output
    images = json.loads(done.output)["images"]
    assert [item["error"] is None for item in images] == [True, True, False]
    assert "not of the size" in images[2]["error"]["what"]
    for item in images[:2]:
        assert item["calibration"]["digest"] == digest
        assert item["calibration"]["objective"] == "10x / 0.25"
        assert item["certificate"] is None
        assert item["count_low"] <= item["count"] <= item["count_high"]
    result = json.loads((out / "0.result.json").read_text())
    assert result["calibration"]["digest"] == digest
    assert result["facts"]["calibration digest"] == digest
    assert result["facts"]["certificate digest"].startswith("none: no owners vouch")
    assert result["facts"]["software"].startswith("Cloister ")
    assert any(name.startswith("model ") for name in result["facts"])
    page = (out / "0.report.html").read_text()
    assert digest in page
    assert "10x / 0.25" in page
    paper = call("tool", "report", out, "--out", tmp_path / "r.html")
    assert paper.exit_code == 0, paper.output
    told = (tmp_path / "r.html").read_text()
    for piece in (digest, "objective 10x / 0.25", TODAY.isoformat(), "none: no owners vouch", "Cloister "):
        assert piece in told
    again = json.loads(call(*run[:4], *run[5:], "--json", "-").output)
    assert [item["done_before"] for item in again["images"]] == [True, True]
    assert again["images"][0]["calibration"]["digest"] == digest
    stated = call(
        "tool", "run", "crystals", crystals, "--out", out, "--calibration", "a", "--um-per-pixel", "2"
    )
    assert stated.exit_code == 2
    assert "given twice" in stated.output


def test_a_study_is_about_its_calibration(call, picture, tmp_path):
    new = ("calibration", "new", picture, "--objective", "10x", "--spacing", "10", "--name")
    assert call(*new, "a").exit_code == 0
    assert call(*new, "b", "--operator", "Shift 2").exit_code == 0
    (tmp_path / "p").mkdir()
    for number in range(3):
        Image.fromarray(ruler(seed=number)).save(tmp_path / "p" / f"{number}.png")
    plan = ("study", "plan", "crystals", *sorted((tmp_path / "p").glob("*.png")), "--limit-bias", "10%")
    done = call(*plan, "--limit-agreement", "40%", "--out", tmp_path / "s.json", "--calibration", "a")
    assert done.exit_code == 0, done.output
    method = json.loads((tmp_path / "s.json").read_text())["plan"]["method"]
    assert method["calibration"]["objective"] == "10x"
    check = ("study", "check", tmp_path / "s.json")
    told = json.loads(call(*check, "--calibration", "a", "--json", "-").output)
    assert told["same_method"]
    told = json.loads(call(*check, "--calibration", "b", "--json", "-").output)
    assert [change.split(":")[0] for change in told["changes"]] == ["calibration digest"]
    Image.new("L", (200, 160)).save(tmp_path / "p" / "2.png")
    done = call(*plan, "--limit-agreement", "40%", "--out", tmp_path / "t.json", "--calibration", "a")
    assert done.exit_code == 2
    assert "not of the size" in done.output

"""`cloister tool` as a user meets it: counts and sizes, settings, several pictures of which one is bad, tools as files."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from cloister.applications.crystals.factories import SEED_LIKE
from cloister.applications.crystals.synthesis import write_dataset
from cloister.cli.main import cli


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    write_dataset(folder, SEED_LIKE, 2, seed=11)
    return sorted((folder / "images").glob("*.png"))


def call(*arguments, home):
    return CliRunner().invoke(cli, [str(item) for item in arguments], env={"XDG_DATA_HOME": str(home)})


def test_a_run_prints_counts_and_sizes_and_says_which_picture_could_not_be_used(pictures, tmp_path):
    bad = tmp_path / "notes.png"
    bad.write_text("no picture")
    told = call(
        "tool", "run", "crystals", *pictures, bad, "--out", tmp_path / "out", "--json",
        tmp_path / "told.json", "--um-per-pixel", "2", home=tmp_path,
    )  # fmt: skip
    assert told.exit_code == 2  # one picture had no result
    answer = json.loads((tmp_path / "told.json").read_text())
    assert [image["ok"] for image in answer["images"]] == [True, True, False]
    assert "2 of 3 pictures" in told.output
    assert "Not used: notes.png" in told.output
    for image in answer["images"][:2]:
        size = image["figures"]["diameter_d50"]
        assert image["units"]["diameter_d50"] == "µm"
        assert f"{size:.3g} µm" in told.output
        assert str(image["count"]) in told.output
    assert (tmp_path / "out" / "index.html").is_file()
    assert "index.html" in told.output


def test_where_the_report_is_is_not_told_when_there_is_nothing_to_see(tmp_path):
    told = call("tool", "run", "crystals", tmp_path, "--out", tmp_path / "out", home=tmp_path)
    assert told.exit_code == 2
    assert f"Name the pictures: {tmp_path}/*.png" in told.output
    assert "index.html" not in told.output


def test_a_setting_changes_the_count_and_a_wrong_one_is_refused_by_name(pictures, tmp_path):
    def count(*more):
        told = call("tool", "run", "crystals", pictures[0], "--json", "-", *more, home=tmp_path)
        assert told.exit_code == 0, told.output
        return json.loads(told.stdout)["images"][0]["count"]

    assert count("--set", "threshold=0.99") < count() <= count("--set", "threshold=0.05")
    refused = call("tool", "run", "crystals", pictures[0], "--set", "treshold=0.4", home=tmp_path)
    assert refused.exit_code == 2
    assert "treshold" in refused.stderr
    for value in ("6", "-1", "NaN"):
        refused = call("tool", "run", "crystals", pictures[0], "--set", f"threshold={value}", home=tmp_path)
        assert refused.exit_code == 2
        assert "from 0 to 1" in refused.stderr
    assert "threshold (0 to 1):" in call("tool", "show", "crystals", home=tmp_path).output


def test_a_tool_travels_as_a_file_and_is_listed_where_it_is_installed(tmp_path):
    file = tmp_path / "crystals.tool"
    assert call("tool", "export", "crystals", file, home=tmp_path).exit_code == 0
    listed = json.loads(call("tool", "list", "--json", "-", home=tmp_path).stdout)
    assert {item["how"] for item in listed} == {"comes with Cloister"}
    asked = call("tool", "import", file, "--owner", "a" * 52, home=tmp_path)
    assert asked.exit_code == 3
    assert "nobody vouches" in asked.stderr
    told = call("tool", "import", file, home=tmp_path)
    assert told.exit_code == 0
    assert "carries no certificate: nobody vouches for it" in told.output
    listed = json.loads(call("tool", "list", "--json", "-", home=tmp_path).stdout)
    assert {item["name"]: item["how"] for item in listed}["crystals"] == "installed"
    shown = call("tool", "show", file, home=tmp_path)
    assert "threshold (0 to 1):" in shown.output
    assert "carries no certificate: nobody vouches for it" in shown.output
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert call("tool", "import", file, home=tmp_path).exit_code in {2, 3}


def test_sample_pictures_never_overwrite_a_folder(tmp_path):
    folder = tmp_path / "sample"
    assert call("dataset", "sample", folder, "--pictures", "1", home=tmp_path).exit_code == 0
    assert call("dataset", "sample", folder, home=tmp_path).exit_code == 3
    assert call("dataset", "sample", tmp_path / "x", "--factory", "moon", home=tmp_path).exit_code == 2

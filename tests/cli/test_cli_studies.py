"""`cloister study` as a plant meets it: plan, count, report, and later: is this still the method that was accepted?"""

from __future__ import annotations

import csv
import json
import shutil

import pytest
from click.testing import CliRunner

from cloister.acceptance.study import Study, read_study
from cloister.applications.crystals.factories import SEED_LIKE
from cloister.applications.crystals.synthesis import write_dataset
from cloister.cli.main import cli


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    write_dataset(folder, SEED_LIKE, 4, seed=11)
    return sorted((folder / "images").glob("*.png"))


@pytest.fixture(scope="module")
def counted(pictures, tmp_path_factory):
    """A study that was planned and run; its folder is copied by tests that change it."""
    home = tmp_path_factory.mktemp("study")
    told = call(
        "study", "plan", "crystals", *pictures, "--out", home / "line.json", "--limit-bias", "10%",
        "--limit-agreement", "40%", "--organisation", "Plant", home=home,
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    told = call("study", "run", home / "line.json", "--threads", "1", home=home)
    assert told.exit_code == 0, told.output
    return home


@pytest.fixture
def study(counted, tmp_path):
    shutil.copytree(counted, tmp_path / "study")
    home = tmp_path / "study"
    # The pictures' places are kept relative to the study's file.
    made = read_study(counted / "line.json")
    return home, made


def call(*arguments, home):
    return CliRunner().invoke(
        cli,
        [str(item) for item in arguments],
        env={"XDG_DATA_HOME": str(home / "data"), "CLOISTER_FOLDER": ""},
    )


def fill(home, made, change=lambda count: count):
    counts = {picture.name: made.run.counts[0][place] for place, picture in enumerate(made.plan.pictures)}
    files = sorted((home / "line-sheets").glob("*.csv"))
    for file in files:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.reader(stream))
        for row in rows[1:]:
            row[3] = str(change(counts[row[0]]))
        with file.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, delimiter=";").writerows(rows)
    return files


def test_a_plan_says_what_will_be_studied_and_writes_sheets(counted):
    made = read_study(counted / "line.json")
    assert made.plan.limits.form == "ratio"
    assert made.plan.limits.agreement == 0.4
    assert made.plan.counted == "crystals"
    assert set(made.plan.method.settings) >= {"threshold"}
    assert len(list((counted / "line-sheets").iterdir())) == 8
    assert len(made.run.counts) == 2
    assert made.run.counts[0] == made.run.counts[1]


def test_a_tool_that_counts_like_the_people_is_accepted_and_three_files_are_written(study, tmp_path):
    home, made = study
    files = fill(home, made)
    told = call("study", "report", home / "line.json", *files, "--out", tmp_path / "report.pdf", "--json",
                tmp_path / "told.json", home=home)  # fmt: skip
    assert told.exit_code == 0, told.output
    assert "Accepted." in told.output
    answer = json.loads((tmp_path / "told.json").read_text())
    assert answer["outcome"] == "accepted"
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    assert answer["report"] in (tmp_path / "report.html").read_text("utf-8")
    again = call("study", "report", home / "line.json", *files, "--out", tmp_path / "report.pdf", home=home)
    assert again.exit_code == 3
    assert "not written over" in again.output


def test_a_tool_that_counts_otherwise_is_not_accepted_which_scripts_see(study, tmp_path):
    home, made = study
    files = fill(home, made, lambda count: 2 * count)
    told = call("study", "report", home / "line.json", *files, "--out", tmp_path / "report.pdf", home=home)
    assert told.exit_code == 3
    assert "Not accepted." in told.output
    assert "Bias of the tool" in told.output
    checked = call("study", "check", tmp_path / "report.json", home=home)
    assert checked.exit_code == 3
    assert "This is the method that was studied." in checked.output


def test_a_check_finds_the_same_method_and_names_what_changed(study, tmp_path):
    home, made = study
    call(
        "study", "report", home / "line.json", *fill(home, made), "--out", tmp_path / "report.pdf", home=home
    )
    same = call("study", "check", tmp_path / "report.json", home=home)
    assert same.exit_code == 0, same.output
    value = made.plan.method.settings["threshold"]
    default = call("study", "check", tmp_path / "report.json", "--set", f"threshold={value}", home=home)
    assert default.exit_code == 0
    changed = call(
        "study", "check", tmp_path / "report.json", "--set", "threshold=0.9", "--um-per-pixel", "2", home=home
    )
    assert changed.exit_code == 3
    assert "setting threshold" in changed.output
    assert "micrometres per pixel" in changed.output
    assert "plan a new study" in changed.output


def test_after_an_update_of_programs_counting_again_tells_whether_the_study_holds(study, pictures):
    home, made = study
    method = made.plan.method.model_copy(update={"programs": {**made.plan.method.programs, "numpy": "1.0"}})
    plan = made.plan.model_copy(update={"method": method})
    older = Study(plan=plan, run=made.run.model_copy(update={"plan": plan.digest()}))
    (home / "line.json").write_bytes(older.canonical())
    told = call("study", "check", home / "line.json", home=home)
    assert told.exit_code == 3
    assert "--recount" in told.output
    folder = pictures[0].parent
    told = call(
        "study", "check", home / "line.json", "--recount", "--pictures", folder, "--threads", "1", home=home
    )
    assert told.exit_code == 0, told.output
    counts = [list(row) for row in older.run.counts]
    counts[0][0] += 1
    run = older.run.model_copy(update={"counts": tuple(tuple(row) for row in counts)})
    (home / "line.json").write_bytes(Study(plan=plan, run=run).canonical())
    told = call(
        "study", "check", home / "line.json", "--recount", "--pictures", folder, "--threads", "1", home=home
    )
    assert told.exit_code == 3
    assert "another count" in told.output
    told = call("study", "run", home / "line.json", "--pictures", folder, home=home)
    assert told.exit_code == 3
    assert "not the method that the study was planned for" in told.output


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (("5", "20%"), "different forms"),
        (("-5", "20"), "no limit"),
        (("5,5", "20"), "no limit"),
        (("30", "20"), "malformed"),
        (("0", "20"), "no limit"),
    ],
)
def test_limits_that_cannot_be_used_are_refused_before_anything_is_written(pictures, tmp_path, limits, why):
    told = call(
        "study", "plan", "crystals", *pictures, "--out", tmp_path / "s.json",
        "--limit-bias", limits[0], "--limit-agreement", limits[1], home=tmp_path,
    )  # fmt: skip
    assert told.exit_code == 2
    assert why in told.output
    assert not (tmp_path / "s.json").exists()


def test_a_plan_is_never_written_over_and_a_report_needs_the_tools_counts(pictures, tmp_path):
    arguments = (
        "study", "plan", "crystals", *pictures[:3], "--out", tmp_path / "s.json", "--limit-bias", "2",
        "--limit-agreement", "8", "--repeats", "1", "--person", "A", "--person", "B", "--sheets", tmp_path / "sheets",
    )  # fmt: skip
    assert call(*arguments, home=tmp_path).exit_code == 0
    before = (tmp_path / "s.json").read_bytes()
    assert call(*arguments, home=tmp_path).exit_code == 3
    assert (tmp_path / "s.json").read_bytes() == before
    sheet = tmp_path / "sheets" / "sheet-1-a-count-1.csv"
    told = call("study", "report", tmp_path / "s.json", sheet, "--out", tmp_path / "r.pdf", home=tmp_path)
    assert told.exit_code == 3
    assert "cloister study run" in told.output
    assert (
        call(
            "study", "report", tmp_path / "s.json", sheet, "--out", tmp_path / "r.txt", home=tmp_path
        ).exit_code
        == 2
    )

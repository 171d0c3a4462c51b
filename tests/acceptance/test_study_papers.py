"""Plans, sheets and counts: what is fixed before, and what people hand in."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

sys.path.insert(0, str(Path(__file__).resolve().parent))
from studymaking import METHOD, limits, plan, simulated

from cloister.acceptance.counts import parse_counts, short_digest
from cloister.acceptance.method import is_valid_for
from cloister.acceptance.sheets import picture_order, sheets
from cloister.acceptance.study import Limits, Study, StudyPicture, find_pictures, make_plan, read_study
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, CloisterError, Conflict, NotFound, Tampered

SMALL = plan(4)


def filled(data, value=7, separator=","):
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))
    for row in rows[1:]:
        row[3] = str(value)
    stream = io.StringIO()
    csv.writer(stream, delimiter=separator).writerows(rows)
    return stream.getvalue().encode()


def rows(*lines, head="image,person,repeat,count"):
    return {"a.csv": ("\n".join([head, *lines]) + "\n").encode()}


def test_sheets_filled_in_are_read_back_whole():
    blank = sheets(SMALL)
    assert sorted(blank) == [
        f"sheet-person-{person}-count-{repeat}.{kind}"
        for person in (1, 2)
        for repeat in (1, 2)
        for kind in ("csv", "pdf")
    ]
    assert not parse_counts(
        {name: data for name, data in blank.items() if name.endswith("csv")}, SMALL
    ).counts
    given_in = {name: filled(data, separator=";") for name, data in blank.items() if name.endswith("csv")}
    found = parse_counts(given_in, SMALL)
    assert (found.cube(SMALL) == 7).all()
    assert found.files["sheet-person-1-count-1.csv"] == digest(given_in["sheet-person-1-count-1.csv"])
    assert blank["sheet-person-1-count-1.pdf"].startswith(b"%PDF")


def test_orders_differ_between_people_and_repeats_and_hold_every_picture():
    made = plan(30)
    orders = [tuple(picture_order(made, person, repeat)) for person in (0, 1) for repeat in (1, 2)]
    assert len(set(orders)) == 4
    assert all(sorted(order) == [picture.name for picture in made.pictures] for order in orders)
    assert picture_order(made, 0, 1) == picture_order(made, 0, 1)


def test_names_that_a_spreadsheet_would_run_are_shielded_and_read_back():
    pictures = tuple(
        StudyPicture(name=name, content=digest(name.encode())) for name in ("=1+1.png", "+b.png", "ü µ.png")
    )
    made = plan(people=("=person", "Ж"), pictures=pictures)
    blank = {name: data for name, data in sheets(made).items() if name.endswith(".csv")}
    assert len(blank) == 4
    assert b"\n'=1+1.png,'=person" in next(iter(blank.values()))
    assert (parse_counts({name: filled(data) for name, data in blank.items()}, made).cube(made) == 7).all()


@pytest.mark.parametrize(
    "line",
    [
        "other.png,person 1,1,5",
        "p000.png,person 9,1,5",
        "p000.png,person 1,3,5",
        "p000.png,person 1,0,5",
        "p000.png,person 1,x,5",
        "p000.png,person 1,1,-5",
        "p000.png,person 1,1,5.5",
        "p000.png,person 1,1,five",
        "p000.png,person 1,1,99999999",
        "p000.png,person 1,1,\u0665",
    ],
)
def test_what_is_not_in_the_plan_or_no_count_is_refused_by_line(line):
    with pytest.raises(BadInput) as told:
        parse_counts(rows("p001.png,person 1,1,5", line), SMALL)
    assert "Line 3" in told.value.why
    assert line.split(",")[3] not in told.value.what


def test_files_of_one_name_are_all_named_by_digest():
    line = "image,person,repeat,count\np000.png,person {},1,5\n"
    files = {f"{folder}/a.csv": line.format(folder).encode() for folder in (1, 2)}
    assert parse_counts(files, SMALL).files == {
        "a.csv": digest(files["1/a.csv"]),
        "a.csv (2)": digest(files["2/a.csv"]),
    }


def test_a_picture_counted_twice_and_a_missing_column_are_refused():
    with pytest.raises(BadInput, match="second time"):
        parse_counts(rows("p001.png,person 1,1,5", "p001.png,person 1,1,5"), SMALL)
    with pytest.raises(BadInput, match="'count'"):
        parse_counts(rows("p001.png,person 1,1,5", head="image,person,repeat,number"), SMALL)


def test_sheets_of_another_plan_are_refused():
    other = plan(4, limits=limits(agreement=50.0))
    given_in = {name: filled(data) for name, data in sheets(other).items() if name.endswith(".csv")}
    with pytest.raises(Conflict, match="another plan"):
        parse_counts(given_in, SMALL)
    line = f"p001.png,person 1,1,5,{short_digest(SMALL)}"
    assert parse_counts(rows(line, head="Image, Person ,repeat,count,plan"), SMALL).counts[0].count == 5


@settings(max_examples=80, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.text(st.sampled_from('p001.png,person 1;"\n\t -é'), max_size=30), max_size=6).map(
            lambda lines: ("image,person,repeat,count\n" + "\n".join(lines)).encode()
        ),
    )
)
def test_any_bytes_are_counts_or_are_refused(data):
    try:
        found = parse_counts({"a.csv": data}, SMALL)
    except CloisterError:
        return
    assert all(item.count >= 0 for item in found.counts)


def test_the_same_method_is_valid_and_every_difference_is_named():
    assert is_valid_for(METHOD, METHOD).valid
    assert is_valid_for(
        METHOD, METHOD.model_copy(update={"settings": {"threshold": 0.35, "scale": 1.0}})
    ).valid
    for update, part, what in (
        ({"content": "sha256:" + "00" * 32}, "tool", "tool digest"),
        ({"version": "0.2.0"}, "tool", "tool version"),
        ({"models": {}}, "tool", "model crystals"),
        ({"settings": {"threshold": 0.4, "scale": 1}}, "setting", "setting threshold"),
        ({"settings": {"threshold": 0.35, "scale": True}}, "setting", "setting scale"),
        ({"micrometres_per_pixel": None}, "calibration", "micrometres per pixel"),
        ({"programs": {"cloister": "0.2.0", "numpy": "2.3.0"}}, "program", "cloister"),
    ):
        found = is_valid_for(METHOD, METHOD.model_copy(update=update))
        assert not found.valid
        assert [(change.part, change.what) for change in found.changes] == [(part, what)]
        assert found.only_programs == (part == "program")
    both = METHOD.model_copy(update={"programs": {}, "version": "9.9.9"})
    assert not is_valid_for(METHOD, both).only_programs


def test_a_study_is_read_back_as_it_was_written_and_foreign_bytes_are_refused(tmp_path):
    made, _ = simulated(number=4)
    file = tmp_path / "study.json"
    file.write_bytes(made.canonical())
    assert read_study(file) == made
    assert read_study(file).plan.digest() == made.plan.digest()
    changed = made.canonical().replace(b'"agreement":20', b'"agreement":90')
    assert changed != made.canonical()
    file.write_bytes(changed)
    with pytest.raises(BadInput, match="malformed") as told:  # the tool's counts belong to the plan as it was
        read_study(file)
    assert "another plan" in told.value.why


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=100))
def test_any_bytes_are_a_study_or_are_refused(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("study") / "s.json"
    file.write_bytes(data)
    with pytest.raises(CloisterError):
        read_study(file)


def make(pictures, beside, **more):
    given_in = {
        "people": ("a", "b"), "repeats": 1, "limits": limits(), "title": "t", "organisation": "", "counted": "crystals",
        "now": 1_800_000_000, "seed": 1,
    }  # fmt: skip
    return make_plan(METHOD, pictures, beside=beside, **(given_in | more))


def test_pictures_are_found_again_also_where_the_folder_was_moved_and_never_mistaken(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    paths = []
    for number in range(4):
        paths.append(home / f"p{number}.png")
        paths[-1].write_bytes(b"picture %d" % number)
    file = tmp_path / "study.json"
    made = make(paths, file)
    assert made.pictures[0].path == "home/p0.png"
    assert find_pictures(made, file) == paths
    moved = home.rename(tmp_path / "moved")
    with pytest.raises(NotFound):
        find_pictures(made, file)
    assert find_pictures(made, file, moved)[0] == moved / "p0.png"
    (moved / "p2.png").write_bytes(b"another")
    with pytest.raises(Tampered, match=r"p2\.png"):
        find_pictures(made, file, moved)
    with pytest.raises(BadInput, match="so many"):
        make(paths[:2], file)
    with pytest.raises(BadInput, match="are called"):
        make([moved / "p0.png", moved / "p0.png", moved / "p1.png"], file)
    (moved / "p3.png").write_bytes(b"picture 0")
    with pytest.raises(BadInput, match="are the same"):
        make([moved / f"p{number}.png" for number in (0, 1, 3)], file)
    with pytest.raises(BadInput, match="plan is malformed"):
        make([moved / f"p{number}.png" for number in (0, 1, 2)], file, people=("a", "a"))


def test_limits_that_contradict_each_other_are_refused():
    for bad in (
        {"bias": 10.0, "agreement": 5.0},
        {"bias": 0.0, "agreement": 1.0},
        {"bias": -1.0, "agreement": 1.0},
    ):
        with pytest.raises(ValidationError):
            Limits(form="objects", **bad)


def test_a_run_that_is_not_the_plans_is_no_study():
    made, _ = simulated(number=4)
    with pytest.raises(ValidationError):
        Study(plan=plan(4, seed=9), run=made.run)
    with pytest.raises(ValidationError):
        Study(plan=made.plan, run=made.run.model_copy(update={"counts": ((1, 2),) * 2}))

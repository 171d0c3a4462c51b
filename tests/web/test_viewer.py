"""Corrections over the interface and without script: who may, what is refused, what is kept, what training gets."""

from __future__ import annotations

import io
import math
import zipfile

import numpy as np
import pytest
from PIL import Image

from cloister.data.cleaning import NOT_FOR_MEASUREMENT
from cloister.data.labels import parse_json_labels
from cloister.tools.corrections.edits import MAX_CORNERS
from tools.toolmaking import discs_tool
from web.outlinehouse import RADIUS, outline_house, outlined_picture, places

NINE = 9


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with outline_house(tmp_path_factory.mktemp("o")) as made:
        yield made


@pytest.fixture
def visitor(house):
    with house.visitor() as browser:
        browser.timeout = 300
        yield browser


@pytest.fixture
def sample(visitor):
    sent = {"file": ("a b.png", outlined_picture(NINE))}
    told = visitor.post("/api/v1/tools/outlined/samples", files=sent).json()
    assert told["count"] == NINE
    return told["id"]


def correct(browser, sample, edit, after=0, key="a-key-of-a-test"):
    return browser.post(
        f"/api/v1/samples/{sample}/corrections", json={"after": after, "key": key, "edit": edit}
    )


def test_corrections_change_what_holds_and_never_what_the_tool_found(visitor, sample):
    at = f"/api/v1/samples/{sample}/corrections"
    before = visitor.get(at).json()
    assert (before["version"], len(before["objects"]), before["can_undo"]) == (0, NINE, False)
    first = correct(visitor, sample, {"kind": "remove", "numbers": [1, 2]}).json()
    assert first["removed"] == [1, 2]
    assert first["objects"] == []
    assert first["figures"]["count"] == 7
    # Sent again, as after a lost answer: done once.
    assert correct(visitor, sample, {"kind": "remove", "numbers": [1, 2]}).json() == first
    added = correct(
        visitor, sample, {"kind": "add-disc", "x": 200, "y": 20, "diameter": 40}, 1, "b" * 8
    ).json()
    (new,) = added["objects"]
    assert (new["number"], new["by_hand"]) == (10, True)
    assert new["diameter"] == pytest.approx(40, rel=1e-3)
    undone = correct(visitor, sample, {"kind": "undo"}, 2, "c" * 8).json()
    assert (undone["removed"], undone["figures"]["count"]) == ([10], 7)
    assert [entry["holds"] for entry in undone["entries"]] == [False, False, True]
    told = visitor.get(f"/api/v1/samples/{sample}").json()
    assert told["count"] == NINE, "the tool's own"
    kept = visitor.post(f"/api/v1/samples/{sample}/keep", json={"label": "", "pictures": "none"}).json()
    assert kept["state"] == "kept"
    after = visitor.get(at).json()
    assert (after["version"], len(after["objects"])) == (3, 7)
    assert correct(visitor, sample, {"kind": "redo"}, 3, "d" * 8).json()["figures"]["count"] == 8


def test_what_cannot_be_done_says_why(visitor, sample):
    correct(visitor, sample, {"kind": "remove", "numbers": [3]})
    late = correct(visitor, sample, {"kind": "remove", "numbers": [4]}, 0, "another-key")
    assert late.status_code == 409
    assert "meanwhile" in late.json()["title"]
    gone = correct(visitor, sample, {"kind": "remove", "numbers": [3]}, 1, "another-key")
    assert gone.status_code == 422
    for edit in (
        {"kind": "wipe"},
        {"kind": "add", "points": [[0, 0]] * (MAX_CORNERS + 1)},
        {"kind": "add-disc", "x": 1, "y": 1, "diameter": "wide"},
    ):
        assert correct(visitor, sample, edit, 1, "another-key").status_code == 422
    assert correct(visitor, sample, {"kind": "undo"}, 1, "<script>").status_code == 422
    large = {"kind": "add", "points": [[0.1, 0.2]] * 9000}
    assert correct(visitor, sample, large, 1, "another-key").status_code in {413, 422}
    assert visitor.get(f"/api/v1/samples/{sample}/corrections").json()["version"] == 1


def test_a_result_is_corrected_by_nobody_else_before_it_is_kept(house, sample):
    with house.visitor() as other:
        other.timeout = 300
        assert other.get(f"/api/v1/samples/{sample}/corrections").status_code == 404
        assert correct(other, sample, {"kind": "remove", "numbers": [1]}).status_code == 404


def test_a_form_from_elsewhere_corrects_nothing(visitor, sample):
    fields = {"action": "remove", "numbers": "1", "after": "0"}
    answer = visitor.post(
        f"/samples/{sample}/corrections", data=fields, headers={"sec-fetch-site": "cross-site"}
    )
    assert answer.status_code == 403
    assert visitor.get(f"/api/v1/samples/{sample}/corrections").json()["version"] == 0


def test_labels_are_a_folder_that_training_takes(visitor, sample):
    correct(visitor, sample, {"kind": "remove", "numbers": [1]})
    correct(visitor, sample, {"kind": "add-disc", "x": 200, "y": 20, "diameter": 40}, 1, "b" * 8)
    answer = visitor.get(f"/samples/{sample}/labels.zip")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as made:
        assert made.testzip() is None
        names = sorted(made.namelist())
        stem = f"a-b-{sample[:8]}"
        assert names == [f"images/{stem}.jpg", f"labels/{stem}.json", "read-me.txt"]
        labels = parse_json_labels(made.read(names[1]), names[1])
    assert len(labels.centres) == NINE
    assert labels.centres[-1] == pytest.approx((200, 20), abs=0.02)
    assert labels.diameters[0] == pytest.approx(2 * RADIUS, rel=0.05)
    assert [len(outline) for outline in labels.outlines[:-1]] == [32] * (NINE - 1)
    reach = [math.dist(corner, labels.centres[0]) for corner in labels.outlines[0]]
    assert max(reach) - min(reach) < 2
    true = places(NINE)
    gaps = [min(abs(x - a) + abs(y - b) for a, b in true) for x, y in labels.centres[:-1]]
    assert max(gaps) < 2.5
    # Of all kept ones at once.
    visitor.post(f"/api/v1/samples/{sample}/keep", json={"label": "Teach", "pictures": "all"})
    with zipfile.ZipFile(io.BytesIO(visitor.get("/samples/labels.zip?label=Teach").content)) as made:
        assert sorted(made.namelist()) == names
    assert visitor.get("/samples/labels.zip?label=Nobody").status_code == 404


def test_a_tool_without_outlines_keeps_its_page(tmp_path):
    from web.toolhouse import PLAIN, tool_house

    assert discs_tool().manifest.name == "discs"
    with tool_house(tmp_path) as plain, plain.visitor() as browser:
        browser.timeout = 300
        told = browser.post("/api/v1/tools/discs/samples", files={"file": ("a.png", PLAIN)}).json()
        assert "outlines.json" not in told["files"]
        page = browser.get(f"/samples/{told['id']}")
        assert page.status_code == 200
        assert "data-viewer" not in page.text
        assert browser.get(f"/api/v1/samples/{told['id']}/corrections").status_code == 404


def test_a_cleaned_picture_says_in_name_and_metadata_what_it_is_not_for(visitor, sample):
    """Made of the picture and the objects as they are now; asking for it changes nothing of the result."""
    before = visitor.get(f"/api/v1/samples/{sample}").json()
    answer = visitor.post(f"/api/v1/samples/{sample}/cleaned")
    assert answer.status_code == 200, answer.text
    assert 'filename="a-b-cleaned-not-for-measurement.jpg"' in answer.headers["content-disposition"]
    with (
        Image.open(io.BytesIO(answer.content)) as made,
        Image.open(io.BytesIO(outlined_picture(NINE))) as given,
    ):
        assert made.size == given.size
        assert made.info["comment"] == NOT_FOR_MEASUREMENT.encode()
        pixels, first = (np.asarray(one.convert("L"), dtype=float) for one in (made, given))
    x, y = (round(value) for value in places(NINE)[0])
    assert abs(pixels[y, x] - first[y, x]) < 25, "a disc is where it was"
    assert visitor.get(f"/api/v1/samples/{sample}").json() == before
    page = visitor.get(f"/samples/{sample}").text
    assert "It is for looking at: sizes are measured on the original." in page
    posted = visitor.post(f"/samples/{sample}/cleaned")
    assert posted.content == answer.content
    # Kept without the original there is nothing to clean.
    visitor.post(f"/api/v1/samples/{sample}/keep", json={"label": "", "pictures": "overlay"})
    gone = visitor.post(f"/api/v1/samples/{sample}/cleaned")
    assert (gone.status_code, gone.json()["title"]) == (404, "The picture itself is not here.")
    assert "Cleaned picture" not in visitor.get(f"/samples/{sample}").text


def test_a_tool_without_the_step_makes_no_cleaned_picture(tmp_path_factory):
    with outline_house(tmp_path_factory.mktemp("plain")) as house, house.visitor() as browser:
        browser.timeout = 300
        sent = {"file": ("a.png", outlined_picture(NINE))}
        sample = browser.post("/api/v1/tools/crystals-classical/samples", files=sent).json()["id"]
        answer = browser.post(f"/api/v1/samples/{sample}/cleaned")
        assert answer.status_code == 404
        assert answer.json()["title"] == "This tool makes no cleaned picture."
        assert "Cleaned picture" not in browser.get(f"/samples/{sample}").text

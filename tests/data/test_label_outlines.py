"""Outlines and bubbles among labels: what is read, what is refused and why, and polygons' places within."""

from __future__ import annotations

import contextlib
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.data.commitment import image_record
from cloister.data.labels import MAX_CORNERS, Labels, parse_json_labels
from cloister.data.polygons import deepest, near, surrounds
from cloister.data.readers import read_image_folder
from cloister.foundation.errors import BadInput, CloisterError
from tools.toolmaking import png

SQUARE = [[10, 10], [30, 10], [30, 30], [10, 30]]


def parsed(**fields):
    return parse_json_labels(json.dumps({"centres": [[20, 20]], **fields}).encode(), "a.json")


def test_outlines_and_bubbles_are_read_in_the_order_of_centres():
    labels = parsed(outlines=[SQUARE], bubbles=[[50, 60, 7.5]])
    assert labels.outlines == (tuple(map(tuple, np.array(SQUARE, float).tolist())),)
    assert labels.bubbles == ((50.0, 60.0, 7.5),)
    assert labels.diameters == pytest.approx((2 * math.sqrt(400 / math.pi),)), (
        "of the circle of the same area"
    )
    assert parse_json_labels(json.dumps(labels.as_json()).encode(), "a.json") == labels


def test_labels_without_outlines_are_committed_to_as_before():
    labels = parsed(diameters=[5])
    assert image_record("sha256:0", labels.as_json()) == (
        b'{"image":"sha256:0","labels":{"centres":[[20,20]],"diameters":[5]}}'
    )


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"outlines": []}, "one outline"),
        ({"outlines": [[[0, 0], [1, 1]]]}, "Outline 1"),
        ({"outlines": [[[0, 0], [1, 1], [2]]]}, "outline 1"),
        ({"outlines": [[[0, 0], [1, 1], [2, "secret"]]]}, "outline 1"),
        ({"outlines": [[[50, 50], [60, 50], [60, 60]]]}, "enclose its centre"),
        ({"outlines": [[[10, 10], [30, 10], [30, 30]] * MAX_CORNERS]}, "3 to 512"),
        ({"outlines": [[[10, 10], [30, 10], [1e300, 30]]]}, "outline 1"),
        ({"bubbles": [[1, 2]]}, "Bubble 1"),
        ({"bubbles": [[1, 2, -3]]}, "bubble 1"),
        ({"shapes": []}, "`outlines`"),
    ],
)
def test_malformed_outlines_name_the_entry_but_not_the_value(fields, told):
    with pytest.raises(BadInput) as caught:
        parsed(**fields)
    assert told in caught.value.why
    assert "secret" not in str(caught.value)


def test_an_outline_far_from_its_picture_is_refused_with_the_picture(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(png(np.zeros((40, 60), np.uint8)))
    far = [[-70, 0], [50, 0], [50, 35], [-70, 35]]
    beside = [[-50, 0], [50, 0], [50, 35], [-50, 35]]
    for outline, fits in ((beside, True), (far, False)):
        told = {"centres": [[20, 20]], "outlines": [outline]}
        (tmp_path / "labels" / "a.json").write_text(json.dumps(told))
        if fits:
            assert read_image_folder(tmp_path)[0].labels.outlines is not None
        else:
            with pytest.raises(BadInput, match=r"far from its picture a\.png"):
                read_image_folder(tmp_path)
    (tmp_path / "labels" / "a.json").write_text(json.dumps({"centres": [], "bubbles": [[500, 5, 3]]}))
    with pytest.raises(BadInput, match="Bubble 1"):
        read_image_folder(tmp_path)


_NUMBERS = st.floats(-300, 300).map(lambda value: round(value, 2))


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries(
        {"centres": st.lists(st.tuples(_NUMBERS, _NUMBERS), max_size=3)},
        optional={
            "diameters": st.lists(_NUMBERS, max_size=3),
            "outlines": st.lists(
                st.none() | st.lists(st.lists(_NUMBERS, max_size=3), max_size=6), max_size=3
            ),
            "bubbles": st.lists(st.lists(_NUMBERS, max_size=4), max_size=3),
        },
    )
)
def test_any_outlines_give_labels_that_survive_or_a_clear_error(told):
    with contextlib.suppress(CloisterError):
        labels = parse_json_labels(json.dumps(told).encode(), "f")
        labels.check_inside(300, 300, "f")
        assert isinstance(labels, Labels)
        assert parse_json_labels(json.dumps(labels.as_json()).encode(), "f") == labels


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(3, 40), min_size=5, max_size=24), st.floats(-50, 50))
def test_the_deepest_place_is_inside_and_no_shallower_than_the_middle_of_a_star(rays, shift):
    angles = 2 * np.pi * np.arange(len(rays)) / len(rays)
    outline = np.stack([rays * np.cos(angles), rays * np.sin(angles)], axis=1) + shift
    x, y = deepest(outline)
    assert surrounds(outline, x, y)

    def depth(place):
        # Densely along every side, instead of by projection.
        share = np.linspace(0, 1, 200)[:, None, None]
        along = outline + share * (np.roll(outline, -1, axis=0) - outline)
        return float(np.linalg.norm(along - place, axis=2).min())

    assert depth((x, y)) >= 0.97 * depth((shift, shift)) - 0.1


def test_near_is_one_picture_around():
    assert near(np.array([[-60.0, -40.0], [120.0, 80.0]]), 60, 40)
    assert not near(np.array([[-61.0, 0.0]]), 60, 40)

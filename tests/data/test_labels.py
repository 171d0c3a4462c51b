"""Labels with outlines and bubbles: read whole or refused by place, and never by content."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.data.labels import MAX_CORNERS, Labels, parse_json_labels
from cloister.foundation.errors import CloisterError

SQUARE = [[10.0, 10.0], [20.0, 10.0], [20.0, 20.0], [10.0, 20.0]]


def parsed(**value: Any) -> Labels:
    return parse_json_labels(json.dumps({"centres": [[15.0, 15.0]], **value}).encode(), "a.json")


def test_outlines_tell_diameters_that_were_left_out() -> None:
    labels = parsed(outlines=[SQUARE], bubbles=[[3.0, 4.0, 2.5]])
    assert labels.diameters == (pytest.approx(2 * math.sqrt(100 / math.pi)),)
    assert labels.bubbles == ((3.0, 4.0, 2.5),)
    assert parsed(outlines=[None]).diameters is None
    assert parsed(outlines=[None], diameters=[4.0]).outlines == (None,)
    assert parsed(bubbles=[]).bubbles == ()


def test_what_commitments_cover_is_as_before_without_outlines_and_tells_them_where_there_are_some() -> None:
    assert parsed(diameters=[4.0]).as_json() == {"centres": [[15.0, 15.0]], "diameters": [4.0]}
    told = parsed(outlines=[SQUARE], bubbles=[]).as_json()
    assert told["outlines"] == [SQUARE]
    assert told["bubbles"] == []
    again = parse_json_labels(json.dumps(told).encode(), "a.json")
    assert again == parsed(outlines=[SQUARE], bubbles=[])


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ({"outlines": []}, "one outline"),
        ({"outlines": [SQUARE[:2]]}, "corners"),
        ({"outlines": [SQUARE * (MAX_CORNERS // 4 + 1)]}, "corners"),
        ({"outlines": [[[0.0, 0.0], [5.0, 0.0], [5.0, 5.0]]]}, "enclose its centre"),
        ({"outlines": [[[1.0, 2.0], [3.0, "x"], [5.0, 5.0]]]}, "usable number"),
        ({"outlines": [[[14.9, 14.9], [15.1, 14.9], [15.0, 15.2]]]}, "enclose"),
        ({"bubbles": [[1.0, 2.0]]}, "Bubble 1"),
        ({"bubbles": [[1.0, 2.0, 0.0]]}, "not above zero"),
        ({"bubbles": {}}, "list"),
        ({"shapes": []}, "bubbles"),
    ],
)
def test_malformed_outlines_and_bubbles_are_refused_by_place(value: dict[str, Any], word: str) -> None:
    with pytest.raises(CloisterError) as caught:
        parsed(**value)
    assert word in caught.value.why


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(10**9), 10**9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["centres", "diameters", "outlines", "bubbles"]), _ANYTHING))
@settings(max_examples=150, deadline=None)
def test_whatever_is_given_it_is_read_or_refused(value: dict[str, Any]) -> None:
    try:
        labels = parse_json_labels(json.dumps(value).encode(), "a.json")
    except CloisterError:
        return
    assert labels.outlines is None or len(labels.outlines) == len(labels.centres)

"""Outlines corrected by hand: nothing is forgotten, numbers are never reused, two people do not overwrite each other."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from skimage.draw import polygon2mask

from cloister.data.labels import parse_json_labels
from cloister.data.polygons import surrounds
from cloister.foundation.canonical import canonical
from cloister.foundation.errors import BadInput, Conflict
from cloister.tools.corrections import (
    EMPTY,
    Add,
    Edit,
    Entry,
    Merge,
    Redo,
    Remove,
    Reshape,
    Split,
    Thing,
    Undo,
    correct,
    corrected,
    figures_of,
    labels_of,
    parse_outlines,
    shapes,
    told,
)
from cloister.tools.corrections import journal as journal_module
from cloister.tools.corrections.edits import AddDisc

WIDTH, HEIGHT = 400, 300


def document(discs=((60, 50, 30), (100, 50, 30), (200, 140, 60), (5, 200, 30)), scale=None):
    """As a tool writes it, of discs x, y, diameter."""
    objects = [
        {
            "number": number,
            "points": shapes.disc(x, y, d).round(2).tolist(),
            "diameter": float(d) * (scale or 1.0),
            "border": int(x - d / 2 < -0.5),
            "strength": 0.9,
        }
        for number, (x, y, d) in enumerate(discs, 1)
    ]
    return {
        "type": "cloister/outlines@1",
        "width": WIDTH,
        "height": HEIGHT,
        "micrometres_per_pixel": scale,
        "units": {"diameter": "px" if scale is None else "µm"},
        "objects": objects,
    }


def found(**changes):
    return parse_outlines(json.dumps(document(**changes)).encode())


def do(where, journal, edit, key=None, after=None, who="Ada"):
    return correct(
        where,
        journal,
        edit,
        after=journal.version if after is None else after,
        key=key or f"key-{journal.version:06d}",
        who=who,
        whose=f"account:{who}",
        at=1_800_000_000 + journal.version,
    )


def state(where, journal):
    return {number: thing.points.tolist() for number, thing in corrected(where, journal).items()}


@st.composite
def blobs(draw, corners=16, least=8):
    """Star-shaped outlines about the middle of the picture: with bays, never crossing themselves."""
    radii = np.array(draw(st.lists(st.floats(least, 60), min_size=corners, max_size=corners)))
    angles = 2 * np.pi * np.arange(corners) / corners
    middle = np.array([draw(st.floats(100, 300)), draw(st.floats(100, 200))])
    return middle + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


# Entries -----------------------------------------------------------------------------------------------------------------

places = st.tuples(st.floats(0, WIDTH - 1), st.floats(0, HEIGHT - 1))
wishes = st.one_of(
    st.builds(lambda p, d: AddDisc(x=p[0], y=p[1], diameter=d), places, st.floats(2, 80)),
    st.builds(lambda n: Remove(numbers=(n,)), st.integers(1, 9)),
    st.builds(lambda n, a, b: Split(number=n, line=(a, b)), st.integers(1, 9), places, places),
    st.builds(
        lambda n: Merge(numbers=tuple(n)), st.lists(st.integers(1, 9), min_size=2, max_size=3, unique=True)
    ),
    st.just(Undo()),
    st.just(Redo()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(wishes, max_size=14))
def test_whatever_is_done_nothing_is_forgotten_and_no_number_comes_twice(edits):
    where, journal, seen = found(), EMPTY, set(range(1, 5))
    states = {(): state(where, EMPTY)}
    for edit in edits:
        before = journal
        try:
            journal = do(where, journal, edit)
        except (BadInput, Conflict):
            continue
        assert journal.entries[:-1] == before.entries
        made = {one.number for one in journal.entries[-1].made}
        assert not made & seen
        seen |= made
        # The same corrections holding means the same objects, however one came there.
        holding = journal.standing()[0]
        assert states.setdefault(holding, state(where, journal)) == state(where, journal)
    while journal.standing()[0]:
        journal = do(where, journal, Undo())
    assert state(where, journal) == states[()]
    again = Entry.model_validate_json
    assert tuple(again(entry.model_dump_json()) for entry in journal.entries) == journal.entries


def test_undo_and_redo_go_back_and_forth_until_something_new_is_done():
    where = found()
    one = do(where, EMPTY, Remove(numbers=(1,)))
    two = do(where, one, AddDisc(x=300.0, y=200.0, diameter=20.0))
    back = do(where, do(where, two, Undo()), Undo())
    assert state(where, back) == state(where, EMPTY)
    forth = do(where, do(where, back, Redo()), Redo())
    assert state(where, forth) == state(where, two)
    with pytest.raises(Conflict, match="nothing to do again"):
        do(where, forth, Redo())
    other = do(where, do(where, forth, Undo()), Remove(numbers=(2,)))
    with pytest.raises(Conflict, match="nothing to do again"):
        do(where, other, Redo())
    assert 5 not in corrected(where, other)
    third = do(where, other, AddDisc(x=300.0, y=200.0, diameter=20.0))
    assert 6 in corrected(where, third), "5 was given once, and undone"
    with pytest.raises(Conflict, match="nothing to undo"):
        do(where, EMPTY, Undo())


def test_who_corrects_what_was_not_seen_is_told_whose_work_it_is():
    where = found()
    adas = do(where, EMPTY, Remove(numbers=(1,)), who="Ada")
    with pytest.raises(Conflict, match="meanwhile") as refused:
        do(where, adas, Remove(numbers=(2,)), after=0, key="of-ben-1", who="Ben")
    assert "1 correction came from Ada" in refused.value.why
    with pytest.raises(Conflict):
        do(where, adas, Remove(numbers=(2,)), after=7, key="of-ben-1", who="Ben")
    assert adas.version == 1
    both = do(where, adas, Remove(numbers=(2,)), who="Ben", key="of-ben-1")
    assert [(entry.who, entry.removed) for entry in both.entries] == [("Ada", (1,)), ("Ben", (2,))]


def test_a_journal_holds_so_many_corners_and_what_holds_stays(monkeypatch):
    monkeypatch.setattr(journal_module, "MAX_CORNERS", 100)
    where = found()
    once = do(where, EMPTY, AddDisc(x=150.0, y=100.0, diameter=20.0))
    corners = len(once.entries[0].made[0].points)
    journal = once
    for _ in range(100 // corners - 1):
        journal = do(where, journal, AddDisc(x=150.0, y=100.0, diameter=20.0))
    with pytest.raises(Conflict, match="too many corrections"):
        do(where, journal, AddDisc(x=150.0, y=100.0, diameter=20.0))
    # What makes no outline is still possible.
    assert do(where, journal, Undo()).version == journal.version + 1


def test_what_is_sent_twice_is_done_once_and_a_key_is_for_one_correction():
    where = found()
    once = do(where, EMPTY, Remove(numbers=(1,)), key="a-key-123")
    assert do(where, once, Remove(numbers=(1,)), key="a-key-123", after=0) is once
    with pytest.raises(BadInput, match="another correction"):
        do(where, once, Remove(numbers=(2,)), key="a-key-123")
    # Another person's key is another key.
    assert do(where, once, Remove(numbers=(2,)), key="a-key-123", who="Ben").version == 2


@pytest.mark.parametrize(
    "edit",
    [
        Remove(numbers=(9,)),
        Remove(numbers=(1, 1)),
        Split(number=1, line=((0.0, 0.0), (0.0, 10.0))),
        Split(number=1, line=((60.0, 50.0), (60.0, 50.0))),
        Merge(numbers=(1, 77)),
        AddDisc(x=-50.0, y=10.0, diameter=10.0),
        AddDisc(x=200.0, y=100.0, diameter=5000.0),
        Add(points=((10.0, 10.0), (40.0, 40.0), (40.0, 10.0), (10.0, 40.0))),
        Add(points=((10.0, 10.0), (10.5, 10.0), (10.0, 10.5))),
        Reshape(number=88, points=((10.0, 10.0), (50.0, 10.0), (10.0, 50.0))),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(edit):
    with pytest.raises(BadInput) as refused:
        do(found(), EMPTY, edit)
    assert refused.value.what.endswith(".")


@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "remove", "numbers": []},
        {"kind": "remove", "numbers": ["1"]},
        {"kind": "remove", "numbers": list(range(1, 502))},
        {"kind": "add-disc", "x": 1, "y": 1, "diameter": 0},
        {"kind": "add-disc", "x": 1e9, "y": 1, "diameter": 5},
        {"kind": "add", "points": [[0, 0], [1, 1]]},
        {"kind": "add", "points": [[0, 0]] * 600},
        {"kind": "split", "number": 1, "line": [[0, 0]]},
        {"kind": "undo", "more": 1},
        {"kind": "wipe"},
    ],
)
def test_a_correction_is_a_closed_document(asked):
    with pytest.raises(ValidationError):
        TypeAdapter(Edit).validate_python(asked)


# Shapes ------------------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(blobs(), st.floats(0, np.pi), st.floats(-0.5, 0.5))
def test_the_halves_of_a_cut_have_the_area_of_the_whole(outline, angle, aside):
    along = np.array([np.cos(angle), np.sin(angle)])
    start = outline.mean(axis=0) + aside * 30 * np.array([-along[1], along[0]])
    try:
        one, other = shapes.split(outline, np.stack([start, start + along]))
    except BadInput:
        assume(False)
    assert shapes.area_of(one) + shapes.area_of(other) == pytest.approx(shapes.area_of(outline), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(blobs(least=20), st.floats(0, np.pi))
def test_halves_that_are_merged_again_are_about_the_whole(outline, angle):
    along = np.array([np.cos(angle), np.sin(angle)])
    middle = outline.mean(axis=0)
    try:
        halves = shapes.split(outline, np.stack([middle, middle + along]))
    except BadInput:
        assume(False)
    merged = shapes.merge(halves)
    # The grid's cells, and bays narrower than the bridge, are the difference.
    around = np.hypot(*(np.roll(outline, -1, axis=0) - outline).T).sum()
    assert abs(shapes.area_of(merged) - shapes.area_of(outline)) < 1.0 * around + 2
    ours, theirs = (polygon2mask((460, 460), shape[:, ::-1] + 60) for shape in (merged, outline))
    assert (ours ^ theirs).sum() < 1.5 * around + 4


def test_a_union_is_measured_as_a_picture_of_both_is():
    one, other = shapes.disc(100, 100, 60), shapes.disc(135, 110, 50)
    merged = shapes.merge([one, other])
    masks = [polygon2mask((1200, 1200), shape[:, ::-1] * 5) for shape in (one, other)]
    assert shapes.area_of(merged) == pytest.approx((masks[0] | masks[1]).sum() / 25, rel=0.01)


def test_what_does_not_meet_is_merged_by_its_hull():
    one, other = shapes.disc(100, 100, 20), shapes.disc(160, 100, 20)
    merged = shapes.merge([one, other])
    assert shapes.area_of(merged) == pytest.approx(np.pi * 100 + 60 * 20, rel=0.02)


@given(st.floats(-20, 420), st.floats(-20, 320), st.floats(1, 200))
def test_a_disc_by_hand_has_the_diameter_that_was_asked_for(x, y, diameter):
    assert np.sqrt(4 * shapes.area_of(shapes.disc(x, y, diameter)) / np.pi) == pytest.approx(diameter)


# Figures, labels, foreign bytes ----------------------------------------------------------------------------------------


def test_figures_are_of_what_holds_and_in_the_pictures_unit():
    where = found(scale=0.5)
    before = figures_of(where, list(corrected(where, EMPTY).values()))
    assert before.values["count"] == 4
    assert before.values["diameter_measured"] == 3, "the edge cuts the fourth"
    assert before.units["diameter_d50"] == "µm"
    journal = do(where, EMPTY, AddDisc(x=300.0, y=200.0, diameter=100.0))
    journal = do(where, journal, Remove(numbers=(1, 2)))
    after = figures_of(where, list(corrected(where, journal).values()))
    assert after.values["count"] == 3
    # Miles and Lantuéjoul: each stands for the frames of the picture's size that would hold it whole.
    shares = [WIDTH * HEIGHT / ((WIDTH - d) * (HEIGHT - d)) for d in (60, 100)]
    assert after.values["diameter_mean"] == pytest.approx(np.average([30, 50], weights=shares), rel=1e-3)
    assert after.units["diameter_d50"] == "µm"
    rows = {row["number"]: row for row in told(where, list(corrected(where, journal).values()))}
    assert rows[3]["strength"] == 0.9
    assert rows[5]["by_hand"]
    assert rows[5]["feret"] == pytest.approx(50.0, rel=0.02)
    assert not {"strength", "agglomerate"} & set(rows[5])


def test_labels_are_what_training_takes():
    where = found(scale=0.5)
    journal = do(where, EMPTY, AddDisc(x=300.0, y=200.0, diameter=100.0))
    labels = labels_of(where, list(corrected(where, journal).values()))
    again = parse_json_labels(canonical(labels.as_json()), "a.json")
    assert again == labels
    again.check_inside(WIDTH, HEIGHT, "a.json")
    assert len(again.centres) == 5
    assert again.centres[4] == pytest.approx((300, 200), abs=0.02)
    assert again.diameters[4] == pytest.approx(100.0, rel=1e-3), "in pixels, whatever the calibration"
    assert labels_of(found(discs=()), []).centres == ()
    things = list(corrected(where, journal).values())
    assert len(again.outlines) == 5, "in the order of the centres"
    for outline, thing in zip(again.outlines, things, strict=True):
        assert np.allclose(outline, thing.points, atol=0.01)


def test_a_bent_object_is_labelled_by_a_place_within_it():
    """Of a crescent the centre of the area lies in its bay: no ray from there would end on its outline."""
    where = found(discs=())
    crescent = (
        (100, 100),
        (160, 100),
        (160, 110),
        (110, 110),
        (110, 150),
        (160, 150),
        (160, 160),
        (100, 160),
    )
    journal = do(where, EMPTY, Add(points=tuple((float(x), float(y)) for x, y in crescent)))
    labels = labels_of(where, list(corrected(where, journal).values()))
    ((x, y),) = labels.centres
    assert surrounds(np.array(crescent, float), x, y)
    side = np.linalg.norm(np.array(crescent, float) - (x, y), axis=1).min()
    assert side > 4.5, "half its width, not at its rim"
    assert parse_json_labels(canonical(labels.as_json()), "a.json") == labels


def test_outlines_that_labels_cannot_have_are_left_open_and_the_object_stays():
    where = found(discs=((60, 50, 30), (200, 150, 0.9)))
    far = shapes.disc(200.0, 150.0, 5000.0)
    things = [*where.things.values(), Thing(7, far, {})]
    labels = labels_of(where, things)
    assert [outline is None for outline in labels.outlines] == [False, True, True]
    again = parse_json_labels(canonical(labels.as_json()), "a.json")
    again.check_inside(WIDTH, HEIGHT, "a.json")
    assert again == labels


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(list(document())), inner),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode())
)
def test_foreign_bytes_are_outlines_or_refused(data):
    with pytest.raises(BadInput):
        parse_outlines(data)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("width",), 0), (("height",), 1 << 30), (("micrometres_per_pixel",), -1.0), (("units",), None),
        (("objects", 0, "number"), 2), (("objects", 0, "number"), 0), (("objects", 0, "number"), True),
        (("objects", 0, "points"), [[0, 0]]), (("objects", 0, "points", 0), [1e9, 0]),
        (("objects", 0, "points", 0), [0, None]), (("type",), "cloister/outlines@2"),
    ],
)  # fmt: skip
def test_one_field_that_does_not_fit_is_enough_to_refuse(place, value):
    made = document()
    inner = made
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with pytest.raises(BadInput):
        parse_outlines(json.dumps(made).encode())


def test_of_values_beside_an_outline_numbers_are_taken_and_nothing_else():
    made = document()
    made["objects"][0] |= {"note": "<b>", "list": [1], "focus": None, "flag": True}
    values = parse_outlines(json.dumps(made).encode()).things[1].values
    assert set(values) == {"diameter", "border", "strength", "focus"}

"""Folders of pictures with labels: the convention, and every way to break it."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cloister.data.labels import Labels, parse_common_labels, parse_csv_labels, parse_json_labels
from cloister.data.readers import folder_files, labels_told, read_image_folder
from cloister.foundation.errors import BadInput, CloisterError, NotFound


def picture(path, width=60, height=40):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width), 99, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.jpg"):
        picture(tmp_path / "images" / name)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.json").write_text('{"centres": [[1, 2.5], [30, 20]], "diameters": [5, 6]}')
    (tmp_path / "labels" / "b.csv").write_text("x,y,diameter\n3,4,5\n")
    return tmp_path


def test_pictures_are_read_with_labels_in_json_or_csv(folder):
    first, second = read_image_folder(folder)
    assert first.labels == Labels(((1.0, 2.5), (30.0, 20.0)), (5.0, 6.0))
    assert second.labels == Labels(((3.0, 4.0),), (5.0,))
    assert first.pixels().shape == (40, 60)
    assert labels_told((first, second)) == "centres and diameters"
    assert [path.name for path in folder_files(folder)] == ["a.png", "b.jpg", "a.json", "b.csv"]


def test_one_file_of_labels_serves_all_pictures_and_can_say_that_one_is_empty(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / name)
    (tmp_path / "labels.csv").write_text("file,x,y\na.png,1,2\na.png,3,4\nb.png,,\n")
    a, b, c = read_image_folder(tmp_path)
    assert len(a.labels.centres) == 2
    assert b.labels == Labels(())
    assert c.labels is None
    assert labels_told((a, b, c)) == "centres"


def test_a_picture_without_labels_is_refused_where_labels_are_needed(folder):
    (folder / "labels" / "b.csv").unlink()
    assert read_image_folder(folder)[1].labels is None
    with pytest.raises(BadInput, match=r"b\.jpg has no labels"):
        read_image_folder(folder, require_labels=True)


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda f: (f / "images" / "notes.docx").write_text("x"), "notes.docx"),
        (lambda f: (f / "images" / "c.heic").write_text("x"), "c.heic"),
        (lambda f: picture(f / "images" / "a.bmp"), "differ only in their ending"),
        (lambda f: (f / "labels" / "z.json").write_text('{"centres": []}'), "no such picture"),
        (lambda f: (f / "labels" / "a.csv").write_text("x,y\n"), "two label files"),
        (lambda f: (f / "labels" / "a.xml").write_text("x"), "a.xml"),
        (lambda f: (f / "labels.csv").write_text("file,x,y\n"), "twice"),
        (
            lambda f: (f / "labels" / "a.json").write_text('{"centres": [[999, 1]]}'),
            "outside its picture a.png",
        ),
        (lambda f: (f / "images" / "a.png").write_bytes(b"no picture"), "not a picture"),
    ],
)
def test_what_does_not_fit_is_named_not_skipped(folder, break_it, told):
    break_it(folder)
    with pytest.raises(BadInput) as caught:
        read_image_folder(folder)
    assert told in str(caught.value)


def test_an_empty_or_missing_folder_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no pictures"):
        read_image_folder(tmp_path)
    with pytest.raises(NotFound):
        read_image_folder(tmp_path / "none")


def test_system_files_are_ignored(folder):
    (folder / "images" / ".DS_Store").write_text("x")
    (folder / "images" / "Thumbs.db").write_text("x")
    assert len(read_image_folder(folder)) == 2


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"centres": 1}',
        '{"centres": [[1]]}',
        '{"centres": [[1, "2"]]}',
        '{"centres": [[1, true]]}',
        '{"centres": [[1, 1e300]]}',
        '{"centres": [[1, 2]], "diameters": []}',
        '{"centres": [[1, 2]], "diameters": [0]}',
        '{"centres": [], "centers": []}',
        '{"centres": [[NaN, 1]]}',
    ],
)
def test_malformed_json_labels_are_refused(text):
    with pytest.raises(BadInput):
        parse_json_labels(text.encode(), "a.json")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n", "first line"),
        ("x,y\n1\n", "Line 2"),
        ("x,y\n1,2\n3,secret\n", "Line 3"),
        ("x,y,diameter\n1,2,-3\n", "line 2"),
        ('x,y\n"1,2\n', "Line"),
        ("x,y\n1,inf\n", "line 2"),
        ("", "first line"),
    ],
)
def test_malformed_csv_labels_name_the_line_but_not_the_value(text, told):
    with pytest.raises(BadInput) as caught:
        parse_csv_labels(text.encode(), "a.csv")
    assert told in caught.value.why
    assert "secret" not in str(caught.value)


@settings(max_examples=150)
@given(st.binary(max_size=120) | st.text("xy,diameter.0123456789-e\n\"' ", max_size=80).map(str.encode))
def test_any_bytes_give_labels_or_a_clear_error(data):
    for parse in (parse_json_labels, parse_csv_labels, parse_common_labels):
        with contextlib.suppress(CloisterError):
            parse(data, "f")


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), max_size=20))
def test_labels_survive_json_and_csv(centres):
    labels = Labels(tuple(centres))
    assert parse_json_labels(json.dumps(labels.as_json()).encode(), "f") == labels
    text = "x,y\n" + "".join(f"{x!r},{y!r}\n" for x, y in centres)
    assert parse_csv_labels(text.encode(), "f") == labels

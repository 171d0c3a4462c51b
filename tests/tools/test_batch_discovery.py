"""Which files a person means who names files and folders."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.tools.batch.discovery import discover, endings


def tree(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(found, folder):
    return [item.path.relative_to(folder).as_posix() for item in found if item.error is None]


def test_a_folder_stands_for_its_pictures_in_order_with_those_of_its_folders(tmp_path):
    tree(
        tmp_path, "b.PNG", "a.tif", "notes.txt", "day/c.jpg", "day/deep/d.bmp", ".hidden.png", ".cache/e.png"
    )
    assert names(discover([tmp_path]), tmp_path) == ["a.tif", "b.PNG", "day/c.jpg", "day/deep/d.bmp"]
    assert names(discover([tmp_path], recursive=False), tmp_path) == ["a.tif", "b.PNG"]
    tables = tmp_path / "tables"
    tree(tables, "t.csv", "u.parquet")
    assert names(discover([tables], endings("table")), tables) == ["t.csv", "u.parquet"]


def test_results_are_not_taken_for_pictures(tmp_path):
    tree(tmp_path, "a.png", "results/a.overlay.png", "earlier/samples.db", "earlier/a.overlay.png")
    assert names(discover([tmp_path], out=tmp_path / "results"), tmp_path) == ["a.png"]


def test_links_to_folders_are_passed_by_so_that_none_leads_round_in_a_circle(tmp_path):
    tree(tmp_path, "a.png", "day/b.png")
    (tmp_path / "day" / "round").symlink_to(tmp_path)
    (tmp_path / "c.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "d.png").symlink_to(tmp_path / "day")
    assert names(discover([tmp_path]), tmp_path) == ["a.png", "c.png", "day/b.png"]


def test_a_file_that_is_named_twice_is_taken_once_and_any_name_that_is_given_is_taken(tmp_path):
    tree(tmp_path, "a.png", "b.png", "c.scan")
    given_paths = [
        tmp_path / "b.png",
        tmp_path,
        tmp_path / "." / "a.png",
        tmp_path / "c.scan",
        tmp_path / "none.png",
    ]
    assert names(discover(given_paths), tmp_path) == ["b.png", "a.png", "c.scan", "none.png"]


def test_a_folder_that_gives_nothing_says_so(tmp_path):
    (empty,) = discover([tmp_path])
    assert "no file that the tool takes" in empty.error.what
    assert f"{tmp_path}/*.png" in empty.error.remedy


@settings(max_examples=30, deadline=None)
@given(st.sets(st.sampled_from([f"{a}/{b}.png" for a in "xyz" for b in "abc"]), min_size=1))
def test_every_picture_comes_once_whatever_the_folders(chosen):
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for name in "xyz":
            (folder / name).mkdir()
        tree(folder, *chosen)
        found = names(discover([folder / "x", folder, folder / "y"]), folder)
        missing = [item for item in discover([folder / "x"]) if item.error]
        assert sorted(found) == sorted(chosen)
        assert bool(missing) == (not any(name.startswith("x/") for name in chosen))

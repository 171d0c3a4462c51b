"""Only files in folders that were allowed can be named; nothing leads out of them."""

from __future__ import annotations

import io
import os

import pytest

from cloister.foundation.errors import BadInput, NotFound, OutOfSpace, Refused, TooLarge
from cloister.node import data_folders
from cloister.node.data_folders import DataFolders, Place


@pytest.fixture
def here(tmp_path):
    node, shared = tmp_path / "node", tmp_path / "shared"
    for folder in (
        node / "data" / "deep",
        node / "secrets",
        shared / "pictures" / "images",
        tmp_path / "private",
    ):
        folder.mkdir(parents=True)
    (node / "secrets" / "keys.csv").write_text("k\n1\n")
    (node / "cloister.csv").write_text("k\n1\n")
    (tmp_path / "private" / "salaries.csv").write_text("s\n1\n")
    (node / "data" / "a.csv").write_text("x\n1\n")
    (node / "data" / "deep" / "b.parquet").write_bytes(b"PAR1")
    (node / "data" / "notes.doc").write_text("no table")
    (shared / "c.csv").write_text("x\n1\n")
    (shared / "pictures" / "images" / "p.png").write_bytes(b"\x89PNG")
    return DataFolders(node, [shared])


def test_what_is_in_an_allowed_folder_is_found(here, tmp_path):
    assert here.source(Place(0, "a.csv")) == tmp_path / "node" / "data" / "a.csv"
    assert here.source(Place(0, "deep/b.parquet")).name == "b.parquet"
    assert here.source(Place(1, "pictures")) == tmp_path / "shared" / "pictures"
    told = {item.place.path: item.kind for item in here.listing(Place(0))}
    assert told == {"a.csv": "table", "deep": "folder"}
    told = {item.place.path: (item.kind, item.pictures) for item in here.listing(Place(1))}
    assert told == {"c.csv": ("table", 0), "pictures": ("pictures", 1)}


@pytest.mark.parametrize(
    "path",
    [
        "../secrets/keys.csv", "..", "deep/../../secrets/keys.csv", "/etc/passwd", "//etc/passwd", "a.csv/", "deep//b.parquet",
        ".", "./a.csv", "deep\\b.parquet", "a.csv\0", "a.csv\n", ".hidden", "\u202eexe.csv", "x/" * 40 + "a.csv", "~/a.csv",
    ],
)  # fmt: skip
@pytest.mark.parametrize("root", [0, 1, -1, 2, 10**9])
def test_nothing_else_can_be_named(here, path, root):
    with pytest.raises((Refused, NotFound)) as caught:
        here.source(Place(root, path))
    if ".." in path.split("/") or path.startswith("/"):
        assert isinstance(caught.value, Refused)


def test_links_are_refused_wherever_they_are(here, tmp_path):
    data = tmp_path / "node" / "data"
    (data / "link.csv").symlink_to(tmp_path / "private" / "salaries.csv")
    (data / "linked").symlink_to(tmp_path / "private")
    (data / "inside.csv").symlink_to(data / "a.csv")
    for path in ("link.csv", "linked/salaries.csv", "linked", "inside.csv"):
        with pytest.raises(Refused, match="link"):
            here.source(Place(0, path))
    assert not {"link.csv", "linked", "inside.csv"} & {item.place.path for item in here.listing(Place(0))}


def test_a_picture_folder_with_a_link_in_it_is_refused(here, tmp_path):
    images = tmp_path / "shared" / "pictures" / "images"
    (images / "q.png").symlink_to(tmp_path / "private" / "salaries.csv")
    with pytest.raises(Refused, match="link in it"):
        here.source(Place(1, "pictures"))
    (images / "q.png").unlink()
    (tmp_path / "shared" / "pictures" / "labels").symlink_to(tmp_path / "private")
    with pytest.raises(Refused, match="link"):
        here.source(Place(1, "pictures"))


def test_a_pipe_is_no_file(here, tmp_path):
    os.mkfifo(tmp_path / "node" / "data" / "pipe.csv")
    with pytest.raises(Refused):
        here.source(Place(0, "pipe.csv"))
    assert "pipe.csv" not in {item.place.path for item in here.listing(Place(0))}


def test_the_nodes_own_folder_is_closed_whatever_was_allowed(tmp_path, here):
    wide = DataFolders(tmp_path / "node", [tmp_path, tmp_path / "node", tmp_path / "node" / "secrets"])
    for place in (
        Place(1, "node/secrets/keys.csv"),
        Place(1, "node/cloister.csv"),
        Place(2, "secrets/keys.csv"),
        Place(3, "keys.csv"),
        Place(2),
    ):
        with pytest.raises(Refused):
            wide.source(place)
    assert wide.source(Place(1, "node/data/a.csv")).read_text() == "x\n1\n"
    assert "node" not in {item.place.path for item in wide.listing(Place(1))}
    with pytest.raises(Refused):
        wide.listing(Place(3))


def test_a_path_from_elsewhere_counts_only_within_an_allowed_folder(here, tmp_path):
    assert here.may_register(tmp_path / "shared" / "c.csv") == Place(1, "c.csv")
    assert here.may_register(tmp_path / "shared" / "pictures") == Place(1, "pictures")
    (tmp_path / "way").symlink_to(tmp_path / "shared")
    for path in (
        "private/salaries.csv",
        "node/secrets/keys.csv",
        "way/c.csv",
        "shared/../private/salaries.csv",
        "shared2/c.csv",
    ):
        with pytest.raises(Refused):
            here.may_register(tmp_path / path)
    with pytest.raises(Refused):
        here.may_register((tmp_path / "shared" / "c.csv").relative_to(tmp_path))


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.csv", "a.csv"), ("../../secrets/x y.csv", "x-y.csv"), ("C:\\data\\Werte 1.TSV", "Werte-1.tsv"),
        ("\u202e\x1b[2J.csv", "2J.csv"), ("....csv", "table.csv"), ("-rf.csv", "rf.csv"),
    ],
)  # fmt: skip
def test_an_upload_becomes_a_new_file_with_a_plain_name(here, tmp_path, name, kept):
    place = here.receive(name, io.BytesIO(b"x\n1\n"))
    assert place == Place(0, f"uploads/{kept}")
    path = here.source(place)
    assert path.read_bytes() == b"x\n1\n"
    assert path.stat().st_mode & 0o777 == 0o600
    again = here.receive(name, io.BytesIO(b"y\n"))
    assert again != place
    assert path.read_bytes() == b"x\n1\n"


def test_an_upload_that_is_no_table_empty_or_too_large_leaves_nothing(here, tmp_path, monkeypatch):
    monkeypatch.setattr(data_folders, "UPLOAD_MOST", 100)
    for name, content, error in (
        ("a.exe", b"x", BadInput),
        ("a.csv", b"", BadInput),
        ("a.csv", b"x" * 101, TooLarge),
    ):
        with pytest.raises(error):
            here.receive(name, io.BytesIO(content))
    monkeypatch.setattr(data_folders, "UPLOADS_MOST", 150)
    here.receive("a.csv", io.BytesIO(b"x" * 100))
    with pytest.raises(OutOfSpace):
        here.receive("b.csv", io.BytesIO(b"x" * 100))
    assert [path.name for path in (tmp_path / "node" / "data" / "uploads").iterdir()] == ["a.csv"]


def test_only_an_upload_can_be_dropped(here, tmp_path):
    place = here.receive("a.csv", io.BytesIO(b"x\n1\n"))
    here.drop(Place(0, "a.csv"))
    here.drop(Place(1, "c.csv"))
    here.drop(Place(0, "uploads/../a.csv"))
    here.drop(place)
    assert (tmp_path / "node" / "data" / "a.csv").exists()
    assert (tmp_path / "shared" / "c.csv").exists()
    with pytest.raises(NotFound):
        here.source(place)

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from cloister.foundation.errors import BadInput, NotFound, OutOfSpace
from cloister.foundation.files import read_limited, write_atomically


def test_a_file_is_written_whole_and_no_trace_is_left(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [item.name for item in path.parent.iterdir()] == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_private_file_is_its_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_atomically(path, b"x", private=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_file_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(code, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutOfSpace):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_reading_is_limited_and_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_limited(path, 5) == b"12345"
    with pytest.raises(BadInput, match="too large"):
        read_limited(path, 4)
    with pytest.raises(NotFound):
        read_limited(tmp_path / "absent", 5)
    with pytest.raises(BadInput, match="folder"):
        read_limited(tmp_path, 5)

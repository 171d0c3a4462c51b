"""Which files of this server the page may register as datasets: those in folders that its operator allowed, and no others.

Whoever may register datasets on the page sees a profile of them. Without these rules that would be every file that the server's
process can read. Rules:
1. A file is named by the number of an allowed folder and a path below it, never by a path of the machine. The first allowed
   folder is the node's own `data`, where what people upload is put.
2. A path with `..`, an absolute one, and one with an empty or hidden part are refused before the disk is touched.
3. No part of it, and nothing among a picture dataset's own files, is a link: links are refused, not followed. Only plain files and
   folders count.
4. The node's folder is never readable this way, except its `data`, whatever was allowed: it holds keys and the database.
5. What is uploaded becomes a new file with a name of plain characters; nothing is overwritten. Files have a limit, and so has all
   of them together.

Not noticed: hard links, and links put there in the moment between looking and reading. Whoever can write in these folders is on
this machine, and is trusted with what they let the page read.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cloister.data.images import SUFFIXES
from cloister.data.profile import TABLE_SUFFIXES
from cloister.foundation.errors import BadInput, NotFound, OutOfSpace, Refused, TooLarge
from cloister.foundation.text import acts

UPLOAD_MOST = 64 << 20
UPLOADS_MOST = 4 << 30
_LISTED = 500
_DEPTH = 32
_PIECE = 1 << 20
_UPLOADS = "uploads"


@dataclass(frozen=True)
class Place:
    """Something in an allowed folder.

    Attributes:
        root: the number of the allowed folder.
        path: below it, with `/` between its parts; empty for the folder itself.
    """

    root: int
    path: str = ""

    @property
    def name(self) -> str:
        """The last part."""
        return self.path.rpartition("/")[2]

    def within(self, name: str) -> Place:
        """What is called `name` in this folder."""
        return Place(self.root, f"{self.path}/{name}" if self.path else name)

    @property
    def parent(self) -> Place:
        """The folder that it is in."""
        return Place(self.root, self.path.rpartition("/")[0])


@dataclass(frozen=True)
class Found:
    """An entry of a folder, as it is offered to people.

    Attributes:
        place: where.
        kind: a table; a folder of pictures; another folder.
        bytes: of a table.
        pictures: how many there are in a folder.
    """

    place: Place
    kind: str
    bytes: int = 0
    pictures: int = 0


class DataFolders:
    """The allowed folders of one node.

    Args:
        node: the node's own folder.
        allowed: what the operator allowed besides the node's `data`; links in these paths themselves are followed once, now.
    """

    def __init__(self, node: Path, allowed: Iterable[Path] = ()) -> None:
        self._node = Path(os.path.realpath(node))
        self.own = self._node / "data"
        roots = [self.own, *(Path(os.path.realpath(item)) for item in allowed)]
        self.roots = tuple(dict.fromkeys(roots))

    # Looking -------------------------------------------------------------------------------------------------------

    def path(self, place: Place) -> Path:
        """Where a place is on this machine.

        Raises:
            Refused: it is not one that may be named, or a link (clause `data-folder`).
            NotFound: there is nothing.
        """
        if not 0 <= place.root < len(self.roots):
            raise _outside()
        parts = place.path.split("/") if place.path else []
        if len(parts) > _DEPTH or any(not _plain(part) for part in parts):
            raise _outside()
        here = self.roots[place.root]
        if place.root == 0:
            here.mkdir(mode=0o700, exist_ok=True)
        for part in parts:
            here /= part
            _require_no_link(here)
        self._require_allowed(here)
        if not here.exists():
            raise NotFound("There is nothing at that place.", "", "Choose again.")
        return here

    def source(self, place: Place) -> Path:
        """A table file or a folder that may be registered. Raises as `path`; `Refused` also for links in the folder."""
        found = self.path(place)
        if found.is_dir():
            for folder in (found, found / "images", found / "labels"):
                if folder == found or os.path.lexists(folder):
                    _require_no_link(folder)
                    self._require_plain_files(folder)
            return found
        if not stat.S_ISREG(found.lstat().st_mode):
            raise _outside()
        return found

    def may_register(self, source: Path) -> Place:
        """The place of a path that somebody who is not on this machine named. Raises `Refused` or `NotFound`."""
        if not source.is_absolute() or ".." in source.parts or "\0" in str(source):
            raise _outside()
        for number, root in enumerate(self.roots):
            if source.is_relative_to(root):
                place = Place(number, source.relative_to(root).as_posix().removeprefix("."))
                self.source(place)
                return place
        raise _outside()

    def place_of(self, source: Path) -> Place | None:
        """Where among the allowed folders something lies, if it does."""
        with contextlib.suppress(Refused, NotFound):
            return self.may_register(source)
        return None

    def listing(self, place: Place) -> list[Found]:
        """What of a folder may be registered, or looked into: folders, then tables, by name; at most 500. Raises as `path`."""
        here = self.path(place)
        if not here.is_dir():
            raise NotFound("That is no folder.", "", "Choose again.")
        found = []
        for entry in _entries(here):
            below = place.within(entry.name)
            if entry.is_dir(follow_symlinks=False):
                if self._allowed(here / entry.name):
                    pictures = _count_pictures(here / entry.name)
                    found.append(Found(below, "pictures" if pictures else "folder", pictures=pictures))
            elif entry.is_file(follow_symlinks=False) and Path(entry.name).suffix.lower() in TABLE_SUFFIXES:
                found.append(Found(below, "table", entry.stat(follow_symlinks=False).st_size))
        order = {"folder": 0, "pictures": 1, "table": 2}
        return sorted(found, key=lambda item: (order[item.kind], item.place.name.casefold()))[:_LISTED]

    # Uploads -------------------------------------------------------------------------------------------------------

    def receive(self, name: str, content: BinaryIO) -> Place:
        """Keeps what somebody uploaded as a new file in the node's `data`.

        Args:
            name: as the browser calls it; only its last part counts, and of that only plain characters.
            content: the bytes; read within the limit.

        Raises:
            BadInput: it is no table by its name, or empty.
            TooLarge: it is larger than `UPLOAD_MOST`.
            OutOfSpace: all uploads together would be larger than `UPLOADS_MOST`, or the disk is full.
        """
        stem, suffix = _file_name(name)
        folder = self.own / _UPLOADS
        self.own.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        _require_no_link(folder)
        room = UPLOADS_MOST - sum(item.stat(follow_symlinks=False).st_size for item in _entries(folder))
        path = _new(folder, stem, suffix)
        try:
            size = _copy(content, path, room)
            if not size:
                raise BadInput("The file is empty.", "", "Choose another.")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Place(0, f"{_UPLOADS}/{path.name}")

    def drop(self, place: Place) -> None:
        """Deletes an uploaded file that is not wanted any more; nothing else can be deleted."""
        if place.root == 0 and place.parent.path == _UPLOADS:
            with contextlib.suppress(NotFound, Refused):
                self.path(place).unlink(missing_ok=True)

    # Inside --------------------------------------------------------------------------------------------------------

    def _allowed(self, path: Path) -> bool:
        own = path == self.own or path.is_relative_to(self.own)
        return own or not (path == self._node or path.is_relative_to(self._node))

    def _require_allowed(self, path: Path) -> None:
        if not self._allowed(path):
            raise _outside()

    @staticmethod
    def _require_plain_files(folder: Path) -> None:
        if not folder.is_dir():
            raise _outside()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
                    raise Refused(
                        "The folder has a link in it, or something that is no file.",
                        "Links could lead to what was not allowed.",
                        "Copy the files themselves into the folder.",
                        clause="data-folder",
                    )


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if _plain(entry.name) and not entry.is_symlink():
                yield entry


def _plain(name: str) -> bool:
    return bool(name) and not name.startswith(".") and "/" not in name and "\\" not in name and not acts(name)


def _require_no_link(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError):
        raise NotFound("There is nothing at that place.", "", "Choose again.") from None
    if stat.S_ISLNK(mode):
        raise Refused(
            "That is a link.",
            "Links could lead to what was not allowed, so none is followed.",
            "Put the file itself into the folder.",
            clause="data-folder",
        )


def _count_pictures(folder: Path) -> int:
    """How many pictures lie in a folder or its `images`; counted no further than is worth telling."""
    inner = folder / "images"
    home = inner if inner.is_dir() and not inner.is_symlink() else folder
    count = 0
    with contextlib.suppress(OSError):
        for entry in _entries(home):
            count += Path(entry.name).suffix.lower() in SUFFIXES
            if count >= 100_000:
                break
    return count


def _file_name(name: str) -> tuple[str, str]:
    last = re.split(r"[\\/]", name)[-1]
    suffix = Path(last).suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise BadInput(
            "That is no table.",
            "Tables end in .csv, .tsv or .parquet. Pictures are registered from a folder on the server.",
            "Choose another file.",
        )
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(last).stem).strip("-")[:80]
    return stem or "table", suffix


def _new(folder: Path, stem: str, suffix: str) -> Path:
    for ending in ("", *(f"-{number}" for number in range(2, 100)), f"-{secrets.token_hex(8)}"):
        path = folder / f"{stem}{ending}{suffix}"
        with contextlib.suppress(FileExistsError):
            os.close(
                os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
            )
            return path
    raise BadInput("There are too many files of that name.", "", "Rename it.")


def _copy(content: BinaryIO, path: Path, room: int) -> int:
    size = 0
    with path.open("r+b") as stream:
        while piece := content.read(_PIECE):
            size += len(piece)
            if size > UPLOAD_MOST:
                raise TooLarge(
                    "The file is too large to upload.",
                    f"At most {UPLOAD_MOST >> 20} MiB are taken on the page.",
                    "Copy it into one of the data folders of the server, and choose it there.",
                )
            if size > room:
                raise OutOfSpace(
                    "Uploaded files take up all their room.",
                    f"Together they may have {UPLOADS_MOST >> 30} GiB.",
                    "Remove some from the server's data folder, or allow a folder of its own.",
                )
            stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())
    return size


def _outside() -> Refused:
    return Refused(
        "That is not in a data folder of this server.",
        "The page registers files only from the server's own data folder and those that its operator allowed.",
        "Copy the files there, or start the server with --data-folder DIR.",
        clause="data-folder",
    )

"""Which files a person means who names files and folders.

Rules:
1. A named file is taken whatever its name; what it is, its content tells.
2. A named folder stands for the files in it that a tool can take, told by their endings, and those in its folders, unless only
   the folder itself is asked for. Hidden files and folders (`.name`), links to folders, and folders with results are passed by.
3. The order is that of the arguments, and within a folder that of the names, so that the same folder gives the same order.
4. A file that is named twice, or lies in a named folder too, is taken once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cloister.data.images import SUFFIXES
from cloister.foundation.errors import BadInput, CloisterError
from cloister.tools.inputs import called

RECORD = "samples.db"
"""The record that a folder with results has in it; see `samples`."""

_TABLES = frozenset({".csv", ".parquet"})


@dataclass(frozen=True)
class Found:
    """A file that is meant; or a folder that gives none, and why."""

    path: Path
    error: CloisterError | None = None


def endings(kind: str) -> frozenset[str]:
    """The endings of what a tool takes from a folder: of pictures, or of tables for a tool that takes a `table`."""
    return _TABLES if kind == "table" else SUFFIXES


def discover(
    paths: Iterable[Path],
    suffixes: frozenset[str] = SUFFIXES,
    *,
    recursive: bool = True,
    out: Path | None = None,
) -> list[Found]:
    """The files that `paths` stand for, in order, each once.

    Args:
        paths: files and folders.
        suffixes: the endings that count within folders, small letters, with their dots.
        recursive: also what lies in folders of a named folder.
        out: a folder for results, passed by wherever it lies.
    """
    found: list[Found] = []
    seen: set[str] = set()
    for path in paths:
        if not path.is_dir():
            candidates: Iterable[Found] = [Found(path)]
        else:
            candidates = _folder(path, suffixes, recursive=recursive, out=out)
        for candidate in candidates:
            place = os.path.normcase(os.path.abspath(candidate.path))  # noqa: PTH100 - links stay as they are named
            if place not in seen:
                seen.add(place)
                found.append(candidate)
    return found


def files_in(
    folder: Path, suffixes: frozenset[str], *, recursive: bool = True, out: Path | None = None
) -> Iterator[os.DirEntry[str]]:
    """The files of a folder that count, sorted (rule 2).

    Raises:
        OSError: the folder itself cannot be listed; a folder in it that cannot be is passed by.
    """
    with os.scandir(folder) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    results = None if out is None else os.path.normcase(os.path.abspath(out))  # noqa: PTH100 - as above
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            place = os.path.normcase(os.path.abspath(entry.path))  # noqa: PTH100 - as above
            if not recursive or place == results or os.path.exists(os.path.join(entry.path, RECORD)):  # noqa: PTH110,PTH118 - names that are no text
                continue
            try:
                yield from files_in(Path(entry.path), suffixes, out=out)
            except OSError:
                continue
        elif os.path.splitext(entry.name)[1].lower() in suffixes and not entry.is_dir():  # noqa: PTH122 - the name alone
            yield entry


def _folder(folder: Path, suffixes: frozenset[str], *, recursive: bool, out: Path | None) -> Iterator[Found]:
    shown, known = called(folder), ", ".join(sorted(suffixes))
    try:
        taken = [
            Found(Path(entry.path)) for entry in files_in(folder, suffixes, recursive=recursive, out=out)
        ]
    except OSError as error:
        yield Found(
            folder,
            BadInput(f"The folder {shown} cannot be listed.", error.strerror or "", "Check who may read it."),
        )
        return
    if not taken:
        yield Found(
            folder,
            BadInput(
                f"The folder {shown} has no file that the tool takes.",
                f"In a folder, files with these endings are looked at: {known}.",
                f"Name the pictures: {shown}/*.png",
            ),
        )
    yield from taken

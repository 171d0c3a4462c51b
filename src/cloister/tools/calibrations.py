"""Calibrations on this machine: made from pictures of a scale, kept in files, or by name in one folder.

Rules:
1. A calibration that is kept is never changed: results name its digest, so another one takes another name (with its month or
   number in it), or the old one is removed first.
2. What lies in the folder is read within limits each time it is used, as a file of anybody's would be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.data.images import LIMITS, ImageLimits, decode_image
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, CloisterError, Conflict, NotFound
from cloister.foundation.files import read_limited, write_atomically
from cloister.sizing.calibration import MAX_BYTES, Calibration, read
from cloister.sizing.ruled_lines import MAX_SIDE, RuledLines, find_lines

SUFFIX: Final = ".json"
MAX_KEPT: Final = 1000
MAX_PIXELS: Final = 50_000_000
"""Of a picture of a scale; its Fourier transform takes about forty bytes for each pixel."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")


def default_folder() -> Path:
    """Where this user's calibrations are kept."""
    import platformdirs

    return platformdirs.user_data_path("cloister", appauthor=False) / "calibrations"


@dataclass(frozen=True)
class Kept:
    """What lies in the folder under a name: a calibration, or why it cannot be used."""

    name: str
    calibration: Calibration | None
    error: CloisterError | None = None


class Calibrations:
    """The calibrations in one folder, one file `NAME.json` for each.

    Args:
        folder: where; `default_folder()` unless given.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else default_folder()

    def list(self) -> tuple[Kept, ...]:
        """All of them by name, also those that cannot be read."""
        return tuple(self._kept(name) for name in self._names())

    def get(self, name: str) -> Calibration:
        """The calibration of that name. Raises `NotFound`, or `BadInput` if its file is damaged."""
        path = self._path(name)
        if not path.is_file():
            raise NotFound(
                f"There is no calibration {name!r}.",
                "None is kept under that name.",
                "See: cloister calibration list; or name a file that ends in .json",
            )
        return read(read_limited(path, MAX_BYTES))

    def keep(self, name: str, calibration: Calibration) -> None:
        """Keeps a calibration under a name (rule 1).

        Raises:
            BadInput: it cannot be a name.
            Conflict: another one has that name, or too many are kept.
        """
        path = self._path(name)
        if path.exists():
            if read(read_limited(path, MAX_BYTES)) == calibration:
                return
            raise Conflict(
                f"There is a calibration {name!r} already.",
                "Results name it, so it is not changed.",
                "Choose another name, for example with the month in it.",
            )
        if sum(1 for _ in self._names()) >= MAX_KEPT:
            raise Conflict(
                "No more calibrations are kept.", f"There are {MAX_KEPT} already.", "Remove old ones."
            )
        write_atomically(path, calibration.canonical())

    def remove(self, name: str) -> None:
        """Removes it. Results that were measured with it stay as they are. Raises `NotFound`."""
        path = self._path(name)
        if not path.is_file():
            self.get(name)
        path.unlink(missing_ok=True)

    def _names(self) -> Iterator[str]:
        if not self.folder.is_dir():
            return
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            if _usable(path.stem) and path.is_file():
                yield path.stem

    def _kept(self, name: str) -> Kept:
        try:
            return Kept(name, self.get(name))
        except CloisterError as error:
            return Kept(name, None, error)

    def _path(self, name: str) -> Path:
        if not _usable(name):
            raise BadInput(
                "This cannot be the name of a calibration.",
                "A name has small letters, digits, points, hyphens and underscores, 64 at most, and begins and ends with a letter or digit.",
                "For example: line-3-10x",
            )
        return self.folder / f"{name}{SUFFIX}"


def open_calibration(given: str, folder: Path | None = None) -> Calibration:
    """A calibration as a command names it: a file that ends in `.json`, or a name in the folder.

    Raises:
        NotFound: there is none.
        BadInput: it is malformed.
    """
    if given.endswith(SUFFIX) or "/" in given or "\\" in given:
        return read(read_limited(Path(given), MAX_BYTES))
    return Calibrations(folder).get(given)


@dataclass(frozen=True)
class Ruler:
    """A picture of a scale.

    Attributes:
        size: width and height, upright, pixels.
        digest: of the file.
        lines: equally spaced lines in it, or None.
        error: why there are none.
    """

    size: tuple[int, int]
    digest: str
    lines: RuledLines | None
    error: CloisterError | None = None


def look_at_ruler(data: bytes, name: str, limits: ImageLimits = LIMITS) -> Ruler:
    """What a picture of a scale shows. Decodes foreign bytes: servers do it in a confined worker.

    Raises:
        BadInput: it is no picture, or too large.
    """
    pixels = decode_image(data, ImageLimits(limits.max_bytes, min(limits.max_pixels, MAX_PIXELS)), name=name)
    size = (int(pixels.shape[1]), int(pixels.shape[0]))
    if max(size) > MAX_SIDE:
        raise BadInput(
            f"{name} is too large.",
            f"{MAX_SIDE} pixels a side are looked at.",
            "Mark two points with --points and --size instead.",
        )
    try:
        return Ruler(size, digest(data), find_lines(pixels))
    except BadInput as error:
        return Ruler(size, digest(data), None, error)


def _usable(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and not name.endswith(SUFFIX)

r"""A file as the input of a tool: read once, within limits, whatever it turns out to be; and what people call it.

Rules:
1. Only regular files are opened: a pipe or a device would be waited for, or never end.
2. What stands in the way is told: a folder, a link in a circle or to nothing, a file that may not be read.
3. A file's name is foreign text. Wherever it is shown, printed or stored, bytes that are no text and characters that act on a
   terminal are written as escapes (`\x1b`), so that one name is the same everywhere and can be found again.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from cloister.data.images import ImageLimits
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, NotFound
from cloister.foundation.files import read_limited
from cloister.tools import types as t
from cloister.tools.manifest import Manifest


def called(path: Path | str) -> str:
    """A path in words that can be shown and stored anywhere: what is no text, or acts, is escaped (rule 3)."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or (letter.isspace() and letter not in _ACTING) else _escape(letter)
        for letter in text
    )


_ACTING = "\t\n\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029"


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def wanted_kind(manifest: Manifest) -> str:
    """`file` or `table`: what a tool takes. Raises `BadInput` for a tool that takes several inputs."""
    if len(manifest.inputs) != 1:
        raise BadInput(
            "This tool takes several inputs.", "Running over files gives it one.", "Use it from the sdk."
        )
    return next(iter(manifest.inputs.values())).kind


def read_input(manifest: Manifest, path: Path, limits: ImageLimits) -> tuple[t.Value, str]:
    """The input for a tool in a file, and the digest of the file's bytes.

    Args:
        manifest: of the tool, which takes one input.
        path: of the file.
        limits: how large it may be.

    Raises:
        NotFound: there is no such file.
        BadInput: it is no regular file, cannot be read, or is no table (of pictures, the first step tells).
    """
    kind = wanted_kind(manifest)
    name = called(path.name or path)
    try:
        _regular(path)
        if kind == "file":
            data = read_limited(path, limits.max_bytes)
            return t.File(data, name), digest(data)
        from cloister.tools.tables import read_tool_table

        return read_tool_table(path, next(iter(manifest.inputs.values())).columns)
    except OSError as error:
        raise BadInput(
            f"{name} could not be read.",
            error.strerror or "",
            "Check who may read it, and the disk that it lies on.",
        ) from None


def _regular(path: Path) -> None:
    shown = called(path)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise BadInput(
                f"{shown} is a link that leads to nothing.",
                "What it named is not there any more.",
                "Name the picture itself.",
            ) from None
        raise NotFound(f"There is no file {shown}.", "", "Check the path.") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise BadInput(
                f"{shown} is a link that leads back to itself.",
                "Links that go in a circle have no end.",
                "Name the picture itself.",
            ) from None
        raise
    if stat.S_ISDIR(mode):
        raise BadInput(f"{shown} is a folder.", "A tool looks at files.", f"Name the pictures: {shown}/*.png")
    if not stat.S_ISREG(mode):
        raise BadInput(
            f"{shown} is not a file.",
            "Pipes and devices cannot be looked at.",
            "Name the pictures themselves.",
        )

"""Where a passphrase may come from: a file only its owner can read, a file descriptor, or a person at a terminal.

Rules:
1. Never from a program's arguments, nor from an environment variable's value: other processes can read those. The
   environment names a file.
2. A file that others can read or write is refused (where the system has owners and modes).
3. A new passphrase has at least `SHORTEST` characters and, typed, is typed twice.
4. A passphrase is the same however a keyboard composes its letters (Unicode NFC).
"""

from __future__ import annotations

import getpass
import os
import stat
import sys
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path

from cloister.foundation.errors import BadInput, NotFound, Refused

ENVIRONMENT = "CLOISTER_PASSPHRASE_FILE"
SHORTEST = 10
LONGEST = 1024


def passphrase(
    environment: Mapping[str, str],
    *,
    descriptor: int | None = None,
    new: bool = False,
    prompt: Callable[[str], str] | None = None,
) -> bytes:
    """The passphrase as bytes for `keystore.Passphrase`.

    Looked for in this order: the file descriptor, the file that `CLOISTER_PASSPHRASE_FILE` names, the terminal.

    Args:
        environment: usually `os.environ`.
        descriptor: an open, readable file descriptor whose first line is the passphrase.
        new: a passphrase is being chosen; it must be long enough, and is asked for twice.
        prompt: asks a person without echo; by default `getpass`, where there is a terminal.

    Raises:
        NotFound: there is neither file nor terminal.
        Refused: others can read the file.
        BadInput: empty, too short for a new one, too long, or typed differently the second time.
    """
    if descriptor is not None:
        return clean(_from_descriptor(descriptor), new=new)
    if name := environment.get(ENVIRONMENT):
        return clean(_from_file(Path(name)), new=new)
    if prompt is None:
        if not sys.stdin.isatty():
            raise NotFound(
                "No passphrase was given.",
                "There is no terminal to ask at.",
                f"Write it to a file that only you can read (mode 0600) and name it in {ENVIRONMENT}.",
            )
        prompt = getpass.getpass
    first = prompt("Passphrase: ")
    if new and prompt("Passphrase again: ") != first:
        raise BadInput("The passphrases differ.", "What was typed twice is not the same.", "Try again.")
    return clean(first, new=new)


def _from_descriptor(descriptor: int) -> str:
    try:
        data = os.read(descriptor, LONGEST + 2)
    except OSError:
        raise BadInput(
            "The passphrase could not be read.", "The file descriptor is not open.", "Open it for reading."
        ) from None
    return _first_line(data)


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            state = os.fstat(stream.fileno())
            if os.name == "posix" and (
                stat.S_IMODE(state.st_mode) & 0o077 or state.st_uid not in {os.getuid(), 0}
            ):
                raise Refused(
                    "The passphrase file is not private.",
                    f"Others can read or change {path}, or it is somebody else's.",
                    f"Run: chmod 600 {path}",
                    clause="passphrase-file",
                )
            data = stream.read(LONGEST + 2)
    except FileNotFoundError:
        raise NotFound(
            f"There is no passphrase file {path}.", f"{ENVIRONMENT} names it.", "Check the path."
        ) from None
    except (IsADirectoryError, PermissionError):
        raise BadInput(
            f"The passphrase file {path} could not be read.", "It is a folder or not yours.", "Check it."
        ) from None
    return _first_line(data)


def _first_line(data: bytes) -> str:
    try:
        return data.split(b"\n", 1)[0].removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError:
        raise BadInput("The passphrase is not UTF-8 text.", "", "Write it as UTF-8 text.") from None


def clean(text: str, *, new: bool) -> bytes:
    """A passphrase that somebody typed, as bytes for `keystore.Passphrase`. Raises `BadInput` as `passphrase` does."""
    if not text or len(text) > LONGEST:
        raise BadInput(
            "The passphrase is empty or too long.",
            f"It may have 1 to {LONGEST} characters.",
            "Give another one.",
        )
    if new and len(text) < SHORTEST:
        raise BadInput(
            "The passphrase is too short.",
            f"A new one needs at least {SHORTEST} characters.",
            "Four random words are good.",
        )
    return unicodedata.normalize("NFC", text).encode("utf-8")

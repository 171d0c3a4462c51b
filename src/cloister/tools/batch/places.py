"""Where a plant's own database of samples is: a SQLite file, or a PostgreSQL server by its URL.

Rule: a URL with a password comes from a file or the environment, never from a command's arguments, which every user of the
machine can read in the list of processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from cloister.foundation.errors import BadInput, NotFound, Refused
from cloister.foundation.files import read_limited
from cloister.tools.batch.discovery import RECORD
from cloister.tools.batch.samples import Samples
from cloister.tools.inputs import called

VARIABLE: Final = "CLOISTER_SAMPLES_DATABASE"
_LONGEST = 4096


def plant_database(
    given: str | None, url_file: Path | None, environment: Mapping[str, str]
) -> Samples | None:
    """The plant's own database, made if it is not there; None if none is named.

    Args:
        given: a path, or a URL without a password.
        url_file: a file whose first line is a path or a URL.
        environment: `CLOISTER_SAMPLES_DATABASE` in it is a path or a URL; looked at last.

    Raises:
        Refused: a password stands in the argument (clause `no-password-in-arguments`).
        CloisterError: as `Samples.open_file` and `Samples.open_server`.
    """
    place = _place(given, url_file, environment)
    return None if place is None else _open(place, make=True)


def read_database(given: str | None, url_file: Path | None, environment: Mapping[str, str]) -> Samples:
    """The database to read from: as `plant_database`, or a folder with results. Raises `NotFound` if it is not there."""
    place = _place(given, url_file, environment)
    if place is None:
        raise BadInput(
            "No database is named.",
            "There is no argument, no --database-url-file, and no " + VARIABLE + ".",
            "Name a folder with results, or a database.",
        )
    return _open(place, make=False)


def _place(given: str | None, url_file: Path | None, environment: Mapping[str, str]) -> str | None:
    if given and url_file is not None:
        raise BadInput("Two databases are named.", "Each way names one.", "Leave one of them out.")
    if given:
        if "://" in given and _has_password(given):
            raise Refused(
                "A password in the arguments can be read by every user of this machine.",
                "Arguments stand in the list of processes.",
                f"Write the URL into a file for --database-url-file, or into {VARIABLE}.",
                clause="no-password-in-arguments",
            )
        return given
    if url_file is not None:
        text = read_limited(url_file, _LONGEST).decode("utf-8", "replace").strip().partition("\n")[0].strip()
        if not text:
            raise BadInput(f"{url_file.name} is empty.", "", "Write the database's URL into its first line.")
        return text
    return environment.get(VARIABLE) or None


def _has_password(url: str) -> bool:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # What cannot be read may hold one.
        return "@" in url
    return bool(parsed.password) or "password" in parsed.query


def _open(place: str, *, make: bool) -> Samples:
    if "://" in place:
        return Samples.open_server(place, with_objects=make)
    path = Path(place)
    if path.is_dir():
        path = path / RECORD
    if not make and not path.is_file():
        raise NotFound(
            f"There are no samples in {called(place)}.",
            "It is neither a folder with results nor a database.",
            "Run a tool with --out first, and name that folder.",
        )
    return Samples.open_file(path, with_objects=make)

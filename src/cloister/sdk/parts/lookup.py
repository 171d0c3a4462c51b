"""Finding one of a list by what people type, and reading what they wrote into files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from cloister.foundation.errors import BadInput, NotFound
from cloister.foundation.files import read_limited
from cloister.sdk.records import until
from cloister.sdk.tables import Record

R = TypeVar("R", bound=Record)


def find(listing: Callable[[], Sequence[R]], field: str, name: str, wait: float) -> R:
    """One of what is listed, by its digest, the beginning of that, or `latest`.

    Args:
        listing: gives all of them.
        field: of a record: its digest; also what it is called in an error.
        name: which.
        wait: seconds to wait for it to come.

    Raises:
        NotFound: there is none, and none was waited for.
        Unreachable: none came.
    """

    def one() -> R | None:
        found = listing()
        if name == "latest":
            return found[-1] if found else None
        matching = [item for item in found if _short(item.facts[field]).startswith(_short(name))]
        return matching[0] if len(matching) == 1 and len(_short(name)) >= 8 else None

    now = one()
    if now is not None:
        return now
    if wait <= 0:
        raise NotFound(f"There is no such {field} here.", "", "Look at the list.")
    return until(one, wait, f"The {field} has not come.")


def _short(name: str) -> str:
    return name.removeprefix("sha256:")


def read_json(path: str | Path, what: str) -> Any:
    """The JSON of a file. Raises `BadInput`, which says `what` it should be."""
    try:
        return json.loads(read_limited(Path(path), 8 << 20))
    except ValueError:
        raise BadInput(f"{Path(path).name} is not {what}.", "It is no JSON.", "Give another file.") from None

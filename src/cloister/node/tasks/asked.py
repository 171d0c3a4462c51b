"""Computations that people here mean to ask for: kept by digest, so that a plan can be looked at again with other wishes.

Nothing of it was sent to anybody. The last `MOST` are kept; what is in a task's plan is found there as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from cloister.claims.offers import Computation
from cloister.foundation.canonical import canonical
from cloister.foundation.documents import invalid
from cloister.foundation.errors import NotFound
from cloister.storage.database import Database
from cloister.storage.settings import Settings

MOST = 100
_KEY = "asked/computations"


def keep(database: Database, computation: Mapping[str, Any]) -> Computation:
    """Keeps a computation (`kind`, `contents`, `settings`). Raises `BadInput` if it is none."""
    try:
        made = Computation.model_validate_json(canonical(dict(computation)))
    except ValidationError as error:
        raise invalid(error, "A computation") from None
    with database.transaction() as tx:
        settings = Settings(tx)
        kept: list[str] = settings.get(_KEY, [])
        names = [name for name in kept if name != made.digest]
        for old in names[: max(0, len(names) + 1 - MOST)]:
            settings.remove(f"asked/{old}")
        settings.put(_KEY, [*names[-(MOST - 1) :], made.digest])
        settings.put(f"asked/{made.digest}", made.model_dump(mode="json"))
    return made


def kept(database: Database, name: str) -> Computation:
    """The computation of that digest. Raises `NotFound`."""
    with database.read() as tx:
        found = Settings(tx).get(f"asked/{name}")
    if found is None:
        raise NotFound(
            "What was to be computed is not kept here any more.",
            f"This server keeps the last {MOST} that were looked at.",
            "Choose it again.",
        )
    return Computation.model_validate_json(canonical(found))

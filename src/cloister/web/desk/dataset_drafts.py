"""Datasets that somebody is about to register: what was typed so far, kept at this node until it is registered or given up.

A draft holds what a person typed and names of columns, no value of the data. It outlives the browser's tab and the server's
restart. There are at most `DRAFTS_MOST`; the oldest goes for a new one.
"""

from __future__ import annotations

import secrets
from typing import Any

from pydantic import ValidationError

from cloister.foundation.clock import Clock
from cloister.foundation.errors import NotFound
from cloister.storage.database import Database
from cloister.storage.settings import Settings
from cloister.web.views.dataset_draft import Draft

DRAFTS_MOST = 20
_PREFIX = "dataset-draft/"


class Drafts:
    """The drafts of one node."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def begin(self, source: str, by: str, *, uploaded: bool = False, **known: Any) -> Draft:
        """A new one."""
        draft = Draft.model_validate(
            {
                "id": secrets.token_hex(8),
                "at": self._clock.now(),
                "by": by,
                "source": source,
                "uploaded": uploaded,
                **known,
            }
        )
        for old in self.all()[DRAFTS_MOST - 1 :]:
            self.drop(old.id)
        self.keep(draft)
        return draft

    def keep(self, draft: Draft) -> None:
        """Keeps it as it is now."""
        with self._database.transaction() as tx:
            Settings(tx).put(_PREFIX + draft.id, draft.model_dump(mode="json"))

    def get(self, name: str) -> Draft:
        """One of them. Raises `NotFound`."""
        with self._database.read() as tx:
            value = Settings(tx).get(_PREFIX + name[:40])
        if value is not None:
            try:
                return Draft.model_validate(value)
            except ValidationError:
                pass
        raise NotFound(
            "This is not being registered any more.", "It was registered, or given up.", "Begin again."
        )

    def all(self) -> list[Draft]:
        """All, newest first."""
        found = []
        with self._database.read() as tx:
            settings = Settings(tx)
            for name in settings.names(_PREFIX):
                try:
                    found.append(Draft.model_validate(settings.get(name)))
                except ValidationError:
                    continue  # of another version
        return sorted(found, key=lambda item: (-item.at, item.id))

    def drop(self, name: str) -> None:
        """Forgets it."""
        with self._database.transaction() as tx:
            Settings(tx).remove(_PREFIX + name)

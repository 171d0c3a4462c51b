"""Datasets that somebody is about to register: what was typed so far, kept at this node until it is registered or given up.

A draft holds what a person typed and names of columns, no value of the data. It outlives the browser's tab and the server's
restart. There are at most `DRAFTS_MOST`; the oldest goes for a new one.
"""

from __future__ import annotations

import secrets
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.data.schema import ColumnKind, Sensitivity
from cloister.foundation.clock import Clock
from cloister.foundation.errors import NotFound
from cloister.storage.database import Database
from cloister.storage.settings import Settings

DRAFTS_MOST = 20
_PREFIX = "dataset-draft/"


class Draft(BaseModel):
    """What was typed so far.

    Attributes:
        id: a random word; the draft's address.
        at: when it was begun.
        by: who began it.
        source: the file or folder, absolute.
        uploaded: it was uploaded for this draft.
        replaces: the dataset of which this becomes a new version.
        decimal: the decimal sign that somebody chose; empty for the one that fits.
        kinds: columns that somebody wants read otherwise than they look.
        sensitivity, units, descriptions: by column; sensitivity of pictures under the empty name.
        unit: the unit of privacy: `record`, `image`, or `column:NAME`.
        name, title, residency, tell_size, description, micrometres: as in `data.registration.DatasetFields`, as typed.
        notes: for this organisation alone.
        population: empty for none now, `existing`, or `new`.
        population_name, epsilon, delta: of the protected population.
        columns_done, rules_done: which steps were gone through.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    at: int
    by: str = ""
    source: str
    uploaded: bool = False
    replaces: str = ""
    decimal: Literal["", ".", ","] = ""
    kinds: dict[str, ColumnKind] = Field(default_factory=dict)
    sensitivity: dict[str, Sensitivity] = Field(default_factory=dict)
    units: dict[str, str] = Field(default_factory=dict)
    descriptions: dict[str, str] = Field(default_factory=dict)
    unit: str = ""
    name: str = ""
    title: str = ""
    residency: str = ""
    tell_size: bool = False
    description: str = ""
    micrometres: str = ""
    notes: str = ""
    population: Literal["", "existing", "new"] = ""
    population_name: str = ""
    epsilon: str = ""
    delta: str = ""
    columns_done: bool = False
    rules_done: bool = False


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

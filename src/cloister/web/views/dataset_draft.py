"""What was typed so far of a dataset that somebody is about to register; `desk.dataset_drafts` keeps it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cloister.data.schema import ColumnKind, Sensitivity


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

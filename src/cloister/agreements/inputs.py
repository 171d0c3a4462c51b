"""What a template of an agreement asks for: who takes part, with which data, for what, and how strictly.

People answer these few questions, on the command line or in the web; `templates` makes whole terms of them.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from cloister.agreements.clauses import Instant, Line, QualityFloor
from cloister.claims.offers import Digest
from cloister.data.schema import Name, Sensitivity
from cloister.identity.keys import PartyId


class NamedParty(BaseModel):
    """A party by fingerprint, with the name to print."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    party: PartyId
    name: Line


class DataOwner(NamedParty):
    """An owner and the one dataset that it brings in.

    Attributes:
        dataset: its registered name.
        commitment: exactly this version, or any that is registered by the name.
        columns: the columns that may be used, for tables.
        samples: how many of its records it may disclose to the researchers, all told; none if absent.
        figures: how many questions about figures its server answers without a person, all told; none if absent.
    """

    dataset: Name
    commitment: Digest | None = None
    columns: tuple[str, ...] | None = None
    samples: int | None = Field(default=None, ge=1, le=10_000)
    figures: int | None = Field(default=None, ge=1, le=100)


class Inputs(BaseModel):
    """What every template asks for.

    Attributes:
        title: for people.
        owners: who brings data.
        researchers: who may ask for work.
        users: who also receives results, without giving data.
        witnesses: independent ones; where none are named, the parties countersign each other's log.
        purposes: what it is for.
        starts: first second.
        days: how long it holds.
        uid: a name for the agreement; derived from all inputs if absent, so that the same inputs give the same terms.
        digests: computations approved by signing.
        epsilon, delta: privacy budget of each owner's dataset; none if absent.
        unit: what one protected unit is.
        owners_per_unit: at how many owners one unit may be, as the parties state; at all of them if absent.
        quorum: how many owners must sign a result before it leaves; all of them if absent.
        quality: metric and minimum that an owner's own check data must show.
        minimum_group: the fewest units that an answer may speak of.
        dropouts: owners that may drop out of a task that still gives a result.
        residency: countries where the data is kept.
        sensitivity: the highest that may be used; the template's own if absent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    title: Line
    owners: tuple[DataOwner, ...] = Field(min_length=1, max_length=50)
    researchers: tuple[NamedParty, ...] = Field(default=(), max_length=50)
    users: tuple[NamedParty, ...] = Field(default=(), max_length=50)
    witnesses: tuple[NamedParty, ...] = Field(default=(), max_length=50)
    purposes: tuple[Line, ...] = Field(min_length=1, max_length=32)
    starts: Instant
    days: int = Field(default=365, ge=1, le=36500)
    uid: str | None = None
    digests: tuple[Digest, ...] = ()
    epsilon: float | None = Field(default=None, gt=0, le=1000)
    delta: float = Field(default=1e-6, ge=0, lt=1)
    unit: Line = "record"
    owners_per_unit: int | None = Field(default=None, ge=1, le=50)
    quorum: int | None = Field(default=None, ge=1, le=50)
    quality: QualityFloor | None = None
    minimum_group: int = Field(default=10, ge=1)
    dropouts: int = Field(default=0, ge=0)
    residency: tuple[str, ...] = ()
    sensitivity: Sensitivity | None = None

"""The clauses that an agreement is made of: members, datasets, computations, floors, budgets, releases, duties.

Each class is one clause with its limits; `terms.Terms` puts them together and checks that they fit each other.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Iterable
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from cloister.claims.offers import Digest, SeatName, Time
from cloister.claims.vocabulary import Assumption, Claim
from cloister.data.schema import ColumnName, Sensitivity
from cloister.data.schema import Name as DatasetName
from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.errors import CloisterError
from cloister.identity.keys import PartyId

MODEL = ConfigDict(frozen=True, extra="forbid", strict=True)
MAX_PARTIES = 60
"""An envelope carries at most 64 signatures; every member signs."""

Role: TypeAlias = Literal["owner", "researcher", "user", "witness", "auditor"]
Kind: TypeAlias = Literal["training", "query", "join", "scoring", "statement"]
ProtectionName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _printable(text: str) -> str:
    if any(unicodedata.category(letter) in _UNSEEN for letter in text):
        raise ValueError("text has characters that cannot be seen or that change the reading direction")
    if text != text.strip() or text != unicodedata.normalize("NFC", text):
        raise ValueError("text has spaces at its ends or is not in Unicode's composed form (NFC)")
    return text


Line: TypeAlias = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]


def _instant(text: str) -> str:
    try:
        parse_rfc3339(text)
    except CloisterError:
        raise ValueError("not a time of the form 2026-11-22T14:00:00Z") from None
    return text


Instant: TypeAlias = Annotated[Time, AfterValidator(_instant)]


class Member(BaseModel):
    """A party to the agreement.

    Attributes:
        party: its fingerprint.
        name: as printed in the agreement; signatures count for the fingerprint, not for the name.
        roles: what it is here; `researcher` may request, `owner` has data in it, `user` may use results.
        seats: which seats of a task it may take.
    """

    model_config = MODEL

    party: PartyId
    name: Line
    roles: tuple[Role, ...] = Field(min_length=1, max_length=5)
    seats: tuple[SeatName, ...] = Field(default=(), max_length=16)


class UsableDataset(BaseModel):
    """A dataset that may be used, and how far.

    Attributes:
        owner: whose it is.
        name: as registered at its owner.
        commitment: exactly this version; `None` is whichever version the owner has registered under this name.
        columns: the columns that may be used; `None`: all that there are, or data without columns (images).
        sensitivity: the highest sensitivity of a column, or of the images, that may be used.
        samples: how many of its records the owner may disclose, all told, to the researchers of this agreement, each by a
            decision of its own (`disclosure`); `None`: none.
        figures: how many different questions of the researchers about a tool's figures on its labelled pictures the owner's
            server answers, all told, without asking a person (`disclosure.figure_permission`); `None`: none.
    """

    model_config = MODEL

    owner: PartyId
    name: DatasetName
    commitment: Digest | None = None
    columns: tuple[ColumnName, ...] | None = Field(default=None, min_length=1, max_length=2000)
    sensitivity: Sensitivity = "confidential"
    samples: int | None = Field(default=None, ge=1, le=10_000)
    figures: int | None = Field(default=None, ge=1, le=100)


class AllowedComputation(BaseModel):
    """A kind of work that may be done, by which privacy methods, and who says yes to the single computation.

    Attributes:
        kind: what sort of work.
        protections: the privacy methods that may do it, by name.
        experimental: those of them that may run although they are experimental.
        approval: `listed`: only the computations in `digests`; `each-time`: also others that every affected owner
            approves by digest, each time.
        digests: computations that are approved by signing this.
        records: training whose result is not differentially private: `refused`, or `owner-accepts` for each
            computation's digest with the sentence "may contain input records".
        digests_with_records: computations that every party accepts, by signing this, with that sentence.
    """

    model_config = MODEL

    kind: Kind
    protections: tuple[ProtectionName, ...] = Field(min_length=1, max_length=16)
    experimental: tuple[ProtectionName, ...] = Field(default=(), max_length=16)
    approval: Literal["listed", "each-time"] = "each-time"
    digests: tuple[Digest, ...] = Field(default=(), max_length=256)
    records: Literal["refused", "owner-accepts"] = "refused"
    digests_with_records: tuple[Digest, ...] = Field(default=(), max_length=256)

    @model_validator(mode="after")
    def _coherent(self) -> AllowedComputation:
        distinct(self.protections, "a privacy method")
        distinct(self.experimental, "an experimental method")
        distinct(self.digests, "a computation")
        distinct(self.digests_with_records, "a computation")
        if not set(self.experimental) <= set(self.protections):
            raise ValueError("a method is allowed as experimental but not allowed")
        if self.approval == "listed" and not self.digests:
            raise ValueError("only listed computations are allowed, and none is listed")
        if not set(self.digests_with_records) <= set(self.digests):
            raise ValueError("a computation is accepted with records but is not listed")
        if self.records == "refused" and self.digests_with_records:
            raise ValueError("results with records are refused, and accepted for some computations")
        if self.kind != "training" and self.records != "refused":
            raise ValueError("only training can be accepted with results that may contain input records")
        return self


class Floor(BaseModel):
    """The least that a party accepts, claim by claim.

    Attributes:
        party: whose floor; `None`: everybody's.
        claims: what every plan must claim at least.
        accepted: assumptions under which a claim still counts.
    """

    model_config = MODEL

    party: PartyId | None = None
    claims: tuple[Claim, ...] = Field(min_length=1, max_length=64)
    accepted: tuple[Assumption, ...] = Field(default=(), max_length=8)


class Budget(BaseModel):
    """How much privacy this agreement may spend of one protected population.

    Attributes:
        owner, dataset: whose dataset's units it protects.
        population: the protected population's name at the owner; one budget there across datasets and agreements.
        unit: what one unit is, for example `image`.
        epsilon, delta: the most that may be spent under this agreement, in total.
    """

    model_config = MODEL

    owner: PartyId
    dataset: DatasetName
    population: Line
    unit: Line
    epsilon: float = Field(gt=0, le=1000)
    delta: float = Field(ge=0, lt=1)


class QualityFloor(BaseModel):
    """A result is let go only if `metric`, on the owner's own validation data, is at least `minimum`."""

    model_config = MODEL

    metric: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    minimum: float = Field(ge=-1e9, le=1e9)


class ReleaseTerms(BaseModel):
    """When a result may leave.

    Attributes:
        quorum: how many owners must sign it.
        attempts: how many tasks of one computation may get answers from an owner's dataset, however they end (retrying
            until pass selects).
        max_bytes: the largest result.
        quality: its least quality, if any is asked.
    """

    model_config = MODEL

    quorum: int = Field(ge=1, le=MAX_PARTIES)
    attempts: int = Field(default=3, ge=1, le=100)
    max_bytes: int = Field(default=256 << 20, ge=1, le=1 << 40)
    quality: QualityFloor | None = None


class Witness(BaseModel):
    """Somebody who countersigns the log; need not be a member."""

    model_config = MODEL

    party: PartyId
    name: Line


class Witnesses(BaseModel):
    """Who countersigns the log's checkpoints, and how many of them a checkpoint needs."""

    model_config = MODEL

    parties: tuple[Witness, ...] = Field(min_length=1, max_length=MAX_PARTIES)
    threshold: int = Field(ge=1, le=MAX_PARTIES)


class Duty(BaseModel):
    """A duty that the nodes carry out themselves.

    Attributes:
        action: `delete`: nodes erase a task's working state and unreleased results; `inform`: every owner is shown
            each release; `attribute`: `text` is written into certificates and tools; `report`: every owner gets a
            summary of what was done.
        days: `delete`, `inform`: within so many days; `report`: every so many days.
        text: for `attribute`.
        by: whose node does it; `None`: every member's.
    """

    model_config = MODEL

    action: Literal["delete", "inform", "attribute", "report"]
    days: int | None = Field(default=None, ge=1, le=36500)
    text: Line | None = None
    by: PartyId | None = None

    @model_validator(mode="after")
    def _complete(self) -> Duty:
        if (self.action == "attribute") != (self.text is not None):
            raise ValueError("text belongs to an attribution, and an attribution has a text")
        if (self.action == "attribute") == (self.days is not None):
            raise ValueError("every duty but an attribution says in how many days")
        return self


def distinct(values: Iterable[Hashable], what: str) -> None:
    """Raises `ValueError` if something is there twice; for pydantic validators."""
    listed = list(values)
    if len(set(listed)) != len(listed):
        raise ValueError(f"{what} is named twice")

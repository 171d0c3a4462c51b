"""The terms of an agreement: who may do what with whose data, under which guarantees, until when.

`Terms` is the one meaning of an agreement; `odrl` is its only written form. Everything a node enforces stands here, and
nothing that no node can enforce. Rules:
1. What is not permitted is forbidden: an empty list permits nothing, except where a docstring says "anywhere" or "any".
2. Every party that the terms mention, other than witnesses, is a member and signs.
3. Text that people read has no control, formatting or direction characters, so that what is printed is what was signed.
4. Training whose result is not differentially private may contain input records. It is refused unless every owner
   accepts that for the computation's digest.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator

from cloister.agreements.clauses import (
    MAX_PARTIES,
    MODEL,
    AllowedComputation,
    Budget,
    Duty,
    Floor,
    Instant,
    Line,
    Member,
    QualityFloor,
    ReleaseTerms,
    Role,
    UsableDataset,
    Witness,
    Witnesses,
    distinct,
)
from cloister.claims.offers import Digest
from cloister.claims.vocabulary import Claim, Claims
from cloister.data.schema import DatasetDescription
from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.digests import digest_json
from cloister.foundation.text import party_name
from cloister.identity.keys import PartyId

__all__ = [
    "AllowedComputation",
    "Budget",
    "Duty",
    "Floor",
    "Member",
    "QualityFloor",
    "ReleaseTerms",
    "Terms",
    "UsableDataset",
    "Witness",
    "Witnesses",
]


class Terms(BaseModel):
    """An agreement's terms. See the module's rules, and `words.describe` for what they say to people.

    Attributes:
        uid: the agreement's name across its versions, `urn:uuid:…`.
        version: 1, then counting; `previous` is the digest of the version before.
        title: for people.
        members: every party that signs.
        datasets: what may be used.
        computations: what may be done with it, one entry for each kind.
        forbidden: computations that never run here, whoever approves them.
        purposes: what it may be done for.
        floors: the guarantees that are asked, claim by claim.
        budgets: how much privacy may be spent.
        dropouts: how many owners may drop out of a task that still gives a result (d).
        colluders: against how many parties that pool what they see the guarantees hold (c).
        minimum_parties: the fewest owners whose data are in any result.
        minimum_group: the fewest units in any group that an answer speaks of.
        owners_per_unit: at how many owners one unit may occur; 1 states that the owners' units are disjoint, `None`
            says nothing, so that sensitivity is multiplied by the number of owners.
        residency: countries (ISO 3166-1 alpha-2) where the data must be kept; empty: anywhere.
        recipients: who may receive results.
        release: when a result may leave.
        witnesses: who countersigns the log.
        valid_from, valid_until: the agreement holds from the first second to before the last.
        duties: what nodes do besides.
    """

    model_config = MODEL

    uid: Annotated[str, Field(pattern=r"^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    version: int = Field(default=1, ge=1, le=1_000_000)
    previous: Digest | None = None
    title: Line
    members: tuple[Member, ...] = Field(min_length=1, max_length=MAX_PARTIES)
    datasets: tuple[UsableDataset, ...] = Field(min_length=1, max_length=1000)
    computations: tuple[AllowedComputation, ...] = Field(min_length=1, max_length=5)
    forbidden: tuple[Digest, ...] = Field(default=(), max_length=256)
    purposes: tuple[Line, ...] = Field(min_length=1, max_length=32)
    floors: tuple[Floor, ...] = Field(default=(), max_length=MAX_PARTIES + 1)
    budgets: tuple[Budget, ...] = Field(default=(), max_length=1000)
    dropouts: int = Field(default=0, ge=0, le=MAX_PARTIES)
    colluders: int = Field(default=1, ge=1, le=MAX_PARTIES)
    minimum_parties: int = Field(default=1, ge=1, le=MAX_PARTIES)
    minimum_group: int = Field(default=1, ge=1, le=1_000_000)
    owners_per_unit: int | None = Field(default=None, ge=1, le=MAX_PARTIES)
    residency: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = Field(default=(), max_length=250)
    recipients: tuple[PartyId, ...] = Field(min_length=1, max_length=MAX_PARTIES)
    release: ReleaseTerms
    witnesses: Witnesses | None = None
    valid_from: Instant
    valid_until: Instant
    duties: tuple[Duty, ...] = Field(default=(), max_length=32)

    @model_validator(mode="after")
    def _coherent(self) -> Terms:
        check_coherent(self)
        return self

    # -- who -----------------------------------------------------------------------------------------------------

    @property
    def parties(self) -> tuple[str, ...]:
        """The members' fingerprints, in the agreement's order."""
        return tuple(member.party for member in self.members)

    @property
    def owners(self) -> tuple[str, ...]:
        """The fingerprints of the members that own data here."""
        return self.having("owner")

    def having(self, role: Role) -> tuple[str, ...]:
        """The fingerprints of the members with this role."""
        return tuple(member.party for member in self.members if role in member.roles)

    def member(self, party: str) -> Member | None:
        """The member with this fingerprint, or `None`."""
        return next((member for member in self.members if member.party == party), None)

    def name_of(self, party: str) -> str:
        """A party's name as printed here; the start of its fingerprint if it has none."""
        member = self.member(party)
        witness = (
            next((w for w in self.witnesses.parties if w.party == party), None) if self.witnesses else None
        )
        return member.name if member else witness.name if witness else party_name(party, {})

    # -- what ----------------------------------------------------------------------------------------------------

    def computation(self, kind: str) -> AllowedComputation | None:
        """What is allowed of this kind of work, or `None`."""
        return next((item for item in self.computations if item.kind == kind), None)

    def dataset(
        self, owner: str, commitment: str, entry: DatasetDescription | None = None
    ) -> UsableDataset | None:
        """The dataset that an owner's commitment stands for, or `None` if it may not be used.

        Args:
            owner: the owner's fingerprint.
            commitment: the commitment, as in a request.
            entry: its catalogue entry, if known; without it a dataset that is named without a commitment matches if
                it is the owner's only one.
        """
        own = [
            item for item in self.datasets if item.owner == owner and item.commitment in (None, commitment)
        ]
        if entry is not None:
            own = [item for item in own if item.name == entry.name]
        exact = [item for item in own if item.commitment == commitment]
        return exact[0] if exact else own[0] if len(own) == 1 else None

    def below_floor(self, claims: Claims) -> tuple[tuple[str | None, Claim], ...]:
        """The floors' claims that nothing in `claims` satisfies, each with the party whose floor it is."""
        return tuple(
            (floor.party, need)
            for floor in self.floors
            for need in claims.below(floor.claims, frozenset(floor.accepted))
        )

    def budget(self, owner: str, dataset: str) -> Budget | None:
        """The budget of an owner's dataset, or `None`."""
        return next((b for b in self.budgets if b.owner == owner and b.dataset == dataset), None)

    @property
    def valid(self) -> range:
        """The seconds in which the agreement holds: `now in terms.valid`."""
        return range(parse_rfc3339(self.valid_from), parse_rfc3339(self.valid_until))

    # -- as a document -------------------------------------------------------------------------------------------

    def to_odrl(self) -> dict[str, Any]:
        """The written form (see `odrl.write`)."""
        from cloister.agreements import odrl  # odrl imports this module

        return odrl.write(self)

    @classmethod
    def from_odrl(cls, document: Any) -> Terms:
        """The meaning of a written agreement (see `odrl.read`). Raises `Refused` naming what no node can enforce."""
        from cloister.agreements import odrl  # odrl imports this module

        return odrl.read(document)

    @property
    def digest(self) -> str:
        """The digest of the written form: the agreement's name in requests and plans."""
        return digest_json(self.to_odrl())


def check_coherent(terms: Terms) -> None:
    """Raises `ValueError` where terms contradict themselves; pydantic turns it into a validation error."""
    distinct(terms.parties, "a party")
    distinct((member.name for member in terms.members), "a name")
    for member in terms.members:
        distinct(member.roles, "a role")
        distinct(member.seats, "a seat")
    distinct(((d.owner, d.name, d.commitment) for d in terms.datasets), "a dataset")
    distinct((item.kind for item in terms.computations), "a kind of computation")
    for listed, what in (
        (terms.forbidden, "a forbidden computation"),
        (terms.purposes, "a purpose"),
        (terms.residency, "a country"),
        (terms.recipients, "a recipient"),
        ([floor.party for floor in terms.floors], "a party's floor"),
        ([(b.owner, b.dataset) for b in terms.budgets], "a dataset's budget"),
    ):
        distinct(listed, what)
    for dataset in terms.datasets:
        distinct(dataset.columns or (), "a column")
    _known(terms)
    owners = {dataset.owner for dataset in terms.datasets}
    if set(terms.owners) != owners:
        raise ValueError("the owners are not exactly the parties whose datasets are named")
    if terms.minimum_parties + terms.dropouts > len(owners):
        raise ValueError("minimum parties and dropouts together are more than there are owners")
    if terms.colluders > len(terms.members):
        raise ValueError("more colluders than parties")
    if terms.release.quorum > len(owners):
        raise ValueError("the release quorum is larger than the number of owners")
    if terms.witnesses is not None:
        distinct((witness.party for witness in terms.witnesses.parties), "a witness")
        if terms.witnesses.threshold > len(terms.witnesses.parties):
            raise ValueError("the threshold is larger than the number of witnesses")
    if (terms.version == 1) != (terms.previous is None):
        raise ValueError("every version but the first names the one before")
    if not terms.valid:
        raise ValueError("it ends before it begins")


def _known(terms: Terms) -> None:
    members = set(terms.parties)
    named = {
        "a dataset's owner": {d.owner for d in terms.datasets},
        "a recipient": set(terms.recipients),
        "a floor's party": {floor.party for floor in terms.floors if floor.party},
        "a duty's party": {duty.by for duty in terms.duties if duty.by},
    }
    for what, parties in named.items():
        if not parties <= members:
            raise ValueError(f"{what} is not a party to the agreement")
    datasets = {(d.owner, d.name) for d in terms.datasets}
    if not {(b.owner, b.dataset) for b in terms.budgets} <= datasets:
        raise ValueError("a budget is for a dataset that is not named")

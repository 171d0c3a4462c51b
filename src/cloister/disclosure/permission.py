"""Whether an owner may disclose records to a party: what the agreements between the two say to it.

An agreement that stands between owner and recipient and names the dataset *governs* it. Such an agreement promises that nobody
reads records outside their owner's server, except where its clause `samples` (`agreements.clauses.UsableDataset`) says how many
its owner may disclose. Rules, in their order; each is a clause that a refusal names:
1. `disclosed-records`: each governing agreement has the clause; one that lacks it forbids, whatever another allows.
2. `state`: each is in force; one that is suspended forbids until it is resumed.
3. `recipients`: the recipient is a researcher in each.
4. `purpose`: the purpose is one of each agreement's.
5. `validity`: the disclosure ends no later than each agreement.
6. `columns`, `sensitivity`: the whole row goes, so all of its columns may be used, and nothing is more sensitive than agreed.
7. `residency`: an agreement that says where the data is kept forbids: where a recipient keeps a copy, no server can check.
8. `disclosed-records`: with what was disclosed under it before, ended or not, the records are no more than each agreement's number.
Where no agreement governs, the owner decides alone about its own data.

This is asked besides the owner's person, never instead: a permission discloses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cloister.agreements.clauses import UsableDataset
from cloister.agreements.lifecycle import State
from cloister.agreements.terms import Terms
from cloister.data.schema import DatasetDescription
from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.errors import Refused

SENSITIVITIES = {"public": 0, "internal": 1, "confidential": 2, "personal": 3}
_STANDING = frozenset({State.FINALIZED, State.SUSPENDED})


@dataclass(frozen=True)
class Known:
    """An agreement that the owner's node holds.

    Attributes:
        digest: its name.
        terms: what it says.
        state: where it stands now.
        disclosed: the leaves of this dataset's records that were disclosed under it before.
    """

    digest: str
    terms: Terms
    state: State
    disclosed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Wish:
    """What is to be disclosed.

    Attributes:
        owner, recipient: fingerprints.
        dataset: its catalogue entry.
        records: the records' leaves.
        purpose: what for.
        until: until when, seconds since the epoch.
    """

    owner: str
    recipient: str
    dataset: DatasetDescription
    records: Sequence[str]
    purpose: str
    until: int


def governing(wish: Wish, agreements: Iterable[Known]) -> tuple[Known, ...]:
    """The agreements that stand between owner and recipient and name the dataset, by digest."""
    return tuple(sorted((item for item in agreements if _governs(wish, item)), key=lambda item: item.digest))


def require_permitted(wish: Wish, agreements: Iterable[Known]) -> tuple[str, ...]:
    """The digests of the agreements that govern the disclosure, every one of which allows it; none where none governs.

    Raises:
        Refused: an agreement forbids it; `clause` says by what.
    """
    found = governing(wish, agreements)
    for item in found:
        named = item.terms.dataset(wish.owner, wish.dataset.commitment, wish.dataset)
        if named is not None:
            _require(wish, item, named)
    return tuple(item.digest for item in found)


def _governs(wish: Wish, item: Known) -> bool:
    terms = item.terms
    return (
        item.state in _STANDING
        and {wish.owner, wish.recipient} <= set(terms.parties)
        and terms.dataset(wish.owner, wish.dataset.commitment, wish.dataset) is not None
    )


def _require(wish: Wish, item: Known, named: UsableDataset) -> None:
    terms, entry = item.terms, wish.dataset
    if named.samples is None:
        raise _refusal(
            "disclosed-records",
            f"“{terms.title}” says that nobody reads records outside their owner's server, without exception.",
            "Agree on a new version that lets the owner disclose some records (samples).",
        )
    if item.state is not State.FINALIZED:
        raise _refusal("state", f"“{terms.title}” is {item.state}.", "Have it resumed.")
    if wish.recipient not in terms.having("researcher"):
        raise _refusal(
            "recipients",
            f"The recipient is no researcher in “{terms.title}”.",
            "Name one of its researchers.",
        )
    if wish.purpose not in terms.purposes:
        raise _refusal(
            "purpose",
            f"“{terms.title}” is for other purposes.",
            f"One of: {'; '.join(terms.purposes)[:300]}.",
        )
    if wish.until > parse_rfc3339(terms.valid_until):
        raise _refusal(
            "validity", f"“{terms.title}” ends earlier.", f"Choose a date up to {terms.valid_until}."
        )
    if named.columns is not None and {column.name for column in entry.columns} - set(named.columns):
        raise _refusal(
            "columns",
            f"A row has columns that “{terms.title}” does not let anybody use.",
            "Register a table of the agreed columns as a dataset of its own.",
        )
    levels = [column.sensitivity for column in entry.columns]
    levels += [entry.image.sensitivity] if entry.image is not None else []
    if any(SENSITIVITIES[level] > SENSITIVITIES[named.sensitivity] for level in levels):
        raise _refusal(
            "sensitivity",
            f"The data is more sensitive than agreed in “{terms.title}” ({named.sensitivity} at most).",
            "Disclose other data, or amend the agreement.",
        )
    if terms.residency:
        raise _refusal(
            "residency",
            f"“{terms.title}” says in which countries the data is kept; where a recipient keeps it cannot be checked.",
            "Agree on terms without that clause, or disclose nothing.",
        )
    if len(item.disclosed | set(wish.records)) > named.samples:
        raise _refusal(
            "disclosed-records",
            f"“{terms.title}” lets its owner disclose {named.samples} records in all;"
            f" {len(item.disclosed)} were disclosed before.",
            "Select fewer, or records that were disclosed before.",
        )


def _refusal(clause: str, why: str, remedy: str) -> Refused:
    return Refused("The agreement does not permit this disclosure.", why, remedy, clause=clause)

"""What this node's people draft, wish for and sign for the organisation. Nothing of this is told to other parties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from sqlalchemy import Row, delete, select

from cloister.foundation.canonical import canonical, parse
from cloister.people.four_eyes import Kind, Wish
from cloister.storage._rows import inserting, put
from cloister.storage.database import Transaction
from cloister.storage.tables import drafts, signings, wishes

MAX_DOCUMENT = 4 << 20
Deed: TypeAlias = Kind | Literal["suspend", "revoke", "decline"]
"""What people do to an agreement for their organisation."""


@dataclass(frozen=True)
class Draft:
    """An agreement that is being written, and was shown to nobody else.

    Attributes:
        id: of the draft.
        document: the terms in their written form.
        template: what it was made from, if from a template.
        answers: the template's answers, so that they can be changed.
        account: who wrote it last; none for the operator of the machine.
        name: the person's, as it was then.
        at: when it was changed last, seconds since the epoch.
    """

    id: str
    document: dict[str, Any]
    template: str | None
    answers: dict[str, Any] | None
    account: str | None
    name: str
    at: int


@dataclass(frozen=True)
class Signed:
    """Which people acted for the organisation.

    Attributes:
        at: when, seconds since the epoch.
        kind: of act.
        subject: the digest of what it was about.
        account: who did it, or confirmed it; none for the operator of the machine.
        name: the person's, as it was then.
        first_account: whose wish it was, where two people were needed.
        first_name: that person's name.
        id: only grows.
    """

    at: int
    kind: Deed
    subject: str
    account: str | None
    name: str
    first_account: str | None = None
    first_name: str | None = None
    id: int = 0


class Drafts:
    """The drafts in one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def put(self, draft: Draft) -> None:
        """Keeps a draft, new or not."""
        values = {
            **vars(draft),
            "document": canonical(draft.document),
            "answers": None if draft.answers is None else canonical(draft.answers),
        }
        del values["id"]
        put(self._connection, drafts, {"id": draft.id}, values)

    def get(self, name: str) -> Draft | None:
        """The draft, or `None`."""
        row = self._connection.execute(select(drafts).where(drafts.c.id == name)).one_or_none()
        return None if row is None else _draft(row)

    def all(self) -> list[Draft]:
        """Every draft, the one changed last first."""
        return [
            _draft(row)
            for row in self._connection.execute(select(drafts).order_by(drafts.c.at.desc(), drafts.c.id))
        ]

    def remove(self, name: str) -> None:
        """Forgets a draft; nothing happens if there is none."""
        self._connection.execute(delete(drafts).where(drafts.c.id == name))


class Wishes:
    """The wishes that wait for a second person, in one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def put(self, wish: Wish) -> None:
        """Keeps a wish; an earlier one for the same goes."""
        values = vars(wish).copy()
        key = {name: values.pop(name) for name in ("kind", "subject")}
        put(self._connection, wishes, key, values)

    def get(self, kind: Kind, subject: str) -> Wish | None:
        """The wish for something, lapsed or not."""
        row = self._connection.execute(
            select(wishes).where(wishes.c.kind == kind, wishes.c.subject == subject)
        ).one_or_none()
        return None if row is None else _wish(row)

    def all(self) -> list[Wish]:
        """Every wish, oldest first."""
        query = select(wishes).order_by(wishes.c.at, wishes.c.kind, wishes.c.subject)
        return [_wish(row) for row in self._connection.execute(query)]

    def remove(self, kind: Kind, subject: str) -> None:
        """Forgets a wish; nothing happens if there is none."""
        self._connection.execute(delete(wishes).where(wishes.c.kind == kind, wishes.c.subject == subject))


class Signings:
    """Who bound the organisation, in one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def add(self, item: Signed) -> int:
        """Appends one; returns its number."""
        values = vars(item).copy()
        del values["id"]
        key = self._connection.execute(inserting(signings), values).inserted_primary_key
        return int(key[0]) if key is not None else 0

    def remove(self, number: int) -> None:
        """Takes one back, whose act came to nothing."""
        self._connection.execute(delete(signings).where(signings.c.id == number))

    def about(self, subject: str) -> list[Signed]:
        """All about one thing, oldest first."""
        query = select(signings).where(signings.c.subject == subject).order_by(signings.c.id)
        return [
            Signed(
                row.at,
                row.kind,
                row.subject,
                row.account,
                row.name,
                row.first_account,
                row.first_name,
                row.id,
            )
            for row in self._connection.execute(query)
        ]


def _draft(row: Row[Any]) -> Draft:
    return Draft(
        row.id,
        parse(row.document, max_bytes=MAX_DOCUMENT),
        row.template,
        None if row.answers is None else parse(row.answers, max_bytes=MAX_DOCUMENT),
        row.account,
        row.name,
        row.at,
    )


def _wish(row: Row[Any]) -> Wish:
    return Wish(cast("Kind", row.kind), row.subject, row.account, row.name, row.at, row.ends)

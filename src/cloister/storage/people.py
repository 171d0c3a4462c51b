"""Accounts, sessions, tokens and passkeys of a node. Secrets are here only as their digests, passwords as argon2id."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, func, select, update

from cloister.foundation.canonical import canonical, parse
from cloister.foundation.errors import NotFound
from cloister.people.sessions import Person, Session
from cloister.storage._rows import inserting, put
from cloister.storage.database import Transaction
from cloister.storage.tables import accounts, passkeys, sessions, tokens


@dataclass(frozen=True)
class Token:
    """What a program signs in with.

    Attributes:
        digest: of its secret.
        account: who made it.
        title: what it is for, in its maker's words.
        scopes: the rights it was made for.
        made: when, seconds since the epoch.
        ends: when it is good no more.
        used: when it was used last, to the hour.
    """

    digest: str
    account: str
    title: str
    scopes: frozenset[str]
    made: int
    ends: int
    used: int | None = None


@dataclass(frozen=True)
class Passkey:
    """A passkey of an account.

    Attributes:
        id: the name that its device gave it.
        account: whose.
        title: what its owner calls it.
        host: the name of the page that it is for.
        key: its public key (COSE).
        count: at its last use.
        made: when, seconds since the epoch.
        used: last.
    """

    id: str
    account: str
    title: str
    host: str
    key: bytes
    count: int
    made: int
    used: int | None = None


class People:
    """The people of a node, in one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    # Accounts ------------------------------------------------------------------------------------------------------

    def count(self) -> int:
        """How many accounts there are."""
        return int(self._connection.execute(select(func.count()).select_from(accounts)).scalar_one())

    def add(self, person: Person, password: str | None, at: int) -> None:
        """A new account; its name must be free."""
        values = _columns(person) | {"password": password, "made": at}
        self._connection.execute(inserting(accounts), {"id": person.account, **values})

    def change(self, person: Person) -> None:
        """Keeps an account's name, roles, and whether it is enabled and its password another's."""
        put(self._connection, accounts, {"id": person.account}, _columns(person))

    def set_password(self, account: str, password: str | None) -> None:
        """Keeps what is stored of a password."""
        self._connection.execute(update(accounts).where(accounts.c.id == account).values(password=password))

    def made(self, account: str) -> int:
        """When an account was made."""
        return int(
            self._connection.execute(select(accounts.c.made).where(accounts.c.id == account)).scalar_one()
        )

    def get(self, account: str) -> Person | None:
        """A person by account."""
        row = self._connection.execute(select(accounts).where(accounts.c.id == account)).one_or_none()
        return None if row is None else _person(row)

    def known(self, account: str) -> Person:
        """A person by account. Raises `NotFound`."""
        found = self.get(account)
        if found is None:
            raise NotFound("There is no such account.", "", "Look at the list of people.")
        return found

    def by_name(self, name: str) -> tuple[Person, str | None] | None:
        """A person by the name typed at sign-in, in capitals or not, with what is stored of the password."""
        wanted = name.casefold()
        # Databases fold letters each in their own way; there are few accounts.
        for row in self._connection.execute(select(accounts)):
            if row.name.casefold() == wanted:
                return _person(row), row.password
        return None

    def password(self, account: str) -> str | None:
        """What is stored of an account's password."""
        return self._connection.execute(
            select(accounts.c.password).where(accounts.c.id == account)
        ).scalar_one_or_none()

    def all(self) -> list[Person]:
        """Every account, by name."""
        return [_person(row) for row in self._connection.execute(select(accounts).order_by(accounts.c.name))]

    # Sessions ------------------------------------------------------------------------------------------------------

    def open(self, digest: str, session: Session) -> None:
        """Keeps a session."""
        put(self._connection, sessions, {"digest": digest}, dict(vars(session)))

    def session(self, digest: str) -> Session | None:
        """The session of a cookie's secret, alive or not."""
        row = self._connection.execute(select(sessions).where(sessions.c.digest == digest)).one_or_none()
        return None if row is None else _session(row)

    def sessions_of(self, account: str) -> list[tuple[str, Session]]:
        """An account's sessions with their digests, newest first."""
        query = select(sessions).where(sessions.c.account == account).order_by(sessions.c.began.desc())
        return [(row.digest, _session(row)) for row in self._connection.execute(query)]

    def close(self, digests: Iterable[str]) -> None:
        """Ends sessions."""
        for digest in digests:
            self._connection.execute(delete(sessions).where(sessions.c.digest == digest))

    def close_all(self, account: str, but: str | None = None) -> None:
        """Ends all sessions of an account, perhaps but one."""
        query = delete(sessions).where(sessions.c.account == account)
        self._connection.execute(query if but is None else query.where(sessions.c.digest != but))

    # Tokens --------------------------------------------------------------------------------------------------------

    def keep(self, token: Token) -> None:
        """Keeps a token."""
        values = {**vars(token), "scopes": canonical(sorted(token.scopes))}
        del values["digest"]
        put(self._connection, tokens, {"digest": token.digest}, values)

    def token(self, digest: str) -> Token | None:
        """The token of a secret, good or not."""
        row = self._connection.execute(select(tokens).where(tokens.c.digest == digest)).one_or_none()
        return None if row is None else _token(row)

    def tokens_of(self, account: str) -> list[Token]:
        """An account's tokens, newest first."""
        query = select(tokens).where(tokens.c.account == account).order_by(tokens.c.made.desc())
        return [_token(row) for row in self._connection.execute(query)]

    def drop(self, digest: str) -> None:
        """Ends a token."""
        self._connection.execute(delete(tokens).where(tokens.c.digest == digest))

    # Passkeys ------------------------------------------------------------------------------------------------------

    def put_passkey(self, passkey: Passkey) -> None:
        """Keeps a passkey."""
        values = dict(vars(passkey))
        del values["id"]
        put(self._connection, passkeys, {"id": passkey.id}, values)

    def passkey(self, name: str) -> Passkey | None:
        """A passkey by the name that its device gave it."""
        row = self._connection.execute(select(passkeys).where(passkeys.c.id == name)).one_or_none()
        return None if row is None else _passkey(row)

    def passkeys_of(self, account: str) -> list[Passkey]:
        """An account's passkeys, oldest first."""
        query = select(passkeys).where(passkeys.c.account == account).order_by(passkeys.c.made, passkeys.c.id)
        return [_passkey(row) for row in self._connection.execute(query)]

    def drop_passkey(self, name: str) -> None:
        """Removes a passkey."""
        self._connection.execute(delete(passkeys).where(passkeys.c.id == name))


def _columns(person: Person) -> dict[str, Any]:
    return {
        "name": person.name,
        "roles": canonical(sorted(person.roles)),
        "enabled": person.enabled,
        "given": person.given,
    }


def _person(row: Row[Any]) -> Person:
    return Person(row.id, row.name, frozenset(parse(row.roles)), bool(row.enabled), bool(row.given))


def _session(row: Row[Any]) -> Session:
    return Session(row.account, row.began, row.used, row.shown, row.browser, row.address)


def _token(row: Row[Any]) -> Token:
    return Token(
        row.digest, row.account, row.title, frozenset(parse(row.scopes)), row.made, row.ends, row.used
    )


def _passkey(row: Row[Any]) -> Passkey:
    named = row._mapping  # noqa: SLF001 - SQLAlchemy's own name for it; `row.count` is a tuple's method to type checkers
    return Passkey(**named)

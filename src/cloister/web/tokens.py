"""Tokens: what programs sign in with. Their rules are in `people.sessions` (1 and 5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from cloister.foundation.clock import Clock
from cloister.foundation.errors import BadInput, Conflict, NotFound, Refused
from cloister.people.names import clean
from cloister.people.roles import RIGHT_WORDS
from cloister.people.sessions import TOKEN_MOST, new_secret, of_token, stored
from cloister.storage.database import Database
from cloister.storage.people import People, Token
from cloister.web.guard import NOBODY, Caller

if TYPE_CHECKING:
    from cloister.web.accounts import Accounts

EACH_MOST = 50
_USED_STEP = 3600


class Tokens:
    """The tokens of all accounts."""

    def __init__(self, accounts: Accounts, database: Database, clock: Clock) -> None:
        self._accounts, self._database, self._clock = accounts, database, clock

    def make(self, account: str, title: str, scopes: Iterable[str], seconds: int) -> str:
        """A secret for a program; shown once, and never again.

        Args:
            account: who makes it.
            title: what it is for.
            scopes: the rights it has, of those of its maker.
            seconds: how long it is good for, a minute to a year.

        Raises:
            BadInput: the time or the title cannot be used.
            Refused: it asks for more than its maker has (clause `token-scopes`).
            Conflict: the account has too many.
        """
        wanted = frozenset(scopes)
        if not 60 <= seconds <= TOKEN_MOST:
            raise BadInput("A token needs an end.", "It may be good for a year at most.", "Choose a date.")
        secret, digest = new_secret()
        now, named = self._clock.now(), clean(title)
        with self._database.transaction() as tx:
            people = People(tx)
            person = people.known(account)
            if not wanted or wanted - of_token(person, wanted):
                raise Refused(
                    "A token may not do more than its maker.",
                    "Rights were asked for that the account does not have, or none.",
                    "Choose among your own.",
                    clause="token-scopes",
                )
            had = people.tokens_of(account)
            for old in [item for item in had if item.ends <= now]:
                people.drop(old.digest)
            if sum(item.ends > now for item in had) >= EACH_MOST:
                raise Conflict("There are too many tokens.", f"The limit is {EACH_MOST}.", "Revoke some.")
            people.keep(Token(digest, account, named, wanted, now, now + seconds))
            told = f"{named}: {', '.join(text for right, text in RIGHT_WORDS.items() if right in wanted)}"
            self._accounts.note(Caller(person.name, account=account), "made a token", told, tx=tx, kind="own")
        return secret

    def of(self, account: str) -> list[Token]:
        """An account's tokens, newest first."""
        with self._database.read() as tx:
            return People(tx).tokens_of(account)

    def revoke(self, account: str, digest: str, by: Caller = NOBODY) -> None:
        """Ends a token of an account. Raises `NotFound`."""
        with self._database.transaction() as tx:
            people = People(tx)
            found = people.token(digest)
            if found is None or found.account != account:
                raise NotFound("There is no such token.", "It may have been revoked.", "Look at the list.")
            people.drop(digest)
            self._accounts.note(by, "revoked a token", found.title, tx=tx, kind="own")

    def caller(self, secret: str) -> Caller:
        """What a program with this token may do now; nobody's if it is none."""
        digest, now = stored(secret), self._clock.now()
        with self._database.read() as tx:
            people = People(tx)
            token = people.token(digest)
            person = people.get(token.account) if token is not None else None
        if token is None or person is None or not person.enabled or not token.made <= now + 60:
            return NOBODY
        if now >= token.ends:
            return NOBODY
        if token.used is None or now - token.used >= _USED_STEP:
            with self._database.transaction(forced=False) as tx:
                people = People(tx)
                if (latest := people.token(digest)) is not None:
                    people.keep(replace(latest, used=now))
        return Caller(
            f"{person.name}, by {token.title}", of_token(person, token.scopes), account=person.account
        )

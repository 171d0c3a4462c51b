"""The accounts of this node: the first one, those of others, what each may do.

How people sign in is in `sessions`, their passwords in `passwords`, with the rules of each. Rules:
1. The first account is made only by whoever has the start key, which the server shows where it was started and nowhere else, and
   only while there is none: nobody else on the machine or the network takes the place. It has every role, so that one person can
   begin alone; roles are taken apart as others join.
2. There is always somebody enabled who may manage people.
3. A change of what an account may do ends its sessions. Disabling ends all, and its tokens are good no more.
4. What people did to accounts is written down in the same transaction, or was not done.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import get_args

from cloister.foundation.clock import Clock
from cloister.foundation.errors import BadInput, Conflict, Refused
from cloister.people import passwords
from cloister.people.attempts import Attempts
from cloister.people.names import clean
from cloister.people.roles import ROLE_NAMES, Role, rights_of
from cloister.people.sessions import Person
from cloister.storage.database import Database, Transaction
from cloister.storage.people import People
from cloister.web.guard import NOBODY, Caller
from cloister.web.passkeys import Passkeys
from cloister.web.passwords import Passwords
from cloister.web.sessions import Sessions, as_caller
from cloister.web.tokens import Tokens

PEOPLE_MOST = 500
_START_BYTES = 16
_START_WAIT = 10.0


class Accounts(Sessions, Passwords):
    """Who may use this node, and how they are known again.

    Args:
        database: where they are kept.
        clock: tells the time.
        steady: seconds of a clock that never goes back; the pace of tries is measured with it.

    Attributes:
        start_key: what makes the first account (rule 1). In memory only, and another at every start.
        passkeys: their ceremonies.
        tokens: what programs sign in with.
    """

    def __init__(
        self, database: Database, clock: Clock, steady: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(database, clock, steady)
        self._starts = Attempts(_START_WAIT)
        self._any = False
        self.start_key = secrets.token_urlsafe(_START_BYTES)
        self.passkeys = Passkeys(self, database, clock)
        self.tokens = Tokens(self, database, clock)

    def none_yet(self) -> bool:
        """Whether the first account is still to be made."""
        if not self._any:
            # Accounts are never removed, so a yes stays one.
            with self._database.read() as tx:
                self._any = People(tx).count() > 0
        return not self._any

    def first(self, name: str, password: str, key: str, address: str = "") -> Person:
        """Makes the first account with a password (rule 1).

        Args:
            name: the person's.
            password: chosen by it.
            key: the start key, as the person typed it.
            address: where the request comes from.

        Raises:
            Conflict: there is an account.
            Refused: the key is wrong, or too many were tried (clauses `start-key`, `too-often`).
            BadInput: the name or the password cannot be used.
        """
        self.check_start_key(key, address)
        passwords.check(password, name)
        kept = passwords.kept(password)
        with self._database.transaction() as tx:
            return self.make_first(tx, name, kept, address)

    def check_start_key(self, key: str, address: str) -> None:
        """Raises `Conflict` or `Refused` for whoever may not make the first account (rule 1)."""
        if not self.none_yet():
            raise Conflict("There is an account here already.", "", "Sign in.")
        given, right = "".join(key.split()).encode("utf-8", "replace"), self.start_key.encode()
        # The right key never waits, or a stranger who tries wrong ones would keep out who is to be the first. That whoever guesses
        # may so learn of each guess whether it was right is no help: the key has 128 random bits, is compared in constant time and
        # is another at every start: at a million guesses a second it takes 10^24 years. The pace of wrong ones,
        # by address and gently for all together, only keeps a flood of them from costing much.
        if secrets.compare_digest(given, right):
            return
        with self.tried("", address, self._starts):
            raise Refused(
                "The start key is not right.",
                "The server showed one where it was started; each start has another.",
                "Copy it from there: the terminal, or the service's log.",
                clause="start-key",
            )

    def make_first(
        self, tx: Transaction, name: str, kept: str | None, address: str, account: str = ""
    ) -> Person:
        """Keeps the first account, in `tx`. Raises `Conflict` if there is one."""
        people = People(tx)
        if people.count():
            raise Conflict("There is an account here already.", "", "Sign in.")
        person = Person(account or secrets.token_hex(8), clean(name), frozenset(get_args(Role)))
        people.add(person, kept, self._clock.now())
        self.note(as_caller(person), "made the first account", "", address, tx)
        return person

    def add(
        self,
        name: str,
        roles: Iterable[str],
        password: str,
        *,
        given: bool = False,
        by: Caller = NOBODY,
    ) -> Person:
        """Makes an account for somebody else.

        Args:
            name: the person's.
            roles: what it may do.
            password: the first one.
            given: whether whoever makes the account chose it; the person may then do nothing but choose another.
            by: who makes it.

        Raises:
            Conflict: the name is taken, or there are too many accounts.
            BadInput: the name, the roles or the password cannot be used.
        """
        passwords.check(password, name)
        person = Person(secrets.token_hex(8), clean(name), _roles(roles), given=given)
        kept = passwords.kept(password)
        with self._database.transaction() as tx:
            people = People(tx)
            if people.by_name(person.name) is not None:
                raise Conflict("There is an account of that name.", "", "Choose another name.")
            if people.count() >= PEOPLE_MOST:
                raise Conflict(
                    "There are too many accounts.", f"The limit is {PEOPLE_MOST}.", "Use those there are."
                )
            people.add(person, kept, self._clock.now())
            self.note(by, "made an account", f"{person.name}: {_listed(person.roles)}", tx=tx)
        return person

    def change(
        self,
        account: str,
        *,
        roles: Iterable[str] | None = None,
        enabled: bool | None = None,
        by: Caller = NOBODY,
    ) -> Person:
        """Changes what an account may do (rules 2 and 3)."""
        with self._database.transaction() as tx:
            people = People(tx)
            found = people.known(account)
            changed = replace(
                found,
                roles=found.roles if roles is None else _roles(roles),
                enabled=found.enabled if enabled is None else enabled,
            )
            others = [person for person in people.all() if person.account != account]
            if not any(_manages(person) for person in (*others, changed)):
                raise Refused(
                    "Nobody could manage people any more.",
                    "Somebody has to be able to.",
                    "Give another person that role first.",
                    clause="last-operator",
                )
            if changed == found:
                return found
            people.change(changed)
            people.close_all(account)
            if changed.roles != found.roles:
                told = f"{found.name}: {_listed(found.roles)} → {_listed(changed.roles)}"
                self.note(by, "changed roles", told, tx=tx)
            if changed.enabled != found.enabled:
                what = "enabled an account" if changed.enabled else "disabled an account"
                self.note(by, what, found.name, tx=tx)
        return changed

    def caller_of_token(self, secret: str) -> Caller:
        """What a program with this token may do now; nobody's if it is none."""
        return self.tokens.caller(secret)

    def get(self, account: str) -> Person:
        """A person. Raises `NotFound`."""
        with self._database.read() as tx:
            return People(tx).known(account)

    def all(self) -> list[Person]:
        """Everybody, by name."""
        with self._database.read() as tx:
            return People(tx).all()


def _roles(roles: Iterable[str]) -> frozenset[str]:
    found = frozenset(roles)
    if not found or found - frozenset(get_args(Role)) or not rights_of(found):
        raise BadInput(
            "A role is missing or unknown.", f"Roles are {', '.join(get_args(Role))}.", "Choose among them."
        )
    return found


def _manages(person: Person) -> bool:
    return person.enabled and "people.manage" in rights_of(person.roles)


def _listed(roles: frozenset[str]) -> str:
    return ", ".join(name for role, name in ROLE_NAMES.items() if role in roles) or "none"

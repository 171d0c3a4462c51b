"""The accounts of this node: the first one, signing in, sessions, tokens.

Rules (with those of `people.sessions` and `people.attempts`):
1. The first account may be made by whoever reaches the page on this machine, and only while there is none. It has every role, so
   that one person can begin alone; roles are taken apart as others join.
2. There is always somebody enabled who may manage people.
3. A change of password, or of what an account may do, ends its other sessions. Disabling ends all, and its tokens are good no more.
4. Errors of signing in do not tell whether there is such an account.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import get_args

from cloister.foundation.clock import Clock
from cloister.foundation.errors import BadInput, Conflict, NotFound, Refused
from cloister.foundation.text import readable
from cloister.people import passwords
from cloister.people.attempts import Attempts
from cloister.people.roles import Role, rights_of
from cloister.people.sessions import TOKEN_MOST, Person, Session, new_secret, of_token, stored
from cloister.storage.database import Database, Transaction
from cloister.storage.people import People, Token
from cloister.web.guard import NOBODY, Caller

_NAME_MOST = 80
_USED_STEP = 60
_SESSIONS_MOST = 20


class Accounts:
    """Who may use this node, and how they are known again."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._attempts, self._lock = Attempts(), threading.Lock()

    # Accounts ------------------------------------------------------------------------------------------------------

    def none_yet(self) -> bool:
        """Whether the first account is still to be made."""
        with self._database.read() as tx:
            return People(tx).count() == 0

    def first(self, name: str, password: str) -> Person:
        """Makes the first account (rule 1). Raises `Conflict` if there is one."""
        passwords.check(password, name)
        person = Person(secrets.token_hex(8), _name(name), frozenset(get_args(Role)))
        kept = passwords.kept(password)
        with self._database.transaction() as tx:
            people = People(tx)
            if people.count():
                raise Conflict("There is an account here already.", "", "Sign in.")
            people.add(person, kept, self._clock.now())
        return person

    def add(self, name: str, roles: Iterable[str], password: str) -> Person:
        """Makes an account for somebody else."""
        passwords.check(password, name)
        person = Person(secrets.token_hex(8), _name(name), _roles(roles))
        kept = passwords.kept(password)
        with self._database.transaction() as tx:
            people = People(tx)
            if people.by_name(person.name) is not None:
                raise Conflict("There is an account of that name.", "", "Choose another name.")
            people.add(person, kept, self._clock.now())
        return person

    def change(self, account: str, *, roles: Iterable[str] | None = None, enabled: bool | None = None) -> Person:
        """Changes what an account may do (rules 2 and 3)."""
        with self._database.transaction() as tx:
            people = People(tx)
            found = _known(people, account)
            changed = replace(
                found,
                roles=found.roles if roles is None else _roles(roles),
                enabled=found.enabled if enabled is None else enabled,
            )
            others = [person for person in people.all() if person.account != account]
            if not any("people.manage" in person.rights for person in (*others, changed)):
                raise Refused(
                    "Nobody could manage people any more.",
                    "Somebody has to be able to.",
                    "Give another person that role first.",
                    clause="last-operator",
                )
            people.change(changed)
            if changed != found:
                people.close_all(account)
        return changed

    def set_password(self, account: str, password: str, *, but: str | None = None) -> None:
        """Gives an account another password; its sessions end, but the one with the cookie `but`."""
        with self._database.read() as tx:
            found = _known(People(tx), account)
        passwords.check(password, found.name)
        kept = passwords.kept(password)
        with self._database.transaction() as tx:
            People(tx).set_password(account, kept)
            People(tx).close_all(account, None if but is None else stored(but))

    def all(self) -> list[Person]:
        """Everybody, by name."""
        with self._database.read() as tx:
            return People(tx).all()

    # Signing in ----------------------------------------------------------------------------------------------------

    def sign_in(self, name: str, password: str, address: str, browser: str, old: str | None = None) -> str:
        """The secret for the cookie of a new session; an earlier one of that browser ends.

        Raises:
            Refused: no such account, the wrong password, or too many tries (clauses `sign-in`, `too-often`).
        """
        person = self._shown(name, password, address)
        secret, digest = new_secret()
        now = self._clock.now()
        with self._database.transaction() as tx:
            people = People(tx)
            if old is not None:
                people.close([stored(old)])
            people.close(item[0] for item in people.sessions_of(person.account)[_SESSIONS_MOST - 1 :])
            people.open(digest, Session(person.account, now, now, now), readable(browser)[:200])
        return secret

    def show_again(self, cookie: str, password: str, address: str) -> None:
        """The person of a session shows the password again, and may bind the organisation for some minutes."""
        person = self.person(cookie)
        if person is None:
            raise Refused("Nobody is signed in.", "", "Sign in.", clause="sign-in")
        self._shown(person.name, password, address)
        digest, now = stored(cookie), self._clock.now()
        with self._database.transaction() as tx:
            people = People(tx)
            if (session := people.session(digest)) is not None:
                people.open(digest, replace(session, shown=now, used=now), _browser(people, session, digest))

    def sign_out(self, cookie: str) -> None:
        """Ends a session."""
        with self._database.transaction() as tx:
            People(tx).close([stored(cookie)])

    def person(self, cookie: str) -> Person | None:
        """Whose session a cookie's secret is, while it is alive."""
        with self._database.read() as tx:
            people = People(tx)
            session = people.session(stored(cookie))
            if session is None or not session.alive(self._clock.now()):
                return None
            return people.get(session.account)

    def caller(self, cookie: str) -> Caller:
        """What somebody with this cookie may do; nobody's if it is none."""
        digest, now = stored(cookie), self._clock.now()
        with self._database.read() as tx:
            people = People(tx)
            session = people.session(digest)
            person = people.get(session.account) if session is not None else None
        if session is None or person is None or not person.enabled or not session.alive(now):
            return NOBODY
        if now - session.used >= _USED_STEP:
            with self._database.transaction(forced=False) as tx:
                people = People(tx)
                if (latest := people.session(digest)) is not None:
                    browser = _browser(people, latest, digest)
                    people.open(digest, replace(latest, used=max(latest.used, now)), browser)
        return Caller(person.name, person.rights, session.fresh(now), person.account)

    # Tokens --------------------------------------------------------------------------------------------------------

    def make_token(self, account: str, title: str, scopes: Iterable[str], seconds: int) -> str:
        """A secret for a program; shown once, and never again."""
        wanted = frozenset(scopes)
        if not 60 <= seconds <= TOKEN_MOST:
            raise BadInput("A token needs an end.", "It may be good for a year at most.", "Choose a date.")
        secret, digest = new_secret()
        now = self._clock.now()
        with self._database.transaction() as tx:
            people = People(tx)
            person = _known(people, account)
            if not wanted or wanted - of_token(person, wanted):
                raise Refused(
                    "A token may not do more than its maker.",
                    "Rights were asked for that the account does not have, or none.",
                    "Choose among your own.",
                    clause="token-scopes",
                )
            people.keep(Token(digest, account, _name(title), wanted, now, now + seconds))
        return secret

    def caller_of_token(self, secret: str) -> Caller:
        """What a program with this token may do now; nobody's if it is none."""
        digest, now = stored(secret), self._clock.now()
        with self._database.read() as tx:
            people = People(tx)
            token = people.token(digest)
            person = people.get(token.account) if token is not None else None
        if token is None or person is None or not token.made <= now < token.ends:
            return NOBODY
        return Caller(f"{person.name}, by {token.title}", of_token(person, token.scopes), account=person.account)

    # Inside --------------------------------------------------------------------------------------------------------

    def _shown(self, name: str, password: str, address: str) -> Person:
        """The person of a name and password; at the pace of rule 2 of `people.attempts`."""
        name = name.strip()
        with self._lock:
            wait = self._attempts.wait(name, address, time.monotonic())
            if not wait:
                # Counted before it is checked, so that many at once are no way around the pace.
                self._attempts.failed(name, address, time.monotonic())
        if wait:
            raise Refused(
                "Too many tries.",
                f"The next one is looked at in {wait:.0f} seconds.",
                "Wait, then try again; or ask whoever runs this server for a new password.",
                clause="too-often",
                seconds=round(wait),
            )
        with self._database.read() as tx:
            found = People(tx).by_name(name)
        good = passwords.matches(password, None if found is None else found[1])
        if found is None or not good or not found[0].enabled:
            raise Refused(
                "The name or the password is not right.", "", "Try again.", clause="sign-in"
            )
        with self._lock:
            self._attempts.succeeded(name)
        return found[0]


def _known(people: People, account: str) -> Person:
    found = people.get(account)
    if found is None:
        raise NotFound("There is no such account.", "", "Look at the list of people.")
    return found


def _browser(people: People, session: Session, digest: str) -> str:
    return next((item[2] for item in people.sessions_of(session.account) if item[0] == digest), "")


def _name(name: str) -> str:
    plain = " ".join(readable(name).split())
    if not 1 <= len(plain) <= _NAME_MOST:
        raise BadInput(
            "A name is missing or too long.", f"It has 1 to {_NAME_MOST} characters.", "Choose another."
        )
    return plain


def _roles(roles: Iterable[str]) -> frozenset[str]:
    found = frozenset(roles)
    if not found or found - frozenset(get_args(Role)) or not rights_of(found):
        raise BadInput(
            "A role is missing or unknown.", f"Roles are {', '.join(get_args(Role))}.", "Choose among them."
        )
    return found

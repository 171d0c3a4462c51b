"""Signing in with a password, and how browsers are known again.

Rules (with those of `people.sessions` and `people.attempts`):
1. Errors of signing in do not tell whether there is such an account, and take as long.
2. So many passwords are looked at in one moment; more are refused, so that strangers take neither the memory nor the machine.
3. A refused sign-in writes little: at most one line every few minutes for an account that there is, nothing for others.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from cloister.foundation.clock import Clock
from cloister.foundation.errors import Refused
from cloister.foundation.text import one_line
from cloister.people import passwords
from cloister.people.attempts import Attempts
from cloister.people.names import folded
from cloister.people.sessions import Person, Session, new_secret, stored
from cloister.storage.database import Database, Transaction
from cloister.storage.people import People
from cloister.web.diary import Diary
from cloister.web.guard import NOBODY, Caller

_USED_STEP = 60
_SESSIONS_MOST = 20
_LOOKED_AT, _WAITING = 2, 8
_FAILED_STEP = 600

_AGAIN = "\0again/"


class Sessions(Diary):
    """Who is signed in, and how one comes to be.

    Args:
        database: where sessions are kept.
        clock: tells the time.
        steady: seconds of a clock that never goes back; the pace of tries is measured with it.
    """

    def __init__(
        self, database: Database, clock: Clock, steady: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(database, clock)
        self._steady = steady
        self._attempts, self._lock = Attempts(), threading.Lock()
        self._looked_at = threading.BoundedSemaphore(_LOOKED_AT)
        self._waiting = threading.BoundedSemaphore(_WAITING)
        self._told: dict[str, float] = {}

    def sign_in(self, name: str, password: str, address: str, browser: str, old: str | None = None) -> str:
        """The secret for the cookie of a new session; an earlier one of that browser ends.

        Args:
            name: as typed.
            password: as typed.
            address: where the request comes from.
            browser: what the browser calls itself.
            old: the secret that its cookie had, if any.

        Raises:
            Refused: no such account, the wrong password, or too many tries (clauses `sign-in`, `too-often`).
        """
        person = self._shown(name, password, address)
        with self._database.transaction() as tx:
            return self.begin(tx, person, address, browser, old, "signed in with the password")

    def begin(
        self, tx: Transaction, person: Person, address: str, browser: str, old: str | None, told: str
    ) -> str:
        """A new session of somebody who has just shown who it is, in `tx`; returns the cookie's secret."""
        secret, digest = new_secret()
        now, people = self._clock.now(), People(tx)
        if old is not None:
            people.close([stored(old)])
        people.close(item[0] for item in people.sessions_of(person.account)[_SESSIONS_MOST - 1 :])
        place, named = one_line(address)[:60], one_line(browser)[:300]
        people.open(digest, Session(person.account, now, now, now, named, place))
        self.note(as_caller(person), told, "", address, tx, kind="sign-in")
        return secret

    def show_again(self, cookie: str, password: str, address: str) -> str:
        """The person of a session shows the password again, and may bind the organisation for some minutes.

        Returns:
            The session's new secret, for the cookie; the old one is good no more.

        Raises:
            Refused: nobody is signed in, the wrong password, or too many tries (clauses `sign-in`, `too-often`).
        """
        person = self.signed_in(cookie)
        # Counted by itself: strangers who try this name at the sign-in must not keep its person from signing.
        self._shown(person.name, password, address, counted=f"{_AGAIN}{person.account}")
        with self._database.transaction() as tx:
            return self.renew(tx, cookie)

    def renew(self, tx: Transaction, cookie: str) -> str:
        """Another secret for a session whose person has just shown who it is, in `tx`."""
        people, now = People(tx), self._clock.now()
        session = people.session(stored(cookie))
        if session is None or not session.alive(now):
            raise _nobody()
        secret, digest = new_secret()
        people.close([stored(cookie)])
        people.open(digest, replace(session, shown=now, used=now))
        return secret

    def sign_out(self, cookie: str) -> None:
        """Ends a session."""
        with self._database.transaction() as tx:
            People(tx).close([stored(cookie)])

    def sessions(self, account: str) -> list[tuple[str, Session]]:
        """An account's sessions that are alive, with the digests that name them, newest first."""
        now = self._clock.now()
        with self._database.read() as tx:
            return [item for item in People(tx).sessions_of(account) if item[1].alive(now)]

    def end_sessions(self, account: str, *, digest: str | None = None, but: str | None = None) -> None:
        """Ends one of an account's sessions, or all, perhaps but the one with the cookie `but`."""
        with self._database.transaction() as tx:
            people = People(tx)
            if digest is None:
                people.close_all(account, None if but is None else stored(but))
            else:
                people.close(item[0] for item in people.sessions_of(account) if item[0] == digest)

    def person(self, cookie: str) -> Person | None:
        """Whose session a cookie's secret is, while it is alive."""
        with self._database.read() as tx:
            people = People(tx)
            session = people.session(stored(cookie))
            if session is None or not session.alive(self._clock.now()):
                return None
            return people.get(session.account)

    def signed_in(self, cookie: str | None) -> Person:
        """Whose session a cookie's secret is. Raises `Refused` (clause `sign-in`) if it is nobody's who may do anything."""
        person = None if cookie is None else self.person(cookie)
        if person is None or not person.enabled:
            raise _nobody()
        return person

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
                    people.open(digest, replace(latest, used=max(latest.used, now)))
        return Caller(person.name, person.rights, session.fresh(now), person.account)

    # Inside --------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def tried(
        self, name: str | None, address: str, attempts: Attempts | None = None, *, known: bool = True
    ) -> Iterator[None]:
        """One try to show who one is, at the pace of `people.attempts`; it failed if an exception leaves it."""
        counted = attempts or self._attempts
        with self._lock:
            wait = counted.begin(name, address, self._steady(), known=known)
        if wait:
            raise Refused(
                "Too many tries.",
                f"The next one is looked at in {wait:.0f} seconds.",
                "Wait, then try again; or ask whoever runs this server for a new password.",
                clause="too-often",
                seconds=round(wait),
            )
        yield
        with self._lock:
            counted.succeeded(name, address)

    def failed(self, person: Person, what: str, address: str) -> None:
        """Writes down that signing in to an account failed; strangers cause this, so not more than every few minutes."""
        with self._lock:
            now = self._steady()
            if now - self._told.get(person.account, -_FAILED_STEP) < _FAILED_STEP:
                return
            self._told[person.account] = now
        self.note(NOBODY, what, person.name, address, kind="sign-in")

    def _shown(self, name: str, password: str, address: str, counted: str | None = None) -> Person:
        """The person of a name and password (rules 1 and 2); tries are counted under `counted` instead of the name."""
        name = folded(name)
        with self._database.read() as tx:
            found = People(tx).by_name(name)
        with self._room(), self.tried(counted or name, address, known=found is not None):
            with self._looked_at:
                good = passwords.matches(password, None if found is None else found[1])
            if found is None or not good or not found[0].enabled:
                if found is not None:
                    self.failed(found[0], "tried a wrong password for an account", address)
                raise Refused("The name or the password is not right.", "", "Try again.", clause="sign-in")
        return found[0]

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        if not self._waiting.acquire(blocking=False):
            raise Refused(
                "Too many people sign in at this moment.",
                "",
                "Wait some seconds, then try again.",
                clause="too-often",
            )
        try:
            yield
        finally:
            self._waiting.release()


def as_caller(person: Person) -> Caller:
    """A person, for what is written down."""
    return Caller(person.name, account=person.account)


def _nobody() -> Refused:
    return Refused("Nobody is signed in.", "", "Sign in.", clause="sign-in")

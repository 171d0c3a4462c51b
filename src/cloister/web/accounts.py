"""The accounts of this node: the first one, signing in, sessions.

Rules (with those of `people.sessions`, `people.attempts`, `people.passkeys` and `storage.trail`):
1. The first account is made only by whoever has the start key, which the server shows where it was started and nowhere else, and
   only while there is none: nobody else on the machine or the network takes the place. It has every role, so that one person can
   begin alone; roles are taken apart as others join.
2. There is always somebody enabled who may manage people.
3. A change of password, or of what an account may do, ends its other sessions. Disabling ends all, and its tokens are good no more.
4. Errors of signing in do not tell whether there is such an account, and take as long.
5. An account has a password or a passkey, or both; what is left of them is not removed.
6. What people did to accounts is written down in the same transaction, or was not done.
7. So many passwords are looked at in one moment; more are refused, so that strangers take neither the memory nor the machine.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import get_args

from cloister.foundation.clock import Clock
from cloister.foundation.errors import BadInput, Conflict, Refused
from cloister.foundation.text import one_line
from cloister.people import passwords
from cloister.people.attempts import Attempts
from cloister.people.names import clean, folded
from cloister.people.passkeys import last_key
from cloister.people.roles import ROLE_NAMES, Role, rights_of
from cloister.people.sessions import Person, Session, new_secret, stored
from cloister.storage.database import Database, Transaction
from cloister.storage.people import People
from cloister.storage.trail import Entry, Trail
from cloister.web.guard import NOBODY, Caller
from cloister.web.passkeys import Passkeys
from cloister.web.tokens import Tokens

PEOPLE_MOST = 500
_USED_STEP = 60
_SESSIONS_MOST = 20
_LOOKED_AT, _WAITING = 2, 8
_FAILED_STEP = 600
_START_WAIT = 10.0

_AGAIN = "\0again/"


class Accounts:
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
        self._database, self._clock, self._steady = database, clock, steady
        self._attempts, self._lock = Attempts(), threading.Lock()
        self._starts = Attempts(_START_WAIT)
        self._looked_at = threading.BoundedSemaphore(_LOOKED_AT)
        self._waiting = threading.BoundedSemaphore(_WAITING)
        self._told: dict[str, float] = {}
        self._any = False
        self.start_key = secrets.token_urlsafe(16)
        self.passkeys = Passkeys(self, database, clock)
        self.tokens = Tokens(self, database, clock)

    # Accounts ------------------------------------------------------------------------------------------------------

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
        with self.tried("", address, self._starts):
            given, right = "".join(key.split()).encode("utf-8", "replace"), self.start_key.encode()
            if not secrets.compare_digest(given, right):
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
        self.note(_as_caller(person), "made the first account", "", address, tx)
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

    def set_password(
        self,
        account: str,
        password: str,
        *,
        but: str | None = None,
        given: bool = False,
        by: Caller = NOBODY,
    ) -> None:
        """Gives an account another password; its sessions end, but the one with the cookie `but`.

        Args:
            account: whose.
            password: the new one.
            but: the cookie of the browser it was changed with.
            given: whether somebody else chose it (see `add`).
            by: who did it.
        """
        with self._database.read() as tx:
            found = People(tx).known(account)
        passwords.check(password, found.name)
        kept = passwords.kept(password)
        with self._database.transaction() as tx:
            people = People(tx)
            people.set_password(account, kept)
            people.change(replace(people.known(account), given=given))
            people.close_all(account, None if but is None else stored(but))
            if given:
                # Somebody else helps this account back in: whatever was planted in it is good no more.
                for token in people.tokens_of(account):
                    people.drop(token.digest)
                for passkey in people.passkeys_of(account):
                    people.drop_passkey(passkey.id)
            self.note(by, "set a new password" if given else "changed the password", found.name, tx=tx)

    def drop_password(self, account: str, *, but: str | None = None, by: Caller = NOBODY) -> None:
        """Takes an account's password away; it has passkeys (rule 5). Raises `Refused` (clause `last-key`) else."""
        with self._database.transaction() as tx:
            people = People(tx)
            found = people.known(account)
            if not people.passkeys_of(account):
                raise last_key()
            people.set_password(account, None)
            people.change(replace(found, given=False))
            people.close_all(account, None if but is None else stored(but))
            self.note(by, "removed the password", found.name, tx=tx)

    def has_password(self, account: str) -> bool:
        """Whether an account has a password."""
        with self._database.read() as tx:
            return People(tx).password(account) is not None

    def get(self, account: str) -> Person:
        """A person. Raises `NotFound`."""
        with self._database.read() as tx:
            return People(tx).known(account)

    def all(self) -> list[Person]:
        """Everybody, by name."""
        with self._database.read() as tx:
            return People(tx).all()

    # Signing in ----------------------------------------------------------------------------------------------------

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
        self.note(_as_caller(person), told, "", address, tx)
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

    def caller_of_token(self, secret: str) -> Caller:
        """What a program with this token may do now; nobody's if it is none."""
        return self.tokens.caller(secret)

    # What people did -----------------------------------------------------------------------------------------------

    def note(
        self, caller: Caller, what: str, about: str = "", address: str = "", tx: Transaction | None = None
    ) -> None:
        """Writes down what somebody did, for this node's auditors.

        Args:
            caller: who.
            what: what was done, so that it reads on after the name: `signed the agreement`.
            about: what it was done to: a name or a digest, nothing of a record or a question's text.
            address: from where.
            tx: the transaction it belongs to (rule 6); one of its own if absent.
        """
        name = caller.name or "somebody"
        entry = Entry(self._clock.now(), caller.account, name, what, about, address)
        if tx is not None:
            Trail(tx).add(entry)
            return
        with self._database.transaction() as own:
            Trail(own).add(entry)

    def trail(
        self, limit: int = 100, *, before: int | None = None, account: str | None = None
    ) -> list[Entry]:
        """What people did, newest first."""
        with self._database.read() as tx:
            return Trail(tx).newest(limit, before=before, account=account)

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
        self.note(NOBODY, what, person.name, address)

    def _shown(self, name: str, password: str, address: str, counted: str | None = None) -> Person:
        """The person of a name and password (rules 4 and 7); tries are counted under `counted` instead of the name."""
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


def _as_caller(person: Person) -> Caller:
    return Caller(person.name, account=person.account)


def _nobody() -> Refused:
    return Refused("Nobody is signed in.", "", "Sign in.", clause="sign-in")

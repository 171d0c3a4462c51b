"""Passkeys of this node's accounts: made, used to sign in, shown again, removed.

Rules (with those of `people.passkeys` and `people.challenges`):
1. A passkey is added to an account only by a session whose person has just shown the password or a passkey.
2. What a browser is asked before somebody signs in tells nothing about accounts: a name without passkeys, or without an account, is
   answered like one that has some.
3. A passkey is its account's alone: one that remembers another account, or is known already, is refused.
4. A passkey that may have been copied is refused and written down; it is not removed, so that nobody is shut out by a guess.
5. What is asked before somebody signs in is bound to the browser, by its cookie for visitors, never to the address: behind a proxy
   many share one.
6. Wrong answers are at the pace of `people.attempts`, by address: a passkey cannot be guessed by name.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from webauthn.helpers import bytes_to_base64url

from cloister.foundation.clock import Clock
from cloister.foundation.errors import Conflict, NotFound, Refused
from cloister.people import passkeys as rules
from cloister.people.challenges import Challenge, Challenges, Purpose, Strangers
from cloister.people.names import clean, folded
from cloister.people.sessions import Person, stored
from cloister.storage.database import Database, Transaction
from cloister.storage.people import Passkey, People
from cloister.storage.settings import Settings
from cloister.web.guard import Caller, require_fresh

if TYPE_CHECKING:
    from cloister.web.accounts import Accounts

EACH_MOST = 20
_PRETEND = "people/pretend"


class Passkeys:
    """The passkeys of all accounts, and the challenges that wait for an answer.

    Everywhere: `host` is the request's `Host` header, `origins` those of this page, `address` where the request comes from,
    `visitor` the secret of the browser's cookie for visitors, `answer` what the browser said (JSON), `cookie` the session's secret.
    """

    def __init__(self, accounts: Accounts, database: Database, clock: Clock) -> None:
        self._accounts, self._database, self._clock = accounts, database, clock
        self._challenges, self._strangers = Challenges(), Strangers()
        self._lock = threading.Lock()

    def of(self, account: str) -> list[Passkey]:
        """An account's passkeys, oldest first."""
        with self._database.read() as tx:
            return People(tx).passkeys_of(account)

    # Adding --------------------------------------------------------------------------------------------------------

    def ask_to_add(self, cookie: str, host: str, organisation: str) -> dict[str, Any]:
        """What a browser is given to make another passkey for who is signed in. Raises `NotFresh` (rule 1), `BadInput`."""
        person, name = self._fresh(cookie), rules.host_of(host)
        have = [item.id for item in self.of(person.account)]
        challenge = self._issue("add", stored(cookie), name, account=person.account)
        return rules.asking_new(name, organisation, person.account, person.name, challenge, have)

    def add(self, cookie: str, answer: str | bytes, title: str, origins: frozenset[str]) -> Passkey:
        """Keeps the passkey that a browser made. Raises `NotFresh` (rule 1), `Refused`, `BadInput`, `Conflict`."""
        person, named = self._fresh(cookie), clean(title or "Passkey")
        new, asked = self._made(answer, "add", stored(cookie), origins)
        with self._database.transaction() as tx:
            made = self._keep(tx, new, asked, person.account, named)
            self._accounts.note(
                Caller(person.name, account=person.account), "added a passkey", made.title, tx=tx, kind="own"
            )
        return made

    def remove(self, account: str, name: str, by: Caller) -> None:
        """Removes a passkey. Raises `NotFound`, or `Refused` (clause `last-key`) for the only way to sign in."""
        with self._database.transaction() as tx:
            people = People(tx)
            found = people.passkey(name)
            if found is None or found.account != account:
                raise NotFound("There is no such passkey.", "It may have been removed.", "Look at the list.")
            if people.password(account) is None and len(people.passkeys_of(account)) < 2:
                raise rules.last_key()
            people.drop_passkey(name)
            self._accounts.note(by, "removed a passkey", found.title, tx=tx, kind="own")

    # The first account ---------------------------------------------------------------------------------------------

    def ask_first(self, name: str, key: str, visitor: str, address: str, host: str) -> dict[str, Any]:
        """What a browser is given to make the first account with a passkey. Raises as `Accounts.first`."""
        self._accounts.check_start_key(key, address)
        named, page = clean(name), rules.host_of(host)
        # The account is made as the answer comes; the passkey remembers this name of it.
        account = secrets.token_hex(8)
        challenge = self._issue("first", stored(visitor), page, account=account, name=named)
        return rules.asking_new(page, "", account, named, challenge, ())

    def first(
        self, answer: str | bytes, visitor: str, address: str, browser: str, origins: frozenset[str]
    ) -> str:
        """Makes the first account, with the passkey that a browser made, and signs it in; returns the cookie's secret."""
        new, asked = self._made(answer, "first", stored(visitor), origins)
        with self._database.transaction() as tx:
            person = self._accounts.make_first(tx, asked.name, None, address, asked.account)
            self._keep(tx, new, asked, person.account, "Passkey")
            return self._accounts.begin(tx, person, address, browser, None, "signed in with a passkey")

    # Signing in ----------------------------------------------------------------------------------------------------

    def ask_to_sign_in(self, name: str, visitor: str, host: str) -> dict[str, Any]:
        """What a browser is given to sign in with a passkey; of any account where no name was typed (rule 2)."""
        page = rules.host_of(host)
        ids: list[str] = []
        plain = folded(name)
        if plain:
            with self._database.read() as tx:
                people = People(tx)
                found = people.by_name(plain)
                ids = [] if found is None else [item.id for item in people.passkeys_of(found[0].account)]
            ids = ids or [self._pretended(plain)]
        challenge = self._strangers.issue(visitor, page, self._clock.now())
        return rules.asking(page, challenge, ids)

    def sign_in(
        self,
        answer: str | bytes,
        visitor: str,
        address: str,
        browser: str,
        origins: frozenset[str],
        old: str | None = None,
    ) -> str:
        """The secret for the cookie of a new session, as `Accounts.sign_in`. Raises `Refused`, `BadInput`."""
        with self._accounts.tried(None, address):
            told = rules.answer_of(answer)
            challenge = rules.challenge_of(told)
            person, passkey = self._whose(told)
            self._strangers.check(challenge, visitor, passkey.host, self._clock.now())
            passkey = self._used(told, challenge, person, passkey, origins, address)
            with self._lock:
                self._strangers.spend(challenge, person.account, self._clock.now())
        with self._database.transaction() as tx:
            self._count(tx, passkey)
            return self._accounts.begin(tx, person, address, browser, old, "signed in with a passkey")

    def ask_again(self, cookie: str, host: str) -> dict[str, Any]:
        """What a browser is given to show again who is signed in. Raises `Refused`, `BadInput`, `NotFound` without a passkey."""
        person, page = self._accounts.signed_in(cookie), rules.host_of(host)
        ids = [item.id for item in self.of(person.account) if item.host == page]
        if not ids:
            raise NotFound("This account has no passkey for this page.", "", "Use the password.")
        challenge = self._issue("show-again", stored(cookie), page, account=person.account)
        return rules.asking(page, challenge, ids)

    def show_again(self, cookie: str, answer: str | bytes, address: str, origins: frozenset[str]) -> str:
        """As `Accounts.show_again`, with a passkey: returns the session's new secret. Raises `Refused`, `BadInput`."""
        person = self._accounts.signed_in(cookie)
        with self._accounts.tried(None, address):
            told = rules.answer_of(answer)
            challenge, asked = self._take(told, "show-again", stored(cookie))
            shown, passkey = self._whose(told)
            if shown.account != person.account or passkey.host != asked.host:
                raise _not_accepted()
            passkey = self._used(told, challenge, person, passkey, origins, address)
        with self._database.transaction() as tx:
            self._count(tx, passkey)
            return self._accounts.renew(tx, cookie)

    # Inside --------------------------------------------------------------------------------------------------------

    def _issue(self, purpose: Purpose, bound: str, host: str, account: str = "", name: str = "") -> bytes:
        with self._lock:
            now = self._clock.now()
            return self._challenges.issue(purpose, bound, host, now, account=account, name=name)

    def _take(self, answer: dict[str, Any], purpose: Purpose, bound: str) -> tuple[bytes, Challenge]:
        challenge = rules.challenge_of(answer)
        with self._lock:
            return challenge, self._challenges.take(challenge, purpose, bound, self._clock.now())

    def _fresh(self, cookie: str) -> Person:
        person = self._accounts.signed_in(cookie)
        require_fresh(self._accounts.caller(cookie), "This changes who may sign in as you.")
        return person

    def _made(
        self, answer: str | bytes, purpose: Purpose, bound: str, origins: frozenset[str]
    ) -> tuple[rules.NewPasskey, Challenge]:
        told = rules.answer_of(answer)
        challenge, asked = self._take(told, purpose, bound)
        return rules.made(told, challenge, asked.host, origins), asked

    def _keep(
        self, tx: Transaction, new: rules.NewPasskey, asked: Challenge, account: str, title: str
    ) -> Passkey:
        people = People(tx)
        if people.passkey(new.id) is not None:
            raise Conflict("That passkey is known already.", "", "Use another device.")
        if len(people.passkeys_of(account)) >= EACH_MOST:
            raise Conflict("There are too many passkeys.", f"The limit is {EACH_MOST}.", "Remove some.")
        made = Passkey(new.id, account, title, asked.host, new.key, new.count, self._clock.now())
        people.put_passkey(made)
        return made

    def _whose(self, told: dict[str, Any]) -> tuple[Person, Passkey]:
        """Who has the passkey that an answer names; nothing is proven yet."""
        with self._database.read() as tx:
            people = People(tx)
            passkey = people.passkey(rules.id_of(told))
            person = None if passkey is None else people.get(passkey.account)
        if passkey is None or person is None or not person.enabled:
            raise _not_accepted()
        if rules.account_of(told) not in (None, passkey.account):
            raise _not_accepted()
        return person, passkey

    def _used(
        self,
        told: dict[str, Any],
        challenge: bytes,
        person: Person,
        passkey: Passkey,
        origins: frozenset[str],
        address: str,
    ) -> Passkey:
        """The passkey as it is after this answer, if the answer holds."""
        try:
            count = rules.used(told, challenge, passkey.host, origins, passkey.key, passkey.count)
        except Refused as error:
            if error.clause == "passkey-copied":
                self._accounts.failed(
                    person, "used a passkey that may have been copied, for an account", address
                )
            raise
        return replace(passkey, count=count, used=self._clock.now())

    def _count(self, tx: Transaction, passkey: Passkey) -> None:
        people = People(tx)
        latest = people.passkey(passkey.id)
        # Removed, or used a second time, since it was looked at.
        if latest is None or (latest.count and latest.count >= passkey.count):
            raise _not_accepted()
        people.put_passkey(passkey)

    def _pretended(self, name: str) -> str:
        """What stands for the passkey of a name that has none: the same each time, like a real one (rule 2)."""
        with self._database.read() as tx:
            key = Settings(tx).get(_PRETEND)
        if key is None:
            with self._database.transaction() as tx:
                key = Settings(tx).get(_PRETEND) or secrets.token_hex(32)
                Settings(tx).put(_PRETEND, key)
        made = hmac.new(bytes.fromhex(key), name.encode("utf-8", "replace"), hashlib.sha256).digest()
        return bytes_to_base64url(made)


def _not_accepted() -> Refused:
    return Refused(
        "The passkey was not accepted.",
        "It is not known here, or its account may not sign in.",
        "Sign in another way, or ask whoever runs this server.",
        clause="passkey",
    )

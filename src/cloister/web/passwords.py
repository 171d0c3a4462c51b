"""Passwords of accounts: chosen, changed, taken away; and helping somebody back in with one that somebody else chose.

Rules (with those of `people.passwords` and `people.sessions`):
1. A change of password ends the account's other sessions.
2. Whoever is helped back in starts anew: tokens and passkeys of before are good no more, whoever planted them.
3. An account has a password or a passkey, or both; what is left of them is not removed.
"""

from __future__ import annotations

from dataclasses import replace

from cloister.people import passwords
from cloister.people.passkeys import last_key
from cloister.people.sessions import stored
from cloister.storage.people import People
from cloister.web.diary import Diary
from cloister.web.guard import NOBODY, Caller


class Passwords(Diary):
    """The passwords of all accounts."""

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
            what = "set a new password" if given else "changed the password"
            self.note(by, what, found.name, tx=tx, kind="binds" if given else "own")

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
            self.note(by, "removed the password", found.name, tx=tx, kind="own")

    def has_password(self, account: str) -> bool:
        """Whether an account has a password."""
        with self._database.read() as tx:
            return People(tx).password(account) is not None

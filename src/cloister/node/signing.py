"""How this organisation's people bind it: one person, or two where the node asks for four eyes (`people.four_eyes`).

Every door (page, interface, socket) signs and offers agreements through here and nowhere else. Rules:
1. Without four eyes one person's word does it. With them the first word is kept as a wish, and the second person's does it.
2. Who it was is written before it is done, and taken back if it comes to nothing: no signature is here without a name (after a
   crash in between there may be a name without a signature; the agreement itself says who has signed).
3. A wish is for the digest of the exact document. A draft that is changed has another, so that its wish counts no more.
4. Stopping takes one person, always: what protects must not wait. Resuming binds again, and takes as many as signing; a wish to
   resume ends with the next suspension, since it was not about that one.
5. Names and accounts stay at this node; other parties see the organisation's signature.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cloister.agreements.lifecycle import ENDED, State
from cloister.agreements.terms import Terms
from cloister.foundation.clock import Clock
from cloister.foundation.errors import BadInput, Conflict, NotFound, Refused
from cloister.node.agreements_service import AgreementsService
from cloister.node.peers.parties import Parties
from cloister.people import four_eyes
from cloister.people.four_eyes import Kind, Wish
from cloister.people.sessions import Person
from cloister.storage.database import Database, Transaction
from cloister.storage.people import People
from cloister.storage.settings import Settings
from cloister.storage.signing import Deed, Signed, Signings, Wishes
from cloister.storage.trail import Entry, Trail

_SETTING = "signing/two-people"
_WORDS: dict[Kind, tuple[str, str]] = {
    "sign": ("asked to sign an agreement", "signed an agreement"),
    "offer": ("asked to offer an agreement", "signed and offered an agreement"),
    "resume": ("asked to resume an agreement", "resumed an agreement"),
    "one-person": ("asked to let one person sign", "let one person sign"),
}

_MOVES: dict[State, tuple[Deed, str]] = {
    State.SUSPENDED: ("suspend", "suspended an agreement"),
    State.REVOKED: ("revoke", "revoked an agreement"),
    State.TERMINATED: ("decline", "declined an agreement"),
}


@dataclass(frozen=True)
class Signer:
    """Who asks.

    Attributes:
        account: the person's; `None` for the operator of the machine.
        name: the person's.
        address: from where, if that is known.
    """

    account: str | None
    name: str
    address: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        done: whether it is done; else a second person is waited for.
        told: the agreement's summary, with `budgets` where it was signed.
        wish: what waits for a second person.
    """

    done: bool
    told: dict[str, Any]
    wish: Wish | None = None


class Signing:
    """Binds the organisation when the people who are needed have said so.

    Args:
        database: the node's.
        clock: tells the time.
        parties: whom this organisation knows.
        agreements: signs.
    """

    def __init__(
        self, database: Database, clock: Clock, parties: Parties, agreements: AgreementsService
    ) -> None:
        self._database, self._clock, self._parties, self._agreements = database, clock, parties, agreements
        self._lock = threading.Lock()

    # What people do ------------------------------------------------------------------------------------------------

    def sign(self, digest: str, signer: Signer) -> Outcome:
        """Signs an agreement that is here, or wishes to.

        Raises:
            NotFound: there is no such agreement.
            Conflict: it was signed already, or stopped; the first person's wish has lapsed.
            Refused: not by this person (clause `four-eyes`), or as `AgreementsService.sign`.
        """
        terms = self._agreements.get(digest).terms
        # What would be refused at the end is refused to the first person already.
        self._parties.require_trusted(terms.parties)
        if self._agreements.state(digest) in ENDED:
            raise Conflict(
                "The agreement was stopped, or has ended.",
                "It can no longer be signed.",
                "Propose a new one.",
            )
        told, wish = self._bind("sign", digest, signer, lambda: self._agreements.sign(digest))
        return Outcome(wish is None, told or self._agreements.summary(digest), wish)

    def offer(self, document: Any, signer: Signer) -> Outcome:
        """Signs new terms and offers them to the other parties, or wishes to.

        Raises:
            BadInput, Refused: as `AgreementsService.offer`; not by this person (clause `four-eyes`).
            Conflict: it was signed already; the first person's wish has lapsed.
        """
        terms = Terms.from_odrl(document)
        self._parties.require_trusted(terms.parties)
        told, wish = self._bind("offer", terms.digest, signer, lambda: self._agreements.offer(document))
        waiting = {"agreement": terms.digest, "title": terms.title, "state": "none"}
        return Outcome(wish is None, told or waiting, wish)

    def set_two_people(self, *, needed: bool, signer: Signer) -> Outcome:
        """Switches four eyes on, or off; off takes two people (`people.four_eyes`, rule 6)."""
        if needed:
            with self._lock, self._database.transaction() as tx:
                four_eyes.check_enough(People(tx).all())
                Settings(tx).put(_SETTING, value=True)
                self._note(tx, signer, "let two people sign", "")
            return Outcome(done=True, told={})
        if not self.two_people:
            return Outcome(done=True, told={})

        def off() -> dict[str, Any]:
            with self._database.transaction() as tx:
                Settings(tx).remove(_SETTING)
            return {}

        _, wish = self._bind("one-person", "", signer, off)
        return Outcome(wish is None, {}, wish)

    def resume(self, digest: str, reason: str | None, signer: Signer) -> Outcome:
        """Lifts this organisation's suspension of an agreement, or wishes to (rule 4).

        Raises:
            NotFound: there is no such agreement.
            Conflict: this organisation has not suspended it; the first person's wish has lapsed.
            Refused: not by this person (clause `four-eyes`), or as `AgreementsService.move`.
        """
        told, wish = self._bind(
            "resume", digest, signer, lambda: self._agreements.move(digest, State.FINALIZED, reason)
        )
        return Outcome(wish is None, told or self._agreements.summary(digest), wish)

    def move(self, digest: str, to: State, reason: str | None, signer: Signer) -> dict[str, Any]:
        """Suspends, revokes or declines an agreement (rule 4). Returns its summary; raises as `AgreementsService.move`."""
        deed = _MOVES.get(to)
        if deed is None:
            raise BadInput(
                "People do not make that step.",
                f"Steps: {', '.join(sorted(_MOVES))}.",
                "Choose one.",
            )
        told = self._agreements.move(digest, to, reason)
        # What protects is done first and written down afterwards.
        name = signer.name or "somebody"
        with self._database.transaction() as tx:
            Wishes(tx).remove("resume", digest)
            Signings(tx).add(Signed(self._clock.now(), deed[0], digest, signer.account, name))
            self._note(tx, signer, deed[1], digest)
        return told

    def withdraw(self, kind: Kind, subject: str, signer: Signer) -> None:
        """Takes a wish back; anybody may who could confirm it. Raises `NotFound`."""
        with self._lock, self._database.transaction() as tx:
            if Wishes(tx).get(kind, subject) is None:
                raise NotFound("Nothing waits for a second person here.", "", "Look at the list again.")
            Wishes(tx).remove(kind, subject)
            self._note(tx, signer, "withdrew a wish to sign", subject)

    # Looking -------------------------------------------------------------------------------------------------------

    @property
    def two_people(self) -> bool:
        """Whether four eyes are needed."""
        with self._database.read() as tx:
            return bool(Settings(tx).get(_SETTING, default=False))

    def wishes(self) -> list[Wish]:
        """What waits for a second person, oldest first."""
        now = self._clock.now()
        with self._database.read() as tx:
            if not Settings(tx).get(_SETTING, default=False):
                return []
            return [w for w in Wishes(tx).all() if self._standing(tx, w.kind, w.subject, now) is not None]

    def wish(self, kind: Kind, subject: str) -> Wish | None:
        """The wish for something that waits for a second person, or `None`."""
        return next((w for w in self.wishes() if (w.kind, w.subject) == (kind, subject)), None)

    def signed_by(self, subject: str) -> list[Signed]:
        """Which people bound the organisation to something, oldest first."""
        with self._database.read() as tx:
            return Signings(tx).about(subject)

    # Inside --------------------------------------------------------------------------------------------------------

    def _bind(
        self, kind: Kind, subject: str, signer: Signer, act: Callable[[], dict[str, Any]]
    ) -> tuple[dict[str, Any] | None, Wish | None]:
        """Does it, or keeps the wish that it be done: what was told of it, or the wish. Raises `Conflict` if it is done."""
        with self._lock:
            # What would be refused at the end is refused to the first person already.
            (self._require_suspended if kind == "resume" else self._require_unsigned)(subject)
            now = self._clock.now()
            with self._database.transaction() as tx:
                two = bool(Settings(tx).get(_SETTING, default=False))
                wished = self._standing(tx, kind, subject, now) if two else None
                if two and wished is None:
                    made = four_eyes.wish(kind, subject, _person(tx, signer.account), now)
                    Wishes(tx).put(made)
                    self._note(tx, signer, _WORDS[kind][0], subject)
                    return None, made
                if wished is not None:
                    first, second = _person(tx, wished.account), _person(tx, signer.account)
                    four_eyes.check_second(wished, kind, subject, first, second, now)
                Wishes(tx).remove(kind, subject)
                number = Signings(tx).add(_signed(now, kind, subject, signer, wished))
            try:
                told = act()
            except BaseException:
                with self._database.transaction() as tx:
                    Signings(tx).remove(number)
                    if wished is not None:
                        Wishes(tx).put(wished)
                raise
            with self._database.transaction() as tx:
                self._note(tx, signer, _WORDS[kind][1], subject)
            return told, None

    def _require_unsigned(self, subject: str) -> None:
        held = bool(subject) and self._agreements.find(subject) is not None
        if held and self._parties.own.party in self._agreements.get(subject).signed_by:
            raise Conflict(
                "Your organisation has signed this agreement.", "Once is enough.", "There is nothing to do."
            )

    def _require_suspended(self, subject: str) -> None:
        state = self._agreements.state(subject)
        if state is not State.SUSPENDED:
            raise Conflict(
                f"The agreement is {state}, not suspended.",
                "There is nothing to resume.",
                "Look at it again.",
            )
        if self._agreements.suspended_since(subject) is None:
            raise Refused(
                "This party cannot resume the agreement.",
                "Only a party that suspended it can.",
                "Ask the party that suspended it.",
                clause="lifecycle",
            )

    def _standing(self, tx: Transaction, kind: Kind, subject: str, now: int) -> Wish | None:
        """A wish that counts: it has not lapsed, is not older than what it is to lift, and whose it is may still sign."""
        found = Wishes(tx).get(kind, subject)
        if found is not None and kind == "resume":
            held = self._agreements.find(subject) is not None
            since = self._agreements.suspended_since(subject) if held else None
            if since is None or found.at < since:
                return None
        counts = found is not None and found.alive(now) and four_eyes.may_bind(_person(tx, found.account))
        return found if counts else None

    def _note(self, tx: Transaction, signer: Signer, what: str, about: str) -> None:
        name = signer.name or "somebody"
        Trail(tx).add(Entry(self._clock.now(), signer.account, name, what, about, signer.address))


def _person(tx: Transaction, account: str | None) -> Person | None:
    return None if account is None else People(tx).get(account)


def _signed(now: int, kind: Kind, subject: str, signer: Signer, wished: Wish | None) -> Signed:
    first = (None, None) if wished is None else (wished.account, wished.name)
    return Signed(now, kind, subject, signer.account, signer.name or "somebody", *first)

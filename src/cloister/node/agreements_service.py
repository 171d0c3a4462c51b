"""Agreements at this node: proposed, shown, signed by people; stopped by anyone; their state from signed acts.

A person's signature is the consent. What the protocol still asks for after every party has signed (agreed, verified,
finalized) is said by the nodes by themselves, each act signed, so that nobody has to press a button that adds nothing.

Rules:
1. Only an agreement's members may show it to this node. Of its signatures those are kept that hold, one of each member;
   an entry is not kept for the party that it names.
2. People sign and propose only with parties whose fingerprints they have compared.
3. An agreement's state follows from the signed acts that this node holds; nobody's word about it counts.
4. A verified document stays verified until a key of anybody changes; then it is verified anew.
5. Drafts, signatures and acts of other parties are counted against them (`quotas`); a draft that came to nothing makes
   room.
6. An act that takes an agreement out of force stops what runs under it before the call that made or brought it returns.
7. A row that cannot be read is told (`unreadable`) and holds up no other agreement; offered again, it is replaced.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from cloister.agreements.lifecycle import (
    ACT_TYPE,
    ENDED,
    TRANSITIONS,
    Act,
    State,
    act,
    check_act,
    open_act,
    sides,
    sign_act,
    state_of,
    suspended_by,
)
from cloister.agreements.signing import (
    AGREEMENT_TYPE,
    AgreementView,
    cosign_agreement,
    open_agreement,
    read_terms,
    sign_terms,
    view,
)
from cloister.agreements.terms import Terms
from cloister.foundation.clock import Clock, parse_rfc3339
from cloister.foundation.errors import BadInput, CloisterError, Conflict, NotFound, Refused
from cloister.foundation.quotas import Standing
from cloister.identity.envelopes import (
    Envelope,
    EnvelopeSignature,
    holding,
    signer_of,
    with_signatures,
)
from cloister.identity.keys import SecretKeys
from cloister.node.peers.parties import Parties
from cloister.node.peers.quotas import Quotas
from cloister.node.peers.verified import Verified
from cloister.storage.database import Database, Transaction
from cloister.storage.documents import Documents
from cloister.storage.events import Events

_LOG = logging.getLogger("cloister.node.agreements")
_DRAFTS, _ACTS, _FINAL_ACTS = "drafts of agreements", "acts on an agreement", "final acts on an agreement"
_SIGNATURES = "signatures on an agreement"
_STOPS = (State.SUSPENDED, State.REVOKED, State.TERMINATED)


class AgreementsService:
    """Holds agreements and acts; every change is logged and told to the other members by `changed`.

    `enforce` stops the tasks of agreements that are no longer in force; it waits for nobody. `prepare` makes ready what an
    agreement needs of this node before it is signed (privacy budgets), or raises; it says in words what it did.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        keys: SecretKeys,
        parties: Parties,
        log: Callable[[Transaction, str, str], object],
        changed: Callable[[], None],
        quotas: Quotas,
        enforce: Callable[[], object],
        prepare: Callable[[Terms], list[str]],
    ) -> None:
        self._prepare = prepare
        self._quotas = quotas
        self._enforce = enforce
        self._database = database
        self._clock = clock
        self._keys = keys
        self._parties = parties
        self._log = log
        self._changed = changed
        self._lock = threading.RLock()
        self._told: set[str] = set()
        self._verified = Verified(parties)

    # What people do ------------------------------------------------------------------------------------------------

    def propose(self, document: Any) -> str:
        """Signs new terms for this party and offers them to the others. Returns the agreement's digest. See `offer`."""
        return str(self.offer(document)["agreement"])

    def offer(self, document: Any) -> dict[str, Any]:
        """Like `propose`. Returns the summary, with `budgets`: in words, what signing meant for this party's populations.

        Raises:
            Refused: clauses that no node can enforce (named), unknown or untrusted parties, budgets that cannot be.
        """
        terms = Terms.from_odrl(document)
        self._parties.require_trusted(terms.parties)
        prepared = self._prepare(terms)
        envelope = sign_terms(terms, self._parties.own.party, self._keys)
        with self._lock:
            self._merge(envelope)
            found = self.get(envelope.digest)
            if self._state(found) is State.NONE:
                provider = "provider" in sides(terms, self._parties.own.party)
                self._act(found, State.NONE, State.OFFERED if provider else State.REQUESTED, None)
        self.settle()
        return {**self.summary(envelope.digest), "budgets": prepared}

    def sign(self, digest: str) -> dict[str, Any]:
        """Adds this party's signature; returns as `offer`.

        Raises:
            Refused: untrusted parties, an ended or unenforceable agreement, budgets that cannot be.
        """
        with self._lock:
            envelope = self.envelope(digest)
            terms = read_terms(envelope)
            self._parties.require_trusted(terms.parties)
            if self._state(self._view(envelope)) in (State.TERMINATED, State.REVOKED):
                raise Conflict(
                    "The agreement was stopped.", "It can no longer be signed.", "Propose a new one."
                )
            prepared = self._prepare(terms)
            self._merge(cosign_agreement(envelope, self._parties.own.party, self._keys, self._clock.now()))
        self.settle()
        return {**self.summary(digest), "budgets": prepared}

    def move(self, digest: str, to: State, reason: str | None) -> dict[str, Any]:
        """Makes an act of this party: suspend, resume (`finalized`), revoke, terminate.

        Raises:
            Conflict, Refused: the lifecycle has no such step, or not for this party; it was suspended too often.
        """
        with self._lock:
            found = self.get(digest)
            own = [item for item in self._acts(digest) if item.by == self._parties.own.party]
            if (
                to in (State.SUSPENDED, State.FINALIZED)
                and len(own) >= self._quotas.limits[_ACTS].number // 2
            ):
                raise Refused(
                    "This party has moved the agreement too often.",
                    "Other servers take only so many acts of one party.",
                    "Revoke it and agree anew.",
                    clause="quota",
                )
            self._act(found, self._state(found), to, reason)
        self._stop(to)
        self.settle()
        return self.summary(digest)

    # What other nodes send -----------------------------------------------------------------------------------------

    def accept(self, envelope: Envelope, sender: str) -> None:
        """Takes in an agreement with whatever signatures it has by now; only among its members."""
        terms = read_terms(envelope)
        own = self._parties.own.party
        if own not in terms.parties or sender not in terms.parties:
            raise Refused(
                "This agreement is not between the two parties.",
                "",
                "Send it to its members only.",
                clause="parties",
            )
        with self._lock:
            if self._held(envelope.digest) is None:
                self._view(envelope)  # what is malformed is nobody's draft
                size = len(envelope.encode())
                for name in self._quotas.take(_DRAFTS, sender, envelope.digest, size, self._standing):
                    self._forget(name)
            self._merge(envelope)
        self.settle()

    def accept_act(self, envelope: Envelope) -> None:
        """Takes in another party's act."""
        item = open_act(envelope, self._parties.directory)
        with self._lock:
            found = self.get(item.agreement)
            acts = self._acts(item.agreement)
            if any(known.digest == item.digest for known in acts):
                return
            # The state is a function of the set of acts, in whatever order they arrive: only form and right count.
            if item.by not in found.terms.parties or (item.before, item.to) not in TRANSITIONS:
                raise Refused(
                    "An act is not by a member, or no step of the lifecycle.",
                    "Only members move an agreement, and only along its lifecycle.",
                    "Look at the agreement's state.",
                    clause="lifecycle",
                )
            final = item.to in (State.TERMINATED, State.REVOKED)
            kind = _FINAL_ACTS if final else _ACTS
            good = holding(envelope, ACT_TYPE, self._parties.directory)
            kept = with_signatures(envelope, [entry for entry in good if signer_of(entry) == item.by])
            # The signer's, whoever brought it: nobody else can make more of them.
            self._quotas.take(kind, item.by, item.digest, len(kept.encode()), about=item.agreement)
            self._keep_act(kept, item)
        self._stop(item.to)
        self.settle()

    def settle(self) -> None:
        """Makes the acts that follow from complete signatures, then tells the others if anything is new."""
        with self._lock:
            for digest in self.digests():
                found = self.get(digest)
                if not found.complete:
                    continue
                # One party may have several turns, and all of them where it is alone: each step leads onwards, so this ends.
                while (step := _next(state := self._state(found))) is not None:
                    try:
                        self._act(found, state, step, None)
                    except CloisterError:
                        break  # another party's turn
        self._changed()

    # Looking -------------------------------------------------------------------------------------------------------

    def digests(self) -> list[str]:
        """All agreements held that can be read, oldest first."""
        with self._database.read() as tx:
            rows = Documents(tx).find(AGREEMENT_TYPE)
        return [digest for digest, data in rows if self._trouble(digest, data) is None]

    def unreadable(self) -> list[dict[str, str]]:
        """The agreements that are held and cannot be read, with the reason: for this node's people."""
        with self._database.read() as tx:
            rows = Documents(tx).find(AGREEMENT_TYPE)
        found = [(digest, self._trouble(digest, data)) for digest, data in rows]
        return [{"agreement": digest, "reason": reason} for digest, reason in found if reason is not None]

    def find(self, digest: str) -> Envelope | None:
        """An agreement's envelope, or `None`."""
        with self._database.read() as tx:
            data = Documents(tx).get(digest)
        return Envelope.stored(data) if data is not None else None

    def envelope(self, digest: str) -> Envelope:
        """An agreement's envelope. Raises `NotFound`."""
        found = self.find(digest)
        if found is None or found.payloadType != AGREEMENT_TYPE:
            raise NotFound("There is no such agreement here.", "", "See: cloister agreement list")
        return found

    def get(self, digest: str) -> AgreementView:
        """An agreement with its checked signatures. Raises `NotFound`."""
        return self._view(self.envelope(digest))

    def in_force(self, digest: str) -> AgreementView:
        """An agreement that every party signed and that has not ended. Raises `NotTrusted`, `Refused`, `NotFound`."""
        envelope = self.envelope(digest)
        found = self._view(envelope)
        if not found.complete or self._clock.now() >= found.terms.valid.stop:
            # Says why it is not; checks everything again, which nobody waits for.
            return open_agreement(envelope, self._parties.directory, self._clock.now())
        return found

    def state(self, digest: str) -> State:
        """Where it stands now."""
        return self._state(self.get(digest))

    def suspended_since(self, digest: str) -> int | None:
        """When this party suspended it last, if that suspension stands; seconds since the epoch."""
        found, own = self.get(digest), self._parties.own.party
        acts = self._acts(digest)
        if own not in suspended_by(found, acts, self._clock.now()):
            return None
        return max(parse_rfc3339(item.time) for item in acts if item.by == own and item.to is State.SUSPENDED)

    def act_envelopes(self, digest: str) -> list[Envelope]:
        """Signed acts of one agreement; one that cannot be read counts for nothing."""
        with self._database.read() as tx:
            rows = Documents(tx).find(ACT_TYPE, agreement=digest)
        found = []
        for name, data in rows:
            try:
                found.append(Envelope.stored(data))
            except BadInput as error:
                _LOG.error("the act %s cannot be read: %s", name, error.why)
        return found

    def summary(self, digest: str) -> dict[str, Any]:
        """An agreement for lists: title, state, who has signed, until when."""
        found = self.get(digest)
        return {
            "agreement": digest,
            "title": found.terms.title,
            "version": found.terms.version,
            "state": str(self._state(found)),
            "parties": [
                {
                    "party": party,
                    "name": found.terms.name_of(party),
                    "signed": party in found.signed_by,
                    "trusted": self._parties.trusted(party),
                }
                for party in found.terms.parties
            ],
            "complete": found.complete,
            "valid_from": found.terms.valid_from,
            "valid_until": found.terms.valid_until,
        }

    # Inside --------------------------------------------------------------------------------------------------------

    def _standing(self, digest: str) -> Standing:
        """Of a draft: still to be signed, signed by all, or come to nothing."""
        envelope = self._held(digest)
        if envelope is None or self._trouble(digest, envelope.encode()) is not None:
            return "spent"
        found = self._view(envelope)
        if found.complete:
            return "taken"
        return "spent" if self._state(found) in ENDED else "waiting"

    def _forget(self, digest: str) -> None:
        """Deletes a draft that came to nothing, and its acts. The log keeps that it was here."""
        with self._database.transaction() as tx:
            documents = Documents(tx)
            for act_digest, _ in documents.find(ACT_TYPE, agreement=digest):
                documents.remove(act_digest)
            documents.remove(digest)
            self._quotas.forget_about(tx, digest)

    def _trouble(self, digest: str, data: bytes) -> str | None:
        try:
            self._view(Envelope.stored(data))
        except CloisterError as error:
            if digest not in self._told:  # it is looked at every other second
                self._told.add(digest)
                _LOG.error("the agreement %s cannot be read: %s %s", digest, error.what, error.why)
            return f"{error.what} {error.why}".strip()
        return None

    def _held(self, digest: str) -> Envelope | None:
        """What is held and can be read."""
        try:
            return self.find(digest)
        except BadInput:
            return None

    def _stop(self, to: State) -> None:
        if to in _STOPS:
            try:
                self._enforce()
            except CloisterError as error:
                # The act is on disk: the chore that is about to be woken tries again.
                _LOG.warning("not every task could be stopped: %s %s", error.what, error.why)

    def _merge(self, envelope: Envelope) -> None:
        known = self._held(envelope.digest)
        held = known.signatures if known is not None else ()
        if known is not None and set(envelope.signatures) <= set(held):
            return
        terms, directory = read_terms(envelope), self._parties.directory
        # One entry of each member: what is held stays as long as it holds, then another one of the same party's counts.
        good: dict[str, EnvelopeSignature] = {}
        for source in (known, envelope):
            for entry in holding(source, AGREEMENT_TYPE, directory) if source is not None else ():
                if signer_of(entry) in terms.parties:
                    good.setdefault(signer_of(entry), entry)
        if known is not None:
            self._charge(envelope.digest, good, set(good.values()) - set(held))
            if set(good.values()) <= set(held):
                return
        stored = with_signatures(envelope, good.values())
        now = self._clock.now()
        with self._database.transaction() as tx:
            Documents(tx).put(envelope.digest, AGREEMENT_TYPE, stored.encode(), now, uid=terms.uid)
            self._log(tx, "agreement", envelope.digest)
            Events(tx).add(
                "",
                now,
                "agreement.signatures",
                {"agreement": envelope.digest, "signed": sorted(good)},
            )

    def _charge(self, digest: str, good: dict[str, EnvelopeSignature], new: set[EnvelopeSignature]) -> None:
        """Counts new signatures against their signers, whoever brought them; one over the quota is left out alone."""
        for entry in new:
            size = len(entry.keyid) + len(entry.sig)
            try:
                self._quotas.take(_SIGNATURES, signer_of(entry), entry.keyid, size, about=digest)
            except Refused as error:
                _LOG.info("a signature was not taken: %s %s", error.what, error.why)
                del good[signer_of(entry)]

    def _state(self, found: AgreementView) -> State:
        return state_of(found, self._acts(found.digest), self._clock.now())

    def _acts(self, digest: str) -> list[Act]:
        found = []
        for envelope in self.act_envelopes(digest):
            try:
                found.append(self._verified.get(envelope, open_act))
            except CloisterError:
                continue  # its signer has been revoked since: the act no longer counts
        return found

    def _view(self, envelope: Envelope) -> AgreementView:
        return self._verified.get(envelope, view)

    def _act(self, found: AgreementView, before: State, to: State, reason: str | None) -> None:
        acts = self._acts(found.digest)
        # Acts are ordered by their times; another node's clock may be a little ahead of this one's.
        now = max([self._clock.now(), *(parse_rfc3339(item.time) for item in acts)])
        item = act(found, before, to, self._parties.own.party, now, reason)
        check_act(found, acts, item, now)
        self._keep_act(sign_act(item, self._keys), item)

    def _keep_act(self, envelope: Envelope, item: Act) -> None:
        now = self._clock.now()
        with self._database.transaction() as tx:
            Documents(tx).put(envelope.digest, ACT_TYPE, envelope.encode(), now, agreement=item.agreement)
            self._log(tx, "agreement", envelope.digest)
            Events(tx).add(
                "",
                now,
                "agreement.state",
                {"agreement": item.agreement, "by": item.by, "to": str(item.to), "reason": item.reason},
            )


def _next(state: State) -> State | None:
    return {
        State.REQUESTED: State.AGREED,
        State.OFFERED: State.ACCEPTED,
        State.ACCEPTED: State.AGREED,
        State.AGREED: State.VERIFIED,
        State.VERIFIED: State.FINALIZED,
    }.get(state)

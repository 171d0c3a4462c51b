"""What each other party may leave at this node: the limits, and where they are counted (the rules: `foundation.quotas`).

Rules:
1. Counted is who really sent or made a thing: the sender that the transport has checked, or the signer of a signature that
   holds. What somebody forges under another's name is refused before it is counted.
2. A party whose fingerprint nobody here has compared gets a tenth.
3. What this party's own people do is not counted, but their acts keep to the same number, so that others can take them.
4. An act that stops an agreement for good is never refused for want of room: the two that count are kept apart.
5. What was counted goes with what it was about, and once it says nothing any more: things and senders come and go for years.
"""

from __future__ import annotations

from collections.abc import Callable

from cloister.foundation.clock import Clock
from cloister.foundation.quotas import Quota, Standing
from cloister.node.peers.parties import Parties
from cloister.storage import quotas as kept
from cloister.storage.database import Database, Transaction

_MIB = 1 << 20
LIMITS: dict[str, Quota] = {
    "plans": Quota(number=100, size=64 * _MIB, burst=30, per_hour=60),
    "parts of computations": Quota(number=200, size=2048 * _MIB, burst=60, per_hour=120),
    "drafts of agreements": Quota(number=50, size=16 * _MIB, burst=50, per_hour=60),
    "signatures on an agreement": Quota(number=70, size=_MIB, burst=20, per_hour=60),
    "acts on an agreement": Quota(number=100, size=4 * _MIB, burst=60, per_hour=120),
    "final acts on an agreement": Quota(number=4, size=_MIB, burst=4, per_hour=60),
    "catalogue entries": Quota(number=1000, size=64 * _MIB, burst=200, per_hour=120),
    "withdrawals of disclosures": Quota(number=1000, size=16 * _MIB, burst=100, per_hour=120),
    "packages of disclosures": Quota(number=16, size=512 * _MIB, burst=16, per_hour=60),
    "questions about figures": Quota(number=20, size=512 * _MIB, burst=10, per_hour=20),
    "revocations": Quota(number=1000, size=16 * _MIB, burst=100, per_hour=120),
}
_STRANGERS = 10


class Quotas:
    """Counts what others leave here.

    Args:
        database: the node's.
        clock: tells the time.
        parties: whose fingerprints were compared.
        limits: by kind.
    """

    def __init__(
        self, database: Database, clock: Clock, parties: Parties, limits: dict[str, Quota] | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._parties = parties
        self.limits = LIMITS if limits is None else limits

    def take(
        self,
        kind: str,
        sender: str,
        name: str,
        size: int,
        standing: Callable[[str], Standing] | None = None,
        *,
        tx: Transaction | None = None,
        about: str = "",
    ) -> tuple[str, ...]:
        """Counts one thing against its sender; returns the names of those that made room and are to be forgotten.

        Args:
            kind: one of `LIMITS`.
            sender: whom it is counted against.
            name: of the thing.
            size: bytes.
            standing: of a thing that is held.
            tx: the transaction that keeps it; one of its own if absent.
            about: what the quota is for, where each of several things (agreements) has its own.

        Raises:
            Refused: the sender's quota is used up (clause `quota`).
        """
        if not self.counts(sender):
            return ()
        quota = self._quota(kind, sender)
        if tx is None:
            with self._database.transaction() as own:
                return self.take(kind, sender, name, size, standing, tx=own, about=about)
        who = f"{sender}/{about}" if about else sender
        return kept.charge(tx, quota, kind, who, name, size, self._clock.now(), standing)

    def counts(self, sender: str) -> bool:
        """Whether what a party leaves here is counted (rule 3)."""
        return sender != self._parties.own.party

    def most(self, kind: str, sender: str) -> int:
        """Bytes that a party may leave here of one kind, when it has left nothing yet."""
        return self._quota(kind, sender).size

    def _quota(self, kind: str, sender: str) -> Quota:
        quota = self.limits[kind]
        known = self._parties.trusted(sender) or not self.counts(sender)
        return quota if known else quota.share(_STRANGERS)

    def forget_about(self, tx: Transaction, about: str) -> None:
        """Removes what was counted of something that is no longer here (rule 5)."""
        kept.forget_about(tx, about)

    def tidy(self) -> int:
        """Removes the counts that hold nothing and slow nobody down any more (rule 5); returns how many."""
        with self._database.transaction() as tx:
            return kept.tidy(tx, self._clock.now())

    def give_back(self, kind: str, sender: str, name: str) -> None:
        """No longer counts a thing that was not kept after all."""
        with self._database.transaction() as tx:
            kept.uncharge(tx, kind, sender, name)

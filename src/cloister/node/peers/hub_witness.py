"""This node as a witness of the hub's log: it cosigns heads that extend what it has seen, and keeps proof of any other.

The hub is not trusted: it could show one history to one party and another to the next. Parties that cosign its heads
(and compare them with other parties' cosignatures) make that impossible to hide. Rules, by `ledger.witness`:
1. A head is cosigned only if it extends the head seen before; what was seen is stored before the cosignature leaves.
2. A head that contradicts it is kept with the earlier one, both signed by the hub: that is proof, for anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from cloister.foundation.clock import Clock
from cloister.foundation.errors import NotTrusted
from cloister.identity.keys import PublicKeys, SecretKeys
from cloister.ledger.checkpoints import Checkpoint, ledger_origin, witness_name
from cloister.ledger.notes import Note
from cloister.ledger.witness import Refusal, Seen, consider
from cloister.storage.database import Database
from cloister.storage.settings import Settings


class HubLog(Protocol):
    """The part of `transport.hub_client.HubClient` that is needed here."""

    def head(self) -> bytes:
        """The hub's signed head."""
        ...

    def consistency(self, old: int, new: int) -> list[bytes]:
        """The proof between two sizes."""
        ...

    def cosign(self, note: bytes) -> None:
        """Takes a cosignature."""
        ...


class HubWitness:
    """Watches one hub's log.

    Args:
        database: the node's.
        clock: for the cosignature's time.
        party: whose node this is.
        keys: its secret keys.
        hub: the hub's fingerprint.
        hub_keys: the hub's keysets, from its cards.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        party: str,
        keys: SecretKeys,
        hub: str,
        hub_keys: Callable[[], Sequence[PublicKeys]],
    ) -> None:
        self._database, self._clock = database, clock
        self._party, self._keys = party, keys
        self._hub, self._hub_keys = hub, hub_keys

    def look(self, log: HubLog) -> int:
        """Looks at the hub's head and cosigns it if it is new. Returns its size.

        Raises:
            NotTrusted: the head contradicts what was seen, or is not signed by the hub; `evidence` keeps both.
            CloisterError: the hub could not be asked.
        """
        note = Note.parse(log.head())
        size = Checkpoint.parse(note.text).size
        seen = self._seen()
        if size == 0 or (seen is not None and seen.size == size and Note.parse(seen.note).text == note.text):
            return size
        old = seen.size if seen is not None else 0
        proof = log.consistency(old, size) if 0 < old < size else []
        name = witness_name(self._party)
        found = consider(
            seen,
            note,
            old,
            proof,
            origin=ledger_origin(self._hub),
            log_keys=self._hub_keys(),
            name=name,
            keys=self._keys,
            now=self._clock.now(),
        )
        if isinstance(found, Refusal):
            self._keep(found)
            raise NotTrusted(
                "The relay's log contradicts what it showed before.",
                found.why,
                "Tell the other parties; the proof is kept at this server (`cloister doctor`).",
                clause=found.clause,
            )
        with self._database.transaction() as tx:
            Settings(tx).put(f"hub-log/{self._hub}", found.seen.to_json())
        log.cosign(note.with_lines(found.lines).encode())
        return size

    def evidence(self) -> dict[str, Any] | None:
        """Two heads of the hub's log that contradict each other, if it ever showed such; else `None`."""
        with self._database.read() as tx:
            found: dict[str, Any] | None = Settings(tx).get(f"hub-log-evidence/{self._hub}")
        return found

    def _seen(self) -> Seen | None:
        with self._database.read() as tx:
            kept = Settings(tx).get(f"hub-log/{self._hub}")
        return None if kept is None else Seen.from_json(kept)

    def _keep(self, refusal: Refusal) -> None:
        if len(refusal.evidence) != 2:
            return
        with self._database.transaction() as tx:
            first, second = (item.decode() for item in refusal.evidence)
            value: dict[str, Any] = {
                "clause": refusal.clause,
                "first": first,
                "second": second,
                "at": self._clock.now(),
            }
            Settings(tx).put(f"hub-log-evidence/{self._hub}", value)

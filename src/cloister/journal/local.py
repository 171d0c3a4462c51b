"""What one run of a step may touch (`program.Local`), made anew for each run."""

from __future__ import annotations

from collections.abc import Mapping

from cloister.foundation.canonical import JSON
from cloister.foundation.errors import Conflict
from cloister.journal.durable import Durable
from cloister.journal.ports import LocalPorts
from cloister.journal.program import DataPort, Engine, Party, PrivacyCost, Signing
from cloister.storage.database import Transaction
from cloister.storage.tasks import TaskRow


class StepLocal:
    """A `Local`. Figures that the step reports are kept in `figures` until the step is committed.

    `given`: the datasets that it was given; what it returns may be computed from them.
    """

    def __init__(
        self, durable: Durable, ports: LocalPorts, task: TaskRow, party: Party, state: bytes
    ) -> None:
        self._durable = durable
        self._ports = ports
        self._row = task
        self._party = party
        self._state = state
        self.figures: list[Mapping[str, JSON]] = []
        self.given: set[str] = set()

    @property
    def task(self) -> str:
        """The task's id."""
        return self._row.id

    @property
    def party(self) -> Party:
        """Whose node this is."""
        return self._party

    @property
    def state(self) -> bytes:
        """What the last step left."""
        return self._state

    def part(self, name: str) -> bytes:
        """A piece of the state that stays until another is given."""
        found = self._durable.part(self._row.id, name)
        if found is None:
            raise Conflict(
                "A step asked for a piece of its state that there is not.",
                "No step before it gave one under that name.",
                "Report this to the authors of the protection.",
            )
        return found

    @property
    def attempt(self) -> int:
        """The task's attempt, from 1."""
        return self._row.attempt

    @property
    def signing(self) -> Signing:
        """This party's signatures."""
        return self._ports.signing

    def data(self, digest: str) -> DataPort:
        """An own, agreed dataset."""
        self.given.add(digest)
        return self._ports.data(digest)

    def content(self, digest: str) -> bytes:
        """A part of the admitted computation."""
        return self._ports.content(digest)

    def secret(self, label: str, size: int) -> bytes:
        """Random bytes, on disk before they are returned; the same for the same label of this task and attempt."""
        return self._durable.secret(self._row.id, self._row.attempt, label, size)

    def charge(self, cost: PrivacyCost) -> None:
        """Spends budget durably."""
        self._ports.charge(self._row, cost)

    def engine(self, name: str) -> Engine:
        """A sandboxed worker."""
        return self._ports.engine(name)

    def note_use(self, tx: Transaction) -> None:
        """Tells the node, in the transaction of what the step did, which datasets it was given. See `LocalPorts.used`."""
        if self.given:
            self._ports.used(tx, self._row, frozenset(self.given))

    def report(self, figures: Mapping[str, JSON]) -> None:
        """Shows figures to this node's own people, once the step is committed or has failed."""
        self.figures.append(dict(figures))

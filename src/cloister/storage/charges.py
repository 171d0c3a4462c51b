"""What was spent of each population's privacy budget: durable before the answer exists, never twice, never less.

A charge is known by population, task, attempt and the step's position (a phase that is visited again is another
step). The same charge again is the same charge; another amount under the same name is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import insert, select

from cloister.foundation.errors import Conflict
from cloister.storage.database import Transaction
from cloister.storage.tables import charges


@dataclass(frozen=True)
class Charge:
    """One charge. `epsilon` and `delta` are of (epsilon, delta)-DP."""

    population: str
    task: str
    phase: str
    position: int
    attempt: int
    epsilon: float
    delta: float
    at: int = 0


class Charges:
    """The charges in one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def add(self, charge: Charge) -> bool:
        """Writes a charge; `False` if it was there. Raises `Conflict` if it was there with another amount."""
        row = self._connection.execute(
            select(charges).where(
                charges.c.population == charge.population,
                charges.c.task == charge.task,
                charges.c.position == charge.position,
                charges.c.attempt == charge.attempt,
            )
        ).one_or_none()
        if row is None:
            self._connection.execute(insert(charges).values(**vars(charge)))
            return True
        if (row.epsilon, row.delta) != (charge.epsilon, charge.delta):
            raise Conflict(
                "A step charged two different amounts to one population.",
                "A step charges each population once.",
                "Report this protection's mistake to its authors.",
                clause="charge-once",
            )
        return False

    def of(self, population: str) -> list[Charge]:
        """All charges to a population, oldest first."""
        query = (
            select(charges)
            .where(charges.c.population == population)
            .order_by(charges.c.at, charges.c.task, charges.c.position)
        )
        return [Charge(**row._mapping) for row in self._connection.execute(query)]  # noqa: SLF001 - public despite its name

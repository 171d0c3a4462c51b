"""What was spent of each population's privacy budget, as `privacy.budgets` decided it; nothing is decided here.

Documents and losses are bytes that only `privacy` reads. A charge is known by population, task, the step's position
and the attempt; a second one under the same name cannot be written.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import func, insert, select

from cloister.storage._rows import put
from cloister.storage.database import Transaction
from cloister.storage.log import OWN
from cloister.storage.tables import (
    budget_charges,
    budget_totals,
    ledger_rows,
    population_members,
    populations,
)


@dataclass(frozen=True)
class ChargeRow:
    """One charge as it is kept: which step of which task, to which scope, how much, when."""

    task: str
    phase: str
    position: int
    attempt: int
    scope: str
    loss: bytes = field(repr=False)
    at: int


class BudgetRows:
    """The budgets in one transaction; implements `privacy.budgets.Book`."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def population(self, name: str) -> bytes | None:
        """A population's document, or `None`."""
        return self._connection.execute(
            select(populations.c.document).where(populations.c.name == name)
        ).scalar_one_or_none()

    def populations(self) -> list[str]:
        """The populations' names, in order."""
        return sorted(self._connection.execute(select(populations.c.name)).scalars())

    def put_population(self, name: str, document: bytes) -> None:
        """Keeps a population's document."""
        put(self._connection, populations, {"name": name}, {"document": document})

    def member(self, key: str) -> str | None:
        """The population that a dataset's name or commitment belongs to, or `None`."""
        return self._connection.execute(
            select(population_members.c.population).where(population_members.c.key == key)
        ).scalar_one_or_none()

    def add_member(self, key: str, population: str) -> None:
        """Says to which population it belongs; an error of the database if it was said before."""
        self._connection.execute(insert(population_members).values(key=key, population=population))

    def total(self, population: str, scope: str) -> bytes | None:
        """What was spent of a population (scope `""`) or of an agreement's part of it, or `None`."""
        return self._connection.execute(
            select(budget_totals.c.loss).where(
                budget_totals.c.population == population, budget_totals.c.scope == scope
            )
        ).scalar_one_or_none()

    def put_total(self, population: str, scope: str, loss: bytes) -> None:
        """Keeps what was spent."""
        put(self._connection, budget_totals, {"population": population, "scope": scope}, {"loss": loss})

    def charged(self, population: str, task: str, position: int, attempt: int) -> tuple[str, bytes] | None:
        """Scope and loss of a charge, or `None`."""
        row = self._connection.execute(
            select(budget_charges.c.scope, budget_charges.c.loss).where(
                budget_charges.c.population == population,
                budget_charges.c.task == task,
                budget_charges.c.position == position,
                budget_charges.c.attempt == attempt,
            )
        ).one_or_none()
        return None if row is None else (row.scope, row.loss)

    def add_charge(
        self,
        population: str,
        task: str,
        position: int,
        attempt: int,
        *,
        phase: str,
        scope: str,
        loss: bytes,
        leaves: int,
        at: int,
    ) -> None:
        """Keeps a charge that stands for so many leaves of the log; an error of the database if it is there."""
        self._connection.execute(
            insert(budget_charges).values(
                population=population,
                task=task,
                position=position,
                attempt=attempt,
                phase=phase,
                scope=scope,
                loss=loss,
                leaves=leaves,
                at=at,
            )
        )

    def charges(self, population: str) -> list[tuple[str, bytes]]:
        """Scope and loss of each charge to a population, oldest first."""
        query = (
            select(budget_charges.c.scope, budget_charges.c.loss)
            .where(budget_charges.c.population == population)
            .order_by(budget_charges.c.at, budget_charges.c.task, budget_charges.c.position)
        )
        return [(row.scope, row.loss) for row in self._connection.execute(query)]

    def positions(self, population: str, task: str, attempt: int) -> list[int]:
        """The steps of one attempt of a task that have charged a population."""
        query = select(budget_charges.c.position).where(
            budget_charges.c.population == population,
            budget_charges.c.task == task,
            budget_charges.c.attempt == attempt,
        )
        return sorted(self._connection.execute(query).scalars())

    def history(self, population: str) -> list[ChargeRow]:
        """Every charge to a population, oldest first."""
        query = (
            select(budget_charges)
            .where(budget_charges.c.population == population)
            .order_by(budget_charges.c.at, budget_charges.c.task, budget_charges.c.position)
        )
        return [
            ChargeRow(row.task, row.phase, row.position, row.attempt, row.scope, row.loss, row.at)
            for row in self._connection.execute(query)
        ]

    def members(self, population: str) -> list[str]:
        """What belongs to a population, by key, in order."""
        query = select(population_members.c.key).where(population_members.c.population == population)
        return sorted(self._connection.execute(query).scalars())

    def leaves(self) -> int:
        """How many leaves of the log all charges together stand for."""
        return int(
            self._connection.execute(select(func.coalesce(func.sum(budget_charges.c.leaves), 0))).scalar_one()
        )

    def logged(self) -> int:
        """How many charges this node's own log has; reads the whole log, so once at start."""
        query = select(func.count()).where(ledger_rows.c.log == OWN, ledger_rows.c.kind == "charge")
        return int(self._connection.execute(query).scalar_one())

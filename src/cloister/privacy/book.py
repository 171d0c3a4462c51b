"""Where budgets are kept, as `budgets` sees it: a port that `storage.budgets.BudgetRows` implements.

A book belongs to one transaction of the node's database. It keeps what it is given and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

WHOLE: Final = ""
"""The scope of the population as a whole."""
RECONCILED: Final = "reconciled"
"""The task under which missing charges are written off, and the scope where nobody knows of which agreement they were."""

Log = Callable[[str], object]
"""Appends a leaf of kind `charge` about the document of that digest, in the transaction of the charge."""


class Book(Protocol):
    """Where budgets are kept, in one transaction (`storage.budgets.BudgetRows`); it decides nothing."""

    def population(self, name: str) -> bytes | None:
        """A population's document."""
        ...

    def populations(self) -> list[str]:
        """The populations' names, in order."""
        ...

    def put_population(self, name: str, document: bytes) -> None:
        """Keeps a population's document."""
        ...

    def member(self, key: str) -> str | None:
        """The population that a dataset's name or commitment belongs to."""
        ...

    def add_member(self, key: str, population: str) -> None:
        """Says to which population it belongs, for good."""
        ...

    def total(self, population: str, scope: str) -> bytes | None:
        """What was spent."""
        ...

    def put_total(self, population: str, scope: str, loss: bytes) -> None:
        """Keeps what was spent."""
        ...

    def charged(self, population: str, task: str, position: int, attempt: int) -> tuple[str, bytes] | None:
        """Scope and loss of a charge."""
        ...

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
        """Keeps a charge that stands for so many leaves of the log."""
        ...

    def charges(self, population: str) -> Iterable[tuple[str, bytes]]:
        """Scope and loss of each charge to a population."""
        ...

    def leaves(self) -> int:
        """How many leaves of the log all charges together stand for."""
        ...

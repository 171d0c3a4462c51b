"""Budgets, rule by rule, on real databases."""

from __future__ import annotations

from cloister.privacy import budgets
from cloister.privacy.filters import Limit, pair
from cloister.storage.budgets import BudgetRows
from cloister.storage.database import Database


def a_charge(position: int = 1, epsilon: float = 1.0, task: str = "t") -> budgets.Charge:
    return budgets.Charge("people", task, "train", position, 1, "urn:uuid:1", pair(epsilon, 1e-7))


def test_a_charge_is_spent_once_of_the_population_and_of_the_agreements_part(database: Database) -> None:
    leaves: list[str] = []
    with database.transaction() as tx:
        book = BudgetRows(tx)
        budgets.open_population(book, "people", "customer", 8.0, 1e-5, now=1)
        for new in (True, False):
            assert new == budgets.spend(
                book, a_charge(), limit=Limit(2.0, 1e-6), logged=0, log=leaves.append, now=2
            )
    assert leaves == [a_charge().digest]
    with database.read() as tx:
        book = BudgetRows(tx)
        assert budgets.left(book, "people").epsilon == 7.0
        assert budgets.left(book, "people", "urn:uuid:1", Limit(2.0, 1e-6)).epsilon == 1.0
        budgets.check(book)

"""What people see of budgets: what a task costs of what is left; every population, and what was spent of it by whom."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cloister.agreements.terms import Terms
from cloister.claims.offers import Plan
from cloister.foundation.clock import rfc3339
from cloister.node.budgets.charges import amount, part
from cloister.privacy import budgets, charging
from cloister.privacy.filters import Loss
from cloister.storage.budgets import BudgetRows

if TYPE_CHECKING:
    from cloister.node.budgets import BudgetsService


def about(service: BudgetsService, plan: Plan, terms: Terms) -> dict[str, Any] | None:
    """What a task costs this party of what is left; `None` if it has no budget here."""
    with service.database.read() as tx:
        book = BudgetRows(tx)
        owned = service.charges.owned(book, plan, terms)
        if owned is None or owned.population is None or owned.clause is None:
            return None
        found = budgets.population(book, owned.population)
        left = budgets.left(book, found.name, terms.uid, part(owned.clause))
        price = charging.price(plan.offer)
        charged = [row for row in book.history(found.name) if row.task == plan.digest]
    return {
        "population": found.name,
        "unit": found.unit,
        "epsilon": price.epsilon,
        "delta": price.delta,
        "charged": [amount(found.limit, Loss.decode(row.loss)) for row in charged],
        "left": {"epsilon": left.epsilon, "delta": left.delta},
    }


def listing(service: BudgetsService, agreements: Iterable[tuple[str, Terms]]) -> list[dict[str, Any]]:
    """Every population: its limit, what was spent of it, by which agreements and tasks, and what is left."""
    known = list(agreements)
    with service.database.read() as tx:
        book = BudgetRows(tx)
        return [_listed(service, book, name, known) for name in book.populations()]


def _listed(
    service: BudgetsService, book: BudgetRows, name: str, agreements: Iterable[tuple[str, Terms]]
) -> dict[str, Any]:
    found = budgets.population(book, name)
    left = budgets.left(book, name)
    keys = book.members(name)
    parts = []
    for digest, terms in agreements:
        clauses = [c for c in terms.budgets if c.owner == service.party and c.population == name]
        for clause in clauses:
            limit = part(clause)
            rest = limit.left(budgets.spent(book, name, terms.uid))
            parts.append(
                {
                    "agreement": digest,
                    "uid": terms.uid,
                    "title": terms.title,
                    "dataset": clause.dataset,
                    "limit": {"epsilon": clause.epsilon, "delta": clause.delta},
                    "spent": amount(limit, budgets.spent(book, name, terms.uid)),
                    "left": {"epsilon": rest[0], "delta": rest[1]},
                }
            )
    return {
        "population": name,
        "unit": found.unit,
        "method": found.method,
        "limit": {"epsilon": found.epsilon, "delta": found.delta},
        "highest": {"epsilon": found.highest[0], "delta": found.highest[1]},
        "spent": amount(found.limit, budgets.spent(book, name)),
        "left": {"epsilon": left.epsilon, "delta": left.delta},
        "datasets": [key.removeprefix("dataset/") for key in keys if key.startswith("dataset/")],
        "agreements": parts,
        "charges": [
            {
                "task": row.task,
                "phase": row.phase,
                "attempt": row.attempt,
                "agreement": row.scope,
                "at": rfc3339(row.at),
                **amount(found.limit, Loss.decode(row.loss)),
            }
            for row in book.history(name)
        ],
    }

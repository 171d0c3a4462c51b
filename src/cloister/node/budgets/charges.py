"""What tasks at this node spend of its populations: asked before they begin, charged before anything made from data is kept.

Rules:
1. A charge and its leaf in the log are one transaction, on disk before the step goes on. What is charged is decided in
   `privacy.charging`, whether it is permitted in `privacy.budgets`.
2. Only the dataset that the plan names is charged, to the population that it belongs to, which must be the one that the
   agreement names. What was not bound to a population in time is refused, not let through.
3. A witness of the agreement sees the log before a charge, and again with the charge's own leaf before the step goes on
   (`witnessed`). So a node that was restored as a whole is told by whoever saw a charge that it has forgotten, and is
   locked, before it makes noise a second time for one price.
4. A step that was given data of a population ends only if its task has charged.

Not noticed: a node restored as a whole while none of the witnesses that saw its last charges is connected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cloister.agreements.clauses import Budget
from cloister.agreements.facts import Balance
from cloister.agreements.terms import Terms
from cloister.claims.offers import Plan
from cloister.foundation.clock import Clock
from cloister.foundation.errors import Refused
from cloister.journal.program import PrivacyCost
from cloister.node.budgets.health import Health
from cloister.node.budgets.populations import keys_of, population_of
from cloister.node.datasets_service import DatasetsService
from cloister.privacy import budgets, charging
from cloister.privacy.filters import Limit, Loss
from cloister.storage.budgets import BudgetRows
from cloister.storage.database import Database, Transaction
from cloister.storage.events import Events
from cloister.storage.tasks import TaskRow

_PICTURES = frozenset({"image", "record"})
CHARGED = "budget.charged"
"""The event of a charge, for this node's own people."""


@dataclass(frozen=True)
class Owned:
    """This party's dataset in a plan: its commitment, the agreement's budget clause of it, the population it belongs to."""

    commitment: str
    clause: Budget | None
    population: str | None


class Charges:
    """Charges of this party's datasets.

    Args:
        database, clock: the node's.
        party: whose node this is.
        datasets: this party's.
        log: appends a leaf about a document, inside the transaction that keeps it.
        health: of the memory of budgets.
        witnessed: has a witness of the agreement see the log as it is (rule 3); may wait for one, raises without.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        party: str,
        datasets: DatasetsService,
        log: Callable[[Transaction, str, str], object],
        health: Health,
        witnessed: Callable[[Terms], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._party = party
        self._datasets = datasets
        self._log = log
        self._health = health
        self._witnessed = witnessed

    def facts(self, plan: Plan, terms: Terms) -> tuple[dict[str, Balance], dict[str, str]]:
        """What `decide` needs: population → what is left in view of this plan, and commitment → population."""
        with self._database.read() as tx:
            book = BudgetRows(tx)
            owned = self.owned(book, plan, terms)
            if owned is None or owned.population is None:
                return {}, {}
            bound = {owned.commitment: owned.population}
            if owned.clause is None or book.population(owned.population) is None:
                return {}, bound
            left = budgets.remaining(
                book, owned.population, charging.foreseen(plan.offer), terms.uid, part(owned.clause)
            )
            return {owned.population: Balance(left.epsilon, left.delta)}, bound

    def concerns(self, plan: Plan, terms: Terms) -> bool:
        """Whether a plan uses data of a population of this node's, or an agreed budget."""
        with self._database.read() as tx:
            owned = self.owned(BudgetRows(tx), plan, terms)
        return owned is not None and (owned.population is not None or owned.clause is not None)

    def charge(self, plan: Plan, terms: Terms, task: TaskRow, cost: PrivacyCost) -> None:
        """Spends what a step of a task is about to spend; on disk when this returns (rule 1).

        Raises:
            Refused: it is of another dataset (clause `dataset`), not what the plan claims (`budget-claim`, `budget-unit`),
                more than is left (`budget`), or this node may not spend (`budget-restored` and others).
            Conflict: the task has charged otherwise before (`charge-once`).
        """
        if cost.dataset != plan.request.datasets.get(self._party):
            raise Refused(
                "A step would charge a dataset that is not its task's.",
                "A task spends only of the population of the dataset that its plan names.",
                "Report this protection's mistake to its authors.",
                clause="dataset",
            )
        self._health.require_sound()
        self._witnessed(terms)
        with self._database.transaction() as tx:
            book = BudgetRows(tx)
            owned = self.owned(book, plan, terms)
            if owned is None or owned.clause is None or owned.population != owned.clause.population:
                raise _unbound(owned)
            found = budgets.population(book, owned.population)
            loss = charging.due(cost.loss, plan.offer, found.unit)
            charging.require_first(book.positions(found.name, task.id, task.attempt), task.position)
            charge = budgets.Charge(
                found.name, task.id, task.phase, task.position, task.attempt, terms.uid, loss
            )
            now = self._clock.now()
            new = budgets.spend(
                book,
                charge,
                limit=part(owned.clause),
                logged=self._health.logged,
                log=self._leaf(tx),
                now=now,
            )
            if new:
                self._tell(tx, book, charge, found, now)
            leaves = book.leaves()
        if new:
            self._health.mark(leaves)
        self._witnessed(terms)

    def charge_question(
        self, commitment: str, terms: Terms, question: str, price: Callable[[Budget], Loss]
    ) -> Loss:
        """Spends what the answer to a question about one's own pictures costs; on disk when this returns (rules 1 and 3).

        Args:
            commitment: of the dataset.
            terms: the agreement whose part is charged.
            question: what is asked, as a digest: the same is charged once.
            price: what it costs, under the agreement's clause; from public numbers alone.

        Returns:
            The loss.

        Raises:
            Refused: there is no such budget, not enough is left of it, or it counts other units than pictures (`budget-unit`).
        """
        self._health.require_sound()
        self._witnessed(terms)
        with self._database.transaction() as tx:
            book = BudgetRows(tx)
            owned = self.dataset(book, commitment, terms)
            if owned.clause is None or owned.population != owned.clause.population:
                raise _unbound(owned)
            found = budgets.population(book, owned.population)
            if found.unit not in _PICTURES:
                raise Refused(
                    "The budget counts other units than pictures.",
                    f"Its population counts each {found.unit} by itself, which may be in several pictures.",
                    "Ask about pictures that count by themselves.",
                    clause="budget-unit",
                )
            loss = price(owned.clause)
            charge = budgets.Charge(found.name, question, "figures", 0, 1, terms.uid, loss)
            now = self._clock.now()
            new = budgets.spend(
                book,
                charge,
                limit=part(owned.clause),
                logged=self._health.logged,
                log=self._leaf(tx),
                now=now,
            )
            if new:
                self._tell(tx, book, charge, found, now)
            leaves = book.leaves()
        if new:
            self._health.mark(leaves)
        self._witnessed(terms)
        return loss

    def protected(self, commitment: str) -> bool:
        """Whether an own dataset belongs to a population, so that nothing is told of it without a charge."""
        with self._database.read() as tx:
            return self._population(BudgetRows(tx), commitment) is not None

    def require_charged(self, tx: Transaction, plan: Plan, terms: Terms, task: TaskRow) -> None:
        """A step that was given the dataset ends: its task must have charged, if the data or the plan ask for it (rule 4)."""
        book = BudgetRows(tx)
        owned = self.owned(book, plan, terms)
        if owned is None:
            return
        if owned.population is None and owned.clause is None and charging.price(plan.offer).nothing:
            return
        name = owned.population
        charging.require_charged([] if name is None else book.positions(name, task.id, task.attempt))

    def owned(self, book: BudgetRows, plan: Plan, terms: Terms) -> Owned | None:
        """This party's dataset in a plan, or `None`."""
        commitment = plan.request.datasets.get(self._party)
        if commitment is None:
            return None
        return self.dataset(book, commitment, terms)

    def dataset(self, book: BudgetRows, commitment: str, terms: Terms) -> Owned:
        """One of this party's datasets under an agreement."""
        entry = self._datasets.catalogue({self._party: commitment}).get(commitment)
        usable = terms.dataset(self._party, commitment, entry)
        clause = None if usable is None else terms.budget(self._party, usable.name)
        return Owned(commitment, clause, self._population(book, commitment))

    def _population(self, book: BudgetRows, commitment: str) -> str | None:
        entry = self._datasets.catalogue({self._party: commitment}).get(commitment)
        keys = [f"commitment/{commitment}"]
        if entry is not None:
            keys.append(f"dataset/{entry.name}")
            registration = self._datasets.named(entry.name)
            if registration is not None and registration.description.commitment == commitment:
                # The same files under another name belong to the same population.
                keys += keys_of(entry.name, registration)
        return population_of(book, dict.fromkeys(keys))

    def _leaf(self, tx: Transaction) -> budgets.Log:
        return lambda document: self._log(tx, "charge", document)

    @staticmethod
    def _tell(
        tx: Transaction, book: BudgetRows, charge: budgets.Charge, found: budgets.Population, now: int
    ) -> None:
        left = budgets.left(book, found.name)
        facts = {
            "population": found.name,
            **amount(found.limit, charge.loss),
            "left": {"epsilon": left.epsilon, "delta": left.delta},
        }
        Events(tx).add(charge.task, now, CHARGED, facts)


def amount(limit: Limit, loss: Loss) -> dict[str, float]:
    """A loss as a limit's method counts it, for people."""
    epsilon, delta = limit.spent(loss)
    return {"epsilon": epsilon, "delta": delta}


def part(clause: Budget) -> Limit:
    """An agreement's part of a population."""
    return Limit(clause.epsilon, clause.delta, "sums")


def _unbound(owned: Owned | None) -> Refused:
    if owned is not None and owned.clause is not None and owned.population is not None:
        why = "The dataset belongs to another protected population than the agreement names."
    elif owned is not None and owned.clause is not None:
        why = "The dataset belongs to no protected population here."
    else:
        why = "The agreement names no budget for this dataset."
    return Refused(
        "There is no privacy budget to charge.",
        why,
        "Agree on a budget, and bind the dataset to its population: cloister budget bind.",
        clause="population" if owned is not None and owned.population is not None else "budget",
    )

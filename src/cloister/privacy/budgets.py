"""The privacy budgets of a node's populations: spent before anything noisy is seen, never twice, never too little.

A *population* is the people, images or machines whose units are protected. Its owner gives it one limit. Whatever is
computed on its datasets, under whichever agreement, is charged to it, and besides to the agreement's own part of it
(its *scope*). A charge is decided and written in one transaction of the node's database, which is on disk before the
step that asked for it goes on to make noise.

Rules:
1. One budget for each protected population: a dataset, by name and by commitment, belongs to one population for good,
   across versions, new registrations and agreements.
2. Spent first: `spend` writes through the book that it is given; the caller commits before it uses a noisy value. A
   crash may lose an answer or budget, never undercharge.
3. A charge is known by population, task, step and attempt. The same again is the same charge; another loss under the
   same name is refused. Nothing is ever paid back.
4. The decision is made on the totals of the transaction that writes: two tasks that race cannot overspend.
5. Balances never depend on data: losses are computed from a plan's public constants (`filters`).
6. A book that is older than the log's last charge (a restored backup) spends nothing until people have reconciled it:
   what is missing is written off, and nothing of it comes back.
7. Totals are the sums of the charges; a book where they are not has been changed and is refused.
8. A limit may be raised or lowered; the guarantee is then that of the highest limit there has been.

Sources: Rogers et al. 2016; Feldman and Zrnic 2021; see `filters`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cloister.foundation.digests import digest_json
from cloister.foundation.errors import BadInput, Conflict, Refused, Tampered
from cloister.privacy.book import RECONCILED, WHOLE, Book, Log
from cloister.privacy.filters import DELTA_GRAIN, EPSILON_GRAIN, Limit, Loss
from cloister.privacy.populations import Population, bind, open_population, population, set_limit

__all__ = [
    "RECONCILED",
    "WHOLE",
    "Book",
    "Charge",
    "Left",
    "Log",
    "Population",
    "affords",
    "bind",
    "check",
    "left",
    "open_population",
    "population",
    "reconcile",
    "remaining",
    "require_current",
    "set_limit",
    "spend",
    "spent",
]


@dataclass(frozen=True)
class Charge:
    """What one step of a task spends of a population.

    Attributes:
        population: whose budget.
        task, phase, position, attempt: which step (`position` counts the task's steps).
        scope: the agreement's uid, whose own part is charged too.
        loss: how much.
    """

    population: str
    task: str
    phase: str
    position: int
    attempt: int
    scope: str
    loss: Loss = field(repr=False)

    @property
    def digest(self) -> str:
        """The digest that the log's leaf is about."""
        return digest_json(
            {
                "type": "cloister/charge@1",
                "population": self.population,
                "task": self.task,
                "phase": self.phase,
                "position": self.position,
                "attempt": self.attempt,
                "scope": self.scope,
                "loss": self.loss.encode().hex(),
            }
        )


@dataclass(frozen=True)
class Left:
    """What is left, as (epsilon, delta): of the population or of the agreement's part, whichever is less."""

    epsilon: float
    delta: float


# Spending ----------------------------------------------------------------------------------------------------------


def spent(book: Book, name: str, scope: str = WHOLE) -> Loss:
    """What was spent of a population, or of an agreement's part of it."""
    found = book.total(name, scope)
    return Loss() if found is None else Loss.decode(found)


def left(book: Book, name: str, scope: str = WHOLE, limit: Limit | None = None) -> Left:
    """What is left of a population and, with its limit, of an agreement's part of it. Raises `NotFound`."""
    found = [population(book, name).limit.left(spent(book, name))]
    if limit is not None:
        found.append(limit.left(spent(book, name, scope)))
    return Left(min(item[0] for item in found), min(item[1] for item in found))


def affords(book: Book, name: str, loss: Loss, scope: str = WHOLE, limit: Limit | None = None) -> bool:
    """Whether a loss would be permitted now; writes nothing. Raises `NotFound`."""
    return population(book, name).limit.permits(spent(book, name), loss) and (
        limit is None or limit.permits(spent(book, name, scope), loss)
    )


def remaining(book: Book, name: str, loss: Loss, scope: str = WHOLE, limit: Limit | None = None) -> Left:
    """What is left in view of one loss: at least that loss if it would be permitted, else less than it.

    For decisions that compare numbers (`agreements.decision`, clause `budget`): they then say what the filters say. What a
    plan claims must be `loss`, as its document says (`runs.PrivateRun.loss`).
    """
    found = left(book, name, scope, limit)
    epsilon, delta = loss.epsilon * EPSILON_GRAIN, loss.delta * DELTA_GRAIN
    if affords(book, name, loss, scope, limit):
        return Left(max(found.epsilon, epsilon), max(found.delta, delta))
    if found.epsilon >= epsilon and found.delta >= delta:
        return Left(0.0, found.delta)
    return found


def spend(book: Book, charge: Charge, *, limit: Limit | None, logged: int, log: Log, now: int) -> bool:
    """Charges a step's loss, or refuses. Commit before making noise (rule 2).

    Args:
        book: of a transaction that writes.
        charge: what is spent.
        limit: of the agreement's part of the population; `None` if only the population has one.
        logged: how many leaves of kind `charge` the newest known state of this node's log has (rule 6).
        log: appends the charge's leaf.
        now: seconds.

    Returns:
        Whether it is new; `False` if this step charged it before.

    Raises:
        Refused: it is not permitted (clause `budget`), or the book is older than the log (`budget-restored`).
        Conflict: this step charged another loss before (clause `charge-once`).
        NotFound: there is no such population.
    """
    require_current(book, logged)
    before = book.charged(charge.population, charge.task, charge.position, charge.attempt)
    if before is not None:
        if before != (charge.scope, charge.loss.encode()):
            raise Conflict(
                "A step charged two different amounts to one population.",
                "A step charges each population once.",
                "Report this protection's mistake to its authors.",
                clause="charge-once",
            )
        return False
    if not affords(book, charge.population, charge.loss, charge.scope, limit):
        raise Refused(
            "What is left of the privacy budget does not suffice.",
            "This step would spend more of the population than was agreed, or than its owner permits in all.",
            "Ask for less, or agree on a new budget.",
            clause="budget",
        )
    _write(book, charge, 1, log, now)
    return True


def _write(book: Book, charge: Charge, leaves: int, log: Log, now: int) -> None:
    book.add_charge(
        charge.population,
        charge.task,
        charge.position,
        charge.attempt,
        phase=charge.phase,
        scope=charge.scope,
        loss=charge.loss.encode(),
        leaves=leaves,
        at=now,
    )
    for scope in dict.fromkeys((WHOLE, charge.scope)):
        total = spent(book, charge.population, scope) + charge.loss
        book.put_total(charge.population, scope, total.encode())
    log(charge.digest)


# Looking after the book ----------------------------------------------------------------------------------------------


def require_current(book: Book, logged: int) -> None:
    """Raises `Refused` if the log knows of more charges than the book (rule 6)."""
    if book.leaves() < logged:
        raise Refused(
            "This server's memory of its privacy budgets is older than its log.",
            "A backup was restored that lacks the last charges; spending from it could spend twice.",
            "Restore the newest backup, or reconcile: write off what the missing charges may have spent.",
            clause="budget-restored",
        )


def reconcile(
    book: Book,
    missing: Mapping[str, Mapping[str, Loss] | None],
    *,
    logged: int,
    log: Log,
    now: int,
) -> None:
    """Writes off what missing charges may have spent, so that the book is current again (rule 6).

    Args:
        book: of a transaction that writes.
        missing: every population → what its missing charges spent at most, by agreement (scope), for example from the
            signed plans that other parties hold; empty: nothing. `None`: unknown, so that all is gone, and stays so
            under any limit.
        logged: how many charges the log has.
        log: appends each write-off's leaf.
        now: seconds.

    Raises:
        BadInput: a population is not named (the log does not tell whose charges are missing).
        Conflict: nothing is missing.
    """
    lacking = logged - book.leaves()
    if lacking <= 0:
        raise Conflict("There is nothing to reconcile.", "The log knows of no charge that is missing.", "")
    if set(missing) != set(book.populations()):
        raise BadInput(
            "Some populations are not named.",
            "The log does not tell which populations the missing charges were to.",
            "Say for each what its missing charges may have spent at most, or that all that is left is gone.",
        )
    for name, losses in sorted(missing.items()):
        parts = {RECONCILED: _everything()} if losses is None else (losses or {RECONCILED: Loss()})
        for number, (scope, loss) in enumerate(sorted(parts.items()), start=1):
            charge = Charge(name, RECONCILED, RECONCILED, logged, number, scope, loss)
            # Each stands for its own leaf, the first of them for the missing ones too.
            _write(book, charge, 1 + lacking, log, now)
            lacking = 0


def check(book: Book) -> None:
    """Raises `Tampered` unless every total is the sum of its charges (rule 7). For start-up and `doctor`."""
    for name in book.populations():
        totals: dict[str, Loss] = {WHOLE: Loss()}
        for scope, data in book.charges(name):
            loss = Loss.decode(data)
            for item in dict.fromkeys((WHOLE, scope)):
                totals[item] = totals.get(item, Loss()) + loss
        for scope, total in totals.items():
            if spent(book, name, scope) != total:
                raise Tampered(
                    "A privacy budget has been changed.",
                    "What it says was spent is not the sum of the charges.",
                    "Restore the last backup.",
                    clause="budget-totals",
                )


def _everything() -> Loss:
    # Larger than any limit in any way of counting, and small enough that a sum stays below the cap.
    return Loss(1 << 60, 1 << 60, tuple(1 << 60 for _ in Loss().curve), 1 << 60, 1 << 60)

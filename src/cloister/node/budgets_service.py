"""The privacy budgets of this node's populations: opened and bound as agreements are signed, charged as tasks run.

What is decided is decided in `privacy` (`budgets`, `charging`); here it is put together with the node's database, its log,
its datasets and its agreements.

Rules:
1. A dataset belongs to a population by its name, by its commitment and by its files: also as a new version, and also when
   the same files are registered once more under another name.
2. Signing an agreement with a budget opens the population if it is not there, and binds the dataset to it. It is refused
   where the population counts another unit than the clause or the dataset, or where its limit is below the clause.
3. A charge and its leaf in the log are one transaction, on disk before the step goes on.
4. Nothing is spent by a node that is locked, or whose memory of its budgets is older than its log or was changed; it runs,
   and says so. How many charges its log has had is also kept in a file beside the database, so that restoring the
   database alone is noticed here; restoring the whole folder is noticed by witnesses, which this node shows its log to
   before its first charge after each start (`may_spend`).
5. What was not bound to a population in time is refused, not let through.

Not noticed: a node restored as a whole while no witness has seen its last charges, and data that overlaps with a bound
dataset without being the same files. Both are the owner's own to prevent.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from cloister.agreements.clauses import Budget
from cloister.agreements.facts import Balance
from cloister.agreements.terms import Terms
from cloister.claims.offers import Plan
from cloister.data.registry import Registration
from cloister.data.schema import DatasetDescription
from cloister.foundation.canonical import JSON
from cloister.foundation.clock import Clock
from cloister.foundation.digests import digest_json
from cloister.foundation.errors import CloisterError, NotFound, Refused, Tampered
from cloister.journal.program import PrivacyCost
from cloister.node.datasets_service import DatasetsService
from cloister.node.folder import Folder
from cloister.privacy import budgets, charging
from cloister.privacy.filters import Limit, Method, pair
from cloister.storage.budgets import BudgetRows
from cloister.storage.database import Database, Transaction
from cloister.storage.events import Events
from cloister.storage.tasks import TaskRow

CHARGED = "budget.charged"
"""The event of a charge, for this node's own people."""


@dataclass(frozen=True)
class Owned:
    """This party's dataset in a plan: its commitment, the agreement's budget clause of it, the population it belongs to."""

    commitment: str
    clause: Budget | None
    population: str | None


class BudgetsService:
    """This node's populations.

    Args:
        folder: the node's.
        database: the node's.
        clock: for when something was charged.
        party: whose node this is.
        datasets: this party's.
        log: appends a leaf about a document, inside the transaction that keeps it.
        may_spend: raises while this node may not spend (rule 4); may wait for a witness.
    """

    def __init__(
        self,
        folder: Folder,
        database: Database,
        clock: Clock,
        party: str,
        datasets: DatasetsService,
        log: Callable[[Transaction, str, str], object],
        may_spend: Callable[[Terms], None],
    ) -> None:
        self._folder = folder
        self._database = database
        self._clock = clock
        self._party = party
        self._datasets = datasets
        self._log = log
        self._may_spend = may_spend
        self._lock = threading.Lock()
        self._logged = 0
        self._changed: CloisterError | None = None
        self._look()

    # Looking after the book ------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Reads how many charges there have been, and checks the totals; at the start."""
        with self._database.read() as tx:
            book = BudgetRows(tx)
            kept = book.logged()
            try:
                kept = max(kept, self._read_mark())
                budgets.check(book)
            except CloisterError as error:
                self._changed = error
        self._logged = kept
        if self._changed is None:
            self._mark(kept)

    def _read_mark(self) -> int:
        path = self._folder.budgets_file
        if not path.exists():
            return 0
        value = self._folder.read_json(path)
        number = value.get("charges") if isinstance(value, dict) else None
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise Tampered(
                "How many privacy charges there have been cannot be read.",
                f"{path.name} was changed.",
                "Restore it from the newest backup.",
                clause="budget-mark",
            )
        return number

    def _mark(self, charges: int) -> None:
        """Notes it beside the database, after the commit: a mark that is behind does no harm."""
        with self._lock:
            self._logged = max(self._logged, charges)
            self._folder.write_json(self._folder.budgets_file, {"charges": self._logged})

    @property
    def trouble(self) -> CloisterError | None:
        """Why nothing is spent here, or `None`."""
        if self._changed is not None:
            return self._changed
        with self._database.read() as tx:
            try:
                budgets.require_current(BudgetRows(tx), self._logged)
            except CloisterError as error:
                return error
        return None

    def require_sound(self) -> None:
        """Raises `Refused` or `Tampered` while nothing is spent here (rule 4)."""
        if (trouble := self.trouble) is not None:
            raise trouble

    def reconcile(self, missing: Mapping[str, Mapping[str, tuple[float, float]] | None]) -> None:
        """Writes off what charges that this node forgot may have spent (`privacy.budgets.reconcile`).

        Args:
            missing: population → what its missing charges spent at most, as (epsilon, delta), by agreement (uid); `None`:
                all that is left is gone.
        """
        losses = {
            name: None if parts is None else {scope: pair(*most) for scope, most in parts.items()}
            for name, parts in missing.items()
        }
        if self._changed is not None:
            raise self._changed
        with self._database.transaction() as tx:
            book = BudgetRows(tx)
            budgets.reconcile(book, losses, logged=self._logged, log=self._leaf(tx), now=self._clock.now())
            leaves = book.leaves()
        self._mark(leaves)

    # Populations -----------------------------------------------------------------------------------------------------

    def open(self, name: str, unit: str, epsilon: float, delta: float, method: Method = "sums") -> None:
        """Declares a population. Raises as `privacy.populations.open_population`."""
        with self._database.transaction() as tx:
            self._open(tx, name, unit, epsilon, delta, method)

    def set_limit(self, name: str, epsilon: float, delta: float) -> None:
        """Raises or lowers a population's limit; what was spent stays spent."""
        with self._database.transaction() as tx:
            budgets.set_limit(BudgetRows(tx), name, epsilon, delta)
            self._decided(tx, "set", name, epsilon, delta)

    def bind(self, dataset: str, name: str) -> None:
        """Says that a dataset of this party belongs to a population, for good. Raises `Refused`, `NotFound`."""
        registration = self._datasets.named(dataset)
        if registration is None:
            raise NotFound("There is no such dataset at this node.", "", "See: cloister dataset list")
        with self._database.transaction() as tx:
            self._bind(tx, dataset, registration, name)

    def registered(self, tx: Transaction, registration: Registration) -> None:
        """A dataset was registered: what its name or its files belonged to, it belongs to (rule 1)."""
        name = registration.description.name
        found = self._populations_of(BudgetRows(tx), _keys(name, registration))
        if found:
            self._bind(tx, name, registration, found[0])

    def prepare(self, terms: Terms) -> list[str]:
        """Opens and binds what an agreement's budgets of this party's datasets need (rule 2). Returns it in words.

        Raises:
            Refused: a population cannot be what the agreement says (clauses `budget-unit`, `budget-limit`, `population`).
        """
        own = dict.fromkeys(item.name for item in terms.datasets if item.owner == self._party)
        registrations = {name: self._datasets.named(name) for name in own}
        told = []
        with self._database.transaction() as tx:
            for name, registration in registrations.items():
                words = self._prepare(tx, name, registration, terms.budget(self._party, name))
                told += [words] if words else []
        return told

    def _prepare(
        self, tx: Transaction, name: str, registration: Registration | None, clause: Budget | None
    ) -> str:
        book = BudgetRows(tx)
        bound = self._populations_of(book, _keys(name, registration))
        if clause is None:
            if not bound:
                return ""
            return (
                f"“{name}” belongs to the protected population “{bound[0]}”. This agreement names no budget of it, so"
                " nothing will be computed on it under this agreement."
            )
        opened = book.population(clause.population) is None
        if opened:
            self._open(tx, clause.population, clause.unit, clause.epsilon, clause.delta, "sums")
        found = budgets.population(book, clause.population)
        if found.unit != clause.unit:
            raise _unit(
                f"The population “{found.name}” counts each {found.unit} by itself, the agreement each {clause.unit}.",
                "Have the agreement name that unit, or another population.",
            )
        if found.epsilon < clause.epsilon or found.delta < clause.delta:
            epsilon, delta = max(found.epsilon, clause.epsilon), max(found.delta, clause.delta)
            raise Refused(
                "The agreement would let more be spent than this owner permits in all.",
                f"It asks for epsilon {clause.epsilon:g} and delta {clause.delta:g} of the population “{found.name}”,"
                f" whose limit is epsilon {found.epsilon:g} and delta {found.delta:g}.",
                f"Have the agreement ask for less, or raise the limit if you want that: cloister budget set"
                f" {shlex.quote(found.name)} --epsilon {epsilon:g} --delta {delta:g}",
                clause="budget-limit",
            )
        self._bind(tx, name, registration, found.name)
        left = budgets.left(book, found.name)
        how = "was opened" if opened else "is there already"
        return (
            f"The protected population “{found.name}” (each {found.unit} by itself) {how}; “{name}” belongs to it. In all,"
            f" epsilon {found.epsilon:g} and delta {found.delta:g} may be spent of it, of which epsilon {left.epsilon:.4g}"
            f" and delta {left.delta:.4g} are left; under this agreement at most epsilon {clause.epsilon:g} and delta"
            f" {clause.delta:g}."
        )

    def _open(
        self, tx: Transaction, name: str, unit: str, epsilon: float, delta: float, method: Method
    ) -> None:
        budgets.open_population(BudgetRows(tx), name, unit, epsilon, delta, method, now=self._clock.now())
        self._decided(tx, "open", name, epsilon, delta)

    def _bind(self, tx: Transaction, name: str, registration: Registration | None, population: str) -> None:
        book = BudgetRows(tx)
        found = budgets.population(book, population)
        if registration is not None and (unit := unit_of(registration.description)) != found.unit:
            raise _unit(
                f"“{name}” counts each {unit} by itself, the population “{population}” each {found.unit}.",
                f"Register the dataset with the unit {found.unit}, or choose another population.",
            )
        budgets.bind(book, _keys(name, registration), population)

    def _populations_of(self, book: BudgetRows, keys: Iterable[str]) -> list[str]:
        """The populations of some keys; one at most, or `Refused`."""
        found = sorted({name for key in keys if (name := book.member(key)) is not None})
        if len(found) > 1:
            raise Refused(
                "This data belongs to two protected populations.",
                f"By its name it belongs to one of “{'” and “'.join(found)}”, by its files to the other.",
                "Register it under a name of its own.",
                clause="population",
            )
        return found

    def _decided(self, tx: Transaction, what: str, name: str, epsilon: float, delta: float) -> None:
        """A limit is its owner's decision; the log keeps that it was made."""
        document: JSON = {
            "type": "cloister/population@1",
            "what": what,
            "population": name,
            "epsilon": repr(epsilon),
            "delta": repr(delta),
            "at": self._clock.now(),
        }
        self._log(tx, "decision", digest_json(document))

    # Tasks -----------------------------------------------------------------------------------------------------------

    def facts(self, plan: Plan, terms: Terms) -> tuple[dict[str, Balance], dict[str, str]]:
        """What `decide` needs: population → what is left in view of this plan, and commitment → population."""
        with self._database.read() as tx:
            book = BudgetRows(tx)
            owned = self._owned(book, plan, terms)
            if owned is None or owned.population is None:
                return {}, {}
            bound = {owned.commitment: owned.population}
            if owned.clause is None or book.population(owned.population) is None:
                return {}, bound
            price = charging.price(plan.offer)
            left = budgets.remaining(
                book, owned.population, pair(price.epsilon, price.delta), terms.uid, _part(owned.clause)
            )
            return {owned.population: Balance(left.epsilon, left.delta)}, bound

    def concerns(self, plan: Plan, terms: Terms) -> bool:
        """Whether a plan uses data of a population of this node's, or an agreed budget."""
        with self._database.read() as tx:
            owned = self._owned(BudgetRows(tx), plan, terms)
        return owned is not None and (owned.population is not None or owned.clause is not None)

    def charge(self, plan: Plan, terms: Terms, task: TaskRow, cost: PrivacyCost) -> None:
        """Spends what a step of a task is about to spend; on disk when this returns (rule 3).

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
        self.require_sound()
        self._may_spend(terms)
        with self._database.transaction() as tx:
            book = BudgetRows(tx)
            owned = self._owned(book, plan, terms)
            if owned is None or owned.clause is None or owned.population != owned.clause.population:
                raise _unbound(owned)
            found = budgets.population(book, owned.population)
            loss = charging.due(cost.loss, charging.price(plan.offer, found.unit))
            charging.require_first(book.positions(found.name, task.id, task.attempt), task.position)
            charge = budgets.Charge(
                found.name, task.id, task.phase, task.position, task.attempt, terms.uid, loss
            )
            now = self._clock.now()
            new = budgets.spend(
                book, charge, limit=_part(owned.clause), logged=self._logged, log=self._leaf(tx), now=now
            )
            if new:
                self._tell(tx, book, charge, found, now)
            leaves = book.leaves()
        if new:
            self._mark(leaves)

    def require_charged(self, tx: Transaction, plan: Plan, terms: Terms, task: TaskRow) -> None:
        """A step that was given the dataset ends: its task must have charged, if the data or the plan ask for it (rule 5)."""
        book = BudgetRows(tx)
        owned = self._owned(book, plan, terms)
        if owned is None:
            return
        if owned.population is None and owned.clause is None and charging.price(plan.offer).nothing:
            return
        name = owned.population
        charging.require_charged([] if name is None else book.positions(name, task.id, task.attempt))

    def _owned(self, book: BudgetRows, plan: Plan, terms: Terms) -> Owned | None:
        commitment = plan.request.datasets.get(self._party)
        if commitment is None:
            return None
        entry = self._datasets.catalogue({self._party: commitment}).get(commitment)
        usable = terms.dataset(self._party, commitment, entry)
        keys = [f"commitment/{commitment}"]
        if entry is not None:
            keys.append(f"dataset/{entry.name}")
        found = self._populations_of(book, keys)
        clause = None if usable is None else terms.budget(self._party, usable.name)
        return Owned(commitment, clause, found[0] if found else None)

    def _leaf(self, tx: Transaction) -> budgets.Log:
        return lambda document: self._log(tx, "charge", document)

    @staticmethod
    def _tell(
        tx: Transaction, book: BudgetRows, charge: budgets.Charge, found: budgets.Population, now: int
    ) -> None:
        epsilon, delta = found.limit.spent(charge.loss)
        left = budgets.left(book, found.name)
        facts = {
            "population": found.name,
            "epsilon": epsilon,
            "delta": delta,
            "left": {"epsilon": left.epsilon, "delta": left.delta},
        }
        Events(tx).add(charge.task, now, CHARGED, facts)


def unit_of(description: DatasetDescription) -> str:
    """What one unit of a dataset is called in agreements and plans: `record`, `image`, or the column that names it."""
    unit = description.unit_of_privacy
    return unit.column or unit.kind


def _keys(name: str, registration: Registration | None) -> list[str]:
    """What a dataset is known by here (rule 1). The digest of its files stays in this node's own database."""
    keys = [f"dataset/{name}"]
    if registration is not None:
        files = sorted(fact.content for fact in registration.manifest.files)
        keys += [f"commitment/{registration.description.commitment}", f"files/{digest_json(files)}"]
    return keys


def _part(clause: Budget) -> Limit:
    return Limit(clause.epsilon, clause.delta, "sums")


def _unit(why: str, remedy: str) -> Refused:
    return Refused("Units of privacy differ.", why, remedy, clause="budget-unit")


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


__all__ = ["CHARGED", "BudgetsService", "Owned", "unit_of"]

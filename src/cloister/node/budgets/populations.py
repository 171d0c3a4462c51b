"""Populations at this node: opened and bound as agreements are signed, or by command; and which data belongs to which.

Rules:
1. A dataset belongs to a population by its name, by its commitment and by its files: also as a new version, and also when
   the same files are registered once more under another name.
2. Signing an agreement with a budget opens the population if it is not there, and binds the dataset to it. It is refused
   where the population counts another unit than the clause or the dataset, or where its limit is below the clause.
3. Every opening and every change of a limit is a leaf of the log.

Not noticed: data that overlaps with a bound dataset without being the same files. It is the owner's own to prevent.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable

from cloister.agreements.clauses import Budget
from cloister.agreements.terms import Terms
from cloister.data.registry import Registration
from cloister.foundation.canonical import JSON
from cloister.foundation.clock import Clock
from cloister.foundation.digests import digest_json
from cloister.foundation.errors import NotFound, Refused
from cloister.node.datasets_service import DatasetsService
from cloister.privacy import budgets
from cloister.privacy.filters import Method
from cloister.storage.budgets import BudgetRows
from cloister.storage.database import Database, Transaction


class Populations:
    """This party's populations.

    Args:
        database, clock: the node's.
        party: whose node this is.
        datasets: this party's.
        log: appends a leaf about a document, inside the transaction that keeps it.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        party: str,
        datasets: DatasetsService,
        log: Callable[[Transaction, str, str], object],
    ) -> None:
        self._database = database
        self._clock = clock
        self._party = party
        self._datasets = datasets
        self._log = log

    def open(self, name: str, unit: str, epsilon: float, delta: float, method: Method = "sums") -> None:
        """Declares a population. Raises as `privacy.populations.open_population`."""
        with self._database.transaction() as tx:
            self._open(tx, name, unit, epsilon, delta, method)

    def set_limit(self, name: str, epsilon: float | None, delta: float | None) -> None:
        """Raises or lowers a population's limit (`None`: stays); what was spent stays spent."""
        with self._database.transaction() as tx:
            present = budgets.population(BudgetRows(tx), name)
            epsilon = present.epsilon if epsilon is None else epsilon
            delta = present.delta if delta is None else delta
            budgets.set_limit(BudgetRows(tx), name, epsilon, delta)
            self._decided(tx, "set", name, epsilon, delta)

    def bind(self, dataset: str, name: str) -> None:
        """Says that a dataset of this party belongs to a population, for good. Raises `Refused`, `NotFound`."""
        registration = self._datasets.named(dataset)
        if registration is None:
            raise NotFound("There is no such dataset at this server.", "", "See: cloister dataset list")
        with self._database.transaction() as tx:
            self._bind(tx, dataset, registration, name)

    def registered(self, tx: Transaction, registration: Registration) -> None:
        """A dataset was registered: what its name or its files belonged to, it belongs to (rule 1)."""
        name = registration.description.name
        found = population_of(BudgetRows(tx), keys_of(name, registration))
        if found is not None:
            self._bind(tx, name, registration, found)

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
        bound = population_of(book, keys_of(name, registration))
        if clause is None:
            if bound is None:
                return ""
            return (
                f"“{name}” belongs to the protected population “{bound}”. This agreement names no budget of it, so"
                " nothing will be computed on it under this agreement."
            )
        if bound not in (None, clause.population):
            raise Refused(
                "The agreement names another population than the data belongs to.",
                f"“{name}”, by its name or its files, belongs to “{bound}”, and what was spent there protects the same units.",
                f"Have the agreement name the population “{bound}” for this dataset.",
                clause="population",
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
            f" {clause.delta:g}. Under agreements that name no budget of it, nothing is computed on its data."
        )

    def _open(
        self, tx: Transaction, name: str, unit: str, epsilon: float, delta: float, method: Method
    ) -> None:
        budgets.open_population(BudgetRows(tx), name, unit, epsilon, delta, method, now=self._clock.now())
        self._decided(tx, "open", name, epsilon, delta)

    def _bind(self, tx: Transaction, name: str, registration: Registration | None, population: str) -> None:
        book = BudgetRows(tx)
        found = budgets.population(book, population)
        if registration is not None and (unit := registration.description.unit_of_privacy.word) != found.unit:
            raise _unit(
                f"“{name}” counts each {unit} by itself, the population “{population}” each {found.unit}.",
                f"Register the dataset with the unit {found.unit}, or choose another population.",
            )
        budgets.bind(book, keys_of(name, registration), population)

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


def population_of(book: BudgetRows, keys: Iterable[str]) -> str | None:
    """The population that data belongs to by any of its keys. Raises `Refused` if there are two (clause `population`)."""
    found = sorted({name for key in keys if (name := book.member(key)) is not None})
    if len(found) > 1:
        raise Refused(
            "This data belongs to two protected populations.",
            f"By its name it belongs to one of “{'” and “'.join(found)}”, by its files to the other.",
            "Register it under a name of its own.",
            clause="population",
        )
    return found[0] if found else None


def keys_of(name: str, registration: Registration | None) -> list[str]:
    """What a dataset is known by here (rule 1). The digest of its files stays in this node's own database."""
    keys = [f"dataset/{name}"]
    if registration is not None:
        files = sorted(fact.content for fact in registration.manifest.files)
        keys += [f"commitment/{registration.description.commitment}", f"files/{digest_json(files)}"]
    return keys


def _unit(why: str, remedy: str) -> Refused:
    return Refused("Units of privacy differ.", why, remedy, clause="budget-unit")

"""Budgets, rule by rule, on real databases."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.errors import BadInput, CloisterError, Conflict, NotFound, Refused, Tampered
from cloister.privacy import budgets
from cloister.privacy.accounting import Run
from cloister.privacy.filters import DELTA_GRAIN, EPSILON_GRAIN, Limit, Loss, Method, of_run, pair
from cloister.storage.budgets import BudgetRows
from cloister.storage.database import Database

LEAVES: list[str] = []


def a_charge(
    position: int = 1,
    epsilon: float = 1.0,
    task: str = "t",
    scope: str = "first",
    attempt: int = 1,
    population: str = "people",
) -> budgets.Charge:
    return budgets.Charge(population, task, "train", position, attempt, scope, pair(epsilon, 1e-7))


def spend(database: Database, charge: budgets.Charge, limit: Limit | None = None, logged: int = 0) -> bool:
    with database.transaction() as tx:
        return budgets.spend(BudgetRows(tx), charge, limit=limit, logged=logged, log=LEAVES.append, now=2)


def left(database: Database, population: str = "people") -> float:
    with database.read() as tx:
        return budgets.left(BudgetRows(tx), population).epsilon


@pytest.fixture
def people(database: Database) -> Database:
    LEAVES.clear()
    with database.transaction() as tx:
        budgets.open_population(BudgetRows(tx), "people", "customer", 8.0, 1e-5, now=1)
    return database


def test_one_budget_across_datasets_versions_registrations_and_agreements(people: Database) -> None:
    """Rule 1."""
    with people.transaction() as tx:
        book = BudgetRows(tx)
        budgets.open_population(book, "others", "customer", 8.0, 1e-5, now=1)
        budgets.bind(book, ["dataset/sales", "commitment/sha256:1"], "people")
        budgets.bind(book, ["dataset/sales", "commitment/sha256:2"], "people")  # a new version
        for keys in (["dataset/sales"], ["dataset/renamed", "commitment/sha256:2"]):
            with pytest.raises(Refused) as caught:
                budgets.bind(book, keys, "others")
            assert caught.value.clause == "population"
        with pytest.raises(NotFound):
            budgets.bind(book, ["dataset/new"], "nobody")
    spend(people, a_charge(scope="first", task="a"))
    spend(people, a_charge(scope="second", task="b"))
    assert left(people) == 6.0
    assert left(people, "others") == 8.0


def test_a_refused_charge_writes_nothing_and_a_rolled_back_one_neither(people: Database) -> None:
    """Rule 2: what is in the book is exactly what was committed."""
    with pytest.raises(Refused) as caught:
        spend(people, a_charge(epsilon=8.5))
    assert caught.value.clause == "budget"
    assert caught.value.remedy
    with contextlib.suppress(KeyError), people.transaction() as tx:
        budgets.spend(BudgetRows(tx), a_charge(), limit=None, logged=0, log=lambda _: None, now=2)
        raise KeyError
    assert left(people) == 8.0
    assert LEAVES == []


def test_a_charge_is_known_by_task_step_and_attempt_and_spent_once(people: Database) -> None:
    """Rule 3: replays are the same charge; each leaves one leaf in the log."""
    assert [spend(people, a_charge()) for _ in range(3)] == [True, False, False]
    assert left(people) == 7.0
    assert list(LEAVES) == [a_charge().digest]
    for changed in (a_charge(epsilon=0.5), a_charge(scope="second")):
        with pytest.raises(Conflict) as caught:
            spend(people, changed)
        assert caught.value.detail["clause"] == "charge-once"
    for other in (a_charge(position=2), a_charge(attempt=2), a_charge(task="u")):
        assert spend(people, other)
    assert left(people) == 4.0
    assert len(set(LEAVES)) == 4


def test_a_replay_is_known_also_when_nothing_is_left(people: Database) -> None:
    assert spend(people, a_charge(epsilon=8.0))
    assert not spend(people, a_charge(epsilon=8.0))
    with pytest.raises(Refused):
        spend(people, a_charge(position=2, epsilon=1e-6))


def test_an_agreement_spends_no_more_than_its_own_part(people: Database) -> None:
    part = Limit(2.0, 1e-6)
    assert spend(people, a_charge(epsilon=1.5), part)
    with pytest.raises(Refused):
        spend(people, a_charge(2, epsilon=1.0), part)
    assert spend(people, a_charge(3, epsilon=1.0, scope="second"), part)
    with people.read() as tx:
        book = BudgetRows(tx)
        assert budgets.left(book, "people", "first", part) == budgets.Left(0.5, pytest.approx(9e-7))
        assert budgets.left(book, "people", "third", part).epsilon == 2.0
        assert budgets.affords(book, "people", pair(0.5, 0), "first", part)
        assert not budgets.affords(book, "people", pair(0.6, 0), "first", part)
    assert left(people) == 5.5


def test_two_tasks_that_race_cannot_overspend(people: Database) -> None:
    """Rule 4."""
    answers: list[str] = []
    gate = threading.Barrier(8)

    def race(number: int) -> None:
        gate.wait()
        for position in range(5):
            try:
                spend(people, a_charge(position, 0.7, task=str(number)))
                answers.append("spent")
            except Refused:
                answers.append("refused")

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count("spent") == 11  # 11 · 0.7 = 7.7 of 8
    assert answers.count("refused") == 29
    assert left(people) == pytest.approx(0.3)
    with people.read() as tx:
        budgets.check(BudgetRows(tx))


def test_balances_are_the_same_whatever_the_answers_were(people: Database) -> None:
    """Rule 5: `spend` is given no answer and no data; the same charges leave the same balance."""
    loss = of_run(Run(2.0, 0.1, 30), 1e-6)
    assert loss == of_run(Run(2.0, 0.1, 30), 1e-6)
    for position in range(3):
        spend(people, budgets.Charge("people", "t", "p", position, 1, "first", loss))
    with people.read() as tx:
        assert budgets.spent(BudgetRows(tx), "people") == loss + loss + loss


def test_a_book_older_than_the_log_spends_nothing_until_reconciled(people: Database) -> None:
    """Rule 6."""
    with people.transaction() as tx:
        budgets.open_population(BudgetRows(tx), "others", "machine", 4.0, 1e-5, now=1)
    spend(people, a_charge())
    logged = 3  # the log has two leaves that the restored book lacks
    for again in (a_charge(), a_charge(2)):
        with pytest.raises(Refused) as caught:
            spend(people, again, logged=logged)
        assert caught.value.clause == "budget-restored"
    with people.transaction() as tx:
        book = BudgetRows(tx)
        reconcile = {"logged": logged, "log": LEAVES.append, "now": 5}
        for missing in ({}, {"people": None}, {"people": None, "others": None, "more": None}):
            with pytest.raises(BadInput):
                budgets.reconcile(book, missing, **reconcile)
        budgets.reconcile(book, {"people": {"first": pair(2.0, 1e-7)}, "others": None}, **reconcile)
        budgets.check(book)
    # One leaf of before, the two write-offs' own, and the two that are missing.
    assert len(LEAVES) == 3
    with people.read() as tx:
        assert BudgetRows(tx).leaves() == logged + 2
    assert left(people) == 5.0
    assert left(people, "others") == 0.0
    with people.transaction() as tx:
        # Of the agreement's part it is gone too; and where it is not known whose it was, of every agreement's.
        book, part = BudgetRows(tx), Limit(4.0, 1e-5)
        assert budgets.left(book, "people", "first", part).epsilon == 1.0
        assert budgets.left(book, "people", "second", part).epsilon == 4.0
        budgets.set_limit(book, "others", 1000.0, 1e-4)
        assert budgets.left(book, "others", "second", part).epsilon == 0.0
    assert spend(people, a_charge(2), logged=logged + 2)
    with pytest.raises(Refused):
        spend(people, a_charge(population="others", epsilon=1e-6), logged=logged + 3)
    with people.transaction() as tx, pytest.raises(Conflict):
        budgets.reconcile(BudgetRows(tx), {"people": None, "others": None}, **reconcile)


def test_a_book_is_current_when_it_knows_at_least_what_was_logged(people: Database) -> None:
    assert spend(people, a_charge(1), logged=0)
    assert spend(people, a_charge(2), logged=1)
    with people.read() as tx:
        budgets.require_current(BudgetRows(tx), 2)
        with pytest.raises(Refused):
            budgets.require_current(BudgetRows(tx), 3)


def test_totals_that_are_not_the_sum_of_the_charges_are_refused(people: Database) -> None:
    """Rule 7."""
    spend(people, a_charge())
    for scope in ("", "first"):
        with people.read() as tx:
            before = budgets.spent(BudgetRows(tx), "people", scope)
        with people.transaction() as tx:
            BudgetRows(tx).put_total("people", scope, pair(0.5, 0.0).encode())
            with pytest.raises(Tampered) as caught:
                budgets.check(BudgetRows(tx))
            assert caught.value.clause == "budget-totals"
            BudgetRows(tx).put_total("people", scope, before.encode())
            budgets.check(BudgetRows(tx))
    with people.transaction() as tx:
        BudgetRows(tx).put_population("people", b'{"name":"people"}')
        with pytest.raises(Tampered):
            budgets.population(BudgetRows(tx), "people")


def test_a_limit_may_change_and_the_highest_is_remembered(people: Database) -> None:
    """Rule 8."""
    spend(people, a_charge(epsilon=6.0))
    with people.transaction() as tx:
        book = BudgetRows(tx)
        budgets.set_limit(book, "people", 5.0, 1e-5)
        assert budgets.left(book, "people").epsilon == 0.0
        assert not budgets.affords(book, "people", pair(0.1, 0.0))
        raised = budgets.set_limit(book, "people", 10.0, 1e-6)
        assert raised.highest == (10.0, 1e-5)
        assert budgets.set_limit(book, "people", 7.0, 1e-6).highest == (10.0, 1e-5)
        assert budgets.left(book, "people").epsilon == 1.0
        with pytest.raises(BadInput):
            budgets.set_limit(book, "people", 0.0, 1e-5)


def test_a_population_is_declared_once(people: Database) -> None:
    with people.transaction() as tx:
        book = BudgetRows(tx)
        assert budgets.open_population(book, "people", "customer", 8.0, 1e-5, now=9).opened == 1
        for changed in (("machine", 8.0, 1e-5), ("customer", 9.0, 1e-5), ("customer", 8.0, 1e-5, "renyi")):
            with pytest.raises(Conflict):
                budgets.open_population(book, "people", *changed, now=9)  # type: ignore[arg-type]
        for name, unit in (("", "x"), ("x" * 300, "x"), ("x", "")):
            with pytest.raises(BadInput):
                budgets.open_population(book, name, unit, 1.0, 1e-5, now=9)
        with pytest.raises(NotFound):
            budgets.left(book, "nobody")


def test_a_population_may_count_in_renyi_and_keeps_its_anchor(database: Database) -> None:
    with database.transaction() as tx:
        book = BudgetRows(tx)
        found = budgets.open_population(book, "people", "customer", 4.0, 1e-5, "renyi", now=1)
        assert budgets.set_limit(book, "people", 9.0, 1e-4).anchor == found.anchor != 0
        assert budgets.population(book, "people").limit == found.limit.raised(9.0, 1e-4)
    loss, count = of_run(Run(40.0, 1.0, 1), 1e-9), 0
    for position in range(300):
        assert spend(database, budgets.Charge("people", "t", "p", position, 1, "first", loss))
        count += 1
    assert count * 0.12 > 9.0  # more than sums would have permitted
    with database.read() as tx:
        epsilon, delta = found.limit.spent(budgets.spent(BudgetRows(tx), "people"))
        assert 0 < epsilon < 9.0
        assert 0 < delta <= 1e-5


@pytest.mark.parametrize("method", ["sums", "renyi"])
def test_what_remains_in_view_of_a_loss_says_what_the_filters_say(database: Database, method: Method) -> None:
    with database.transaction() as tx:
        budgets.open_population(BudgetRows(tx), "people", "customer", 4.0, 1e-5, method, now=1)
    limit = Limit(3.0, 1e-5, method)
    for position in range(60):
        loss = of_run(Run(20.0 - position % 3 * 9, 1.0, 4), 1e-7)
        with database.read() as tx:
            book = BudgetRows(tx)
            affords = budgets.affords(book, "people", loss, "first", limit)
            found = budgets.remaining(book, "people", loss, "first", limit)
        enough = found.epsilon >= loss.epsilon * EPSILON_GRAIN and found.delta >= loss.delta * DELTA_GRAIN
        assert enough == affords
        if affords:
            spend(database, budgets.Charge("people", "t", "p", position, 1, "first", loss), limit)
    assert not affords


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_whatever_is_asked_in_whatever_order_no_limit_is_overspent(data: st.DataObject) -> None:
    database = Database.memory()
    with database.transaction() as tx:
        budgets.open_population(BudgetRows(tx), "people", "customer", 4.0, 1e-5, now=1)
    spent: dict[tuple[str, int, int], tuple[float, str]] = {}
    asked = st.tuples(
        st.sampled_from("ab"), st.integers(0, 3), st.integers(1, 2),
        st.sampled_from([0.0, 0.3, 0.9, 2.0]), st.sampled_from(["first", "second"]),
    )  # fmt: skip
    for task, position, attempt, epsilon, scope in data.draw(st.lists(asked, max_size=25)):
        key = (task, position, attempt)
        try:
            new = spend(database, a_charge(position, epsilon, task, scope, attempt), Limit(2.5, 1e-5))
        except Conflict:
            assert key in spent
            assert spent[key] != (epsilon, scope)
        except Refused:
            assert key not in spent
        else:
            assert new == (key not in spent)
            spent[key] = (epsilon, scope)
    assert sum(item[0] for item in spent.values()) <= 4.0 + 1e-6
    for scope in ("first", "second"):
        assert sum(item[0] for item in spent.values() if item[1] == scope) <= 2.5 + 1e-6
    assert left(database) == pytest.approx(4.0 - sum(item[0] for item in spent.values()))
    with database.read() as tx:
        budgets.check(BudgetRows(tx))
    database.close()


def test_a_database_of_the_first_version_gets_the_budgets_tables(tmp_path: Path) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    from cloister.storage import migrate

    scripts = ScriptDirectory(str(Path(migrate.__file__).with_name("migrations")))
    database = Database.open(tmp_path)
    with (
        database.transaction() as tx,
        EnvironmentContext(
            Config(), scripts, fn=lambda revision, _context: scripts._downgrade_revs("0001", revision)
        ) as environment,
    ):
        environment.configure(connection=tx.connection, transactional_ddl=True)
        environment.run_migrations()
        tables = set(tx.connection.exec_driver_sql("select name from sqlite_master").scalars())
        assert {"charges", "calls"} < tables
        assert "populations" not in tables
    database.close()
    database = Database.open(tmp_path)
    with database.transaction() as tx:
        budgets.open_population(BudgetRows(tx), "people", "customer", 1.0, 1e-5, now=1)
    database.close()


def test_nothing_in_an_error_tells_amounts_or_names_of_tasks(people: Database) -> None:
    for wrong in (
        lambda: spend(people, a_charge(epsilon=9.5, task="secret-task")),
        lambda: left(people, "nn"),
    ):
        with pytest.raises(CloisterError) as caught:
            wrong()
        assert "9.5" not in str(caught.value)
        assert "secret-task" not in str(caught.value)


def test_a_loss_of_nothing_is_a_charge_too(people: Database) -> None:
    charge = budgets.Charge("people", "t", "p", 0, 1, "first", Loss())
    assert spend(people, charge)
    assert not spend(people, charge)
    assert left(people) == 8.0

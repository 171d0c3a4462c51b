"""Budgets outlive kill -9 and notice a restored backup (rules 2 and 6), on real files and processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import spender

from cloister.foundation.errors import Refused
from cloister.ledger.leaves import conceal
from cloister.privacy import budgets
from cloister.privacy.filters import Limit, pair
from cloister.storage.budgets import BudgetRows
from cloister.storage.database import Database, Transaction
from cloister.storage.log import LogRow, LogRows

HERE = Path(__file__).parent


def prepared(folder: Path) -> None:
    database = Database.open(folder)
    with database.transaction() as tx:
        budgets.open_population(BudgetRows(tx), "people", "customer", 3.0, 1e-5, now=1)
    database.close()


def run(folder: Path, place: str, step: int) -> tuple[int, dict[int, tuple[int, str]]]:
    """How the process ended, and step → (whether its charge was new, the noise that was used)."""
    done = subprocess.run(
        [sys.executable, str(HERE / "spender.py"), str(folder), place, str(step)],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.split(" ", 2) for line in done.stdout.splitlines()]
    return done.returncode, {int(number): (int(new), noise) for number, new, noise in lines}


def charged(folder: Path) -> tuple[int, float]:
    database = Database.open(folder)
    with database.read() as tx:
        book = BudgetRows(tx)
        budgets.check(book)
        found = len(book.charges("people")), 3.0 - budgets.left(book, "people").epsilon
    database.close()
    return found


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
@pytest.mark.parametrize(("place", "step"), [(place, 3) for place in spender.PLACES] + [("written", 0)])
def test_a_killed_node_never_undercharges_and_charges_nothing_twice(
    tmp_path: Path, place: str, step: int
) -> None:
    """Rule 2: every noise that was used is paid for; a resumed step pays once and makes the same noise."""
    prepared(tmp_path)
    ended, used = run(tmp_path, place, step)
    assert ended == -signal.SIGKILL
    assert len(used) == step + (place == "used")
    paid, spent = charged(tmp_path)
    assert paid == step + (place in ("committed", "used"))
    assert spent == pytest.approx(0.5 * paid)
    assert paid >= len(used)
    ended, again = run(tmp_path, "nowhere", 0)
    assert ended == 0
    assert [again[number][0] for number in range(spender.STEPS)] == [0] * paid + [1] * (spender.STEPS - paid)
    assert all(again[number][1] == noise for number, (_, noise) in used.items())
    assert charged(tmp_path) == (spender.STEPS, pytest.approx(3.0))


def logging(tx: Transaction, now: int) -> budgets.Log:
    """Appends a leaf as a node does (without the tree, which does not matter here)."""

    def log(document: str) -> None:
        leaf, opening = conceal("charge", document, now)
        rows = LogRows(tx)
        rows.add(LogRow(rows.size(), leaf.encode(), "charge", opening.salt, document))

    return log


def spend(database: Database, position: int, known: int = 0) -> None:
    charge = budgets.Charge("people", "t", "p", position, 1, "a", pair(0.5, 1e-7))
    with database.transaction() as tx:
        most = max(known, BudgetRows(tx).logged())
        budgets.spend(BudgetRows(tx), charge, limit=Limit(3.0, 1e-5), logged=most, log=logging(tx, 5), now=5)


def test_an_old_backup_is_refused_until_it_was_reconciled(tmp_path: Path) -> None:
    """Rule 6: the log is ahead of the restored database, whether it was kept here or by others."""
    folder, backup = tmp_path / "node", tmp_path / "backup"
    prepared(folder)
    database = Database.open(folder)
    for position in range(2):
        spend(database, position)
    database.close()
    shutil.copytree(folder, backup)
    database = Database.open(folder)
    for position in (2, 3):
        spend(database, position)
    with database.read() as tx:
        newest = BudgetRows(tx).logged()
    database.close()
    assert newest == 4
    shutil.rmtree(folder)
    backup.rename(folder)
    database = Database.open(folder)
    with pytest.raises(Refused) as caught:
        spend(database, 4, known=newest)
    assert caught.value.clause == "budget-restored"
    assert "reconcile" in caught.value.remedy
    with database.transaction() as tx:
        # The owner knows from the signed plans that the missing tasks spent 1.0 at most.
        budgets.reconcile(
            BudgetRows(tx), {"people": {"a": pair(1.0, 2e-7)}}, logged=newest, log=logging(tx, 6), now=6
        )
    spend(database, 4, known=newest)
    with database.read() as tx:
        assert budgets.left(BudgetRows(tx), "people").epsilon == pytest.approx(0.5)
        budgets.check(BudgetRows(tx))
    spend(database, 5, known=newest + 1)
    with pytest.raises(Refused) as caught:
        spend(database, 6, known=newest + 1)
    assert caught.value.clause == "budget"
    database.close()

"""Whole tasks that spend a privacy budget, in a town of two: admitted, charged, released, and refused when nothing is left."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import pytest

from cloister.agreements.terms import Terms
from cloister.foundation.errors import Refused
from cloister.node.reports import task_view
from cloister.node.tasks.service import PROPOSE
from cloister.privacy import budgets
from cloister.privacy.filters import EPSILON_GRAIN
from cloister.storage.budgets import BudgetRows
from cloister.storage.log import LogRows
from node.charging import EPSILON, Charging, private_terms
from node.town import LAB, OWNERS, PAIR, folder_of, pair_terms, signed_plan, town, until


@pytest.fixture
def method(monkeypatch):
    made = Charging()
    monkeypatch.setattr("cloister.node.node.installed", lambda: (made,))
    return made


def ready(here, **budget):
    here.start()
    here.meet()
    here.data("Ash")
    agreement = here.agree(private_terms(Terms.from_odrl(pair_terms(here)), **budget).to_odrl())
    here.catalogued()
    return agreement


def spent(node):
    """How often and how much was charged to the population, and how many leaves tell of it."""
    with node.durable.database.read() as tx:
        book = BudgetRows(tx)
        budgets.check(book)
        total = budgets.spent(book, "plants").epsilon * EPSILON_GRAIN
        return len(book.history("plants")), pytest.approx(total), book.logged()


def test_a_task_charges_once_is_released_and_the_next_is_refused_before_anything_starts(tmp_path, method):
    """Also the owner's own gate uses the records, after the charge."""
    with town(tmp_path, names=PAIR) as here:
        agreement = ready(here, epsilon=1.5 * EPSILON)
        (told,) = here["Ash"].agreements.sign(agreement)["budgets"]
        assert "“plants” (each record by itself) is there already; “tests” belongs to it" in told
        witnessed = []

        def look(_local):
            with here["Ash"].durable.database.read() as tx:
                (leaf,) = [item.index for item in LogRows(tx).scan() if item.kind == "charge"]
            witnessed.append(here[LAB].ledger.witnessed()[here.party["Ash"]]["size"] > leaf)

        method.after = look
        task = here.run(agreement)
        assert here.ended(task) == {LAB: "done", "Ash": "done"}
        assert spent(here["Ash"]) == (1, EPSILON, 1)
        assert witnessed == [True]  # rule 3 of `charges`: before the step goes on
        event = [item for item in here["Ash"].events(0, 0) if item["kind"] == "budget.charged"]
        assert [item["facts"]["population"] for item in event] == ["plants"]
        assert spent(here["Ash"])[0] == len(event)

        again = signed_plan(here, here.plan(agreement))
        with pytest.raises(Refused) as caught:
            here[LAB].call(here.party["Ash"], PROPOSE, again.encode(), 20)
        assert caught.value.clause == "budget"
        assert "suffice" in caught.value.why


def test_a_method_that_forgets_to_charge_tells_nothing(tmp_path, method):
    """Rule 6 of `charging`: what was computed is dropped with the step, and nothing was sent."""
    with town(tmp_path, names=PAIR) as here:
        agreement = ready(here)
        method.loss = None
        task = here.run(agreement)
        assert here.ended(task)["Ash"] == "failed"
        assert here["Ash"].durable.task(task).failure["clause"] == "budget-charged"
        assert spent(here["Ash"])[0] == 0
        assert not [
            event
            for event in here[LAB].runner.events(task=task)
            if event.kind == "message.accepted" and event.facts["kind"].startswith("update")
        ]


def test_a_node_that_is_killed_between_the_charge_and_the_steps_end_charges_once(tmp_path, method):
    """What `kill -9` leaves: the database as it is at that moment, opened by another process."""
    with town(tmp_path, names=PAIR) as here:
        agreement = ready(here)
        charged, go_on = threading.Event(), threading.Event()

        def wait(_local):
            charged.set()
            go_on.wait(30)

        method.after = wait
        task = here.run(agreement)
        assert charged.wait(30)
        assert spent(here["Ash"]) == (1, EPSILON, 1)
        place = folder_of(here, "Ash").root / "cloister.db"
        left = tmp_path / "as it was"
        with closing(sqlite3.connect(place)) as source, closing(sqlite3.connect(left)) as copy:
            source.backup(copy)
        method.after = lambda _local: None
        here[
            "Ash"
        ].link.transport.close()  # nothing of what the killed process would still do is seen by anybody
        go_on.set()
        here.stop("Ash")
        for name in ("cloister.db-wal", "cloister.db-shm"):
            place.with_name(name).unlink(missing_ok=True)
        left.replace(place)
        here.start("Ash")
        assert here.ended(task) == {LAB: "done", "Ash": "done"}
        assert spent(here["Ash"]) == (1, EPSILON, 1)


@pytest.mark.slow
def test_a_node_that_was_restored_as_a_whole_from_before_the_charge_does_not_charge_again(tmp_path, method):
    """Rule 3 of `charges`: it would make other noise for the same price. A witness has seen its log, and locks it."""
    with town(tmp_path, names=PAIR) as here:
        agreement = ready(here)
        asked, go_on = threading.Event(), threading.Event()

        def wait(_local):
            asked.set()
            go_on.wait(30)

        method.before = wait
        task = here.run(agreement)
        assert asked.wait(30)
        old = tmp_path / "as it was"
        place = folder_of(here, "Ash").root / "cloister.db"
        with closing(sqlite3.connect(place)) as source, closing(sqlite3.connect(old)) as copy:
            source.backup(copy)
        method.before = lambda _local: None
        go_on.set()
        assert here.ended(task)["Ash"] == "done"
        assert spent(here["Ash"]) == (1, EPSILON, 1)
        size = here["Ash"].ledger.head()["size"]
        ash = here.party["Ash"]
        until("the lab to see the charge", lambda: here[LAB].ledger.witnessed()[ash]["size"] >= size)
        here.stop("Ash")
        for name in ("cloister.db-wal", "cloister.db-shm"):
            place.with_name(name).unlink(missing_ok=True)
        old.replace(place)
        folder_of(here, "Ash").budgets_file.unlink()
        here.start("Ash")
        assert here.ended(task, "Ash") == {"Ash": "failed"}
        assert here["Ash"].durable.task(task).failure["clause"] == "witness-rollback"
        assert spent(here["Ash"])[0] == 0


@pytest.mark.slow
def test_training_with_secure_sums_and_noise_spends_each_owners_budget_once_and_is_released(tmp_path):
    """The method as it is installed, with nothing faked but the sandbox."""
    names = {LAB: ["researcher"], **{name: ["owner"] for name in OWNERS}}
    with town(tmp_path, names=names) as here:
        here.start()
        here.meet()
        here.data(*OWNERS)
        agreement = here.agree(private_terms(Terms.from_odrl(here.terms(quality=None))).to_odrl())
        here.catalogued()
        # Everybody is in each sample: accounting is then quick.
        wishes = {"rounds": 2, "round_seconds": 60, "batch": 160, "units": 160, "epsilon": 4.0}
        plan = here.plan(agreement, preferences=wishes)
        assert plan.offer.holder == "owner"
        here[LAB].tasks.submit(plan)
        here.approve(plan.digest)
        assert set(here.ended(plan.digest).values()) == {"done"}
        for name in OWNERS:
            assert spent(here[name]) == (1, plan.offer.cost.epsilon, 1)
            shown = task_view(here[name], plan.digest)["budget"]
            assert shown["charged"][0]["epsilon"] == pytest.approx(plan.offer.cost.epsilon)
        assert task_view(here[LAB], plan.digest)["budget"] is None
        assert task_view(here[LAB], plan.digest)["releases"]

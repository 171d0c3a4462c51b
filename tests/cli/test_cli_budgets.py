"""What people read of privacy budgets, without a node."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from cloister.cli import budgets, tasks
from cloister.cli.main import cli
from cloister.foundation.errors import BadInput
from cloister.node import diagnosis
from cloister.privacy.budgets import RECONCILED

TASK, AGREEMENT, UID = "sha256:" + "4" * 64, "sha256:" + "5" * 64, "urn:uuid:1"


def population(**changes):
    return {
        "population": "our patients",
        "unit": "record",
        "method": "sums",
        "limit": {"epsilon": 8.0, "delta": 1e-5},
        "highest": {"epsilon": 8.0, "delta": 1e-5},
        "spent": {"epsilon": 2.5, "delta": 1e-6},
        "left": {"epsilon": 5.5, "delta": 9e-6},
        "datasets": ["visits"],
        "agreements": [
            {
                "agreement": AGREEMENT,
                "uid": UID,
                "title": "Better care",
                "dataset": "visits",
                "limit": {"epsilon": 4.0, "delta": 1e-5},
                "spent": {"epsilon": 2.5, "delta": 1e-6},
                "left": {"epsilon": 1.5, "delta": 9e-6},
            }
        ],
        "charges": [
            {"task": TASK, "phase": "start", "attempt": 1, "agreement": UID, "at": "2026-11-22T10:00:00Z"}
            | {"epsilon": 2.5, "delta": 1e-6}
        ],
    } | changes


class Node:
    """Answers as a node does; keeps what it was sent."""

    def __init__(self, trouble=None):
        self.trouble, self.sent = trouble, {}

    def __call__(self, *_given, **_named):
        return self

    def budgets(self):
        return {"trouble": self.trouble, "populations": [population()]}

    def get(self, path):
        return {
            "/tasks": [{"task": TASK, "kind": "training", "status": "done"}],
            "/agreements": [{"agreement": AGREEMENT}],
        }[path]

    def post(self, path, body):
        self.sent[path] = body
        return {"trouble": None, "populations": [population()]}

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        pass


def call(*arguments, stdin=None):
    return CliRunner().invoke(cli, ["budget", *arguments], input=stdin)


def test_the_list_says_what_was_spent_by_which_agreement_and_task(monkeypatch):
    monkeypatch.setattr(budgets, "client", Node())
    told = call("list").output
    assert "“our patients”, each record by itself" in told
    assert "Left   epsilon 5.5, delta 9e-06" in told
    assert f"Agreement {'5' * 16} “Better care”: epsilon 2.5, delta 1e-06 of epsilon 4, delta 1e-05" in told
    assert f"task {'4' * 16} (training, done) under “Better care”: epsilon 2.5" in told
    assert "higher before" not in told


def test_the_list_says_first_that_nothing_is_spent(monkeypatch):
    trouble = {"title": "This node's memory is older than its log.", "remedy": "Reconcile."}
    monkeypatch.setattr(budgets, "client", Node(trouble))
    told = call("list").output
    assert told.startswith("This node's memory is older than its log. Nothing is spent. Reconcile.")


def test_what_was_written_off_is_said():
    charge = {"task": RECONCILED, "agreement": RECONCILED, "at": "2026-11-22T10:00:00Z", "epsilon": 2.0**28}
    told = budgets.population_in_words(population(charges=[charge | {"delta": 1.0}]), {})
    assert "written off after an old backup was restored: everything" in told


def test_reconciling_asks_and_names_populations_and_agreements(monkeypatch):
    node = Node()
    monkeypatch.setattr(budgets, "client", node)
    given = (
        "reconcile",
        "--spent",
        "our patients=2.5:1e-6:5555",
        "--spent",
        "our patients=0.5:0",
        "--gone",
        "plants",
    )
    assert call(*given, stdin="n\n").exit_code == 1
    assert node.sent == {}
    assert call(*given, stdin="y\n").exit_code == 0
    assert node.sent["/budgets/reconcile"]["missing"] == {
        "plants": None,
        "our patients": {
            UID: {"epsilon": 2.5, "delta": 1e-6},
            RECONCILED: {"epsilon": 0.5, "delta": 0.0},
        },
    }


@pytest.mark.parametrize("given", ["a", "a=", "a=1", "=1:0", "a=x:0", "a=1:0:u:v", "gone=1:0"])
def test_what_was_spent_is_read_strictly(given):
    with pytest.raises(BadInput) as caught:
        budgets._missing((given,), ("gone",), lambda name: name)
    assert "--spent plants=2.0:1e-6" in caught.value.remedy


def test_doctor_and_status_say_why_no_privacy_is_spent():
    status = {
        "name": "Ash", "party": "p", "locked": None, "relay": {"hub": None, "reached": False}, "here": [],
        "time": 0, "engines": {},
        "budgets": {"title": "It is old.", "remedy": "Restore.", "clause": "budget-restored"},
    }  # fmt: skip
    found = diagnosis.running(status, [], [], [], "here")
    (finding,) = [item for item in found if item.about == "Privacy budgets"]
    assert finding.state == "wrong"
    assert finding.what.startswith("It is old.")
    assert "cloister budget reconcile" in finding.remedy
    assert not [
        i for i in diagnosis.running(status | {"budgets": None}, [], [], [], "") if i.about == finding.about
    ]


def test_who_decides_on_a_task_reads_what_it_would_spend_of_what_is_left():
    budget = {"population": "plants", "epsilon": 2.0, "delta": 1e-6, "charged": []}
    budget |= {"left": {"epsilon": 5.0, "delta": 1e-5}}
    before = tasks.budget_in_words(budget)[0]
    assert "would spend epsilon 2 and delta 1e-06 of the population “plants”, of epsilon 5" in before
    after = tasks.budget_in_words(budget | {"charged": [{"epsilon": 2.0, "delta": 1e-6}]})[0]
    assert "has spent" in after
    assert tasks.budget_in_words(None) == []
    assert tasks.budget_in_words(budget | {"epsilon": 0.0}) == []

"""`cloister ask train`: wishes go to the planner as they were given, and what is only tried is not sent."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from cloister.cli import ask, bench
from cloister.cli.main import cli
from protections import federation as f


class Node:
    """Plans whatever it is asked for."""

    def __init__(self):
        self.posted = []
        self.terms = f.terms()

    def get(self, path):
        assert path == "/agreements/a"
        return {"terms": self.terms.to_odrl()}

    def post(self, path, body=None):
        self.posted.append((path, body))
        if path == "/plans":
            return {
                "text": "What will be done\n  Training.",
                "plan": {"offer": {}},
                "names": {},
                "starts_from": {"model": "sha256:" + "0" * 64, "public": True},
            }
        if path == "/bench":
            return {"figures": {"seconds_per_step": 0.25, "seconds_per_exchange": 0.0125}, "measured": "now"}
        return {
            "digest": "sha256:" + "0" * 64,
            "task": "t" * 64,
            "status": "proposed",
            "refusals": {},
            "waiting": {},
            "check": {"parameters": [{"name": "down1.a.weight"}, {"name": "head.weight"}]},
        }

    @property
    def asked(self):
        """What the last plan was asked for."""
        return [body for path, body in self.posted if path == "/plans"][-1]["computation"]["settings"]

    def status(self):
        return {"relay": {"reached": True}}


@pytest.fixture
def node(monkeypatch):
    made = Node()

    @contextmanager
    def client(_folder, timeout=0):
        yield made

    monkeypatch.setattr(ask, "client", client)
    monkeypatch.setattr(bench, "client", client)
    monkeypatch.setattr(ask, "find_agreement", lambda _node, name: name)
    monkeypatch.setattr(bench, "find_agreement", lambda _node, name: name)
    return made


def train(*options):
    return CliRunner().invoke(cli, ["ask", "train", "--agreement", "a", "--tool", "crystals", *options])


def test_what_is_only_tried_is_shown_and_not_sent(node):
    told = train("--what-if")
    assert told.exit_code == 0, told.output
    assert "What will be done" in told.stdout
    assert "Nothing was sent." in told.stdout
    assert [path for path, _ in node.posted] == ["/models", "/plans"]
    told = json.loads(train("--what-if", "--json", "-").stdout)
    assert told["task"] is None
    assert told["starts_from"]["public"] is True


def test_wishes_reach_the_planner_as_they_were_given(node):
    wishes = {"rounds": 7, "epsilon": 2.5, "batch": 64, "units": 900, "dropouts": 1, "deadline": 60.0}
    options = [part for name, value in wishes.items() for part in (f"--{name}", str(value))]
    assert train("--what-if", *options, "--preference", "aggregation=none").exit_code == 0
    (asked,) = [body for path, body in node.posted if path == "/plans"]
    assert asked["preferences"] == wishes | {"aggregation": "none"}


def test_a_wish_that_was_not_made_is_not_there(node):
    assert train("--what-if").exit_code == 0
    (asked,) = [body for path, body in node.posted if path == "/plans"]
    assert asked["preferences"] == {}


def test_a_plan_is_sent_when_it_is_said_so(node):
    assert train("--yes").exit_code == 0
    assert [path for path, _ in node.posted] == ["/models", "/plans", "/tasks"]


def test_a_node_is_measured_with_a_training_or_without(node):
    told = CliRunner().invoke(cli, ["bench", "node"])
    assert told.exit_code == 0, told.output
    assert "A signed call and its answer: 12.5 ms" in told.stdout
    assert node.posted == [("/bench", {"computation": None})]
    told = CliRunner().invoke(cli, ["bench", "node", "--tool", "crystals", "--steps", "3"])
    assert "A training step: 0.25 s" in told.stdout
    path, body = node.posted[-1]
    assert (path, body["computation"]["settings"]["steps"]) == ("/bench", 3)


def test_weights_are_frozen_by_name(node):
    assert train("--what-if").exit_code == 0
    assert node.asked["trainable"] == []
    assert train("--what-if", "--trainable", "head.", "--trainable", "down1.a").exit_code == 0
    assert node.asked["trainable"] == ["head.", "down1.a"]


def test_a_name_that_no_weight_has_is_refused_also_beside_others(node):
    told = train("--yes", "--trainable", "head.", "--trainable", "haed.")
    assert told.exit_code == 2
    assert "No weight's name begins with 'haed.'" in told.stderr
    assert "down1.a.weight, head.weight" in told.stderr
    assert [path for path, _ in node.posted] == ["/models"]


def test_under_privacy_budgets_a_tools_last_block_is_trained_unless_another_is_named(node):
    node.terms = f.terms(budgets=f.budgets())
    assert train("--what-if").exit_code == 0
    assert node.asked["trainable"] == ["answers."]
    assert train("--what-if", "--trainable", "down1.a").exit_code == 0
    assert node.asked["trainable"] == ["down1.a"]


def test_the_steps_of_a_training_under_budgets_are_measured_as_they_will_be(node):
    told = CliRunner().invoke(cli, ["bench", "node", "--tool", "crystals", "--agreement", "a"])
    assert told.exit_code == 0, told.output
    assert node.posted[-1][1]["computation"]["settings"]["trainable"] == []
    node.terms = f.terms(budgets=f.budgets())
    assert CliRunner().invoke(cli, ["bench", "node", "--tool", "crystals", "--agreement", "a"]).exit_code == 0
    assert node.posted[-1][1]["computation"]["settings"]["trainable"] == ["answers."]


def test_a_recipe_beside_a_tool_is_not_silently_left_out(node, tmp_path):
    told = train("--what-if", "--recipe", str(tmp_path / "recipe.json"))
    assert told.exit_code == 2
    assert "A tool brings its own recipe." in told.stderr

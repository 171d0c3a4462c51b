"""Tasks as a person follows them: events in words, and a plan that is never sent or approved unseen."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from cloister.cli import ask, tasks
from cloister.cli.common import brief
from cloister.cli.happenings import in_words
from cloister.cli.main import cli

NORTH = "a" * 52
NAMES = {NORTH: "North"}
TASK = "sha256:" + "1" * 64
PLAN = """What will be done
  - Lab asks to train a model.   [purpose]

Who does what
  - North: owner.                [seats]

What each one learns on the way
  - Lab: each model update.      [claims]

What is guaranteed
  - Much.                        [claims]

What is not protected
  - Traces of records.           [claims]

Task sha256:11
"""


@pytest.mark.parametrize(
    ("kind", "facts", "words"),
    [
        ("task.admitted", {"party": NORTH}, "North admits it"),
        ("message.accepted", {"from": NORTH, "kind": "update-1", "bytes": 4567}, "update 1 from North, 4,567 bytes"),
        ("figures", {"figures": {"round": 1, "answers": 2, "left_out": {}}}, "round 1: 2 updates averaged"),
        ("figures", {"figures": {"round": 2, "answers": 1, "left_out": {NORTH: "late"}}}, "round 2: 1 update averaged, 1 left out"),
        ("figures", {"figures": {"round": 1, "counted": True}}, "round 1: this node's update was counted"),
        ("figures", {"figures": {"gate": "refused", "check": "quality", "why": "Too low."}}, "gate refused: Too low."),
        ("figures", {"figures": {"votes": 2, "permits": 1, "quorum": 2}}, "2 votes, 1 for the release; it needs 2"),
        ("figures", {"figures": {"round": 3, "loss": 0.25}}, "round 3: loss 0.25"),
        ("phase.entered", {"program": "training", "phase": "collect-1", "position": 2}, "training: collect 1"),
        ("task.failed", {"phase": "x", "failure": {"title": "Too few."}}, "failed: Too few."),
        ("party.left", {"party": NORTH, "error": "task-failed"}, "North left: task failed"),
        ("something.new", {"x": {"y": 1}}, "something new"),
    ],
)  # fmt: skip
def test_an_event_is_told_in_words(kind, facts, words):
    told = in_words({"kind": kind, "facts": facts}, NAMES)
    assert told == words
    assert "{" not in told


def test_the_short_form_of_a_plan_keeps_what_is_done_who_learns_and_what_is_not_protected():
    short = brief(PLAN)
    assert "Lab asks" in short
    assert "each model update" in short
    assert "Traces of records" in short
    assert "What is guaranteed" not in short
    assert brief("unknown words") == "unknown words"


class Node:
    """A node that has one plan and one task, and does not reach its relay."""

    def get(self, path):
        return [{"agreement": TASK}] if path == "/agreements" else [{"task": TASK}]

    def post(self, path, _body=None):
        if path == "/models":
            return {"digest": "sha256:22"}
        if path == "/plans":
            return {"plan": {}, "text": PLAN, "names": NAMES}
        return {"task": TASK, "status": "waiting", "refusals": {}, "waiting": {NORTH: ""}}

    def task(self, _digest):
        return {"text": PLAN}

    def status(self):
        return {"relay": {"reached": False}}


@pytest.fixture
def node(monkeypatch):
    @contextmanager
    def client(_folder, timeout=0):
        yield Node()

    monkeypatch.setattr(ask, "client", client)
    monkeypatch.setattr(tasks, "client", client)


def test_a_plan_that_is_sent_unasked_is_printed_and_a_relay_out_of_reach_is_told(node):
    told = CliRunner().invoke(
        cli, ["ask", "train", "--agreement", TASK, "--tool", "crystals", "--yes"]
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    assert "What is not protected" in told.stderr
    assert "each model update" in told.stderr
    assert "The relay is not reached; it goes out when it is." in told.stdout


def test_a_plan_that_is_approved_unasked_is_printed(node):
    told = CliRunner().invoke(cli, ["task", "approve", "latest", "--yes"])
    assert told.exit_code == 0, told.output
    assert "What is not protected" in told.stderr

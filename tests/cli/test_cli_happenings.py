"""Tasks as a person follows them: events in words, and a plan that is never sent or approved unseen."""

from __future__ import annotations

import time
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from cloister.cli import ask, tasks
from cloister.cli.common import brief
from cloister.cli.main import cli
from cloister.foundation.errors import Refused
from cloister.node.tasks.happenings import in_words
from protections import federation as f

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
        ("figures", {"figures": {"round": 1, "counted": True}}, "round 1: this server's update was counted"),
        ("figures", {"figures": {"gate": "refused", "check": "quality", "why": "Too low."}}, "gate refused: Too low."),
        ("figures", {"figures": {"votes": 2, "permits": 1, "quorum": 2}}, "2 votes, 1 for the release; it needs 2"),
        ("figures", {"figures": {"round": 3, "loss": 0.25}}, "round 3: loss 0.25"),
        ("phase.entered", {"program": "training", "phase": "collect-1", "position": 2}, "training: collect 1"),
        ("phase.entered", {"program": "protection", "phase": "relay-3", "position": 9}, ""),
        ("message.accepted", {"from": NORTH, "kind": "share-3", "bytes": 4567}, ""),
        ("figures", {"figures": {"round": 3, "stage": "relay", "answers": 3, "left_out": {}}}, ""),
        ("figures", {"figures": {"round": 3, "stage": "total", "answers": 3, "left_out": {}}}, "round 3: 3 owners in the sum"),
        ("figures", {"figures": {"round": 3, "answers": 3}}, "round 3: 3 owners in the sum"),
        ("task.failed", {"phase": "x", "failure": {"title": "Too few."}}, "failed: Too few."),
        ("party.left", {"party": NORTH, "error": "task-failed"}, "North left: task failed"),
        ("something.new", {"x": {"y": 1}}, "something new"),
        ("message.delivered", {"to": NORTH}, ""),
        (
            "message.refused",
            {"to": NORTH, "kind": "content", "bytes": 9, "error": "refused", "clause": "task-over"},
            "North needs no content any more",
        ),
        ("message.refused", {"to": NORTH, "kind": "vote", "clause": "message-late"}, "message refused"),
        ("figures", {"figures": {"delivered": 1}}, "1 confirmation of what was delivered"),
    ],
)  # fmt: skip
def test_an_event_is_told_in_words(kind, facts, words):
    told = in_words({"kind": kind, "facts": facts}, NAMES)
    assert told == words
    assert "{" not in told


@pytest.mark.parametrize(
    ("recipients", "confirmed", "words"),
    [
        (["l"], 2, "certificate delivered to 2 owners; the result itself goes to nobody else"),
        (["l", "u"], 3, "result delivered to User; certificate delivered to 2 owners"),
        (["l", NORTH, "s"], 2, "result delivered to North, South"),
        (["l", "u"], 2, "2 confirmations of what was delivered"),
    ],
)
def test_what_was_delivered_to_whom_follows_the_agreement(recipients, confirmed, words):
    task = {"recipients": recipients, "owners": [NORTH, "s"], "seats": {"coordinator": ["l"]}}
    names = {**NAMES, "s": "South", "u": "User", "l": "Lab"}
    assert in_words({"kind": "figures", "facts": {"figures": {"delivered": confirmed}}}, names, task) == words


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
        if path == f"/agreements/{TASK}":
            return {"terms": f.terms().to_odrl()}
        return [{"agreement": TASK}] if path == "/agreements" else [{"task": TASK}]

    def post(self, path, _body=None):
        if path == "/models":
            return {"digest": "sha256:22", "check": {"parameters": []}}
        if path == "/plans":
            return {"plan": {}, "text": PLAN, "names": NAMES, "starts_from": None}
        return {"task": TASK, "status": "waiting", "refusals": {}, "waiting": {NORTH: ""}}

    def task(self, _digest):
        return {"text": PLAN, "status": "proposed", "names": NAMES, "waiting": {NORTH: ""}}

    def events(self, _since, wait=0.0):
        time.sleep(min(wait, 0.2))
        return []

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


def test_a_task_that_has_not_ended_in_time_is_told_by_exit_code_4(node):
    told = CliRunner().invoke(cli, ["task", "watch", "latest", "--seconds", "1"])
    assert told.exit_code == 4
    assert told.stdout.strip() == "Still proposed after 1 second. Waiting for: North."


class Asks(Node):
    """A node whose agreement wants people to accept records in the result."""

    def __init__(self):
        self.given = []

    def post(self, path, _body=None):
        if not path.endswith("/approve"):
            return super().post(path, _body)
        self.given.append(_body["with_records"])
        if not _body["with_records"]:
            raise Refused(
                "It may contain records.",
                "",
                f"Accept it if you agree: cloister task approve {TASK} --with-records",
                clause="records",
            )
        return {"task": TASK, "status": "admitted"}


@pytest.fixture
def asks(monkeypatch):
    made = Asks()

    @contextmanager
    def client(_folder, timeout=0):
        yield made

    monkeypatch.setattr(tasks, "client", client)
    return made


def test_whether_records_in_the_result_are_accepted_is_asked_where_it_matters(asks):
    told = CliRunner().invoke(cli, ["task", "approve", "latest"], input="y\ny\n")
    assert told.exit_code == 0, told.output
    assert "This result may contain input records of yours." in told.stderr
    assert "[y/N]" in told.stderr
    assert asks.given == [False, True]


def test_no_to_records_in_the_result_stays_no(asks):
    assert CliRunner().invoke(cli, ["task", "approve", "latest"], input="y\nn\n").exit_code == 1
    assert asks.given == [False]


def test_a_refusal_that_nobody_was_asked_about_can_be_copied(asks):
    told = CliRunner().invoke(cli, ["task", "approve", "latest", "--yes", "--folder", "our node"])
    assert told.exit_code == 3
    assert f"cloister task approve {'1' * 16} --with-records --folder 'our node'\n" in told.stderr
    assert asks.given == [False]


def test_a_plan_that_is_approved_unasked_is_printed(node):
    told = CliRunner().invoke(cli, ["task", "approve", "latest", "--yes"])
    assert told.exit_code == 0, told.output
    assert "What is not protected" in told.stderr

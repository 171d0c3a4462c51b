"""An agreement that is suspended or revoked stops its tasks here at once, whatever other parties do (`chores`)."""

from __future__ import annotations

import threading

import pytest

from cloister.agreements.lifecycle import State, act, sign_act
from cloister.foundation.canonical import canonical
from cloister.journal.commit import Committer
from cloister.node.chores import AGREEMENTS, DOCUMENTS
from cloister.node.peers.documents import PUSH
from cloister.node.steward import Steward
from node.town import LAB, PAIR, town


@pytest.fixture
def here(tmp_path):
    with town(tmp_path, names=PAIR) as made:
        made.agreement = made.ready(template="one-researcher-one-owner", quality=None)
        yield made


class Training:
    """A task whose owner is in the middle of a step until `go_on`; nothing is done at the owner by a chore."""

    def __init__(self, here):
        self.ash, self.lab = here["Ash"], here[LAB]
        self._training, self._go_on = threading.Event(), threading.Event()
        self.ash.engines.before = self._before
        self.task = here.run(here.agreement, preferences={"rounds": 3, "local_steps": 5, "round_seconds": 60})
        assert self._training.wait(30)
        self.ash.steward.close()

    def _before(self, method, _arguments):
        if method == "train":
            self._training.set()
            self._go_on.wait(30)

    def row(self):
        return self.ash.durable.task(self.task)

    def updates(self):
        """Messages with what was trained that came to the coordinator."""
        events = self.lab.runner.events(task=self.task)
        return [item for item in events if str(item.facts.get("kind", "")).startswith("update-")]

    def finish(self):
        """Lets the step end, and waits until it has."""
        self._go_on.set()
        self.ash.runner.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._go_on.set()


@pytest.mark.parametrize("to", [State.REVOKED, State.SUSPENDED])
def test_an_owner_that_stops_an_agreement_has_stopped_its_tasks_when_the_call_returns(here, to):
    """Rule 1 of `chores`."""
    with Training(here) as going:
        assert going.row().status == "running"
        going.ash.agreements.move(here.agreement, to, None)
        assert going.row().status == "stopped"
        assert going.row().failure["clause"] == "state"
        going.finish()
        assert going.updates() == []


def test_anothers_act_stops_tasks_before_its_sender_has_an_answer(here):
    """Rule 1 of `chores`."""
    with Training(here) as going:
        found = going.ash.agreements.get(here.agreement)
        lab = here.party[LAB]
        item = act(found, State.FINALIZED, State.REVOKED, lab, here.clock.now() - 5, None)
        body = canonical([sign_act(item, here[LAB].keys).model_dump(mode="json")])
        here[LAB].call(here.party["Ash"], PUSH, body, 20, None)
        assert going.row().status == "stopped"


def test_what_a_step_made_is_not_written_once_the_agreement_is_out_of_force(here):
    """Where the node was killed after the act and before it stopped anything, a step that ran says nothing."""
    with Training(here) as going:
        going.ash.agreements._enforce = lambda: None
        going.ash.agreements.move(here.agreement, State.REVOKED, None)
        assert going.row().status == "running"
        going.finish()
        assert going.row().status == "failed"
        assert going.row().failure["clause"] == "state"
        assert going.updates() == []


def test_a_task_that_a_killed_node_left_running_is_not_taken_up_again(here, monkeypatch):
    with Training(here) as going:
        # The act is on disk, and nothing was stopped or written down since.
        monkeypatch.setattr(Committer, "step", lambda *_: None)
        monkeypatch.setattr(Committer, "fail", lambda *_: False)
        going.ash.agreements._enforce = lambda: None
        going.ash.agreements.move(here.agreement, State.REVOKED, None)
        going.finish()
        assert going.row().status == "running"
    here.stop("Ash")
    monkeypatch.undo()
    again = here.make("Ash")
    here.nodes["Ash"] = again
    taken = []
    monkeypatch.setattr(again.runner, "resume", lambda: taken.append(again.durable.task(going.task).status))
    again.start()
    assert taken == ["stopped"]


def test_a_party_that_does_not_answer_keeps_nothing_from_being_stopped(here):
    """Rule 2 of `chores`: the agreement ended otherwise than by an act here, and every other node is silent."""
    asked, go_on, stopped = threading.Event(), threading.Event(), threading.Event()
    steward = Steward()
    node = here["Ash"]
    real = node.steward

    def silent():
        asked.set()
        go_on.wait(30)

    node.steward = steward
    node.chores._offer_documents = silent
    node.chores._presence = silent
    node.chores.stop_what_ended = stopped.set
    try:
        node.chores.begin()
        steward.start()
        assert asked.wait(10)
        assert stopped.wait(10)
        stopped.clear()
        steward.wake(AGREEMENTS, DOCUMENTS)
        assert stopped.wait(10)
        assert not go_on.is_set()
    finally:
        go_on.set()
        steward.close()
        node.steward = real

"""An owner takes back its approval of a task: before it starts, while it runs, and when it is too late.

The numbered rules are those of `cloister.node.tasks.withdrawing`.
"""

from __future__ import annotations

import threading

import pytest

from cloister.agreements.terms import Terms
from cloister.foundation.canonical import canonical
from cloister.foundation.errors import Conflict, NotFound, Refused
from cloister.identity.envelopes import verify
from cloister.ledger.leaves import Leaf
from cloister.node.reports import releases_view, task_view
from cloister.node.tasks.withdrawing import WITHDRAWAL_TYPE, Withdrawal
from cloister.release import coordinator
from cloister.storage.log import LogRows
from node.town import LAB, PAIR, pair_terms, town, until


@pytest.fixture
def here(tmp_path):
    with town(tmp_path, names=PAIR) as made:
        made.agreement = made.ready(template="one-researcher-one-owner", quality=None)
        yield made


def logged(here, digest):
    """How many leaves of Ash's log are about a document."""
    with here["Ash"].durable.database.read() as tx:
        rows = [row for row in LogRows(tx).scan() if row.document == digest]
    assert all(Leaf.decode(row.leaf).kind == "decision" for row in rows)
    return len(rows)


def held(here, phase_of_worker):
    """Stops Ash's worker at a method until the returned event is set; the other event tells that it got there."""
    reached, go = threading.Event(), threading.Event()

    def wait(method, _arguments):
        if method == phase_of_worker:
            reached.set()
            go.wait(20)

    here["Ash"].engines.before = wait
    return reached, go


def test_rule_3_before_the_start_an_admission_already_given_opens_nothing_and_the_requester_is_told(here):
    plan, task = (made := here.plan(here.agreement)), made.digest
    ash = here["Ash"]
    here[LAB].tasks.submit(plan)
    until("the plan", lambda: ash.tasks.records.note(task).get("pending"))
    admissions = [*here[LAB].tasks.admissions(task).values()]
    here.stop(LAB)  # it starts nothing in between
    admissions.append(ash.tasks.approving.approve(task, with_records=True))
    envelope = ash.withdrawing.withdraw(task, "We thought better of it")

    assert ash.tasks.summary(task)["status"] == "refused"
    assert logged(here, envelope.digest) == 1
    start = {"admissions": [item.model_dump(mode="json") for item in admissions]}
    with pytest.raises(Refused):
        ash.tasks.admitting.on_start(here.party[LAB], canonical({"task": task, "start": start}))
    with pytest.raises(Refused):
        ash._run_task(plan)  # also if it had been decided just before
    assert ash.durable.task(task) is None

    here.start(LAB)
    until("the end at the lab", lambda: here[LAB].tasks.records.over(task), 60)
    told = here[LAB].tasks.summary(task)["refusals"][here.party["Ash"]]
    assert "We thought better of it" in str(told)
    assert told["clause"] == "approval-withdrawn"
    assert here[LAB].durable.task(task) is None


def test_rule_4_a_running_task_ends_here_and_what_the_step_returns_is_dropped(here):
    reached, go = held(here, "train")
    task = here.run(here.agreement)
    assert reached.wait(30)
    envelope = here["Ash"].withdrawing.withdraw(task, "Enough")
    go.set()
    assert here.ended(task) == {LAB: "failed", "Ash": "stopped"}

    shown = task_view(here["Ash"], task)
    assert shown["failure"]["clause"] == "approval-withdrawn"
    assert shown["failure"]["remedy"]
    got = [event.facts for event in here[LAB].runner.events(task=task)]
    assert not [facts for facts in got if facts.get("kind") == "update-1"]
    (left,) = [facts for facts in got if facts.get("error") and facts.get("party") == here.party["Ash"]]
    assert left["error"] == "approval-withdrawn"
    assert "approval-withdrawn" in here[LAB].durable.task(task).failure["detail"]
    assert not releases_view(here[LAB])
    assert logged(here, envelope.digest) == 1


def test_rule_2_the_withdrawal_is_a_signed_document_and_survives_a_restart(here):
    reached, go = held(here, "train")
    task = here.run(here.agreement)
    assert reached.wait(30)
    envelope = here["Ash"].withdrawing.withdraw(task, "Enough")
    go.set()
    verify(envelope, WITHDRAWAL_TYPE, [here.party["Ash"]], here["Ash"].parties.live())
    document = Withdrawal.model_validate(envelope.document())
    assert (document.task, document.by, document.reason) == (task, here.party["Ash"], "Enough")
    here.stop("Ash")
    here.start("Ash")
    assert here["Ash"].durable.task(task).status == "stopped"
    assert not [item for item in here["Ash"].tasks.records.approvals() if item.task == task]
    assert logged(here, envelope.digest) == 1
    kinds = [event["kind"] for event in here["Ash"].events(0, 0) if event["task"] == task]
    assert kinds.count("approval.withdrawn") == 1


def test_rule_2_what_fails_on_the_way_changes_nothing(here, monkeypatch):
    reached, go = held(here, "train")
    task = here.run(here.agreement)
    assert reached.wait(30)
    ash = here["Ash"]

    def broken(*_args, **_kw):
        raise RuntimeError("the power fails")

    with monkeypatch.context() as patch:
        patch.setattr(ash.runner._committer, "end", broken)
        with pytest.raises(RuntimeError):
            ash.withdrawing.withdraw(task, "Enough")
    assert [item for item in ash.tasks.records.approvals() if item.task == task]
    assert ash.durable.task(task).status == "running"
    assert not [event for event in ash.events(0, 0) if event["kind"] == "approval.withdrawn"]
    go.set()
    assert here.ended(task) == {LAB: "done", "Ash": "done"}


def test_rule_5_a_vote_cannot_be_called_back(here, monkeypatch):
    reached, go, real = threading.Event(), threading.Event(), coordinator.verify_certificate

    def late(*given):
        """The coordinator, with the votes before it."""
        reached.set()
        go.wait(20)
        return real(*given)

    monkeypatch.setattr(coordinator, "verify_certificate", late)
    task = here.run(here.agreement)
    assert reached.wait(60)
    with pytest.raises(Conflict) as caught:
        here["Ash"].withdrawing.withdraw(task, "Too late")
    assert "release revoke" in caught.value.remedy
    go.set()
    assert here.ended(task) == {LAB: "done", "Ash": "done"}
    with pytest.raises(Conflict) as caught:
        here["Ash"].withdrawing.withdraw(task, "Much too late")
    assert "over" in caught.value.what


def test_rule_1_what_nobody_approved_cannot_be_withdrawn(tmp_path):
    with town(tmp_path, names=PAIR) as here:
        here.start()
        here.meet()
        here.data("Ash")
        terms = Terms.from_odrl(pair_terms(here))
        here.agree(terms.to_odrl())
        here.catalogued()
        with pytest.raises(NotFound):
            here["Ash"].withdrawing.withdraw("sha256:" + "0" * 64, "")
        plan = here.plan(here["Ash"].agreements.digests()[0])
        here[LAB].tasks.submit(plan)
        until("the plan", lambda: here["Ash"].tasks.records.note(plan.digest).get("pending"))
        with pytest.raises(Conflict) as caught:
            here["Ash"].withdrawing.withdraw(plan.digest, "")
        assert "cloister task refuse" in caught.value.remedy
        assert not here["Ash"].tasks.records.over(plan.digest)


def test_an_approval_taken_back_twice_is_refused_the_second_time(here):
    reached, go = held(here, "train")
    task = here.run(here.agreement)
    assert reached.wait(30)
    here["Ash"].withdrawing.withdraw(task, "")
    with pytest.raises(Conflict):
        here["Ash"].withdrawing.withdraw(task, "")
    go.set()

"""A computation that was tried on an owner's data as often as agreed is not tried again, however the tries ended.

The numbered rules are those of `cloister.node.tasks.attempts`.
"""

from __future__ import annotations

import threading

import pytest

from cloister.agreements.decision import Permit
from cloister.agreements.terms import Terms
from cloister.foundation.errors import CloisterError, Refused
from cloister.node.tasks import attempts
from cloister.node.tasks.service import PROPOSE
from cloister.storage.database import Database
from node.town import LAB, PAIR, pair_terms, signed_plan, town, until


def agreed_once(here):
    """A lab and an owner with data, and an agreement under which each computation may be tried once."""
    here.start()
    here.meet()
    here.data("Ash")
    terms = Terms.from_odrl(pair_terms(here))
    once = terms.model_copy(update={"release": terms.release.model_copy(update={"attempts": 1})})
    agreement = here.agree(once.to_odrl())
    here.catalogued()
    return agreement


def refused(here, agreement):
    """The error with which Ash's node refuses another task of the same computation."""
    again = signed_plan(here, here.plan(agreement))
    with pytest.raises(Refused) as caught:
        here[LAB].call(here.party["Ash"], PROPOSE, again.encode(), 20)
    return caught.value


def counted(here, task):
    """How many tries Ash's node has counted, of the task's computation."""
    plan = here["Ash"].tasks.plan(task)
    dataset = plan.request.datasets[here.party["Ash"]]
    with here["Ash"].durable.database.read() as tx:
        return attempts.others(tx, plan.request.computation.digest, dataset, "")


def test_an_owners_node_counts_its_attempts_and_refuses_the_next_task_before_anything_is_trained(tmp_path):
    """Rule 1 of `admitting`: the count is this node's own fact, whatever the requester's node says."""
    with town(tmp_path, names=PAIR) as here:
        agreement = agreed_once(here)
        first = here.run(agreement)
        assert here.ended(first) == {LAB: "done", "Ash": "done"}

        error = refused(here, agreement)
        assert error.clause == "attempts"
        assert error.remedy
        # The task that was counted is not held against itself, nor another computation against this one.
        ash = here["Ash"].tasks
        assert isinstance(ash.decision(ash.records.plan(first)), Permit)
        asked = here.asked(agreement)
        asked["computation"]["settings"]["seed"] = 8
        other = here[LAB].computations.plan(asked)[0]
        assert getattr(ash.decision(other), "clause", "") in {"records", "approval"}


def test_rule_1_a_coordinator_that_gives_up_after_the_first_update_is_counted(tmp_path):
    with town(tmp_path, names=PAIR) as here:
        agreement = agreed_once(here)
        lab = here[LAB].runner
        seen = threading.Event()
        here[LAB].engines.before = lambda _method, _arguments: seen.set()

        def received(task):
            return any(
                event.kind == "message.accepted" and event.facts["kind"] == "update-1"
                for event in lab.events(task=task)
            )

        task = here.run(agreement, preferences={"rounds": 50, "local_steps": 10, "round_seconds": 60})
        until("the first update", lambda: received(task))
        lab.stop(task, CloisterError("Thank you, that is all."))
        here.ended(task)
        assert counted(here, task) == 1
        error = refused(here, agreement)
        assert error.clause == "attempts"
        assert error.why
        assert error.remedy


def test_rule_1_a_task_that_ends_before_the_data_was_used_is_not_counted(tmp_path):
    with town(tmp_path, names=PAIR) as here:
        agreement = agreed_once(here)

        def broken(method, _arguments):
            if method == "initial":
                raise Refused("The worker was killed.")

        here["Ash"].engines.before = broken
        task = here.run(agreement)
        assert here.ended(task)["Ash"] == "failed"
        assert counted(here, task) == 0


def test_rule_2_an_owner_that_is_restarted_counts_the_task_once(tmp_path):
    with town(tmp_path, names=PAIR) as here:
        agreement = agreed_once(here)
        trained = []
        here["Ash"].engines.before = lambda method, _arguments: trained.append(method)
        task = here.run(agreement, preferences={"rounds": 6, "local_steps": 10, "round_seconds": 60})
        until("some training", lambda: trained.count("train") >= 2)
        here.stop("Ash")
        here.start("Ash")
        assert here.ended(task) == {LAB: "done", "Ash": "done"}
        assert counted(here, task) == 1
        assert refused(here, agreement).clause == "attempts"


def test_rule_3_of_tasks_side_by_side_only_as_many_as_agreed_get_an_answer(tmp_path):
    """Both were admitted while none was counted."""
    with town(tmp_path, names=PAIR) as here:
        agreement = agreed_once(here)
        both = threading.Barrier(2, timeout=20)
        waited = []

        def together(method, _arguments):
            if method == "train" and len(waited) < 2:
                waited.append(method)
                both.wait()

        here["Ash"].engines.before = together
        first = here.plan(agreement)
        second = here.plan(
            agreement, preferences={"rounds": 3, "local_steps": 10, "round_seconds": 60}
        )  # the same computation in another plan
        assert first.request.computation.digest == second.request.computation.digest
        for plan in (first, second):
            here[LAB].tasks.submit(plan)
            here.approve(plan.digest)
        ends = [here.ended(plan.digest, "Ash")["Ash"] for plan in (first, second)]
        assert sorted(ends) == ["done", "failed"]
        lost = (first, second)[ends.index("failed")].digest
        failure = here["Ash"].durable.task(lost).failure
        assert failure["clause"] == "attempts"
        assert failure["remedy"]
        assert counted(here, first.digest) == 1
        got = [event.facts["kind"] for event in here[LAB].runner.events(task=lost) if "kind" in event.facts]
        assert "update-1" not in got


def test_rules_2_and_3_counting_is_idempotent_by_task_and_what_is_refused_is_not_counted():
    database = Database.memory()
    with database.transaction() as tx:
        assert [attempts.count(tx, "c", "d", task) for task in ("a", "a", "b", "a")] == [1, 1, 2, 2]
        assert attempts.others(tx, "c", "d", "a") == 1
        assert attempts.others(tx, "c", "other", "a") == 0
        attempts.count_within(tx, "c", "d", "a", 2)
        with pytest.raises(Refused) as caught:
            attempts.count_within(tx, "c", "d", "z", 2)
        assert attempts.others(tx, "c", "d", "z") == 2
        attempts.count_within(tx, "c", "d", "b", 2)
    assert caught.value.clause == "attempts"
    assert caught.value.why
    assert caught.value.remedy
    database.close()

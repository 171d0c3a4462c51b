"""What people see of an agreement besides its text, from the node's real state."""

from __future__ import annotations

import threading

import pytest

from cloister.agreements.lifecycle import State
from cloister.agreements.terms import Terms
from cloister.node import agreement_views as views
from cloister.node.signing import Signer
from node.town import LAB, OWNERS, town, until

ADA = Signer(None, "Ada")


@pytest.fixture
def here(tmp_path):
    with town(tmp_path) as made:
        yield made


def lines(node, digest):
    return [item.text for item in views.history(node, digest)]


def resumed(node, digest):
    # An act that lifts another is dated after it: a second has to pass.
    until("it to be resumed", lambda: node.agreements.move(digest, State.FINALIZED, None))


def test_the_life_of_an_agreement_is_told_in_order(here):
    digest = here.ready(epsilon=None)
    task = here.run(digest)
    here.ended(task)
    until("the result at the lab", lambda: views.results(here[LAB], digest))
    node = here["Ash"]
    node.agreements.move(digest, State.SUSPENDED, "Holidays")
    until("the suspension at the lab", lambda: here[LAB].agreements.state(digest) is State.SUSPENDED)
    resumed(node, digest)
    node.agreements.move(digest, State.REVOKED, "A new machine")
    found = lines(node, digest)
    wanted = [
        "Lab proposed it.",
        "Ash signed.",
        "It came into force: everybody has signed.",
        "Lab asked for a task: Predict strength.",
        "A task ended with a result.",
        "Ash suspended it.",
        "Ash resumed it.",
        "Ash revoked it, for ever.",
    ]
    assert [text for text in found if text in wanted] == wanted
    assert len([text for text in found if text.endswith(" signed.")]) == 6, (
        "five parties, and that everybody has"
    )
    assert found.count("It came into force: everybody has signed.") == 1
    (suspended,) = [item for item in views.history(node, digest) if item.text == "Ash suspended it."]
    assert suspended.more == "Holidays"
    assert "The owners approved a result." in lines(here[LAB], digest)


def test_it_is_told_who_signed_at_this_node_and_at_no_other(here):
    here.start()
    here.meet()
    here.data(*OWNERS)
    digest = here[LAB].agreements.propose(here.terms())
    until("the agreement at Ash", lambda: here["Ash"].agreements.find(digest))
    here["Ash"].signing.sign(digest, ADA)
    assert "Ada signed here." in lines(here["Ash"], digest)
    assert not any("Ada" in text for text in lines(here[LAB], digest))


def test_what_stopping_would_stop_is_what_it_then_stops(here):
    digest = here.ready()
    ash = here["Ash"]
    training, go_on = threading.Event(), threading.Event()

    def before(method, _arguments):
        if method == "train":
            training.set()
            go_on.wait(60)

    ash.engines.before = before
    try:
        running = here.run(digest, preferences={"rounds": 3, "local_steps": 5, "round_seconds": 60})
        assert training.wait(60)
        other = here.asked(digest)["computation"]
        other["settings"] = {**other["settings"], "seed": 99}
        waiting = here.plan(digest, computation=other)
        here[LAB].tasks.submit(waiting)
        until("the plan at Ash", lambda: ash.tasks.records.known(waiting.digest))
        told = views.stops(ash, digest)
        assert [item["task"] for item in told.running] == [running]
        assert [item["task"] for item in told.waiting] == [waiting.digest]
        ash.signing.move(digest, State.SUSPENDED, None, ADA)
        assert ash.durable.task(running).status == "stopped"
        assert views.stops(ash, digest).running == ()
        assert "A task was stopped." in lines(ash, digest)
    finally:
        go_on.set()


def test_what_stays_unspent_is_told_of_each_budget_of_this_party(here):
    digest = here.ready(epsilon=8.0, quality=None)
    (found,) = views.stops(here["Ash"], digest).budgets
    assert (found["dataset"], found["left"]["epsilon"], found["spent"]["epsilon"]) == ("tests", 8.0, 0.0)
    assert views.stops(here[LAB], digest).budgets == ()


def test_who_has_to_resume_is_who_suspended(here):
    digest = here.ready()
    here["Ash"].agreements.move(digest, State.SUSPENDED, None)
    until("the suspension at Birch", lambda: here["Birch"].agreements.state(digest) is State.SUSPENDED)
    assert views.suspended(here["Birch"], digest) == {here.party["Ash"]}
    resumed(here["Ash"], digest)
    assert views.suspended(here["Ash"], digest) == frozenset()


def test_a_later_version_stands_beside_the_earlier_one(here):
    digest = here.ready()
    node = here["Ash"]
    old = node.agreements.get(digest).terms
    draft = node.drafts.next_version(old, ADA)
    outcome = node.signing.offer(draft.document, ADA)
    assert Terms.from_odrl(draft.document).previous == digest
    assert [item["version"] for item in views.versions(node, old)] == [1, 2]
    assert [item["state"] for item in views.versions(node, old)] == ["finalized", "offered"]
    assert "Version 2 was proposed." in lines(node, digest)
    assert "Ada signed and offered it here." in lines(node, outcome.told["agreement"])

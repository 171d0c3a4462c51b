"""Trouble that is nobody's decision: full disks, parties that are away, nodes that stop in between. Nothing is lost."""

from __future__ import annotations

import pytest

from cloister.foundation.errors import NotFound, OutOfSpace, Refused
from cloister.node.reports import release_content, release_view, releases_view
from cloister.storage.database import Database, out_of_space
from node.town import LAB, PAIR, USER, town, until

WITH_USER = {**PAIR, USER: ["user"]}


@pytest.fixture
def here(tmp_path):
    with town(tmp_path, names=PAIR) as made:
        made.agreement = made.ready(template="one-researcher-one-owner", quality=None)
        yield made


def test_a_full_disk_is_no_decision_and_the_task_goes_on_when_there_is_room(here, monkeypatch):
    """Rule 4 of `admitting`."""
    plan = here.plan(here.agreement)
    ash, real = here["Ash"], Database.transaction
    full = [True]

    def transaction(self, **options):
        if full and self is ash.durable.database:
            raise out_of_space()
        return real(self, **options)

    monkeypatch.setattr(Database, "transaction", transaction)
    here[LAB].tasks.submit(plan, 5)
    waiting = here[LAB].tasks.summary(plan.digest)
    assert waiting["status"] != "refused"
    assert "space" in waiting["waiting"][here.party["Ash"]]
    with pytest.raises(OutOfSpace) as caught:
        ash.datasets.add(here.root / "ash.csv", {"name": "more", "title": "More", "residency": "DE"})
    assert caught.value.remedy
    full.clear()
    here.approve(plan.digest)
    assert set(here.ended(plan.digest).values()) == {"done"}


def test_a_party_that_is_away_delays_no_other_and_is_asked_when_it_comes(tmp_path):
    """Rule 2 of `asking`."""
    names = {LAB: ["researcher"], "Ash": ["owner"], "Birch": ["owner"], "Cedar": ["owner"]}
    with town(tmp_path, names=names) as here:
        agreement = here.ready()
        plan = here.plan(agreement)
        here.stop("Cedar")
        here[LAB].tasks.submit(plan, 5)
        here.approve(plan.digest, "Ash", "Birch")
        note = until(
            "the absent party to be named",
            lambda: here[LAB].tasks.summary(plan.digest)["waiting"].get(here.party["Cedar"]),
        )
        assert note == "not reachable"
        here.start("Cedar")
        here.approve(plan.digest, "Cedar")
        assert set(here.ended(plan.digest).values()) == {"done"}


def test_a_request_survives_the_requesters_restart(here):
    """Rule 4 of `asking`."""
    plan = here.plan(here.agreement)
    here.stop("Ash")
    here[LAB].tasks.submit(plan, 1)
    here.stop(LAB)
    here.start("Ash", LAB)
    here.approve(plan.digest)
    assert set(here.ended(plan.digest).values()) == {"done"}


def test_a_node_that_stops_while_training_goes_on_where_it_was(here):
    trained = []
    here["Ash"].engines.before = lambda method, _arguments: trained.append(method)
    task = here.run(here.agreement, preferences={"rounds": 6, "local_steps": 10, "round_seconds": 60})
    until("the first round", lambda: trained.count("train") >= 2)
    here.stop("Ash")
    here.start("Ash")
    here.stop(LAB)
    here.start(LAB)
    assert set(here.ended(task).values()) == {"done"}


def test_a_release_is_revoked_by_an_owner_and_by_nobody_else(tmp_path):
    """Rules 1 to 3 of `revocations`."""
    with town(tmp_path, names=WITH_USER) as here:
        agreement = here.ready(template="one-researcher-one-owner", quality=None)
        task = here.run(agreement)
        here.ended(task)
        (release,) = [item["release"] for item in releases_view(here[USER])]
        assert release_content(here[USER], release)
        with pytest.raises(Refused) as caught:
            here[LAB].revocations.revoke(release, "I do not like it")
        assert caught.value.clause == "release-owner"
        with pytest.raises(NotFound):
            here["Ash"].revocations.revoke("sha256:" + "0" * 64, "")
        here.stop(LAB)
        assert here["Ash"].revocations.revoke(release, "It has learned too much")["untold"] == [
            here.party[LAB]
        ]
        with pytest.raises(Refused) as caught:
            release_content(here[USER], release)
        assert caught.value.clause == "release-revoked"
        assert "learned too much" in caught.value.why
        told = release_view(here[USER], release)
        assert told["status"] == "revoked"
        assert told["text"].startswith(
            "REVOKED by Ash: It has learned too much. Do not use it; delete your copies.\n"
        )
        here.start(LAB)
        here["Ash"].revocations.tell()
        assert releases_view(here[LAB])[0]["status"] == "revoked"
        assert releases_view(here["Ash"])[0]["status"] == "revoked"
        assert (task, release) in here.nodes[USER].shelf.context(task).revoked


def test_working_state_is_deleted_when_the_agreement_says_so_and_releases_stay(tmp_path):
    """Rules 1 and 2 of `duties`."""
    from cloister.foundation.clock import FixedClock
    from cloister.storage.settings import Settings

    clock = FixedClock()
    with town(tmp_path, names=PAIR, clock=clock) as here:
        document = here.terms(template="one-researcher-one-owner", quality=None)
        from cloister.agreements.clauses import Duty
        from cloister.agreements.terms import Terms

        terms = Terms.from_odrl(document)
        duties = (Duty(action="delete", days=3), Duty(action="report", days=1))
        here.start()
        here.meet()
        here.data("Ash")
        agreement = here.agree(terms.model_copy(update={"duties": duties}).to_odrl())
        here.catalogued()
        task = here.run(agreement)
        here.ended(task)

        def candidate(name):
            with here[name].durable.database.read() as tx:
                return Settings(tx).get(f"candidate/{task}")

        assert candidate(LAB)
        for name in (LAB, "Ash"):
            here[name].duties.carry_out()
        assert candidate(LAB)  # not yet
        clock.advance(4 * 86_400)
        size = here[LAB].ledger.head()["size"]
        for name in (LAB, "Ash"):
            here[name].duties.carry_out()
            assert candidate(name) is None
        assert here[LAB].ledger.head()["size"] == size + 1
        (release,) = [item["release"] for item in releases_view(here[LAB])]
        assert release_content(here[LAB], release)
        kinds = [event["kind"] for event in here["Ash"].events(0, 0)]
        assert "duty.report" in kinds


def test_one_refusal_ends_the_task_for_everybody_and_only_the_requester_hears_why(tmp_path):
    """Rule 3 of `asking`."""
    names = {LAB: ["researcher"], "Ash": ["owner"], "Birch": ["owner"], "Cedar": ["owner"]}
    with town(tmp_path, names=names) as here:
        plan = here.plan(here.ready())
        here[LAB].tasks.submit(plan, 5)
        here.approve(plan.digest, "Ash")
        until("the plan at Birch", lambda: here["Birch"].tasks.records.known(plan.digest))
        here["Birch"].tasks.refuse(plan.digest, "Not with our tests")
        until("the end at the lab", lambda: here[LAB].tasks.records.over(plan.digest))
        until("the end at Ash", lambda: here["Ash"].tasks.records.over(plan.digest))
        assert "Not with our tests" in str(here[LAB].tasks.summary(plan.digest)["refusals"])
        told = here["Ash"].tasks.summary(plan.digest)["refusals"]
        assert "Not with our tests" not in str(told)
        assert told[here.party[LAB]]["clause"] == "withdrawn"

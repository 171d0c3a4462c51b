"""A revocation is about one task's result and reaches nothing else (rule 4 of `node.revocations`)."""

from __future__ import annotations

import threading

import pytest

from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import NotFound, Refused
from cloister.identity.envelopes import sign
from cloister.node.reports import releases_view
from cloister.node.revocations import REVOCATION_TYPE, REVOKE, Revocation
from node.town import LAB, town, until

EVIL = "Evil"
NAMES = {LAB: ["researcher"], "Ash": ["owner"], "Birch": ["owner"], EVIL: ["owner"]}


@pytest.fixture
def here(tmp_path):
    """Evil is an owner under one agreement of the lab's, and no party of the other."""
    with town(tmp_path, names=NAMES) as made:
        made.start()
        made.meet()
        made.data("Ash", "Birch", EVIL)
        made.shared = made.agree(made.terms(quality=None))
        owners = [{"party": made.party["Ash"], "name": "Ash", "dataset": "tests"}]
        terms = made.terms(template="one-researcher-one-owner", quality=None, title="Two", owners=owners)
        made.other = made[LAB].agreements.propose(terms)
        until("the other", lambda: made["Ash"].agreements.find(made.other))
        made["Ash"].agreements.sign(made.other)
        for name in (LAB, "Ash"):
            until("it", lambda name=name: str(made[name].agreements.state(made.other)) == "finalized")
        made.catalogued()
        yield made


def revoke(here, release, task):
    evil = here[EVIL]
    now = rfc3339(here.clock.now())
    document = Revocation(release=release, task=task, by=evil.party, time=now, reason="")
    envelope = sign(REVOCATION_TYPE, document.model_dump(mode="json"), evil.party, evil.keys)
    return evil.call(here.party[LAB], REVOKE, envelope.encode(), 20)


def test_rule_4_of_a_task_that_has_not_begun_nothing_is_revoked_and_it_may_be_told_again(here):
    plan = here.plan(here.shared)
    here[LAB].tasks.submit(plan, 0.1)
    until("the plan", lambda: here[EVIL].tasks.records.known(plan.digest))
    for release in (here.other, plan.digest):
        with pytest.raises(NotFound):
            revoke(here, release, plan.digest)


def test_rule_4_what_an_owner_revokes_in_its_own_task_stops_no_other(here):
    going, go = threading.Event(), threading.Event()

    def slow(method, _arguments):
        if method == "train":
            going.set()
            go.wait(60)

    here["Ash"].engines.before = slow
    mine = here.plan(here.shared)
    here[LAB].tasks.submit(mine)
    here.approve(mine.digest)
    assert going.wait(60)
    other = here.plan(here.other)
    # It runs, and what it will make is not known yet: taken in, and of no effect elsewhere.
    for release in (here.other, other.digest, here.shared):
        revoke(here, release, mine.digest)
    go.set()
    here[LAB].tasks.submit(other)
    here.approve(other.digest, "Ash")
    assert here.ended(mine.digest) == dict.fromkeys(NAMES, "done")
    assert set(here.ended(other.digest, LAB, "Ash").values()) == {"done"}

    theirs = next(item["release"] for item in releases_view(here[LAB]) if item["task"] == other.digest)
    for release, task in ((theirs, mine.digest), (here.other, mine.digest), (theirs, other.digest)):
        with pytest.raises(Refused) as caught:
            revoke(here, release, task)
        assert caught.value.clause in {"release-task", "release-owner"}
    assert {item["status"] for item in releases_view(here[LAB])} == {"released"}

    own = next(item["release"] for item in releases_view(here[LAB]) if item["task"] == mine.digest)
    revoke(here, own, mine.digest)
    assert {item["task"]: item["status"] for item in releases_view(here[LAB])} == {
        mine.digest: "revoked",
        other.digest: "released",
    }

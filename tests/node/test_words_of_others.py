"""What another party's node says is shown as its word, never as this node's own (`foundation.errors`, rule 4)."""

from __future__ import annotations

from cloister.foundation.canonical import canonical
from cloister.foundation.errors import Refused
from cloister.node.tasks.service import ADMISSION
from node.town import LAB, PAIR, town


def test_an_owners_refusal_carries_no_word_that_only_the_own_people_should_see(tmp_path):
    with town(tmp_path, names=PAIR) as here:
        plan = here.plan(here.ready(template="one-researcher-one-owner", quality=None))
        here[LAB].tasks.submit(plan, 5)
        problem = Refused("No.", "We will not.", "", clause="x", local=["Run this command"]).problem()
        body = canonical({"task": plan.digest, "problem": problem})
        here["Ash"].call(here.party[LAB], ADMISSION, body, 20, None)
        told = here[LAB].tasks.summary(plan.digest)["refusals"][here.party["Ash"]]
        assert told["detail"] == "We will not."
        assert "local" not in told

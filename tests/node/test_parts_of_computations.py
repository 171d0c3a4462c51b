"""A node keeps models by digest: those of its own requests, those it was sent, what was released to it. Whose may be had?"""

from __future__ import annotations

import pytest

from cloister.foundation.canonical import canonical
from cloister.foundation.errors import Refused
from cloister.node.tasks.service import CONTENT, PROPOSE
from node.town import LAB, PAIR, USER, signed_plan, town

NAMES = {**PAIR, USER: ["user"]}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    with town(tmp_path_factory.mktemp("parts"), names=NAMES) as made:
        made.agreement = made.ready(template="one-researcher-one-owner", quality=None)
        yield made


@pytest.mark.parametrize("thief", [USER, "Ash"])
def test_a_plan_of_ones_own_does_not_fetch_what_lies_at_another_node(here, thief):
    """Whoever knows a digest (certificates tell the release's) must not get the content by naming it in a plan."""
    secret = here[LAB].contents.put(b"a model that was released to the lab alone")
    honest = here.plan(here.agreement)
    computation = honest.request.computation.model_copy(update={"contents": {"model": secret}})
    envelope = signed_plan(
        here, honest, by=thief, requester=here.party[thief], computation=computation.model_dump(mode="json")
    )
    with pytest.raises(Refused):  # no matter: the plan is known there from now on
        here[thief].call(here.party[LAB], PROPOSE, envelope.encode(), 20)
    with pytest.raises(Refused) as caught:
        here[thief].call(here.party[LAB], CONTENT, canonical({"task": envelope.digest, "content": secret}), 5)
    assert caught.value.clause == "parties"

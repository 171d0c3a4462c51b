"""A computation that has shown its result to an owner's checks as often as agreed is not trained again there."""

from __future__ import annotations

import pytest

from cloister.agreements.decision import Permit
from cloister.agreements.terms import Terms
from cloister.foundation.errors import Refused
from cloister.node.tasks_service import PROPOSE
from node.town import LAB, PAIR, pair_terms, signed_plan, town


def test_an_owners_node_counts_its_attempts_and_refuses_the_next_task_before_anything_is_trained(tmp_path):
    """Rule 1 of `admitting`: the count is this node's own fact, whatever the requester's node says."""
    with town(tmp_path, names=PAIR) as here:
        here.start()
        here.meet()
        here.data("Ash")
        terms = Terms.from_odrl(pair_terms(here))
        once = terms.model_copy(update={"release": terms.release.model_copy(update={"attempts": 1})})
        agreement = here.agree(once.to_odrl())
        here.catalogued()
        first = here.run(agreement)
        assert here.ended(first) == {LAB: "done", "Ash": "done"}

        again = signed_plan(here, here.plan(agreement))
        with pytest.raises(Refused) as caught:
            here[LAB].call(here.party["Ash"], PROPOSE, again.encode(), 20)
        assert caught.value.clause == "attempts"
        assert caught.value.remedy
        # The task that showed its result is not held against itself, nor another computation against this one.
        ash = here["Ash"].tasks
        assert isinstance(ash.decision(ash.records.plan(first)), Permit)
        asked = here.asked(agreement)
        asked["computation"]["settings"]["seed"] = 8
        other = here[LAB].computations.plan(asked)[0]
        assert getattr(ash.decision(other), "clause", "") in {"records", "approval"}

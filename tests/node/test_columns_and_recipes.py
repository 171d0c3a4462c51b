"""What a recipe reads and what the agreement gives; and what cannot be trained is found before anybody is asked."""

from __future__ import annotations

import pytest

from cloister.foundation.errors import BadInput, Refused
from cloister.node.tasks.service import PROPOSE
from cloister.planner import planner
from node.town import LAB, PAIR, model, recipe, signed_plan, town


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    with town(tmp_path_factory.mktemp("columns"), names=PAIR) as made:
        owners = [
            {"party": made.party["Ash"], "name": "Ash", "dataset": "tests", "columns": ["heat", "strength"]}
        ]
        made.agreement = made.ready(template="one-researcher-one-owner", quality=None, owners=owners)
        yield made


def asked(here, **changes):
    return {
        "computation": {
            "kind": "training",
            "contents": {"model": here[LAB].computations.add_model(model())["digest"]},
            "settings": recipe(**changes),
        }
    }


TWO_OF_HEAT = {"name": "tabular", "columns": [{"name": "heat"}, {"name": "heat"}], "label": "strength"}


def test_a_recipe_that_reads_a_column_that_was_not_agreed_is_refused_by_clause_when_it_is_planned(here):
    with pytest.raises(Refused) as caught:
        here.plan(here.agreement, **asked(here))
    assert caught.value.clause == "columns"
    assert "time" in caught.value.why


def test_the_owners_own_node_refuses_it_whatever_the_requesters_says(here, monkeypatch):
    monkeypatch.setattr(planner, "columns_of", lambda _: None)
    envelope = signed_plan(here, here.plan(here.agreement, **asked(here)))
    with pytest.raises(Refused) as caught:
        here[LAB].call(here.party["Ash"], PROPOSE, envelope.encode(), 20)
    assert caught.value.clause == "columns"
    assert "time" in caught.value.why


def test_a_recipe_of_agreed_columns_alone_is_permitted(here):
    plan = here.plan(here.agreement, **asked(here, preparation=TWO_OF_HEAT))
    assert here[LAB].tasks.decision(plan).clauses


@pytest.mark.parametrize(("trainable", "numbers"), [([], 3), (["w"], 2), (["b"], 1)])
def test_a_plan_knows_how_many_numbers_the_recipe_trains(here, trainable, numbers):
    plan = here.plan(here.agreement, **asked(here, preparation=TWO_OF_HEAT, trainable=trainable))
    assert (plan.offer.parameters["parameters"], plan.offer.parameters["trained"]) == (3, numbers)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"loss": "hinge"}, "loss"),
        ({"metric": "elegance"}, "metric"),
        ({"preparation": {**TWO_OF_HEAT, "column_label": False}}, "preparation"),
        ({"preparation": {**TWO_OF_HEAT, "label": "weight"}}, "preparation.label"),
        ({"steps": 0}, "steps"),
    ],
)
def test_a_training_that_cannot_run_is_refused_at_the_asker_by_the_recipes_field(here, changes, field):
    with pytest.raises(BadInput) as caught:
        here.plan(here.agreement, **asked(here, **{"preparation": TWO_OF_HEAT, **changes}))
    assert field in f"{caught.value.what} {caught.value.why}"
    assert caught.value.remedy


def test_the_owner_finds_the_same_before_a_person_there_is_asked(here, monkeypatch):
    monkeypatch.setattr(type(here[LAB].computations), "_check", lambda *_: None)
    plan = here.plan(here.agreement, **asked(here, preparation={**TWO_OF_HEAT, "column_label": False}))
    monkeypatch.undo()
    envelope = signed_plan(here, plan)
    here[LAB].tasks.records.keep_plan(envelope, plan)
    with pytest.raises(BadInput) as caught:
        here[LAB].call(here.party["Ash"], PROPOSE, envelope.encode(), 20)
    assert "preparation" in caught.value.what
    note = here["Ash"].tasks.records.note(plan.digest)
    assert not note.get("pending")
    assert here["Ash"].tasks.summary(plan.digest)["status"] == "refused"

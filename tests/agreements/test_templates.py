"""Templates: valid terms for each usual case, and inputs that do not fit are refused."""

from __future__ import annotations

import json

import pytest
from agreement_cases import LAB, NOW, OWNERS, VISITOR, fake_party, sha

from cloister.agreements.enforceable import check_enforceable
from cloister.agreements.inputs import Inputs
from cloister.agreements.templates import TEMPLATES, new_from_template
from cloister.agreements.terms import Terms
from cloister.agreements.usual_cases import USUAL_CASES
from cloister.agreements.words import describe
from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import BadInput


def inputs(**changes):
    data = {
        "title": "Counting crystals",
        "owners": [
            {"party": party, "name": name, "dataset": "micrographs"}
            for party, name in zip(OWNERS, ("North", "South", "West"), strict=True)
        ],
        "researchers": [{"party": LAB, "name": "Lab"}],
        "purposes": ["Count crystals"],
        "starts": rfc3339(NOW),
    }
    return data | changes


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize(
    "changes", [{}, {"epsilon": 2.0, "unit": "image"}, {"users": [{"party": VISITOR, "name": "V"}]}]
)
def test_every_template_gives_terms_that_can_be_signed(name, changes):
    terms = new_from_template(name, inputs(**changes))
    assert check_enforceable(terms.to_odrl()) == []
    assert Terms.from_odrl(terms.to_odrl()) == terms
    assert "Counting crystals" in describe(terms)
    assert terms.valid.start == NOW


@pytest.mark.parametrize("name", TEMPLATES)
def test_how_sensitive_the_data_may_be_is_the_templates_word_unless_it_is_given(name):
    own = {item.sensitivity for item in new_from_template(name, inputs()).datasets}
    assert own == {"personal" if name == "clinic-and-lab" else "confidential"}
    given = new_from_template(name, inputs(sensitivity="personal"))
    assert {item.sensitivity for item in given.datasets} == {"personal"}
    assert "also personal data" in describe(given)


def test_the_templates_are_those_of_the_usual_cases():
    assert set(TEMPLATES) == {
        "factories-and-lab",
        "banks",
        "retailers",
        "clinic-and-lab",
        "vendor-scoring",
        "one-researcher-one-owner",
    }


def test_the_same_inputs_give_the_same_agreement():
    assert new_from_template("banks", inputs()) == new_from_template("banks", inputs())
    assert new_from_template("banks", inputs()).uid != new_from_template("banks", inputs(title="Other")).uid


def test_typed_inputs_give_the_same_as_json():
    typed = Inputs.model_validate_json(json.dumps(inputs()))
    assert new_from_template("retailers", typed) == new_from_template("retailers", inputs())


def test_factories_accept_records_only_without_a_budget():
    assert new_from_template("factories-and-lab", inputs()).computations[0].records == "owner-accepts"
    private = new_from_template("factories-and-lab", inputs(epsilon=8.0))
    assert private.computations[0].records == "refused"
    assert [budget.epsilon for budget in private.budgets] == [8.0] * 3


@pytest.mark.parametrize("count", [1, 2])
def test_factories_are_at_least_three_since_of_two_each_learns_the_other_s_update(count):
    few = inputs()["owners"][:count]
    with pytest.raises(BadInput) as caught:
        new_from_template("factories-and-lab", inputs(owners=few))
    assert "subtract" in caught.value.why
    assert "one-researcher-one-owner" in caught.value.remedy
    other = new_from_template("one-researcher-one-owner", inputs(owners=few))
    assert not [
        claim for floor in other.floors for claim in floor.claims if claim.against.seats == ("owner",)
    ]


def test_a_clinic_s_results_are_always_differentially_private():
    terms = new_from_template("clinic-and-lab", inputs())
    assert all(item.records == "refused" for item in terms.computations)
    assert terms.budgets


def test_banks_and_retailers_ask_themselves():
    terms = new_from_template("banks", inputs(researchers=[]))
    assert set(terms.having("researcher")) == set(OWNERS)
    assert set(terms.recipients) == set(OWNERS)


def test_only_the_customer_receives_its_scores():
    one = inputs()["owners"][:1]
    terms = new_from_template("vendor-scoring", inputs(owners=one, digests=[sha(4)]))
    assert terms.recipients == (OWNERS[0],)


def test_named_witnesses_replace_the_parties():
    notary = [{"party": fake_party(8), "name": "Notary"}]
    terms = new_from_template("one-researcher-one-owner", inputs(witnesses=notary))
    assert [item.name for item in terms.witnesses.parties] == ["Notary"]
    assert new_from_template("one-researcher-one-owner", inputs()).witnesses.threshold == 3


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("nothing", {}),
        ("banks", {"owners": inputs()["owners"][:1]}),
        ("factories-and-lab", {"researchers": []}),
        ("factories-and-lab", {"surprise": 1}),
        ("factories-and-lab", {"dropouts": 3}),
        ("factories-and-lab", {"starts": "tomorrow"}),
        ("factories-and-lab", {"title": "a\x07b"}),
        ("factories-and-lab", {"owners": inputs()["owners"] * 2}),
    ],
)
def test_inputs_that_do_not_fit_are_refused(name, changes):
    with pytest.raises(BadInput):
        new_from_template(name, inputs(**changes))


def test_all_owners_sign_a_result_unless_fewer_are_asked_for():
    assert new_from_template("banks", inputs()).release.quorum == 3
    assert new_from_template("banks", inputs(quorum=2)).release.quorum == 2
    with pytest.raises(BadInput):
        new_from_template("banks", inputs(quorum=4))


def test_every_template_is_told_in_words_and_asks_for_the_parties_that_it_needs():
    assert set(USUAL_CASES) == set(TEMPLATES)
    for name, case in USUAL_CASES.items():
        owners = inputs()["owners"][: case.least_owners]
        researchers = inputs()["researchers"][: case.least_researchers]
        new_from_template(name, inputs(owners=owners, researchers=researchers))
        if case.least_owners > 1:
            with pytest.raises(BadInput):
                new_from_template(name, inputs(owners=owners[:-1], researchers=researchers))
        if case.least_researchers:
            with pytest.raises(BadInput):
                new_from_template(name, inputs(owners=owners, researchers=[]))


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_a_case_says_of_noise_and_groups_is_what_its_template_does(name):
    case = USUAL_CASES[name]
    plain = new_from_template(name, inputs())
    assert bool(plain.budgets) == case.always_noise
    small, large = (new_from_template(name, inputs(minimum_group=size)).minimum_group for size in (60, 90))
    assert (small != large) == case.groups

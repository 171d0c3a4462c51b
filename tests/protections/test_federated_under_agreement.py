"""What federated averaging offers is what agreements from the templates permit, and what a planner can choose."""

from __future__ import annotations

import pytest

from cloister.agreements.decision import Approval, DecisionFacts, Permit, Refusal, decide
from cloister.agreements.lifecycle import State
from cloister.agreements.signing import AgreementView
from cloister.agreements.templates import new_from_template
from cloister.claims.offers import Declined, Offer, Plan
from cloister.data.schema import DatasetDescription
from cloister.foundation.canonical import canonical
from cloister.protections.federated.offers import VARIANTS, offers
from protections import federation as f


def factories(**changes):
    inputs = {
        "title": "Counting together",
        "owners": [
            {"party": name, "name": f"Owner {number}", "dataset": "records"}
            for number, name in enumerate(f.OWNERS[:3])
        ],
        "researchers": [{"party": f.LAB, "name": "Lab"}],
        "users": [{"party": f.USER, "name": "User"}],
        "purposes": ["Count better"],
        "starts": "2026-06-01T00:00:00Z",
        "quality": {"metric": "accuracy", "minimum": 0.5},
    } | changes
    return new_from_template("factories-and-lab", inputs)


def planned(terms, **wishes):
    asked = f.request(terms, preferences={"rounds": 3} | wishes, recipients=(f.LAB, f.USER))
    return f.plan(terms, asked)


def verdict(terms, plan, party, approved=True):
    view = AgreementView(terms, terms.digest, frozenset(terms.parties))
    approvals = ()
    if approved:
        approvals = (
            Approval(
                agreement=terms.digest,
                computation=plan.request.computation.digest,
                by=party,
                with_records=True,
                time="2027-01-15T08:00:00Z",
            ),
        )
    own = plan.request.datasets.get(party)
    catalogue = {} if own is None else {own: entry(party, own)}
    facts = DecisionFacts(
        now=f.NOW,
        party=party,
        state=State.FINALIZED,
        protections={"federated-averaging": "stable"},
        catalogue=catalogue,
        approvals=approvals,
    )
    return decide(view, plan, facts)


def entry(owner, commitment):
    return DatasetDescription.model_validate_json(
        canonical(
            {
                "name": "records",
                "title": "Records",
                "kind": "image-points",
                "image": {"labels": "centres"},
                "unit_of_privacy": {"kind": "image"},
                "residency": "DE",
                "owner": owner,
                "commitment": commitment,
                "registered": "2026-12-01T00:00:00Z",
            }
        )
    )


@pytest.mark.parametrize("party", [f.LAB, f.USER, f.OWNERS[0]])
def test_every_seat_of_an_offer_is_admitted_under_the_template(party):
    terms = factories()
    assert isinstance(verdict(terms, planned(terms), party), Permit)


def test_an_owner_that_did_not_accept_records_in_the_result_refuses():
    terms = factories()
    found = verdict(terms, planned(terms), f.OWNERS[0], approved=False)
    assert isinstance(found, Refusal)
    assert found.clause in {"approval", "records"}


def test_more_dropouts_than_agreed_are_refused_by_every_node():
    terms = factories(dropouts=0)
    plan = planned(terms)
    parameters = plan.offer.parameters | {"dropouts": 1, "minimum_answers": 2}
    loose = plan.model_copy(update={"offer": plan.offer.model_copy(update={"parameters": parameters})})
    found = verdict(terms, loose, f.OWNERS[0])
    assert isinstance(found, Refusal)
    assert found.clause == "dropouts"


def test_offers_fit_the_dropouts_that_were_agreed():
    plan = planned(factories(dropouts=1))
    assert plan.offer.parameters["dropouts"] == 1


def test_a_dropout_among_three_is_below_a_floor_that_hides_updates_from_other_owners():
    """Two answers would remain, and of two answers each owner can work out the other's."""
    terms = factories(dropouts=1)
    found = verdict(terms, planned(terms), f.OWNERS[0])
    assert isinstance(found, Refusal)
    assert found.clause == "claims"


def test_a_template_that_permits_dropouts_among_three_is_kept_by_a_plan_that_asks_for_all_answers():
    terms = factories(dropouts=1)
    assert isinstance(verdict(terms, planned(terms, minimum_answers=3), f.OWNERS[0]), Permit)


def test_under_a_privacy_budget_nothing_is_offered_but_noise():
    terms = factories(epsilon=8.0)
    wishes = {"rounds": 2, "units": 100, "batch": 100}  # of which noise is found at once
    asked = f.request(terms, recipients=(f.LAB, f.USER), preferences=wishes)
    plain, secure, noisy, _ = offers(asked, f.facts(terms), VARIANTS)
    for found in (plain, secure):
        assert isinstance(found, Declined)
        assert "input records" in found.reason
        assert "Train with noise" in found.remedy
    assert isinstance(noisy, Offer)
    plan = Plan(request=asked, offer=noisy, created="2027-01-15T08:00:00Z", nonce="0" * 32)
    assert terms.below_floor(noisy.claims) == ()
    found = verdict(terms, plan, f.LAB)
    assert isinstance(found, Permit), found


def test_no_claim_is_below_the_templates_floor():
    terms = factories()
    assert terms.below_floor(planned(terms).offer.claims) == ()

"""The requester writes the plan. Whatever it claims, an owner's node runs only what federated averaging really gives."""

from __future__ import annotations

import pytest

from cloister.agreements.decision import DecisionFacts, Permit, decide
from cloister.agreements.lifecycle import State
from cloister.agreements.signing import AgreementView
from cloister.claims.offers import Plan
from cloister.claims.vocabulary import Adversary, Artefact, Claim, Claims, DifferentiallyPrivate, Hidden
from cloister.foundation.errors import Refused
from cloister.protections.federated import FederatedAveraging
from protections import federation as f
from protections.test_federated_under_agreement import entry

PRIVATE = Claim(
    artefact=Artefact.RESULT,
    against=Adversary(seats=("recipient",)),
    reached=DifferentiallyPrivate(epsilon=0.1, delta=1e-9, unit="record", mechanism="gaussian"),
)
UNSEEN = Claim(artefact=Artefact.UPDATE, against=Adversary(seats=("coordinator",)), reached=Hidden())


def boasting(plan: Plan, *claimed: Claim) -> Plan:
    kept = tuple(
        item
        for item in plan.offer.claims.guarantees
        if item.artefact not in {claim.artefact for claim in claimed}
    )
    claims = Claims(guarantees=(*kept, *claimed), not_protected=())
    return plan.model_copy(update={"offer": plan.offer.model_copy(update={"claims": claims})})


def refused(plan: Plan, seat: str = "owner") -> str:
    with pytest.raises(Refused) as caught:
        FederatedAveraging().program(plan.offer, plan.request, seat)
    assert caught.value.what
    assert caught.value.remedy
    return caught.value.clause


def test_a_plan_that_claims_privacy_which_nobody_adds_is_refused_though_the_agreement_would_permit_it():
    """An agreement whose training must be differentially private asks the plan's claims; the method must stand by them."""
    computation = {"kind": "training", "protections": ["federated-averaging"], "records": "refused"}
    terms = f.terms(computations=[computation], owners_per_unit=1)
    honest = f.plan(f.terms())
    asked = honest.request.model_copy(update={"agreement": terms.digest})
    plan = boasting(honest.model_copy(update={"request": asked}), PRIVATE)
    own = plan.request.datasets[f.OWNERS[0]]
    facts = DecisionFacts(
        now=f.NOW,
        party=f.LAB,
        state=State.FINALIZED,
        protections={"federated-averaging": "stable"},
        catalogue={own: entry(f.OWNERS[0], own)},
    )
    view = AgreementView(terms, terms.digest, frozenset(terms.parties))
    # The rules see only what the plan says of itself …
    assert isinstance(decide(view, plan, facts), Permit)
    # … so the method itself must say that it says too much.
    assert refused(plan) == "plan-claims"
    assert refused(plan, "coordinator") == "plan-claims"


@pytest.mark.parametrize("claim", [PRIVATE, UNSEEN])
def test_a_plan_that_claims_more_than_the_method_gives_is_refused(claim):
    assert refused(boasting(f.plan(f.terms()), claim)) == "plan-claims"


def test_a_plan_that_leaves_out_a_gap_or_a_disclosure_is_refused():
    plan = f.plan(f.terms())
    silent = plan.offer.claims.model_copy(update={"not_protected": ()})
    for changes in (
        {"claims": silent},
        {"discloses": {}},
        {"maturity": "experimental"},
        {"cost": plan.offer.cost.model_copy(update={"epsilon": 0.5})},
    ):
        offer = plan.offer.model_copy(update=changes)
        assert refused(plan.model_copy(update={"offer": offer})) == "plan-claims"


def test_a_weighting_under_which_one_owner_prevails_must_be_said():
    """Weights that make the average one owner's update are in the claims, whoever wrote the plan."""
    plan = f.plan(f.terms(dropouts=0))
    heavy = {"rule": "agreed", "weights": dict.fromkeys(f.OWNERS[:3], 1) | {f.OWNERS[0]: 1_000_000}}
    offer = plan.offer.model_copy(update={"parameters": {**plan.offer.parameters, "weighting": heavy}})
    assert refused(plan.model_copy(update={"offer": offer})) == "plan-claims"


@pytest.mark.parametrize("kind", ["scoring", "query", "join", "statement"])
def test_training_under_another_name_is_refused(kind):
    """Otherwise the clauses on training (records in the result, the check of the model) would not be asked."""
    plan = f.plan(f.terms())
    computation = plan.request.computation.model_copy(update={"kind": kind})
    asked = plan.request.model_copy(update={"computation": computation})
    assert refused(plan.model_copy(update={"request": asked})) == "plan-seats"

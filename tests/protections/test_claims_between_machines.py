"""Two machines count one run's epsilon a little differently: they still accept each other's plans, and never too low a claim."""

from __future__ import annotations

import dataclasses
import math

import pytest

from cloister.claims.vocabulary import DifferentiallyPrivate
from cloister.foundation.errors import Refused
from cloister.privacy.charging import due
from cloister.protections.federated import FederatedAveraging, settings
from protections import federation as f
from protections.test_federated_offers import QUICK, asked, offered, private_terms

GRAIN = -32


@pytest.fixture(scope="module")
def plan():
    terms = private_terms()
    return offered(terms, "secure-private", **QUICK), asked(terms, **QUICK)


@pytest.fixture
def elsewhere(monkeypatch):
    """Makes this machine count epsilon as another one would: by this factor more."""
    before = settings._counted

    def counts(factor):
        def counted(run):
            found = before(run)
            return dataclasses.replace(found, epsilon=math.ceil(found.epsilon * factor))

        monkeypatch.setattr(settings, "_counted", counted)

    return counts


def refusal(offer, request):
    with pytest.raises(Refused) as caught:
        FederatedAveraging().program(offer, request, "owner")
    return caught.value.clause


@pytest.mark.parametrize("factor", [1 - 5e-4, 1 - 1e-9, 1.0, 1 + 1e-9, 1 + 5e-7])
def test_a_plan_is_accepted_where_the_last_digits_are_counted_otherwise(plan, elsewhere, factor):
    offer, request = plan
    elsewhere(factor)
    for seat in ("owner", "coordinator"):
        assert FederatedAveraging().program(offer, request, seat).phases


@pytest.mark.parametrize("factor", [1 + 2e-6, 1.01])
def test_a_claim_below_what_is_counted_here_is_refused(plan, elsewhere, factor):
    elsewhere(factor)
    assert refusal(*plan) == "plan-claims"


def test_a_claim_well_above_what_is_counted_here_is_refused(plan, elsewhere):
    """It would spend of a budget what nothing needs."""
    elsewhere(0.99)
    assert refusal(*plan) == "plan-claims"


@pytest.mark.parametrize("factor", [1 - 5e-4, 1 - 1e-9, 1 + 5e-7])
def test_what_is_claimed_is_what_is_charged_whoever_counts(plan, elsewhere, factor):
    offer, _ = plan
    elsewhere(factor)
    of = settings.read_settings(offer.parameters, offer.seats["owner"])
    charged = due(settings.loss_of(of.private).encode(), offer, "record")
    assert math.ldexp(charged.epsilon, GRAIN) == offer.cost.epsilon


def test_one_epsilon_stands_in_all_claims_and_in_the_cost(plan):
    offer, request = plan
    lower = offer.cost.epsilon * (1 - 1e-7)
    assert refusal(
        offer.model_copy(update={"cost": offer.cost.model_copy(update={"epsilon": lower})}), request
    )
    for place, claim in enumerate(offer.claims.guarantees):
        if isinstance(claim.reached, DifferentiallyPrivate):
            less = claim.model_copy(update={"reached": claim.reached.model_copy(update={"epsilon": lower})})
            claims = list(offer.claims.guarantees)
            claims[place] = less
            told = offer.claims.model_copy(update={"guarantees": tuple(claims)})
            assert refusal(offer.model_copy(update={"claims": told}), request) == "plan-claims"


def test_a_training_without_noise_claims_no_epsilon():
    terms = f.terms()
    offer, request = offered(terms, "secure"), asked(terms)
    spends = offer.model_copy(update={"cost": offer.cost.model_copy(update={"epsilon": 1e-12})})
    assert refusal(spends, request) == "plan-claims"

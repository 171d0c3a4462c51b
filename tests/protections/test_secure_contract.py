"""Training behind secure sums keeps the contract of protections."""

from __future__ import annotations

import pytest

from aggregation.fixed import fixed_randomness
from cloister.claims.offers import Offer
from cloister.claims.vocabulary import (
    Adversary,
    Artefact,
    Behaviour,
    Claim,
    Claims,
    Disclosed,
    Hidden,
    Sealed,
    Signed,
)
from cloister.protections.federated import FederatedAveraging
from cloister.protections.federated.promises import WEIGHTS_WARNING
from protections import federation as f
from protections.contract import ProtectionContract
from protections.private_world import world

OUTSIDE = Adversary(seats=("hub", "outsider"), behaviour=Behaviour.MALICIOUS)
OTHERS = Adversary(seats=("coordinator", "hub", "outsider", "owner"), behaviour=Behaviour.MALICIOUS)
UNOPENED = Adversary(seats=("coordinator", "hub", "outsider"), colluding=3, behaviour=Behaviour.MALICIOUS)


class TestSecureSumsKeepTheContract(ProtectionContract):
    protection = FederatedAveraging()
    table = Claims(
        guarantees=(
            Claim(artefact=Artefact.LINK, against=OUTSIDE, reached=Sealed()),
            Claim(artefact=Artefact.LINK, against=OUTSIDE, reached=Signed()),
            Claim(artefact=Artefact.INPUT, against=OUTSIDE, reached=Hidden()),
            Claim(artefact=Artefact.UPDATE, against=OTHERS, reached=Hidden()),
            Claim(artefact=Artefact.AGGREGATE, against=UNOPENED, reached=Hidden()),
            Claim(
                artefact=Artefact.AGGREGATE,
                against=Adversary(seats=("owner",)),
                reached=Disclosed(what=WEIGHTS_WARNING),
            ),
            Claim(
                artefact=Artefact.RESULT,
                against=Adversary(seats=("recipient",)),
                reached=Disclosed(what="the released model; may contain input records"),
            ),
        )
    )

    @pytest.fixture(autouse=True)
    def _repeatable(self):
        # Sealing and signing are fresh each time; what is committed is sent, so a step need not repeat them.
        with fixed_randomness():
            yield

    def request(self):
        # Long rounds: lost messages are sent again a few times in each of many stages.
        return f.request(f.terms(dropouts=0), preferences={"rounds": 3, "round_seconds": 600})

    def facts(self):
        return f.facts(f.terms(dropouts=0), trained=f.LENGTH)

    def offer(self):
        found = self.protection.offers(self.request(), self.facts())
        return next(item for item in found if isinstance(item, Offer) and item.holder == "owner")

    def others(self):
        return (f.offer(f.terms(dropouts=0), self.request()),)

    def world(self, **faults):
        return world(None, made=self.programs(), **faults)

    def declined(self):
        terms = f.terms(dropouts=0)
        wish = {"rounds": 3, "aggregation": "secure-sum"}
        two = dict(list(f.request(terms).datasets.items())[:2])
        return {
            "too few owners": (f.request(terms, datasets=two, preferences=wish), f.facts(terms)),
            "too many colluders": (f.request(terms, preferences=wish | {"colluders": 2}), f.facts(terms)),
            "a rule that looks at single updates": (
                f.request(terms, preferences=wish | {"combining": "median"}), f.facts(terms),
            ),
        }  # fmt: skip

    def test_the_owners_hold_the_model_and_the_coordinator_learns_its_digest(self):
        offer = self.offer()
        assert offer.holder == "owner"
        assert not any("update" in line for line in offer.discloses["coordinator"])

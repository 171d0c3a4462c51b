"""Federated averaging keeps the contract of protections."""

from __future__ import annotations

import numpy as np

from cloister.claims.offers import Computation
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
from cloister.protections.federated.averaging import mean
from cloister.protections.federated.offers import PAIR_WARNING, UPDATE_WARNING
from protections import federation as f
from protections.contract import ProtectionContract
from protections.test_federated_programs import world

OUTSIDE = Adversary(seats=("hub", "outsider"), behaviour=Behaviour.MALICIOUS)


def training(**changes):
    fields = {
        "kind": "training",
        "contents": {"model": f.digest(f.MODEL)},
        "settings": f.recipe(),
    } | changes
    return Computation(**fields)


class TestFederatedAveragingKeepsTheContract(ProtectionContract):
    protection = FederatedAveraging()
    table = Claims(
        guarantees=(
            Claim(artefact=Artefact.LINK, against=OUTSIDE, reached=Sealed()),
            Claim(artefact=Artefact.LINK, against=OUTSIDE, reached=Signed()),
            Claim(artefact=Artefact.INPUT, against=OUTSIDE, reached=Hidden()),
            Claim(artefact=Artefact.UPDATE, against=OUTSIDE, reached=Hidden()),
            Claim(artefact=Artefact.UPDATE, against=Adversary(seats=("owner",)), reached=Hidden()),
            Claim(
                artefact=Artefact.UPDATE,
                against=Adversary(seats=("coordinator",)),
                reached=Disclosed(what=UPDATE_WARNING),
                citation="Geiping et al. 2020, Inverting Gradients (NeurIPS)",
            ),
            Claim(
                artefact=Artefact.AGGREGATE,
                against=Adversary(seats=("coordinator", "owner")),
                reached=Disclosed(what="the averaged weights after every round"),
            ),
            Claim(
                artefact=Artefact.RESULT,
                against=Adversary(seats=("recipient",)),
                reached=Disclosed(what="the released model; may contain input records"),
            ),
        )
    )

    def request(self):
        return f.request(f.terms(dropouts=0))

    def facts(self):
        return f.facts(f.terms(dropouts=0))

    def others(self):
        loose = f.terms(dropouts=1)
        pair = f.offer(loose, f.request(loose))
        weights = {f.OWNERS[0]: 8, f.OWNERS[1]: 1, f.OWNERS[2]: 1}
        terms = f.terms(dropouts=0)
        return pair, f.offer(terms, f.request(terms, preferences={"rounds": 3, "weights": weights}))

    def world(self, **faults):
        return world(agreement={"dropouts": 0}, **faults)

    def declined(self):
        terms, facts = f.terms(), f.facts(f.terms())

        def under(**changes):
            changed = f.terms(**changes)
            return f.request(changed), f.facts(changed)

        one = {f.OWNERS[0]: f.digest(b"d")}
        wishes = {"rounds": 3, "round_seconds": 30}
        return {
            "no model": (f.request(terms, computation=training(contents={})), facts),
            "no weights": (f.request(terms), f.facts(terms, parameters=None)),
            "no training": (f.request(terms, computation=training(kind="query")), facts),
            "no recipe": (f.request(terms, computation=training(settings={"steps": 3})), facts),
            "no steps": (f.request(terms, computation=training(settings=f.recipe(steps=0))), facts),
            "no rounds": (f.request(terms, preferences=wishes | {"rounds": 0}), facts),
            "no agreement": (f.request(terms), f.facts(terms, agreement={})),
            "too few owners": (f.request(terms, datasets=one), facts),
            "an owner coordinates": (f.request(terms, requester=f.OWNERS[0]), facts),
            "a stranger coordinates": (f.request(terms, preferences={"coordinator": f.party("x")}), facts),
            "no wish but a word": (f.request(terms, preferences={"coordinator": 7}), facts),
            "another method": under(computations=[{"kind": "training", "protections": ["clean-room"]}]),
            "records refused": under(
                computations=[{"kind": "training", "protections": ["federated-averaging"]}]
            ),
            "too few answers wished": (f.request(terms, preferences=wishes | {"minimum_answers": 1}), facts),
            "too many answers wished": (f.request(terms, preferences=wishes | {"minimum_answers": 4}), facts),
            "weights of a stranger": (f.request(terms, preferences=wishes | {"weights": {f.LAB: 1}}), facts),
            "weights that are no numbers": (f.request(terms, preferences=wishes | {"weights": "all"}), facts),
            "forbidden": under(forbidden=[training().digest]),
        }

    def test_exact_record_counts_are_never_weights(self):
        parameters = self.offer().parameters
        assert parameters["weighting"] == {"rule": "equal"}

    def test_slots_wait_for_secure_aggregation_and_noise(self):
        parameters = self.offer().parameters
        assert parameters["aggregation"] == {"name": "none"}
        assert parameters["noise"] == {"name": "none"}

    def test_the_update_warning_is_on_the_plan(self):
        assert UPDATE_WARNING in self.offer().discloses["coordinator"]

    def test_dropouts_are_those_of_the_agreement(self):
        assert self.offer().parameters["dropouts"] == 0
        loose = f.terms(dropouts=1)
        assert f.offer(loose, f.request(loose)).parameters["minimum_answers"] == 2

    def test_with_two_answers_in_a_round_no_update_is_claimed_to_be_hidden_from_the_other_owner(self):
        loose = f.terms(dropouts=1)
        offer = f.offer(loose, f.request(loose))
        told = [claim for claim in offer.claims.guarantees if claim.artefact is Artefact.UPDATE]
        hidden = {seat for claim in told if isinstance(claim.reached, Hidden) for seat in claim.against.seats}
        assert hidden == {"hub", "outsider"}
        assert PAIR_WARNING in offer.discloses["owner"]

    def test_an_owner_that_outweighs_the_others_is_not_claimed_to_be_hidden(self):
        terms = f.terms(dropouts=0)
        for first, hidden in ((8, False), (2, True)):
            weights = {f.OWNERS[0]: first, f.OWNERS[1]: 1, f.OWNERS[2]: 1}
            offer = f.offer(terms, f.request(terms, preferences={"weights": weights}))
            (told,) = [claim for claim in offer.claims.guarantees if claim.against.seats == ("owner",)]
            assert isinstance(told.reached, Hidden) == hidden

    def test_of_two_answers_the_average_and_one_really_give_the_other(self):
        """Why the claim above would be false."""
        start, mine, other = (np.arange(3, dtype=np.float32) * factor for factor in (1, 2, 5))
        seen = start + mean({"a": mine, "b": other}, {"a": 1.0, "b": 1.0})
        np.testing.assert_allclose(2 * (seen - start) - mine, other, rtol=1e-6)

"""An agreement, a request and fake protections for the planner's tests."""

from __future__ import annotations

from cloister.agreements.templates import new_from_template
from cloister.claims.offers import Computation, Cost, Declined, Facts, Offer, Request
from cloister.claims.vocabulary import Adversary, Artefact, Behaviour, Claim, Claims, Hidden, Sealed, Signed
from cloister.foundation.clock import rfc3339

NOW = 1_800_000_000
LAB, *_OWNERS = ("abcd"[number] * 52 for number in range(4))
OWNERS = tuple(_OWNERS)
COMMITMENTS = {owner: f"sha256:{number:064x}" for number, owner in enumerate(OWNERS)}
COMPUTATION = Computation(kind="training", contents={"model": "sha256:" + "9" * 64}, settings={})


def claim(artefact, reached, *seats, behaviour=Behaviour.HONEST_BUT_CURIOUS):
    return Claim(artefact=artefact, against=Adversary(seats=seats, behaviour=behaviour), reached=reached)


def _outside(artefact, reached):
    return claim(artefact, reached, "hub", "outsider", behaviour=Behaviour.MALICIOUS)


BASE = (
    _outside(Artefact.LINK, Sealed(quantum_safe=True)),
    _outside(Artefact.LINK, Signed()),
    _outside(Artefact.INPUT, Hidden()),
)


def agreement(*floors, title="Counting"):
    """Three owners and a lab; trainings by `one`, `two`, `good`, `weak` and some more, accepted with records."""
    terms = new_from_template(
        "factories-and-lab",
        {
            "title": title,
            "owners": [
                {"party": owner, "name": name, "dataset": "pictures"}
                for owner, name in zip(OWNERS, ("North", "South", "West"), strict=True)
            ],
            "researchers": [{"party": LAB, "name": "Lab"}],
            "purposes": ["counting"],
            "starts": rfc3339(NOW - 1000),
        },
    )
    methods = ("one", "two", "good", "weak", "no", "liar", "alpha", "beta", "gamma", "delta-one")
    computation = terms.computations[0].model_copy(update={"protections": methods})
    common = terms.floors[0].model_copy(update={"claims": BASE})
    return terms.model_copy(update={"computations": (computation,), "floors": (common, *floors)})


def request(terms, **changes):
    data = {
        "agreement": terms.digest,
        "requester": LAB,
        "computation": COMPUTATION,
        "datasets": COMMITMENTS,
        "purpose": "counting",
        "recipients": (LAB,),
    }
    return Request(**(data | changes))


def facts(terms):
    return Facts(agreement=terms.to_odrl(), parameters=100)


def offer(name, *, claims=None, seconds=10.0, epsilon=0.0, maturity="stable"):
    return Offer(
        protection=name,
        parameters={},
        seats={"coordinator": (LAB,), "owner": OWNERS},
        discloses={"coordinator": ("the sum of updates",)},
        claims=claims or Claims(guarantees=BASE, not_protected=("Owners may lie.",)),
        cost=Cost(seconds=seconds, bytes_up=1000, bytes_down=1000, epsilon=epsilon),
        maturity=maturity,
    )


class FakeProtection:
    """Answers what it was given; an exception among the answers is raised."""

    def __init__(self, name, *answers, maturity="stable"):
        self.name, self.maturity, self.answers = name, maturity, list(answers)

    def offers(self, request, facts):
        del request, facts
        for answer in self.answers:
            if isinstance(answer, Exception):
                raise answer
        assert all(isinstance(answer, Offer | Declined) for answer in self.answers)
        return self.answers

    def program(self, offer, request, seat):
        raise NotImplementedError

"""A small privacy method for tests: federated averaging that charges, and claims what it charges.

It adds no noise: what is tested is that budgets are asked, charged and kept, whatever a method does with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cloister.agreements.clauses import Budget
from cloister.agreements.terms import Terms
from cloister.claims.offers import Offer
from cloister.claims.vocabulary import Adversary, Artefact, Claim, Claims, DifferentiallyPrivate
from cloister.journal.program import Local, PrivacyCost, Program
from cloister.privacy.filters import DELTA_GRAIN, EPSILON_GRAIN, Loss
from cloister.privacy.runs import private_run
from cloister.protections.federated import FederatedAveraging

RUN = private_run(
    epsilon=2.0,
    delta=1e-5,
    dimension=3,
    clip=1.0,
    units=200,
    rate=0.1,
    steps=2,
    nodes=1,
    distributed=False,
    accountant="renyi",
)
LOSS = RUN.loss("renyi")
EPSILON, DELTA = LOSS.epsilon * EPSILON_GRAIN, LOSS.delta * DELTA_GRAIN


def claim(epsilon: float = EPSILON, delta: float = DELTA, unit: str = "record") -> Claim:
    return Claim(
        artefact=Artefact.RESULT,
        against=Adversary(seats=("recipient",)),
        reached=DifferentiallyPrivate(epsilon=epsilon, delta=delta, unit=unit, mechanism="of the tests"),
    )


def private_terms(
    terms: Terms, epsilon: float = 5.0, delta: float = 1e-4, population: str = "plants"
) -> Terms:
    """The terms with a budget for each owner's dataset; each population has its own name."""
    budgets = tuple(
        Budget(
            owner=item.owner,
            dataset=item.name,
            population=population,
            unit="record",
            epsilon=epsilon,
            delta=delta,
        )
        for item in terms.datasets
    )
    return terms.model_copy(update={"budgets": budgets})


class Charging(FederatedAveraging):
    """See the module. `loss` is what each owner's first step hands in; `before` and `after` let a test in around that."""

    def __init__(self) -> None:
        self.loss: Loss | None = LOSS
        self.before: Callable[[Local], None] = lambda _local: None
        self.after: Callable[[Local], None] = lambda _local: None

    def offers(self, request, facts):
        # Plain averaging is offered only where no budget asks for noise.
        terms = Terms.from_odrl(facts.agreement).model_copy(update={"budgets": ()})
        return tuple(
            _claiming(item) if isinstance(item, Offer) else item
            for item in super().offers(request, facts.model_copy(update={"agreement": terms.to_odrl()}))
        )

    def program(self, offer, request, seat):
        made = super().program(_plain(offer), request, seat)
        if seat != "owner":
            return made
        first = made.phases[made.first]

        def step(local, inbox):
            self.before(local)
            if self.loss is not None:
                cost = PrivacyCost(request.datasets[local.party], self.loss.encode(), EPSILON, DELTA)
                local.charge(cost)
            self.after(local)
            return first.step(local, inbox)

        return Program(made.first, {**made.phases, made.first: replace(first, step=step)})


def _claiming(offer: Offer) -> Offer:
    claims = Claims(guarantees=(*offer.claims.guarantees, claim()), not_protected=offer.claims.not_protected)
    return offer.model_copy(
        update={"claims": claims, "cost": offer.cost.model_copy(update={"epsilon": EPSILON})}
    )


def _plain(offer: Offer) -> Offer:
    kept = tuple(
        item for item in offer.claims.guarantees if not isinstance(item.reached, DifferentiallyPrivate)
    )
    claims = Claims(guarantees=kept, not_protected=offer.claims.not_protected)
    return offer.model_copy(update={"claims": claims, "cost": offer.cost.model_copy(update={"epsilon": 0.0})})

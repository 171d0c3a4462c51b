"""Whether a task is permitted: decided by each node for itself, from the agreement it holds and facts passed in.

Nothing here looks at data, a clock, a file or another party. The same inputs give the same answer, and where several
clauses say no, the first in this order is named. Clauses, in their order (each has a test that names it):

1.  `agreement`: the plan is for exactly this agreement.
2.  `signatures`: every party has signed it.
3.  `state`: it is finalized; not suspended, revoked, terminated, expired or still negotiated.
4.  `validity`: now lies between its first and its last second.
5.  `plan-age`: the plan was made within that time, not in the future, and not more than seven days ago.
6.  `parties`: the requester and everyone with a seat are parties; this party has something to do with it.
7.  `requester`: the requester may ask for work of this kind.
8.  `seats`: everyone sits where the agreement lets them, nobody twice, and every owner of data used has a seat.
9.  `purpose`: the purpose is one of the agreement's.
10. `forbidden`: the computation is not forbidden.
11. `computation`: this kind of work is allowed and, where only listed computations are, this one is listed.
12. `protection`: the privacy method is allowed for it, and installed here.
13. `experimental`: an experimental method runs only where the agreement names it as such.
14. `datasets`: each dataset is the owner's and named; one's own must be registered here with that commitment.
15. `columns`: only columns that may be used are read; what is read must be known.
16. `sensitivity`: nothing more sensitive than agreed is used.
17. `residency`: the data is kept in an agreed country.
18. `dropouts`: the plan permits no more dropouts than agreed.
19. `minimum-parties`: enough owners, also after the dropouts that the plan permits.
20. `colluders`: the plan withstands no fewer colluders than agreed.
21. `owners-per-unit`: what is differentially private is so for units at as many owners as the agreement admits.
22. `minimum-group`: answers speak of no smaller groups than agreed.
23. `recipients`: only agreed parties receive results.
24. `claims`: the plan's claims reach every party's floor.
25. `attempts`: fewer tasks of this computation got answers from this owner's own dataset than agreed; a training whose
    result the gate would refuse all the same only gives its coordinator new updates to look at.
26. `budget`: what is spent fits what is left; exact answers are never given of a population that has a budget, and
    none at all under an agreement that does not name it.
27. `records`: training without differential privacy needs this owner's acceptance, for this computation's digest, that
    the result may contain input records.
28. `approval`: the computation is listed, or this owner approved its digest. (Both: in this plan, where the yes was
    given to a plan; a yes to one says nothing of another's owners, weights, rounds and recipients.)

People are asked last, so that nobody is asked for what is refused all the same (`Refusal.needs_person`).
An owner's approvals, acceptance, dataset facts and budget are asked at that owner's own node: a task starts only when
every seat's node has admitted it, so that together they are asked of every owner. Balances never depend on data, so
no refusal here tells anything about data; attempts count tasks, not their results.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cloister.agreements.facts import Approval, Balance, Case, DecisionFacts
from cloister.agreements.lifecycle import State
from cloister.agreements.rules import PLAN_LIFETIME, RULES, own_dataset
from cloister.agreements.signing import AgreementView
from cloister.agreements.terms import Terms
from cloister.claims.offers import Plan
from cloister.data.schema import DatasetDescription
from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.errors import CloisterError, Refused

__all__ = [
    "PLAN_LIFETIME",
    "RULES",
    "Approval",
    "Balance",
    "DecisionFacts",
    "Permit",
    "Refusal",
    "decide",
    "foresee",
]


@dataclass(frozen=True)
class Permit:
    """The agreement permits this plan: `clauses` were checked, in order. `epsilon`, `delta`: this party's charge."""

    agreement: str
    plan: str
    clauses: tuple[str, ...]
    epsilon: float = 0.0
    delta: float = 0.0
    population: str | None = None


@dataclass(frozen=True)
class Refusal:
    """The agreement does not permit it: which clause, why, and what would help.

    `needs_person`: everything else is permitted; a person at this node can still approve it.
    """

    clause: str
    reason: str
    remedy: str
    needs_person: bool = False

    def error(self) -> Refused:
        """The refusal as an error."""
        return Refused(
            "The agreement does not permit this task.", self.reason, self.remedy, clause=self.clause
        )


def decide(agreement: AgreementView, plan: Plan, facts: DecisionFacts) -> Permit | Refusal:
    """Whether this party's node may admit the plan. Never raises; the first clause that says no is named."""
    case = Case(agreement, plan, facts)
    refusal = _first(case)
    if refusal is not None:
        return refusal
    own = own_dataset(case)
    budget = case.terms.budget(facts.party, own.name) if own else None
    spent = case.charge if budget else Balance(0.0, 0.0)
    return Permit(
        agreement.digest,
        plan.digest,
        tuple(clause for clause, _ in RULES),
        spent.epsilon,
        spent.delta,
        budget.population if budget else None,
    )


def foresee(
    terms: Terms,
    plan: Plan,
    protections: Mapping[str, Literal["stable", "experimental"]],
    catalogue: Mapping[str, DatasetDescription],
    columns: tuple[str, ...] | None = (),
) -> Refusal | None:
    """Why some party's node would refuse the plan whatever people still approve; `None` if nothing is foreseen.

    For planners: on public facts, as if everybody had signed and approved, and nothing were spent. `columns` are those
    that the computation reads (of every dataset); `None`: not known, as if it read no column too many. What it foresees
    is refused for certain; what it does not may still be refused.
    """
    view = AgreementView(terms, plan.request.agreement, frozenset(terms.parties))
    computation = plan.request.computation.digest
    for party in sorted(plan.parties | set(plan.request.datasets)):
        own = plan.request.datasets.get(party)
        facts = DecisionFacts(
            now=parse_rfc3339(plan.created),
            party=party,
            state=State.FINALIZED,
            protections=protections,
            catalogue=catalogue,
            approvals=(
                Approval(
                    agreement=view.digest,
                    computation=computation,
                    by=party,
                    with_records=True,
                    time=plan.created,
                ),
            ),
            remaining={item.population: Balance(item.epsilon, item.delta) for item in terms.budgets},
            columns=dict.fromkeys(plan.request.datasets.values(), columns or ()),
        )
        # What an owner's own node knows of its dataset, a planner elsewhere may not.
        unknown = own is not None and own not in catalogue
        refusal = _first(Case(view, plan, facts), frozenset({"datasets"}) if unknown else frozenset())
        if refusal is not None:
            return refusal
    return None


def _first(case: Case, skipped: frozenset[str] = frozenset()) -> Refusal | None:
    for clause, rule in RULES:
        if clause in skipped:
            continue
        try:
            found = rule(case)
        except CloisterError as error:
            found = (error.what, error.remedy)
        if found is not None:
            asked = clause == "approval" or (clause == "records" and _may_accept(case))
            return Refusal(clause, *found, needs_person=asked)
    return None


def _may_accept(case: Case) -> bool:
    return case.allowed is not None and case.allowed.records == "owner-accepts"

"""Chooses how a request is done: asks every protection, drops what is not good enough, takes the cheapest of the rest.

Rules:
1. An offer is dropped if any party's node would refuse it on public facts: below any party's floor, a method, seat or
   parameter that was not agreed, an experimental method that the agreement does not name (`decision.foresee`).
2. An offer is dropped if another acceptable one is stronger (`claims.strength.stronger`): a weaker method is never
   chosen for being cheaper, unless a person asks for it by the preferences `protection` or `deadline`.
3. Of the rest the cheapest is taken (`cost.score`); of equally cheap ones the stable one, then the first by name.
4. The same request, facts and protections, in whatever order, give the same plan. Time and nonce are passed in.
5. Every alternative is in the plan with the reason why it lost. If nothing is left, the reasons are in the refusal.
6. A protection's offers never name another protection; an error while it offers is its reason, not the planner's end.

The planner knows no protection by name: what a new one needs, it says through `protections.interface`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cloister.agreements.decision import Refusal, foresee
from cloister.agreements.terms import Terms
from cloister.claims.offers import Declined, Facts, Offer, Plan, Request
from cloister.claims.strength import stronger
from cloister.data.schema import DatasetDescription, parse_description
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import BadInput, CloisterError, Refused
from cloister.planner.cost import WEIGHTS, Weights, duration, in_words, score
from cloister.protections.interface import Protection
from cloister.training.fitting import columns_of

MAX_ALTERNATIVES = 64


@dataclass(frozen=True)
class _Rejected:
    declined: Declined
    clause: str = ""


def make_plan(
    request: Request,
    facts: Facts,
    protections: Sequence[Protection],
    *,
    now: int,
    nonce: str,
    weights: Weights = WEIGHTS,
) -> Plan:
    """The plan for a request.

    Args:
        request: what is asked. Its preferences `protection` (a name) and `deadline` (seconds) limit the choice here;
            protections read the others.
        facts: public facts; `agreement` is the agreement's document.
        protections: those installed, in any order.
        now: seconds; becomes the plan's `created`.
        nonce: 32 hexadecimal digits, fresh for each plan.
        weights: of the cost model.

    Raises:
        Refused: no method can do it under the agreement; `clause` is the clause if all that was offered fails by the
            same one, `alternatives` in the detail has each method's reason.
        BadInput: facts or preferences are malformed, or two protections have one name.
    """
    terms = Terms.from_odrl(facts.agreement)
    if terms.digest != request.agreement:
        raise Refused(
            "The request is under another agreement.",
            "Its digest is not that of the agreement in the facts.",
            "Ask again under the agreement in force.",
            clause="agreement",
        )
    request = request.model_copy(update={"recipients": tuple(sorted(set(request.recipients)))})
    installed = _by_name(protections)
    catalogue = {key: parse_description(canonical(entry)) for key, entry in facts.catalogue.items()}
    created = rfc3339(now)
    acceptable: list[Offer] = []
    rejected: list[_Rejected] = []
    for offer in _asked(request, facts, installed, rejected):
        draft = Plan(request=request, offer=offer, created=created, nonce=nonce)
        found = _objection(terms, draft, installed, catalogue)
        if found is None:
            acceptable.append(offer)
        else:
            rejected.append(_Rejected(_declined(offer, found.reason, found.remedy), found.clause))
    if not acceptable:
        raise _nothing(rejected)
    chosen, lost = _choose(acceptable, weights)
    alternatives = _ordered([*(item.declined for item in rejected), *lost])
    return Plan(request=request, offer=chosen, alternatives=alternatives, created=created, nonce=nonce)


def _by_name(protections: Sequence[Protection]) -> dict[str, Protection]:
    installed = {item.name: item for item in protections}
    if len(installed) != len(protections):
        raise BadInput(
            "Two privacy methods have the same name.",
            "Plans and agreements name them, so names must be unique.",
            "Uninstall one of them.",
        )
    return dict(sorted(installed.items()))


def _asked(
    request: Request, facts: Facts, installed: Mapping[str, Protection], rejected: list[_Rejected]
) -> Iterable[Offer]:
    for name, protection in installed.items():
        try:
            answers = protection.offers(request, facts)
        except CloisterError as error:
            rejected.append(_Rejected(Declined(protection=name, reason=str(error)[:1000])))
            continue
        for answer in answers:
            if answer.protection != name:
                reason = "It answered under another method's name."
                rejected.append(
                    _Rejected(Declined(protection=name, reason=reason, remedy="Report it as a mistake."))
                )
            elif isinstance(answer, Declined):
                rejected.append(_Rejected(answer))
            else:
                yield answer


def _objection(
    terms: Terms, plan: Plan, installed: Mapping[str, Protection], catalogue: Mapping[str, DatasetDescription]
) -> Refusal | None:
    read = columns_of(plan.request.computation)
    found = foresee(terms, plan, {name: item.maturity for name, item in installed.items()}, catalogue, read)
    if found is not None:
        return found
    wished = plan.request.preferences.get("protection")
    if wished is not None and wished != plan.offer.protection:
        return Refusal(
            "preference", "Another method was asked for.", "Leave out the preference `protection`."
        )
    deadline = plan.request.preferences.get("deadline")
    if deadline is None:
        return None
    if isinstance(deadline, bool) or not isinstance(deadline, int | float) or not deadline > 0:
        raise BadInput(
            "The preference `deadline` is malformed.", "It is a number of seconds above zero.", "Correct it."
        )
    if plan.offer.cost.seconds > deadline:
        reason = f"It takes about {duration(plan.offer.cost.seconds)}; {duration(deadline)} were asked for."
        return Refusal("preference", reason, "Allow more time.")
    return None


def _choose(acceptable: list[Offer], weights: Weights) -> tuple[Offer, list[Declined]]:
    def rank(offer: Offer) -> tuple[float, bool, str, bytes]:
        return (
            score(offer.cost, weights),
            offer.maturity != "stable",
            offer.protection,
            canonical(offer.model_dump(mode="json")),
        )

    ranked = sorted(acceptable, key=rank)
    best = [offer for offer in ranked if not any(stronger(other.claims, offer.claims) for other in ranked)]
    chosen = best[0]
    lost = []
    for offer in ranked:
        if offer is chosen:
            continue
        over = next((item for item in best if stronger(item.claims, offer.claims)), None)
        if over is not None:
            reason = f"It promises less than {over.title}, which is acceptable too."
        else:
            reason = f"It costs more: {in_words(offer.cost)}; the chosen one {in_words(chosen.cost)}."
        same = offer.protection == chosen.protection
        ask = "the preferences `aggregation` and `noise`" if same else "the preference `protection`"
        lost.append(_declined(offer, reason, f"Ask for it by {ask}."))
    return chosen, lost


def _declined(offer: Offer, reason: str, remedy: str) -> Declined:
    return Declined(
        protection=offer.protection, variant=offer.variant, reason=reason[:1000], remedy=remedy[:1000]
    )


def _ordered(declined: list[Declined]) -> tuple[Declined, ...]:
    unique = {(item.protection, item.variant, item.reason, item.remedy): item for item in declined}
    return tuple(unique[key] for key in sorted(unique))[:MAX_ALTERNATIVES]


def _nothing(rejected: list[_Rejected]) -> Refused:
    reasons = _ordered([item.declined for item in rejected])
    # What a method declined by itself has no clause, and does not hide the one by which all that was offered fails.
    clauses = {item.clause for item in rejected if item.clause}
    ruled = list(
        dict.fromkeys((item.declined.reason, item.declined.remedy) for item in rejected if item.clause)
    )
    if len({item.reason for item in reasons}) == 1:
        why, remedy = reasons[0].reason, reasons[0].remedy
    elif len(ruled) == 1:
        # What the agreement says first; then why the others would not have offered anyway.
        others = (f"{item.title}: {item.reason}" for item in reasons if item.reason != ruled[0][0])
        why, remedy = " ".join([ruled[0][0], *others])[:4000], ruled[0][1]
    else:
        # A line for each, with its own advice: which of them a person wanted, nobody here knows.
        why = "\n".join(f"{item.title}: {item.reason} {item.remedy}".rstrip() for item in reasons)[:4000]
        remedy = "Change the request, or amend the agreement."
    return Refused(
        "No privacy method can do this under the agreement.",
        why or "No method is installed.",
        remedy or "Change the request, or amend the agreement.",
        clause=clauses.pop() if len(clauses) == 1 else "",
        alternatives=[item.model_dump(mode="json") for item in reasons],
    )

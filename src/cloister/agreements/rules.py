"""The clauses of an agreement, each as one rule over a case: `None`, or why not and what would help.

`decision` states the rules and their order; here they are checked. A rule sees what `facts.Case` gives and nothing
else; it never raises on its own account, and no rule can see data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from cloister.agreements.clauses import UsableDataset
from cloister.agreements.facts import Case
from cloister.agreements.lifecycle import State
from cloister.claims.statements import statement
from cloister.claims.vocabulary import Claim
from cloister.foundation.clock import parse_rfc3339, rfc3339

PLAN_LIFETIME = 7 * 86400
CLOCK_DRIFT = 120
_ORDER = {"public": 0, "internal": 1, "confidential": 2, "personal": 3}

Found: TypeAlias = tuple[str, str] | None
"""Reason and remedy of a refusal, or `None`."""


def _agreement(case: Case) -> Found:
    if case.plan.request.agreement != case.agreement.digest:
        return (
            "The plan is for another agreement or another version.",
            "Ask again under the agreement in force.",
        )
    return None


def _signatures(case: Case) -> Found:
    if case.agreement.missing:
        names = ", ".join(case.terms.name_of(party) for party in case.agreement.missing)
        return f"The agreement is not signed by: {names}.", "Ask for the missing signatures."
    return None


def _state(case: Case) -> Found:
    if case.facts.state is not State.FINALIZED:
        return f"The agreement is {case.facts.state}.", _STATE_REMEDIES.get(
            case.facts.state, "Finish the negotiation first."
        )
    return None


_STATE_REMEDIES = {
    State.SUSPENDED: "Ask the party that suspended it to resume it.",
    State.REVOKED: "Agree anew; a revoked agreement stays revoked.",
    State.TERMINATED: "Agree anew; a terminated negotiation stays terminated.",
    State.EXPIRED: "Agree on a new version with a later end.",
}


def _validity(case: Case) -> Found:
    valid = case.terms.valid
    if case.facts.now not in valid:
        reason = f"The agreement holds from {rfc3339(valid.start)} until {rfc3339(valid.stop)}."
        return reason, "Ask within that time, or agree on a new version."
    return None


def _plan_age(case: Case) -> Found:
    created = parse_rfc3339(case.plan.created)
    if created > case.facts.now + CLOCK_DRIFT:
        return "The plan is dated in the future.", "Check both clocks and plan again."
    if created < case.terms.valid.start or created + PLAN_LIFETIME < case.facts.now:
        return "The plan is too old.", "Plan again; a plan can be admitted for seven days."
    return None


def _parties(case: Case) -> Found:
    known = set(case.terms.parties)
    if not case.plan.parties <= known:
        return (
            "Somebody takes part who is not a party to the agreement.",
            "Leave them out, or amend the agreement.",
        )
    if not set(case.plan.request.datasets) <= known:
        return "Data of somebody is used who is not a party.", "Leave it out, or amend the agreement."
    if case.facts.party not in case.plan.parties and case.own is None:
        return "This party has no part in the plan.", "Ask the parties that have."
    return None


def _requester(case: Case) -> Found:
    member = case.terms.member(case.plan.request.requester)
    may = {"researcher"} | ({"user"} if case.plan.request.computation.kind == "scoring" else set())
    if member is None or not may & set(member.roles):
        return "The requester may not ask for this kind of work.", "Have a researcher of the agreement ask."
    return None


def _seats(case: Case) -> Found:
    seated = [(seat, party) for seat, parties in sorted(case.plan.offer.seats.items()) for party in parties]
    for seat, party in seated:
        member = case.terms.member(party)
        if member is None or seat not in member.seats:
            return (
                f"{case.terms.name_of(party)} may not take the seat {seat}.",
                "Seat somebody else, or amend the agreement.",
            )
    if len({party for _, party in seated}) != len(seated):
        return "A party has two seats.", "Give every party at most one seat."
    if not set(case.plan.request.datasets) <= {party for _, party in seated}:
        return "An owner whose data is used has no seat.", "Plan again with every owner seated."
    return None


def _purpose(case: Case) -> Found:
    if case.plan.request.purpose not in case.terms.purposes:
        return "The purpose is not one that was agreed.", f"Agreed: {'; '.join(case.terms.purposes)}."
    return None


def _forbidden(case: Case) -> Found:
    if case.plan.request.computation.digest in case.terms.forbidden:
        return (
            "The agreement forbids exactly this computation.",
            "Ask for another one, or amend the agreement.",
        )
    return None


def _computation(case: Case) -> Found:
    allowed, computation = case.allowed, case.plan.request.computation
    if allowed is None:
        kinds = ", ".join(item.kind for item in case.terms.computations)
        return f"Work of the kind {computation.kind} was not agreed.", f"Agreed: {kinds}."
    if allowed.approval == "listed" and computation.digest not in allowed.digests:
        return "This computation is not one of those listed in the agreement.", "Ask for a listed one."
    return None


def _protection(case: Case) -> Found:
    name, allowed = case.plan.offer.protection, case.allowed
    if allowed is None or name not in allowed.protections:
        listed = ", ".join(allowed.protections) if allowed else "nothing"
        return f"The privacy method {name} was not agreed for this work.", f"Agreed: {listed}."
    if name not in case.facts.protections:
        usable = sorted(set(allowed.protections) & set(case.facts.protections))
        remedy = (
            f"Plan with one that is: {', '.join(usable)}."
            if usable
            else "Amend the agreement to name one that is."
        )
        return f"The privacy method {name} is not installed here.", remedy
    return None


def _experimental(case: Case) -> Found:
    name, allowed = case.plan.offer.protection, case.allowed
    stable = case.plan.offer.maturity == "stable" and case.facts.protections.get(name) == "stable"
    if not stable and (allowed is None or name not in allowed.experimental):
        return (
            f"The privacy method {name} is experimental.",
            "Amend the agreement so that it names this method as accepted although experimental.",
        )
    return None


def own_dataset(case: Case) -> UsableDataset | None:
    """What the agreement says of this party's own dataset in the request, if it has one there."""
    return next((dataset for owner, _, dataset, _ in case.used if owner == case.facts.party), None)


def _datasets(case: Case) -> Found:
    for owner, _, dataset, entry in case.used:
        name = case.terms.name_of(owner)
        if dataset is None or (entry is not None and entry.owner != owner):
            return f"The dataset of {name} is not one that was agreed.", "Use an agreed dataset and version."
        if owner == case.facts.party and entry is None:
            return (
                "This party's dataset of that commitment is not registered here.",
                "Register it, or plan again with the version that is registered.",
            )
    return None


def _columns(case: Case) -> Found:
    for owner, commitment, dataset, entry in case.used:
        if dataset is None or entry is None or dataset.columns is None:
            continue
        if entry.kind == "image-points":
            return "The agreement speaks of columns, and images have none.", "Amend the agreement."
        read = case.facts.columns.get(commitment)
        if read is None:
            if owner != case.facts.party:
                continue  # asked at the owner's own node
            return "It is not known which columns the computation reads.", "State them in the computation."
        extra = sorted(set(read) - set(dataset.columns))
        if extra:
            return (
                f"The computation reads columns that were not agreed: {', '.join(extra)[:300]}.",
                f"Agreed: {', '.join(dataset.columns)[:300]}.",
            )
    return None


def _sensitivity(case: Case) -> Found:
    for _, commitment, dataset, entry in case.used:
        if dataset is None or entry is None:
            continue
        # What is not known to be left out counts as read.
        read = case.facts.columns.get(commitment, dataset.columns)
        found = [column.sensitivity for column in entry.columns if read is None or column.name in read]
        if entry.image is not None:
            found.append(entry.image.sensitivity)
        if any(_ORDER[item] > _ORDER[dataset.sensitivity] for item in found):
            return (
                f"The data is more sensitive than agreed ({dataset.sensitivity} at most).",
                "Leave the column out, or amend the agreement.",
            )
    return None


def _residency(case: Case) -> Found:
    for _, _, _, entry in case.used:
        if case.terms.residency and entry is not None and entry.residency not in case.terms.residency:
            return (
                f"Data is kept in {entry.residency}.",
                f"Agreed: {', '.join(case.terms.residency)}.",
            )
    return None


def _number(case: Case, name: str) -> int | None:
    return _whole(case.plan.offer.parameters.get(name))


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _dropouts(case: Case) -> Found:
    if "dropouts" in case.plan.offer.parameters:
        found = _number(case, "dropouts")
        if found is None or found > case.terms.dropouts:
            return f"The plan permits more dropouts than agreed ({case.terms.dropouts}).", "Plan with fewer."
    return None


def _minimum_parties(case: Case) -> Found:
    least = len(case.plan.request.datasets) - (_number(case, "dropouts") or 0)
    if least < case.terms.minimum_parties:
        return (
            f"A result could come from fewer owners than agreed ({case.terms.minimum_parties}).",
            "Include more owners' data, or permit fewer dropouts.",
        )
    return None


def _colluders(case: Case) -> Found:
    parameters = case.plan.offer.parameters
    slot = parameters.get("aggregation")
    # A secure sum is a part of a method's parameters; what it withstands counts like what the method itself does.
    for place in (parameters, slot if isinstance(slot, dict) else {}):
        if "colluders" not in place:
            continue
        found = _whole(place["colluders"])
        if found is None or found < case.terms.colluders:
            return (
                f"The plan withstands fewer colluders than agreed ({case.terms.colluders}).",
                "Plan with more.",
            )
    return None


def _owners_per_unit(case: Case) -> Found:
    owners = len(case.plan.request.datasets)
    stated = case.terms.owners_per_unit
    most = owners if stated is None else min(stated, owners)
    if any(item.occurrences < most for item in case.private):
        return (
            f"One protected unit may be at {most} owners by the agreement, and the plan protects it at fewer.",
            "Plan with noise for so many, or state in the agreement at how many owners a unit may be.",
        )
    return None


def _minimum_group(case: Case) -> Found:
    asked = case.terms.minimum_group > 1 and case.plan.request.computation.kind in ("query", "join")
    if asked or "minimum_group" in case.plan.offer.parameters:
        found = _number(case, "minimum_group")
        if found is None or found < case.terms.minimum_group:
            return (
                f"Answers could speak of groups smaller than agreed ({case.terms.minimum_group}).",
                "Plan with the agreed minimum group.",
            )
    return None


def _recipients(case: Case) -> Found:
    extra = [party for party in case.plan.request.recipients if party not in case.terms.recipients]
    if extra:
        names = ", ".join(case.terms.name_of(party) for party in extra)
        return f"Not agreed as recipients: {names}.", "Name agreed recipients only."
    return None


_FLOOR_REMEDY = "Plan with more owners or fewer dropouts if that reaches it; otherwise amend the agreement."


def _claims(case: Case) -> Found:
    below: tuple[tuple[str | None, Claim], ...] = case.terms.below_floor(case.plan.offer.claims)
    if below:
        party, need = below[0]
        whose = f"{case.terms.name_of(party)} asks" if party else "The agreement asks"
        return f"{whose} for more than the plan gives: {statement(need)}", _FLOOR_REMEDY
    return None


def _attempts(case: Case) -> Found:
    agreed = case.terms.release.attempts
    if case.own is not None and case.facts.attempts.get(case.own, 0) >= agreed:
        return (
            f"This computation was tried on this owner's data as often as agreed ({agreed}), whatever came of it.",
            "Ask for another computation, or amend the agreement (release attempts).",
        )
    return None


def _approved(case: Case, *, with_records: bool) -> bool:
    return any(
        item.agreement == case.agreement.digest
        and item.computation == case.plan.request.computation.digest
        and item.by == case.facts.party
        and item.task in (None, case.plan.digest)
        and (item.with_records or not with_records)
        for item in case.facts.approvals
    )


def _approval(case: Case) -> Found:
    allowed, computation = case.allowed, case.plan.request.computation.digest
    if allowed is None or computation in allowed.digests or case.own is None:
        return None
    if not _approved(case, with_records=False):
        return (
            "This owner has not approved this computation.",
            f"Look at it (cloister task show {case.plan.digest}), then: cloister task approve {case.plan.digest}",
        )
    return None


def _records(case: Case) -> Found:
    allowed, computation = case.allowed, case.plan.request.computation
    if computation.kind != "training" or case.private_result or allowed is None:
        return None
    if allowed.records == "refused":
        return (
            "The result may contain input records, and the agreement does not accept that.",
            "Amend the agreement so that owners may accept it.",
        )
    if computation.digest in allowed.digests_with_records or case.own is None:
        return None
    if not _approved(case, with_records=True):
        return (
            "The result may contain input records, and this owner has not accepted that for this computation.",
            f"Accept it if you agree: cloister task approve {case.plan.digest} --with-records",
        )
    return None


def _budget(case: Case) -> Found:
    own = own_dataset(case)
    if own is None:
        return None
    budget, charge = case.terms.budget(case.facts.party, own.name), case.charge
    bound = case.facts.populations.get(case.own or "")
    exact = case.plan.request.computation.kind in ("training", "query", "join") and not case.private_result
    if budget is None:
        if charge.epsilon > 0:
            return "The plan spends privacy, and no budget was agreed for this dataset.", "Agree on a budget."
        if bound is not None:
            return (
                "The dataset belongs to a protected population, and this agreement names no budget of it.",
                "Amend the agreement so that it names the population and what may be spent of it.",
            )
        return None
    if bound not in (None, budget.population):
        return (
            "The dataset belongs to another protected population than the agreement names.",
            "Amend the agreement so that it names that population.",
        )
    if exact:
        return (
            "Exact answers of a population with a privacy budget would void its guarantee.",
            "Amend the agreement so that this dataset has no privacy budget.",
        )
    if any(item.unit != budget.unit for item in case.private):
        return f"The plan protects another unit than agreed ({budget.unit}).", "Plan for the agreed unit."
    left = case.facts.remaining.get(budget.population)
    if left is None:
        return (
            "This owner's server keeps no budget for the dataset's population.",
            "Declare it and say which dataset belongs to it: cloister budget open, cloister budget bind.",
        )
    if charge.epsilon > min(left.epsilon, budget.epsilon) or charge.delta > min(left.delta, budget.delta):
        return (
            "What is left of the privacy budget does not suffice.",
            "Ask the owner, who sees it, how much is left, and wish for less epsilon; or agree on a new budget.",
        )
    return None


RULES: tuple[tuple[str, Callable[[Case], Found]], ...] = (
    ("agreement", _agreement),
    ("signatures", _signatures),
    ("state", _state),
    ("validity", _validity),
    ("plan-age", _plan_age),
    ("parties", _parties),
    ("requester", _requester),
    ("seats", _seats),
    ("purpose", _purpose),
    ("forbidden", _forbidden),
    ("computation", _computation),
    ("protection", _protection),
    ("experimental", _experimental),
    ("datasets", _datasets),
    ("columns", _columns),
    ("sensitivity", _sensitivity),
    ("residency", _residency),
    ("dropouts", _dropouts),
    ("minimum-parties", _minimum_parties),
    ("colluders", _colluders),
    ("owners-per-unit", _owners_per_unit),
    ("minimum-group", _minimum_group),
    ("recipients", _recipients),
    ("claims", _claims),
    ("attempts", _attempts),
    ("budget", _budget),
    ("records", _records),
    ("approval", _approval),
)
"""The clauses in the order in which they are checked."""

"""The decision beside an independent encoding: agreements compiled to Cedar policies, and asked the same questions.

Cedar (cedarpolicy.com) is another team's evaluator with its own semantics. Here an agreement becomes one policy text
whose literals are the terms, and a task becomes a context of plain facts. Both must give the same answer on agreements
and tasks that are drawn at random, mostly permitted but for one or two things.
"""

from __future__ import annotations

import json

import cedarpy
import pytest
from agreement_cases import (
    COMMITMENTS,
    COMPUTATIONS,
    HIDDEN_INPUT,
    LAB,
    NORTH,
    NOW,
    OUTSIDE,
    OWNERS,
    PRIVATE_RESULT,
    SOUTH,
    STRANGER,
    VISITOR,
    WEST,
    approval,
    entry,
    facts,
    plan,
    sha,
    terms,
    view,
)
from hypothesis import event, given, settings
from hypothesis import strategies as st

from cloister.agreements.clauses import AllowedComputation, Budget, Floor, ReleaseTerms
from cloister.agreements.decision import Balance, Permit, decide
from cloister.agreements.lifecycle import State
from cloister.claims.offers import Cost
from cloister.claims.vocabulary import (
    Adversary,
    Artefact,
    Assumption,
    Behaviour,
    Claim,
    Claims,
    DifferentiallyPrivate,
    Hidden,
    Threshold,
)
from cloister.foundation.clock import parse_rfc3339, rfc3339

PARTS = 10**9
"""Cedar has whole numbers only: epsilon and delta are counted in these parts."""


# -- an agreement as a Cedar policy -------------------------------------------------------------------------------------


def policy(agreement):
    quoted = json.dumps
    conditions = [
        f"context.agreement == {quoted(agreement.digest)}",
        f"context.signed.containsAll({quoted(list(agreement.parties))})",
        'context.state == "finalized"',
        f"context.now >= {parse_rfc3339(agreement.valid_from)}",
        f"context.now < {parse_rfc3339(agreement.valid_until)}",
        f"context.created >= {parse_rfc3339(agreement.valid_from)}",
        "context.created <= context.now + 120",
        "context.created + 604800 >= context.now",
        f"{quoted(list(agreement.parties))}.containsAll(context.involved)",
        "context.involved.contains(context.self)",
        f"{quoted(list(agreement.having('researcher')))}.contains(context.requester)",
        f"{quoted([f'{s}/{m.party}' for m in agreement.members for s in m.seats])}.containsAll(context.seats)",
        "context.seated == context.seatTaken",
        "context.seatedParties.containsAll(context.owners)",
        f"{quoted(list(agreement.purposes))}.contains(context.purpose)",
        f"!({quoted(list(agreement.forbidden))}.contains(context.computation))",
        "(" + " || ".join(_computation(item) for item in agreement.computations) + ")",
        "context.installed.contains(context.protection)",
        f"context.dropouts <= {agreement.dropouts}",
        f"context.ownerCount - context.dropouts >= {agreement.minimum_parties}",
        f"context.colluders >= {agreement.colluders}",
        f"(context.occurrences >= context.ownerCount || context.occurrences >= {agreement.owners_per_unit or 1000})",
        (
            f"({agreement.minimum_group} <= context.minimumGroup || "
            f'({agreement.minimum_group} == 1 || !(["query", "join"].contains(context.kind))) && context.minimumGroup == -1)'
        ),
        f"{quoted(list(agreement.recipients))}.containsAll(context.recipients)",
    ]
    conditions.append(f"context.attempts < {agreement.release.attempts}")
    conditions += [_dataset(agreement, owner) for owner in (*OWNERS, LAB, VISITOR)]
    conditions += [_claim(claim, floor.accepted) for floor in agreement.floors for claim in floor.claims]
    conditions += [_budget(agreement, owner) for owner in OWNERS]
    return "permit(principal, action, resource) when { " + " && ".join(conditions) + " };"


def _computation(item):
    quoted = json.dumps
    listed = f"{quoted(list(item.digests))}.contains(context.computation)"
    approved = (
        f"({listed} || context.selfOwner == false || context.approved)"
        if item.approval == "each-time"
        else listed
    )
    records = "false"
    if item.records == "owner-accepts":
        by_signing = f"{quoted(list(item.digests_with_records))}.contains(context.computation)"
        records = f"({by_signing} || context.selfOwner == false || context.acceptedRecords)"
    return (
        f"(context.kind == {quoted(item.kind)} && {quoted(list(item.protections))}.contains(context.protection) && "
        f"(context.stable || {quoted(list(item.experimental))}.contains(context.protection)) && {approved} && "
        f'(context.kind != "training" || context.privateResult || {records}))'
    )


ORDER = ["public", "internal", "confidential", "personal"]


def _dataset(agreement, owner):
    quoted = json.dumps
    used = f"context.datasets has {quoted(owner)}"
    at = f"context.datasets[{quoted(owner)}]"
    ways = []
    for item in agreement.datasets:
        if item.owner != owner:
            continue
        columns = quoted(list(item.columns))
        ways.append(
            f"({at}.commitment == {quoted(item.commitment)} && {at}.owner == {quoted(owner)} && "
            f"{at}.name == {quoted(item.name)} && {columns}.containsAll({at}.columns) && "
            f"{quoted(ORDER[: ORDER.index(item.sensitivity) + 1])}.containsAll({at}.sensitivities)"
            + (
                f" && {quoted(list(agreement.residency))}.contains({at}.residency)"
                if agreement.residency
                else ""
            )
            + ")"
        )
    return f"(!({used}) || {' || '.join(ways) or 'false'})"


def _claim(claim, accepted):
    quoted = json.dumps
    at = f"context.claims[{quoted(str(claim.artefact))}]"
    assumptions = [str(item) for item in {Assumption.NONE, claim.assumption, *accepted}]
    match claim.reached:
        case Hidden():
            how = f'{at}.how == "hidden"'
        case Threshold(k=k):
            how = f'({at}.how == "hidden" || ({at}.how == "threshold" && {at}.k >= {k}))'
        case DifferentiallyPrivate(epsilon=epsilon, delta=delta, unit=unit, occurrences=occurrences):
            how = (
                f'({at}.how == "dp" && {at}.epsilon <= {round(epsilon * PARTS)} && '
                f"{at}.delta <= {round(delta * PARTS)} && {at}.unit == {quoted(unit)} && {at}.occurrences >= {occurrences})"
            )
    malicious = f" && {at}.malicious" if claim.against.behaviour is Behaviour.MALICIOUS else ""
    return (
        f"context.claims has {quoted(str(claim.artefact))} && {at}.seats.containsAll({quoted(list(claim.against.seats))}) && "
        f"{at}.colluding >= {claim.against.colluding} && {quoted(assumptions)}.contains({at}.assumption) && {how}{malicious}"
    )


def _budget(agreement, owner):
    quoted = json.dumps
    item = agreement.budget(owner, "pumps")
    if item is None:
        return f"(context.self != {quoted(owner)} || !context.selfOwner || context.epsilon == 0)"
    return (
        f"(context.self != {quoted(owner)} || !context.selfOwner || (context.privateResult && "
        f"{quoted([item.unit])}.containsAll(context.units) && "
        f"context.epsilon <= {round(item.epsilon * PARTS)} && context.epsilon <= context.left.epsilon && "
        f"context.delta <= {round(item.delta * PARTS)} && context.delta <= context.left.delta))"
    )


# -- a task as a Cedar context ------------------------------------------------------------------------------------------


def context(signed, made, known):
    seated = [(seat, party) for seat, parties in made.offer.seats.items() for party in parties]
    private = [c for c in made.offer.claims.guarantees if isinstance(c.reached, DifferentiallyPrivate)]
    left = known.remaining.get("pumps", Balance(0, 0))
    asked = made.request
    approvals = [
        item
        for item in known.approvals
        if (item.agreement, item.computation, item.by)
        == (asked.agreement, asked.computation.digest, known.party)
        and (item.task is None or item.task == made.digest)
    ]
    return {
        "agreement": asked.agreement,
        "signed": sorted(signed),
        "state": str(known.state),
        "now": known.now,
        "created": parse_rfc3339(made.created),
        "self": known.party,
        "selfOwner": known.party in asked.datasets,
        "involved": sorted(made.parties | set(asked.datasets)),
        "requester": asked.requester,
        "seats": sorted({f"{seat}/{party}" for seat, party in seated}),
        "seated": len(seated),
        "seatTaken": len({party for _, party in seated}),
        "seatedParties": sorted({party for _, party in seated}),
        "owners": sorted(asked.datasets),
        "ownerCount": len(asked.datasets),
        "purpose": asked.purpose,
        "computation": asked.computation.digest,
        "kind": asked.computation.kind,
        "protection": made.offer.protection,
        "installed": sorted(known.protections),
        "stable": made.offer.maturity == "stable" and known.protections.get(made.offer.protection) == "stable",
        "dropouts": made.offer.parameters["dropouts"],
        "colluders": made.offer.parameters["colluders"],
        "occurrences": min((item.reached.occurrences for item in private), default=1000),
        "minimumGroup": made.offer.parameters.get("minimum_group", -1),
        "recipients": sorted(asked.recipients),
        "attempts": known.attempts.get(asked.datasets.get(known.party), 0),
        "approved": bool(approvals),
        "acceptedRecords": any(item.with_records for item in approvals),
        "privateResult": any(claim.artefact is Artefact.RESULT for claim in private),
        "units": sorted({claim.reached.unit for claim in private}),
        "epsilon": round(max([made.offer.cost.epsilon, *(c.reached.epsilon for c in private)]) * PARTS),
        "delta": round(max([0, *(c.reached.delta for c in private)]) * PARTS),
        "left": {"epsilon": round(left.epsilon * PARTS), "delta": round(left.delta * PARTS)},
        "datasets": {
            owner: _used(commitment, known.catalogue[commitment], known.columns[commitment])
            if commitment in known.catalogue
            else {
                "commitment": commitment, "owner": "", "name": "", "columns": [], "sensitivities": [], "residency": "",
            }
            for owner, commitment in asked.datasets.items()
        },
        "claims": {str(claim.artefact): _offered(claim) for claim in made.offer.claims.guarantees},
    }  # fmt: skip


def _used(commitment, described, read):
    return {
        "commitment": commitment,
        "owner": described.owner,
        "name": described.name,
        "columns": sorted(read),
        "sensitivities": sorted({column.sensitivity for column in described.columns if column.name in read}),
        "residency": described.residency,
    }


def _offered(claim):
    found = {
        "seats": list(claim.against.seats),
        "colluding": claim.against.colluding,
        "malicious": claim.against.behaviour is Behaviour.MALICIOUS,
        "assumption": str(claim.assumption),
        "how": claim.reached.how,
        "k": getattr(claim.reached, "k", 0),
        "unit": getattr(claim.reached, "unit", ""),
        "occurrences": getattr(claim.reached, "occurrences", 0),
    }
    for name in ("epsilon", "delta"):
        found[name] = round(getattr(claim.reached, name, 0) * PARTS)
    return found


# -- drawn agreements and tasks ---------------------------------------------------------------------------------------

reached = st.one_of(
    st.just(Hidden()),
    st.builds(Threshold, k=st.integers(1, 3)),
    st.builds(
        DifferentiallyPrivate,
        epsilon=st.sampled_from([0.5, 1.0, 2.0, 5.0]),
        delta=st.sampled_from([1e-9, 1e-6, 1e-4]),
        unit=st.sampled_from(["row", "image"]),
        mechanism=st.just("gaussian"),
        occurrences=st.sampled_from([1, 3]),
    ),
)
some_claims = st.builds(
    Claim,
    artefact=st.sampled_from([Artefact.INPUT, Artefact.UPDATE, Artefact.RESULT]),
    against=st.builds(
        Adversary,
        seats=st.sampled_from([("hub",), ("hub", "outsider"), ("recipient",), ("coordinator", "owner")]),
        colluding=st.integers(1, 3),
        behaviour=st.sampled_from(Behaviour),
    ),
    reached=reached,
    assumption=st.sampled_from(Assumption),
)
digests = [item.digest for item in COMPUTATIONS.values()]


def _with(base, *extra):
    return st.one_of(st.just(base), *extra)


@st.composite
def agreements(draw):
    """The usual agreement with up to three clauses drawn anew."""
    kinds = draw(
        _with(
            terms().computations,
            st.builds(
                AllowedComputation,
                kind=st.just("training"),
                protections=st.just(("fake", "trial")),
                experimental=st.sampled_from([(), ("trial",)]),
                approval=st.just("listed"),
                digests=st.lists(st.sampled_from(digests), unique=True, min_size=1).map(tuple),
                records=st.sampled_from(["refused", "owner-accepts"]),
            ).map(lambda item: (item,)),
        )
    )
    changes = {
        "computations": kinds,
        "forbidden": draw(_with((), st.just((digests[0],)), st.just((digests[1],)))),
        "purposes": draw(_with(("maintenance", "research"), st.just(("research",)))),
        "owners_per_unit": draw(_with(1, st.none(), st.just(2))),
        "floors": draw(
            _with(
                terms().floors,
                st.just(()),
                st.builds(
                    lambda claims, accepted: (Floor(claims=tuple(claims), accepted=tuple(accepted)),),
                    st.lists(some_claims, min_size=1, max_size=2),
                    st.lists(st.sampled_from(Assumption), unique=True, max_size=3),
                ),
                st.just((Floor(claims=(HIDDEN_INPUT, PRIVATE_RESULT)),)),
            )
        ),
        "budgets": draw(
            _with(
                terms().budgets,
                st.just(()),
                st.just(
                    (
                        Budget(
                            owner=NORTH,
                            dataset="pumps",
                            population="pumps",
                            unit="image",
                            epsilon=2.0,
                            delta=1e-3,
                        ),
                    )
                ),
            )
        ),
        "dropouts": draw(_with(1, st.just(0))),
        "datasets": tuple(
            item.model_copy(update={"sensitivity": draw(st.sampled_from(ORDER[1:]))})
            for item in terms().datasets
        ),
        "minimum_parties": draw(st.integers(1, 2)),
        "colluders": draw(st.integers(1, 3)),
        "minimum_group": draw(st.sampled_from([1, 5, 10, 11])),
        "residency": draw(st.sampled_from([(), ("DE",), ("DE", "FR"), ("FR",)])),
        "recipients": draw(_with((LAB, VISITOR), st.just((LAB,)))),
        "release": ReleaseTerms(quorum=2, attempts=draw(st.integers(1, 3))),
    }
    count = draw(st.sampled_from([0, 1, 1]))
    names = draw(st.lists(st.sampled_from(sorted(changes)), min_size=count, max_size=count))
    return terms(**{name: changes[name] for name in names})


@st.composite
def cases(draw):
    """An agreement, a plan and facts; up to two things differ from what is surely permitted."""
    agreement = draw(agreements())
    kind = draw(st.sampled_from(["training", "training", "training", "query", "query", "join"]))
    party = draw(st.sampled_from([NORTH, NORTH, SOUTH, WEST, LAB, VISITOR]))
    two = {owner: COMMITMENTS[owner] for owner in (NORTH, SOUTH)}
    asked = {
        "agreement": st.just(sha(77)),
        "requester": st.sampled_from([NORTH, VISITOR, STRANGER]),
        "datasets": st.sampled_from([two, {**COMMITMENTS, WEST: sha(70)}, {**COMMITMENTS, LAB: sha(71)}]),
        "purpose": st.sampled_from(["research", "marketing"]),
        "recipients": st.sampled_from([(LAB,), (VISITOR, LAB), (SOUTH,), (STRANGER,)]),
    }
    offered = {
        "protection": st.sampled_from(["trial", "other"]),
        "maturity": st.just("experimental"),
        "parameters": st.fixed_dictionaries(
            {"dropouts": st.integers(0, 2), "colluders": st.integers(1, 3)},
            optional={"minimum_group": st.integers(1, 12)},
        ),
        "seats": st.sampled_from(
            [
                {"coordinator": (LAB,), "owner": OWNERS},
                {"coordinator": (LAB,), "owner": (NORTH, SOUTH)},
                {"coordinator": (NORTH,), "owner": (SOUTH, WEST)},
                {"coordinator": (LAB,), "owner": OWNERS, "recipient": (LAB,)},
                {"coordinator": (STRANGER,), "owner": OWNERS},
            ]
        ),
        "claims": st.one_of(
            st.just(Claims(guarantees=(HIDDEN_INPUT,))),
            st.lists(some_claims, max_size=3, unique_by=lambda claim: claim.artefact).map(
                lambda found: Claims(guarantees=tuple(found))
            ),
            st.builds(
                lambda claim: Claims(
                    guarantees=(
                        PRIVATE_RESULT,
                        Claim(artefact=Artefact.INPUT, against=OUTSIDE, reached=claim),
                    )
                ),
                reached,
            ),
        ),
        "cost": st.sampled_from([0.0, 0.5, 3.0, 9.0]).map(
            lambda e: Cost(seconds=1.0, bytes_up=0, bytes_down=0, epsilon=e)
        ),
    }
    known = {
        "now": st.sampled_from([NOW - 1001, NOW - 1000, NOW + 999, NOW + 1000]),
        "state": st.sampled_from(State),
        "protections": st.sampled_from([{"fake": "experimental"}, {"trial": "experimental"}]),
        "catalogue": st.sampled_from(["US", "FR"]).map(
            lambda code: {COMMITMENTS[owner]: entry(owner, residency=code) for owner in OWNERS}
        ),
        "approvals": st.sampled_from(
            [
                (),
                (approval(agreement, party, with_records=True),),
                (approval(agreement, LAB),),
                (approval(agreement, party, with_records=True, task=sha(5)),),
            ]
        ),
        "remaining": st.sampled_from([{}, {"pumps": Balance(0.5, 1e-3)}, {"pumps": Balance(9.0, 1e-8)}]),
        "columns": st.sampled_from([("hours", "age"), ("hours", "operator"), ("hours",), ()]).map(
            lambda read: {COMMITMENTS[owner]: read for owner in OWNERS}
        ),
    }
    odd = {
        "created": st.sampled_from([NOW - 1001, NOW - 1000, NOW + 120, NOW + 121]).map(rfc3339),
    }
    every = [(group, name) for group in (offered, known, odd, asked) for name in reversed(group)]
    count = draw(st.sampled_from([1, 1, 1, 0, 2]))
    chosen = draw(
        st.lists(st.sampled_from(every), min_size=count, max_size=count, unique_by=lambda item: item[1])
    )
    values = [
        {name: draw(group[name]) for source, name in chosen if source is group}
        for group in (asked, offered, known, odd)
    ]
    values[0].setdefault("computation", COMPUTATIONS[kind])
    if kind == "query" and draw(st.booleans()):
        values[2].setdefault("approvals", (approval(agreement, party, "query"),))
    shown = draw(st.sampled_from([0, 2, 3]))
    values[2]["attempts"] = dict.fromkeys(COMMITMENTS.values(), shown)
    made = plan(agreement, asked=values[0], offered=values[1], **values[3])
    signed = list(agreement.parties) if draw(st.integers(0, 29)) < 29 else [LAB, NORTH]
    return agreement, signed, made, facts(agreement, party, **values[2])


def by_cedar(agreement, signed, made, known):
    request = {
        "principal": 'Party::"self"',
        "action": 'Action::"admit"',
        "resource": 'Task::"this"',
        "context": context(signed, made, known),
    }
    result = cedarpy.is_authorized(request, policy(agreement), [])
    assert not result.diagnostics.errors, result.diagnostics.errors
    return result.decision == cedarpy.Decision.Allow


@pytest.mark.slow
@given(cases())
@settings(max_examples=400, deadline=None)
def test_the_decision_agrees_with_an_independent_encoding_in_cedar(case):
    agreement, signed, made, known = case
    decided = decide(view(agreement, signed), made, known)
    event("permitted" if isinstance(decided, Permit) else f"refused by {decided.clause}")
    assert isinstance(decided, Permit) == by_cedar(agreement, signed, made, known), decided


def test_cedar_permits_the_usual_case_and_refuses_another_purpose():
    agreement = terms()
    assert by_cedar(agreement, agreement.parties, plan(agreement), facts(agreement))
    assert not by_cedar(
        agreement, agreement.parties, plan(agreement, asked={"purpose": "x"}), facts(agreement)
    )

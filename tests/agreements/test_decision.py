"""The decision: every clause refuses what it is there for, by its name, in a fixed order; and nothing else does."""

from __future__ import annotations

import dataclasses
import re

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
    images,
    offer,
    plan,
    sha,
    terms,
    view,
)

from cloister.agreements import decision
from cloister.agreements.clauses import AllowedComputation, Budget, Member, ReleaseTerms, UsableDataset
from cloister.agreements.decision import RULES, Balance, Permit, Refusal, decide
from cloister.agreements.lifecycle import State
from cloister.claims.offers import Cost
from cloister.claims.vocabulary import (
    Adversary,
    Artefact,
    Assumption,
    Claim,
    Claims,
    DifferentiallyPrivate,
    Disclosed,
    Hidden,
)
from cloister.foundation.clock import rfc3339

PLAIN = Claims(guarantees=(HIDDEN_INPUT,))
FREE = Cost(seconds=1.0, bytes_up=1, bytes_down=1)


def outcome(*, agreement=None, signed=None, party=NORTH, asked=None, offered=None, known=None, **changes):
    agreement = agreement or terms()
    made = plan(agreement, asked=asked, offered=offered, **changes)
    return decide(view(agreement, signed), made, facts(agreement, party, **(known or {})))


def refused_by(**case):
    result = outcome(**case)
    assert isinstance(result, Refusal), result
    assert result.reason
    assert result.remedy
    assert result.error().clause == result.clause
    return result.clause


@pytest.mark.parametrize("party", [LAB, *OWNERS, VISITOR])
def test_what_was_agreed_is_permitted_at_every_party_concerned(party):
    result = outcome(party=party)
    assert isinstance(result, Permit), result
    assert result.clauses == tuple(name for name, _ in RULES)
    assert (result.epsilon, result.delta, result.population) == (
        (1.0, 1e-6, "pumps") if party in OWNERS else (0.0, 0.0, None)
    )


def test_the_docstring_states_the_clauses_in_the_order_in_which_they_are_checked():
    stated = re.findall(r"^\d+\. +`([a-z-]+)`", decision.__doc__, re.MULTILINE)
    assert stated == [name for name, _ in RULES]


def test_agreement_the_plan_is_for_exactly_this_agreement():
    assert refused_by(asked={"agreement": sha(9)}) == "agreement"


def test_signatures_every_party_has_signed():
    assert refused_by(signed=[LAB, *OWNERS]) == "signatures"


@pytest.mark.parametrize("state", [state for state in State if state is not State.FINALIZED])
def test_state_only_a_finalized_agreement_permits(state):
    assert refused_by(known={"state": state}) == "state"


@pytest.mark.parametrize("now", [NOW - 1001, NOW + 1000])
def test_validity_only_between_the_first_and_the_last_second(now):
    assert refused_by(known={"now": now}, created=rfc3339(now - 1)) == "validity"


@pytest.mark.parametrize("created", [NOW + 200, NOW - 1001])
def test_plan_age_a_plan_is_neither_of_the_future_nor_older_than_the_agreement(created):
    assert refused_by(created=rfc3339(created)) == "plan-age"


def test_plan_age_a_plan_is_at_most_seven_days_old():
    long = terms(valid_from=rfc3339(NOW - 10**7), valid_until=rfc3339(NOW + 10**7))
    assert isinstance(outcome(agreement=long, created=rfc3339(NOW - 7 * 86400)), Permit)
    assert refused_by(agreement=long, created=rfc3339(NOW - 7 * 86400 - 1)) == "plan-age"


@pytest.mark.parametrize(
    "case",
    [
        {"asked": {"recipients": (LAB, STRANGER)}},
        {"asked": {"requester": STRANGER}},
        {"asked": {"datasets": {**COMMITMENTS, STRANGER: sha(4)}}},
        {"offered": {"seats": {"coordinator": (STRANGER,), "owner": OWNERS}}},
        {"party": STRANGER},
    ],
)
def test_parties_only_parties_take_part(case):
    assert refused_by(**case) == "parties"


def test_requester_only_a_researcher_asks():
    assert refused_by(asked={"requester": VISITOR}) == "requester"
    assert refused_by(asked={"requester": NORTH}) == "requester"


def test_requester_a_user_may_ask_for_scoring_only():
    computation = AllowedComputation(kind="scoring", protections=("fake",))
    members = tuple(
        m
        if m.party != VISITOR
        else Member(party=VISITOR, name="Visitor", roles=("user",), seats=("recipient",))
        for m in terms().members
    )
    agreement = terms(members=members, computations=(*terms().computations, computation))
    scoring = COMPUTATIONS["training"].model_copy(update={"kind": "scoring"})
    result = outcome(agreement=agreement, asked={"requester": VISITOR, "computation": scoring})
    assert isinstance(result, Refusal)
    assert result.clause == "approval"


@pytest.mark.parametrize(
    "seats",
    [
        {"coordinator": (NORTH,), "owner": (SOUTH, WEST), "recipient": (VISITOR,)},
        {"coordinator": (LAB,), "owner": (NORTH, SOUTH)},
        {"coordinator": (LAB,), "owner": OWNERS, "recipient": (LAB,)},
        {"coordinator": (LAB,), "owner": (NORTH, NORTH, SOUTH, WEST)},
        {"prover": (LAB,), "owner": OWNERS},
    ],
)
def test_seats_everyone_sits_where_it_was_agreed(seats):
    assert refused_by(offered={"seats": seats}) == "seats"


def test_purpose_only_agreed_purposes():
    assert refused_by(asked={"purpose": "marketing"}) == "purpose"


def test_forbidden_a_forbidden_computation_never_runs():
    assert refused_by(agreement=terms(forbidden=(COMPUTATIONS["training"].digest,))) == "forbidden"


def test_computation_only_agreed_kinds_of_work():
    assert refused_by(asked={"computation": COMPUTATIONS["join"]}) == "computation"


def test_protection_only_agreed_methods_that_are_installed():
    assert refused_by(offered={"protection": "other"}) == "protection"
    assert refused_by(known={"protections": {}}) == "protection"


def test_experimental_methods_run_only_where_the_agreement_names_them():
    assert isinstance(outcome(offered={"protection": "trial", "maturity": "experimental"}), Permit)
    assert refused_by(offered={"maturity": "experimental"}) == "experimental"


def test_experimental_a_method_cannot_call_itself_stable():
    assert refused_by(known={"protections": {"fake": "experimental"}}) == "experimental"


def test_datasets_only_agreed_datasets_and_versions():
    assert refused_by(asked={"datasets": {**COMMITMENTS, NORTH: sha(50)}}) == "datasets"
    assert refused_by(asked={"datasets": {**COMMITMENTS, NORTH: COMMITMENTS[SOUTH]}}) == "datasets"


def test_datasets_one_s_own_must_be_registered_here():
    others = {COMMITMENTS[owner]: entry(owner) for owner in (SOUTH, WEST)}
    assert refused_by(known={"catalogue": others}) == "datasets"
    own_only = {COMMITMENTS[NORTH]: entry(NORTH)}
    assert isinstance(outcome(known={"catalogue": own_only}), Permit)


def test_datasets_the_catalogue_entry_must_be_the_owner_s():
    wrong = {
        **{COMMITMENTS[o]: entry(o) for o in OWNERS},
        COMMITMENTS[SOUTH]: entry(NORTH, commitment=sha(2)),
    }
    assert refused_by(known={"catalogue": wrong}) == "datasets"


def test_columns_only_agreed_columns_are_read():
    assert refused_by(known={"columns": {COMMITMENTS[NORTH]: ("hours", "operator")}}) == "columns"


def test_columns_what_is_read_must_be_known():
    assert refused_by(known={"columns": {}}) == "columns"


def test_columns_images_have_none():
    catalogue = {COMMITMENTS[owner]: images(owner) for owner in OWNERS}
    assert refused_by(known={"catalogue": catalogue}) == "columns"
    free = terms(
        datasets=tuple(UsableDataset(owner=p, name="pumps", commitment=c) for p, c in COMMITMENTS.items())
    )
    assert isinstance(outcome(agreement=free, known={"catalogue": catalogue, "columns": {}}), Permit)


def test_sensitivity_nothing_more_sensitive_than_agreed():
    low = tuple(item.model_copy(update={"sensitivity": "internal"}) for item in terms().datasets)
    assert refused_by(agreement=terms(datasets=low)) == "sensitivity"
    only_internal = {COMMITMENTS[owner]: ("hours",) for owner in OWNERS}
    assert isinstance(outcome(agreement=terms(datasets=low), known={"columns": only_internal}), Permit)


def test_sensitivity_what_is_not_known_to_be_left_out_counts_as_read():
    free = tuple(UsableDataset(owner=p, name="pumps", commitment=c) for p, c in COMMITMENTS.items())
    assert refused_by(agreement=terms(datasets=free), known={"columns": {}}) == "sensitivity"
    assert isinstance(outcome(agreement=terms(datasets=free)), Permit)
    personal = tuple(item.model_copy(update={"sensitivity": "personal"}) for item in free)
    assert isinstance(outcome(agreement=terms(datasets=personal), known={"columns": {}}), Permit)


def test_residency_data_is_kept_in_an_agreed_country():
    catalogue = {COMMITMENTS[owner]: entry(owner, residency="US") for owner in OWNERS}
    assert refused_by(known={"catalogue": catalogue}) == "residency"
    assert isinstance(outcome(agreement=terms(residency=()), known={"catalogue": catalogue}), Permit)


@pytest.mark.parametrize("dropouts", [2, -1, True, "1", 0.5, None])
def test_dropouts_no_more_than_agreed(dropouts):
    assert refused_by(offered={"parameters": {"dropouts": dropouts}}) == "dropouts"


def test_minimum_parties_enough_owners_also_after_dropouts():
    two = {owner: COMMITMENTS[owner] for owner in (NORTH, SOUTH)}
    seats = {"coordinator": (LAB,), "owner": (NORTH, SOUTH)}
    case = {"asked": {"datasets": two}}
    assert refused_by(**case, offered={"seats": seats}) == "minimum-parties"
    assert isinstance(outcome(**case, offered={"seats": seats, "parameters": {"dropouts": 0}}), Permit)


@pytest.mark.parametrize("colluders", [1, None, True])
def test_colluders_no_fewer_than_agreed(colluders):
    assert refused_by(offered={"parameters": {"colluders": colluders}}) == "colluders"


@pytest.mark.parametrize("slot", [{"colluders": 1}, {"colluders": "all"}])
def test_colluders_of_a_secure_sum_no_fewer_than_agreed(slot):
    parameters = {**offer().parameters, "aggregation": {"name": "secure-sum", **slot}}
    assert refused_by(offered={"parameters": parameters}) == "colluders"
    enough = {**parameters, "aggregation": {"name": "secure-sum", "colluders": 2}}
    assert isinstance(outcome(offered={"parameters": enough}), Permit)


@pytest.mark.parametrize(("stated", "protected"), [(None, 3), (2, 2), (1, 1)])
def test_owners_per_unit_noise_is_for_a_unit_at_as_many_owners_as_the_agreement_admits(stated, protected):
    agreement = terms(owners_per_unit=stated)
    for occurrences in (1, 2, 3):
        private = PRIVATE_RESULT.model_copy(
            update={"reached": PRIVATE_RESULT.reached.model_copy(update={"occurrences": occurrences})}
        )
        claims = Claims(guarantees=(HIDDEN_INPUT, private))
        found = outcome(agreement=agreement, offered={"claims": claims})
        assert isinstance(found, Permit) == (occurrences >= protected)
        if not isinstance(found, Permit):
            assert found.clause == "owners-per-unit"


@pytest.mark.parametrize("parameters", [{}, {"minimum_group": 9}, {"minimum_group": "many"}])
def test_minimum_group_answers_speak_of_no_smaller_groups(parameters):
    assert (
        refused_by(asked={"computation": COMPUTATIONS["query"]}, offered={"parameters": parameters})
        == "minimum-group"
    )
    full = {"parameters": {"minimum_group": 10}}
    assert isinstance(outcome(asked={"computation": COMPUTATIONS["query"]}, offered=full), Permit)


def test_recipients_only_agreed_parties():
    assert refused_by(asked={"recipients": (LAB, SOUTH)}) == "recipients"


def test_claims_must_reach_every_party_s_floor():
    assert refused_by(offered={"claims": Claims(guarantees=(PRIVATE_RESULT,))}) == "claims"
    told = Claim(artefact=Artefact.INPUT, against=OUTSIDE, reached=Disclosed(what="all"))
    assert refused_by(offered={"claims": Claims(guarantees=(told, PRIVATE_RESULT))}) == "claims"


def test_claims_count_only_under_accepted_assumptions():
    for assumption, accepted in ((Assumption.HONEST_OWNERS, True), (Assumption.HARDWARE, False)):
        claim = HIDDEN_INPUT.model_copy(update={"assumption": assumption})
        result = outcome(offered={"claims": Claims(guarantees=(claim, PRIVATE_RESULT))})
        assert isinstance(result, Permit) is accepted


def test_claims_one_party_s_floor_binds_everybody_s_node():
    floor = (
        terms()
        .floors[0]
        .model_copy(
            update={
                "party": WEST,
                "claims": (
                    Claim(artefact=Artefact.UPDATE, against=Adversary(seats=("owner",)), reached=Hidden()),
                ),
            }
        )
    )
    agreement = terms(floors=(*terms().floors, floor))
    for party in (LAB, NORTH, WEST):
        result = outcome(agreement=agreement, party=party)
        assert isinstance(result, Refusal)
        assert result.clause == "claims"
        assert "West" in result.reason


def test_approval_each_owner_approves_the_computation_s_digest():
    assert refused_by(known={"approvals": ()}) == "approval"
    agreement = terms()
    for wrong in (
        approval(agreement, SOUTH),
        approval(agreement, NORTH, "query"),
        approval(terms(title="Another"), NORTH),
        approval(agreement, NORTH, task=sha(9)),
    ):
        assert refused_by(known={"approvals": (wrong,)}) == "approval"


def test_approval_a_listed_computation_was_approved_by_signing():
    allowed = AllowedComputation(
        kind="training", protections=("fake",), digests=(COMPUTATIONS["training"].digest,)
    )
    assert isinstance(outcome(agreement=terms(computations=(allowed,)), known={"approvals": ()}), Permit)


def test_computation_where_only_listed_computations_are_agreed_no_approval_helps():
    allowed = AllowedComputation(kind="training", protections=("fake",), approval="listed", digests=(sha(9),))
    agreement = terms(computations=(allowed,))
    assert (
        refused_by(agreement=agreement, known={"approvals": (approval(agreement, NORTH),)}) == "computation"
    )


def test_people_are_asked_only_for_what_is_permitted_otherwise():
    waiting = outcome(known={"approvals": ()})
    assert isinstance(waiting, Refusal)
    assert waiting.needs_person
    spent = outcome(known={"approvals": (), "remaining": {}})
    assert isinstance(spent, Refusal)
    assert (spent.clause, spent.needs_person) == ("budget", False)
    agreement = terms(budgets=())
    plain = {"agreement": agreement, "offered": {"claims": PLAIN, "cost": FREE}, "known": {"approvals": ()}}
    records = outcome(**plain)
    assert isinstance(records, Refusal)
    assert (records.clause, records.needs_person) == ("records", True)
    never = terms(budgets=(), computations=(AllowedComputation(kind="training", protections=("fake",)),))
    refused = outcome(**{**plain, "agreement": never})
    assert isinstance(refused, Refusal)
    assert (refused.clause, refused.needs_person) == ("records", False)


def test_approval_is_asked_at_the_owner_s_own_node():
    assert isinstance(outcome(party=LAB, known={"approvals": ()}), Permit)


def test_records_training_without_privacy_needs_the_owner_s_acceptance_of_this_digest():
    agreement = terms(budgets=())
    case = {"agreement": agreement, "offered": {"claims": PLAIN, "cost": FREE}}
    assert refused_by(**case) == "records"
    accepted = (approval(agreement, NORTH, with_records=True),)
    assert isinstance(outcome(**case, known={"approvals": accepted}), Permit)


def test_a_yes_to_one_plan_is_none_to_another_plan_of_the_same_computation():
    """Each time is each time: other rounds, owners, weights or recipients were not looked at."""
    agreement = terms(budgets=())
    plain = {"offered": {"claims": PLAIN, "cost": FREE}}
    seen = plan(agreement, **plain)
    given = approval(agreement, NORTH, with_records=True, task=seen.digest)
    known = facts(agreement, NORTH, approvals=(given,))
    assert isinstance(decide(view(agreement), seen, known), Permit)
    for other in (
        plan(agreement, **plain, nonce="1" * 32),
        plan(agreement, offered=plain["offered"] | {"parameters": {"rounds": 1000}}),
    ):
        found = decide(view(agreement), other, known)
        assert isinstance(found, Refusal)
        assert found.clause == "records"
        assert found.needs_person


def test_records_refused_means_refused_whoever_accepts():
    allowed = AllowedComputation(kind="training", protections=("fake",))
    agreement = terms(budgets=(), computations=(allowed,))
    case = {"agreement": agreement, "offered": {"claims": PLAIN, "cost": FREE}}
    accepted = (approval(agreement, NORTH, with_records=True),)
    assert refused_by(**case, known={"approvals": accepted}) == "records"
    assert refused_by(**case, party=LAB) == "records"


def test_records_accepted_by_signing_for_listed_digests():
    digest = COMPUTATIONS["training"].digest
    allowed = AllowedComputation(
        kind="training",
        protections=("fake",),
        digests=(digest,),
        records="owner-accepts",
        digests_with_records=(digest,),
    )
    agreement = terms(budgets=(), computations=(allowed,))
    assert isinstance(outcome(agreement=agreement, offered={"claims": PLAIN, "cost": FREE}), Permit)


def test_attempts_a_computation_that_has_shown_its_candidates_as_often_as_agreed_trains_no_more():
    shown = {COMMITMENTS[NORTH]: 2}
    assert isinstance(outcome(known={"attempts": shown}), Permit)
    assert refused_by(known={"attempts": {COMMITMENTS[NORTH]: 3}}) == "attempts"
    once = terms(release=ReleaseTerms(quorum=2, attempts=1))
    assert isinstance(outcome(agreement=once), Permit)
    assert refused_by(agreement=once, known={"attempts": {COMMITMENTS[NORTH]: 1}}) == "attempts"


def test_attempts_are_counted_for_one_s_own_dataset():
    others = {COMMITMENTS[SOUTH]: 9, COMMITMENTS[WEST]: 9}
    assert isinstance(outcome(known={"attempts": others}), Permit)
    assert isinstance(outcome(party=LAB, known={"attempts": others}), Permit)


def test_attempts_are_asked_before_a_person_is():
    assert refused_by(known={"attempts": {COMMITMENTS[NORTH]: 3}, "approvals": ()}) == "attempts"


@pytest.mark.parametrize("with_records", [False, True])
def test_what_a_person_can_still_accept_is_told_as_the_command_that_does_it(with_records):
    agreement = terms(budgets=())
    made = plan(agreement, offered={"claims": PLAIN, "cost": FREE})
    known = {"approvals": (approval(agreement, NORTH),) if with_records else ()}
    found = decide(view(agreement), made, facts(agreement, NORTH, **known))
    assert isinstance(found, Refusal)
    assert found.needs_person
    assert f"cloister task approve {made.digest} --with-records" in found.remedy


@pytest.mark.parametrize(
    ("clause", "case"),
    [
        ("claims", {"offered": {"claims": Claims()}}),
        ("budget", {"offered": {"claims": PLAIN, "cost": FREE}}),
        (
            "records",
            {
                "agreement": terms(
                    budgets=(), computations=(AllowedComputation(kind="training", protections=("fake",)),)
                ),
                "offered": {"claims": PLAIN, "cost": FREE},
            },
        ),
        ("experimental", {"offered": {"maturity": "experimental"}}),
    ],
)
def test_where_only_another_agreement_or_another_method_helps_the_remedy_names_what_there_is(clause, case):
    found = outcome(**case)
    assert isinstance(found, Refusal)
    assert found.clause == clause
    assert "mend the agreement" in found.remedy
    assert "differential privacy" not in found.remedy


def test_a_method_that_is_not_installed_is_answered_with_those_that_are():
    found = outcome(known={"protections": {"trial": "experimental"}})
    assert isinstance(found, Refusal)
    assert (found.clause, found.remedy) == ("protection", "Plan with one that is: trial.")
    none = outcome(known={"protections": {"other": "stable"}})
    assert isinstance(none, Refusal)
    assert (none.clause, none.remedy) == ("protection", "Amend the agreement to name one that is.")


def test_budget_what_is_spent_fits_what_is_left():
    assert refused_by(known={"remaining": {"pumps": Balance(0.5, 1e-5)}}) == "budget"
    assert refused_by(known={"remaining": {"pumps": Balance(4.0, 1e-7)}}) == "budget"
    assert refused_by(known={"remaining": {}}) == "budget"
    assert isinstance(outcome(known={"remaining": {"pumps": Balance(1.0, 1e-6)}}), Permit)


def test_budget_a_plan_cannot_understate_what_it_spends():
    assert isinstance(outcome(offered={"cost": FREE}), Permit)
    assert outcome(offered={"cost": FREE}).epsilon == 1.0
    many = Cost(seconds=1.0, bytes_up=1, bytes_down=1, epsilon=4.5)
    assert refused_by(offered={"cost": many}, known={"remaining": {"pumps": Balance(99.0, 1.0)}}) == "budget"


def test_budget_none_agreed_means_nothing_to_spend():
    assert refused_by(agreement=terms(budgets=())) == "budget"


def test_budget_exact_answers_are_never_given_of_a_population_with_a_budget():
    agreement = terms()
    accepted = (approval(agreement, NORTH, with_records=True),)
    assert refused_by(offered={"claims": PLAIN, "cost": FREE}, known={"approvals": accepted}) == "budget"
    assert (
        refused_by(asked={"computation": COMPUTATIONS["query"]}, offered={"claims": PLAIN, "cost": FREE})
        == "budget"
    )


def test_budget_is_for_the_agreed_unit():
    other = PRIVATE_RESULT.model_copy(
        update={"reached": DifferentiallyPrivate(epsilon=1.0, delta=0.0, unit="customer", mechanism="x")}
    )
    assert refused_by(offered={"claims": Claims(guarantees=(HIDDEN_INPUT, other))}) == "budget"


def test_budget_of_one_owner_is_not_asked_at_another():
    agreement = terms(
        budgets=(Budget(owner=SOUTH, dataset="pumps", population="p", unit="row", epsilon=0.5, delta=1e-5),)
    )
    assert isinstance(outcome(agreement=agreement, party=LAB), Permit)
    assert (
        refused_by(agreement=agreement, party=SOUTH, known={"remaining": {"p": Balance(0.5, 1.0)}})
        == "budget"
    )


def test_of_several_clauses_the_first_in_order_is_named():
    case = {
        "signed": [LAB],
        "asked": {"purpose": "marketing", "recipients": (SOUTH,)},
        "known": {"remaining": {}, "approvals": ()},
    }
    assert refused_by(**case) == "signatures"
    del case["signed"]
    assert refused_by(**case) == "purpose"


def test_the_same_inputs_in_another_order_give_the_same_answer():
    agreement = terms()
    made = plan(agreement, offered={"claims": Claims()})
    known = facts(agreement)
    reordered = dataclasses.replace(
        known,
        catalogue=dict(reversed(known.catalogue.items())),
        columns=dict(reversed(known.columns.items())),
        approvals=known.approvals[::-1],
    )
    assert decide(view(agreement), made, known) == decide(view(agreement), made, reordered)


def test_no_refusal_says_a_number_of_a_balance():
    result = outcome(known={"remaining": {"pumps": Balance(0.123456, 1e-5)}})
    assert isinstance(result, Refusal)
    assert "0.12" not in result.reason + result.remedy


def test_the_offer_in_the_tests_is_at_the_limits_of_what_was_agreed():
    assert offer().parameters == {"dropouts": terms().dropouts, "colluders": 2, "minimum_group": 10}

"""Each of the gate's rules, one by one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.digests import digest
from cloister.ledger.checkpoints import Checkpoint, ledger_origin, sign_checkpoint
from cloister.release.gate import CHECKS, CLOCK_TOLERANCE, NOT_APPROVED, Failed, Gate, Passed, Submission
from cloister.release.quality import exact
from protections import federation as f

KEYS = f.Keys(f.LAB, f.OWNERS[0])

GATE = Gate()
TERMS = f.terms()
PLAN = f.plan(TERMS)
WEIGHTS = np.arange(f.LENGTH, dtype=np.float32)
CONTENT = f.model_bytes(WEIGHTS)
FACTS = {"model": digest(f.MODEL), "weights": digest(WEIGHTS.tobytes()), "rounds": 3, "trail": ["a", "b"]}
ADMISSIONS = {name: digest(name.encode()) for name in PLAN.parties}


def head(origin=f.LAB, signer=f.LAB, size=1, at=f.NOW):
    """A log head of `origin`'s log, signed by `signer`."""
    made = Checkpoint(ledger_origin(origin), size, b"r" * 32)
    return sign_checkpoint(made, KEYS.secret[signer], at).encode().decode()


LOG_KEYS = (KEYS.secret[f.LAB].public,)
HEAD = head()


def submission(**changes):
    fields = {
        "plan": PLAN,
        "terms": TERMS,
        "now": f.NOW,
        "kind": "model",
        "content": CONTENT,
        "facts": FACTS,
        "created": f.NOW,
        "admissions": ADMISSIONS,
        "known_admissions": ADMISSIONS,
        "seen": {"trail": ["a", "b"]},
        "rebuilt": digest(CONTENT),
        "weights": WEIGHTS,
        "initial": f.INITIAL,
        "checkpoints": (HEAD,),
        "log_keys": LOG_KEYS,
    }
    return Submission(**(fields | changes))


def verdict(**changes):
    return GATE.public(submission(**changes))


def refused(check, **changes):
    found = verdict(**changes)
    assert isinstance(found, Failed), found
    assert found.check == check, found
    assert found.told == check
    assert found.why


def under(**changes):
    terms = f.terms(**changes)
    return {"terms": terms, "plan": f.plan(terms)}


def test_what_is_as_agreed_passes_every_public_check_and_then_the_own_ones():
    found = verdict()
    assert isinstance(found, Passed)
    own = GATE.own(TERMS, 1, lambda floor: exact(floor, 0.9))
    assert isinstance(own, Passed)
    assert found.checks + own.checks == CHECKS


def test_agreement_a_plan_under_other_terms_is_refused():
    refused("agreement", terms=f.terms(title="Another"))


@pytest.mark.parametrize("now", [TERMS.valid.start - 1, TERMS.valid.stop])
def test_agreement_outside_its_time_is_refused(now):
    refused("agreement", now=now, created=now)


def test_agreement_a_forbidden_computation_is_refused():
    terms = f.terms(forbidden=[PLAN.request.computation.digest])
    changed = PLAN.request.model_copy(update={"agreement": terms.digest})
    refused("agreement", terms=terms, plan=PLAN.model_copy(update={"request": changed}))


@pytest.mark.parametrize("recipients", [(), (f.OWNERS[0],), (f.LAB, f.party("stranger"))])
def test_recipients_who_may_not_receive_are_refused(recipients):
    changed = PLAN.request.model_copy(update={"recipients": recipients})
    refused("recipients", plan=PLAN.model_copy(update={"request": changed}))


def test_claims_below_a_floor_are_refused():
    need = {
        "artefact": "update",
        "against": {"seats": ["coordinator"]},
        "reached": {"how": "hidden"},
    }
    floored = f.terms(floors=[{"claims": [need]}])
    changed = PLAN.request.model_copy(update={"agreement": floored.digest})
    refused("claims", terms=floored, plan=PLAN.model_copy(update={"request": changed}))


def test_claims_a_plan_that_meets_the_floor_passes():
    claim = PLAN.offer.claims.guarantees[0]
    floored = f.terms(floors=[{"claims": [claim.model_dump(mode="json")]}])
    changed = PLAN.request.model_copy(update={"agreement": floored.digest})
    assert isinstance(verdict(terms=floored, plan=PLAN.model_copy(update={"request": changed})), Passed)


def test_kind_another_output_than_the_computation_makes_is_refused():
    refused("kind", kind="table")


def test_size_over_the_agreed_one_and_nothing_at_all_are_refused():
    refused("size", content=CONTENT + bytes(10_000))
    refused("size", content=b"")


@pytest.mark.parametrize(
    "changes",
    [
        {"rebuilt": digest(b"something else")},
        {"rebuilt": None},
        {"weights": None},
        {"initial": None},
        {"weights": np.ones(f.LENGTH + 1, np.float32)},
    ],
)
def test_model_another_graph_than_the_admitted_one_is_refused(changes):
    refused("model", **changes)


@given(st.integers(0, f.LENGTH - 1), st.sampled_from([math.nan, math.inf, -math.inf]))
@settings(max_examples=20)
def test_finite_one_weight_that_is_not_is_refused(place, value):
    weights = WEIGHTS.copy()
    weights[place] = value
    refused("finite", weights=weights)


def test_trained_the_admitted_models_own_weights_are_refused():
    refused("trained", weights=f.INITIAL.copy())


@pytest.mark.parametrize(
    "changes",
    [
        {"seen": None},
        {"seen": {"trail": ["a", "x"]}},
        {"seen": {"unheard": 1}},
        {"facts": FACTS | {"weights": digest(b"others")}},
        {"facts": FACTS | {"model": digest(b"others")}},
        {"facts": {}},
    ],
)
def test_facts_that_the_node_saw_otherwise_are_refused(changes):
    refused("facts", **changes)


@pytest.mark.parametrize(
    "boast",
    [
        {"accuracy": 0.999},
        {"audited": "by an authority"},
        {"rounds": 300},
        {"algorithm": "with differential privacy"},
        {"answers": [1, 1, 1]},
        {"answers": [9, 9, 9]},
        {"answers": [3]},
        {"answers": "all"},
        {"answers": [True, True, True]},
        {"dropouts": 0.5},
    ],
)
def test_what_an_owner_cannot_know_is_not_signed_by_it(boast):
    """Rule 7: a coordinator cannot have the owners' signatures put under words of its own."""
    refused("facts", facts=FACTS | boast)


def test_what_the_plan_says_and_the_counted_answers_may_be_said():
    assert isinstance(verdict(facts=FACTS | {"algorithm": "fedavg", "answers": [2, 3, 3]}), Passed)


HELD_BY_OWNERS = PLAN.model_copy(update={"offer": PLAN.offer.model_copy(update={"holder": "owner"})})
OWN = {
    "content": digest(CONTENT),
    "size": len(CONTENT),
    "rounds": 3,
    "answers": [3, 2],
    "noise": {"sigma": 1.5},
}


def test_facts_of_what_owners_hold_are_the_owners_own():
    """Rule 7: it knows all of them, also what it could not know of a candidate that is shown to it."""
    assert isinstance(verdict(plan=HELD_BY_OWNERS, facts=OWN, seen=OWN), Passed)
    assert isinstance(verdict(plan=HELD_BY_OWNERS, facts=OWN, seen=OWN | {"answers": (3, 2)}), Passed)
    refused("facts", plan=HELD_BY_OWNERS, facts=OWN, seen=None)
    refused("facts", facts=OWN, seen=OWN)  # to whom it is shown, it must be said of what weights


@pytest.mark.parametrize("key", sorted(OWN))
@pytest.mark.parametrize("change", ["leave-out", "another", "true", "more"])
def test_facts_of_what_owners_hold_that_differ_in_anything_are_refused(key, change):
    """Rule 7."""
    said = dict(OWN)
    if change == "leave-out":
        del said[key]
    elif change == "another":
        said[key] = digest(b"another") if key == "content" else 4
    elif change == "true":
        said[key] = True
    else:
        said[f"{key}-more"] = said[key]
    refused("facts", plan=HELD_BY_OWNERS, facts=said, seen=OWN)
    refused("facts", plan=HELD_BY_OWNERS, facts=OWN, seen=said)


def test_facts_of_what_owners_hold_name_what_this_owner_holds():
    """Rule 7: although its own part of the task said otherwise, and the coordinator the same."""
    for wrong in ({"content": digest(b"others")}, {"size": len(CONTENT) + 1}, {"size": True}):
        refused("facts", plan=HELD_BY_OWNERS, facts=OWN | wrong, seen=OWN | wrong)


@pytest.mark.parametrize(
    "checkpoint",
    [
        "audited by an authority\n",
        Checkpoint(ledger_origin(f.LAB), 1, b"r" * 32).text,
        head(f.OWNERS[0], f.OWNERS[0]),
        head(f.LAB, f.OWNERS[0]),
        head().replace("\n1\n", "\n2\n"),
        "",
    ],
)
def test_a_head_that_the_coordinators_log_did_not_sign_is_not_evidence(checkpoint):
    """Rule 8."""
    refused("evidence", checkpoints=(checkpoint,), log_keys=LOG_KEYS)


def test_a_head_whose_signature_cannot_be_checked_is_not_evidence():
    """Rule 8."""
    refused("evidence", checkpoints=(head(),), log_keys=())


def test_the_coordinators_signed_head_is_evidence():
    assert isinstance(verdict(checkpoints=(head(),), log_keys=LOG_KEYS), Passed)


@pytest.mark.parametrize("number", [0, 2])
def test_evidence_takes_exactly_one_head(number):
    """Rule 8."""
    refused("evidence", checkpoints=(HEAD,) * number)


@pytest.mark.parametrize(
    "at", [None, f.NOW - 365 * 86_400, f.NOW - CLOCK_TOLERANCE - 1, f.NOW + CLOCK_TOLERANCE + 1]
)
def test_evidence_a_head_of_another_time_than_the_statements_is_refused(at):
    """Rule 8."""
    refused("evidence", checkpoints=(head(at=at),))


def test_evidence_a_head_within_the_tolerance_of_clocks_is_let_pass():
    for at in (f.NOW - CLOCK_TOLERANCE, f.NOW + CLOCK_TOLERANCE):
        assert isinstance(verdict(checkpoints=(head(at=at),)), Passed)


def test_evidence_a_head_smaller_than_one_witnessed_well_before_is_refused():
    """Rule 8."""
    before = f.NOW - CLOCK_TOLERANCE - 1
    refused("evidence", checkpoints=(head(size=6),), witnessed=(7, before))
    assert isinstance(verdict(checkpoints=(head(size=7),), witnessed=(7, before)), Passed)
    # Since the proposal, the log may have grown, and been witnessed again.
    assert isinstance(verdict(checkpoints=(head(size=6),), witnessed=(7, f.NOW)), Passed)


@pytest.mark.parametrize("drift", [-CLOCK_TOLERANCE - 1, CLOCK_TOLERANCE + 1])
def test_time_a_statement_of_another_time_is_refused(drift):
    refused("time", created=f.NOW + drift)


def test_evidence_other_admissions_than_the_node_knows_are_refused():
    known = next(iter(ADMISSIONS))
    refused("evidence", admissions=ADMISSIONS | {known: digest(b"forged")})
    refused("evidence", admissions={k: v for k, v in ADMISSIONS.items() if k != known})
    refused("evidence", admissions=ADMISSIONS | {f.party("stranger"): digest(b"x")})


def test_evidence_of_admissions_that_the_node_does_not_know_yet_is_let_pass():
    assert isinstance(verdict(known_admissions={}), Passed)


@given(st.integers(1, 200), st.floats(allow_nan=True))
@settings(max_examples=60)
def test_own_checks_pass_only_with_attempts_left_and_quality_reached(attempts, figure):
    found = GATE.own(TERMS, attempts, lambda floor: exact(floor, figure))
    passes = attempts <= TERMS.release.attempts and figure >= 0.5
    assert isinstance(found, Passed) == passes
    if isinstance(found, Failed):
        assert found.told == NOT_APPROVED


def test_own_attempts_over_the_limit_never_look_at_records():
    def look(_floor):
        raise AssertionError("records were looked at")

    found = GATE.own(TERMS, 4, look)
    assert isinstance(found, Failed)
    assert found.check == "attempts"


def test_own_without_an_agreed_floor_needs_no_figure():
    free = f.terms(release={"quorum": 2})
    assert isinstance(GATE.own(free, 1, None), Passed)
    assert isinstance(GATE.own(TERMS, 1, None), Failed)


def test_the_same_submission_gives_the_same_verdict():
    assert verdict() == verdict()
    item = submission()
    assert GATE.public(replace(item, kind="x")) == GATE.public(replace(item, kind="x"))

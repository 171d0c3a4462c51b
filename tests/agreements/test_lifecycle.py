"""The lifecycle: who may do which step, and one state from the same acts in whatever order."""

from __future__ import annotations

import pytest
from agreement_cases import LAB, NORTH, NOW, SOUTH, STRANGER, VISITOR, People, sha, terms, view
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cloister.agreements.lifecycle import (
    ACT_TYPE,
    TRANSITIONS,
    Act,
    State,
    act,
    check_act,
    open_act,
    sides,
    sign_act,
    state_of,
)
from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import BadInput, Conflict, NotTrusted, Refused
from cloister.identity import envelopes

AGREEMENT = view(terms())
PATH = (
    (State.NONE, State.REQUESTED, LAB),
    (State.REQUESTED, State.OFFERED, NORTH),
    (State.OFFERED, State.ACCEPTED, LAB),
    (State.ACCEPTED, State.AGREED, SOUTH),
    (State.AGREED, State.VERIFIED, LAB),
    (State.VERIFIED, State.FINALIZED, NORTH),
)


def step(before, to, by, now=NOW, agreement=AGREEMENT):
    return Act(agreement=agreement.digest, before=before, to=to, by=by, time=rfc3339(now))


def final(now=NOW - 100):
    return [step(*item, now) for item in PATH]


def test_the_protocol_s_path_leads_to_finalized():
    made = []
    for before, to, by in PATH:
        new = act(AGREEMENT, before, to, by, NOW)
        assert check_act(AGREEMENT, made, new, NOW) is to
        made.append(new)


def test_the_states_are_those_of_the_protocol_and_three_more():
    protocol = {"requested", "offered", "accepted", "agreed", "verified", "finalized", "terminated"}
    assert {str(state) for state in State} == {"none", *protocol, "suspended", "revoked", "expired"}
    assert len(TRANSITIONS) == 18


@pytest.mark.parametrize(
    ("before", "to"), [(a, b) for a in State for b in State if (a, b) not in TRANSITIONS]
)
def test_there_are_no_other_steps(before, to):
    with pytest.raises(Conflict):
        act(AGREEMENT, before, to, LAB, NOW)
    assert state_of(AGREEMENT, [*final(), step(before, to, LAB)], NOW) is State.FINALIZED


@pytest.mark.parametrize(("pair", "side"), TRANSITIONS.items())
def test_only_the_entitled_side_makes_a_step(pair, side):
    for party in (LAB, NORTH, VISITOR):
        if side in sides(terms(), party):
            assert act(AGREEMENT, *pair, party, NOW).by == party
        else:
            with pytest.raises(Refused) as caught:
                act(AGREEMENT, *pair, party, NOW)
            assert caught.value.clause == "lifecycle"
    with pytest.raises(Refused):
        act(AGREEMENT, *pair, STRANGER, NOW)


def test_an_act_of_the_wrong_side_or_of_a_stranger_does_not_count():
    assert state_of(AGREEMENT, [step(State.NONE, State.OFFERED, LAB)], NOW) is State.NONE
    assert (
        state_of(AGREEMENT, [*final(), step(State.FINALIZED, State.REVOKED, STRANGER)], NOW)
        is State.FINALIZED
    )


def test_nothing_is_agreed_before_every_party_has_signed():
    half = view(terms(), [LAB, NORTH, SOUTH])
    assert state_of(half, final(), NOW) is State.ACCEPTED
    with pytest.raises(Refused) as caught:
        check_act(half, final()[:3], final()[3], NOW)
    assert caught.value.clause == "signatures"
    assert "West" in caught.value.why


def test_acts_on_another_agreement_do_not_count():
    other = view(terms(title="Another"))
    assert state_of(other, final(), NOW) is State.NONE


def test_acts_dated_in_the_future_do_not_count_yet():
    later = [*final()[:5], step(*PATH[5], NOW + 500)]
    assert state_of(AGREEMENT, later, NOW) is State.VERIFIED
    assert state_of(AGREEMENT, later, NOW + 500) is State.FINALIZED


def test_an_agreement_past_its_end_is_expired():
    assert state_of(AGREEMENT, final(), NOW + 999) is State.FINALIZED
    assert state_of(AGREEMENT, final(), NOW + 1000) is State.EXPIRED
    assert state_of(AGREEMENT, final()[:2], NOW + 1000) is State.EXPIRED
    revoked = [*final(), step(State.FINALIZED, State.REVOKED, SOUTH)]
    assert state_of(AGREEMENT, revoked, NOW + 1000) is State.REVOKED


@pytest.mark.parametrize("party", [LAB, NORTH, SOUTH, VISITOR])
def test_any_party_can_stop_an_agreement_alone(party):
    assert state_of(AGREEMENT, [*final(), step(State.FINALIZED, State.REVOKED, party)], NOW) is State.REVOKED
    stopped = [*final()[:3], step(State.ACCEPTED, State.TERMINATED, party)]
    assert state_of(AGREEMENT, stopped, NOW) is State.TERMINATED


def test_no_act_of_others_undoes_a_stop():
    revoked = [*final(), step(State.FINALIZED, State.REVOKED, SOUTH, NOW - 50)]
    again = [*revoked, *final(NOW), step(State.SUSPENDED, State.FINALIZED, NORTH, NOW)]
    assert state_of(AGREEMENT, again, NOW) is State.REVOKED
    with pytest.raises(Conflict):
        check_act(AGREEMENT, revoked, step(State.FINALIZED, State.SUSPENDED, NORTH), NOW)


def test_only_the_party_that_suspended_resumes():
    suspended = [*final(), step(State.FINALIZED, State.SUSPENDED, SOUTH, NOW - 50)]
    assert state_of(AGREEMENT, suspended, NOW) is State.SUSPENDED
    by_other = step(State.SUSPENDED, State.FINALIZED, NORTH, NOW)
    assert state_of(AGREEMENT, [*suspended, by_other], NOW) is State.SUSPENDED
    with pytest.raises(Refused):
        check_act(AGREEMENT, suspended, by_other, NOW)
    assert (
        check_act(AGREEMENT, suspended, step(State.SUSPENDED, State.FINALIZED, SOUTH, NOW), NOW)
        is State.FINALIZED
    )


def test_as_long_as_one_suspension_stands_the_agreement_is_suspended():
    first = [*final(), step(State.FINALIZED, State.SUSPENDED, SOUTH, NOW - 50)]
    second = step(State.FINALIZED, State.SUSPENDED, NORTH, NOW - 40)
    assert check_act(AGREEMENT, first, second, NOW) is State.SUSPENDED
    resumed = [*first, second, step(State.SUSPENDED, State.FINALIZED, SOUTH, NOW)]
    assert state_of(AGREEMENT, resumed, NOW) is State.SUSPENDED


def test_a_resumption_dated_before_the_suspension_does_not_lift_it():
    acts = [
        *final(),
        step(State.FINALIZED, State.SUSPENDED, SOUTH, NOW - 50),
        step(State.SUSPENDED, State.FINALIZED, SOUTH, NOW - 60),
    ]
    assert state_of(AGREEMENT, acts, NOW) is State.SUSPENDED


def test_a_resumption_in_the_second_of_the_suspension_is_refused_and_not_lost():
    suspended = [*final(), step(State.FINALIZED, State.SUSPENDED, SOUTH, NOW)]
    with pytest.raises(Conflict, match="yet"):
        check_act(AGREEMENT, suspended, step(State.SUSPENDED, State.FINALIZED, SOUTH, NOW), NOW)


def test_parties_clocks_need_not_agree():
    acts = [step(*item, NOW - 10 * number) for number, item in enumerate(PATH)]
    assert state_of(AGREEMENT, acts, NOW) is State.FINALIZED


any_acts = st.lists(
    st.builds(
        step,
        st.sampled_from(State),
        st.sampled_from(State),
        st.sampled_from([LAB, NORTH, SOUTH, VISITOR, STRANGER]),
        st.integers(NOW - 200, NOW + 200),
    )
    | st.sampled_from(final()),
    max_size=14,
)


@given(any_acts, st.randoms(), st.integers(NOW - 300, NOW + 1500))
@settings(max_examples=200, deadline=None)
def test_the_order_of_arrival_and_repetitions_make_no_difference(acts, random, now):
    shuffled = [*acts, *acts[:3]]
    random.shuffle(shuffled)
    assert state_of(AGREEMENT, shuffled, now) is state_of(AGREEMENT, acts, now)


@given(any_acts, any_acts)
@settings(max_examples=150, deadline=None)
def test_once_stopped_always_stopped(acts, more):
    if state_of(AGREEMENT, acts, NOW) in (State.REVOKED, State.TERMINATED):
        assert state_of(AGREEMENT, [*acts, *more], NOW + 10**6) in (State.REVOKED, State.TERMINATED)


class Negotiation(RuleBasedStateMachine):
    """Parties act as the lifecycle lets them, or try what it does not; the state is what a plain table says."""

    @initialize()
    def start(self):
        self.acts, self.now, self.state, self.suspended = [], NOW - 900, State.NONE, set()

    @rule(
        to=st.sampled_from(State), by=st.sampled_from([LAB, NORTH, SOUTH, STRANGER]), pause=st.integers(1, 60)
    )
    def anybody_tries(self, to, by, pause):
        self.now += pause
        new = step(self.state, to, by, self.now)
        expected = self.expected(to, by)
        if expected is None:
            with pytest.raises((Conflict, Refused)):
                check_act(AGREEMENT, self.acts, new, self.now)
            return
        assert check_act(AGREEMENT, self.acts, new, self.now) is expected
        self.acts.append(new)
        if to is State.SUSPENDED:
            self.suspended.add(by)
        if self.state is State.SUSPENDED and to is State.FINALIZED:
            self.suspended.discard(by)
        self.state = expected

    def expected(self, to, by):
        sides_ = {LAB: {"consumer", "any"}, NORTH: {"provider", "any"}, SOUTH: {"provider", "any"}}.get(
            by, set()
        )
        if self.now >= NOW + 1000:
            return None
        if self.state is State.SUSPENDED and to is State.FINALIZED:
            if by not in self.suspended:
                return None
            return State.SUSPENDED if self.suspended - {by} else State.FINALIZED
        if TRANSITIONS.get((self.state, to)) not in sides_:
            return None
        # Going back to an earlier offer of the same document is allowed, and leads nowhere.
        if (self.state, to) == (State.OFFERED, State.REQUESTED):
            return State.OFFERED
        return to

    @invariant()
    def the_replayed_state_is_the_one_reached(self):
        if hasattr(self, "acts"):
            assert state_of(AGREEMENT, self.acts, self.now) is self.state
            assert state_of(AGREEMENT, self.acts[::-1], self.now) is self.state


Negotiation.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestNegotiation = Negotiation.TestCase


@pytest.fixture(scope="module")
def people():
    return People(2)


def test_an_act_is_signed_by_the_party_that_makes_it(people):
    made = Act(
        agreement=sha(1),
        before=State.NONE,
        to=State.REQUESTED,
        by=people.ids[0],
        time=rfc3339(NOW),
        reason="New",
    )
    signed = sign_act(made, people.secret[0])
    assert open_act(signed, people) == made
    assert made.document()["from"] == "none"
    with pytest.raises(NotTrusted):
        open_act(sign_act(made, people.secret[1]), people)
    with pytest.raises(NotTrusted):
        open_act(envelopes.sign(ACT_TYPE, made.document(), people.ids[1], people.secret[1]), people)


def test_a_malformed_act_is_refused(people):
    document = {"type": "cloister/agreement-act@1", "agreement": sha(1), "to": "requested"}
    with pytest.raises(BadInput):
        open_act(envelopes.sign(ACT_TYPE, document, people.ids[0], people.secret[0]), people)

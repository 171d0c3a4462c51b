"""How a disclosure stands: by its documents and the time alone."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.disclosure.documents import DAY, Receipt, Withdrawal
from cloister.disclosure.states import USABLE, State, due, end, state_of
from cloister.foundation.clock import rfc3339
from disclosure.disclosure_cases import NOW, disclosure, party

DOCUMENT, _ = disclosure()
UNTIL = NOW + 7 * DAY
NAME = "sha256:" + "9" * 64


def withdrawal(at: int = NOW + DAY) -> Withdrawal:
    return Withdrawal(disclosure=NAME, owner=party("owner"), time=rfc3339(at))


def receipt(what: str, reason: str, at: int = NOW) -> Receipt:
    return Receipt(
        disclosure=NAME,
        owner=party("owner"),
        recipient=party("researcher"),
        what=what,
        reason=reason,
        records=2,
        time=rfc3339(at),
    )


RECEIVED, DELETED = receipt("received", "opened"), receipt("deleted", "expired")


def test_the_usual_life_offered_received_expired_overdue_deleted():
    assert state_of(DOCUMENT, None, (), NOW) is State.OFFERED
    assert state_of(DOCUMENT, None, (RECEIVED,), UNTIL - 1) is State.RECEIVED
    assert state_of(DOCUMENT, None, (RECEIVED,), UNTIL) is State.EXPIRED
    assert state_of(DOCUMENT, None, (RECEIVED,), UNTIL + DAY - 1) is State.EXPIRED
    assert state_of(DOCUMENT, None, (RECEIVED,), UNTIL + DAY) is State.OVERDUE
    assert state_of(DOCUMENT, None, (RECEIVED, DELETED), UNTIL + DAY) is State.DELETED


def test_withdrawn_at_once_and_overdue_a_day_later():
    taken_back = withdrawal()
    assert state_of(DOCUMENT, taken_back, (RECEIVED,), NOW + DAY) is State.WITHDRAWN
    assert state_of(DOCUMENT, taken_back, (RECEIVED,), NOW + 2 * DAY) is State.OVERDUE
    assert state_of(DOCUMENT, taken_back, (RECEIVED, DELETED), NOW + 2 * DAY) is State.DELETED


def test_a_withdrawal_counts_whatever_time_it_bears():
    for at in (NOW - 900 * DAY, NOW + 900 * DAY):
        assert state_of(DOCUMENT, withdrawal(at), (), NOW) not in USABLE
    assert end(DOCUMENT, withdrawal(NOW - 900 * DAY)) == NOW
    assert end(DOCUMENT, withdrawal(NOW + 900 * DAY)) == UNTIL


def test_an_expired_one_that_nobody_confirmed_is_overdue_also_if_it_was_never_received():
    assert state_of(DOCUMENT, None, (), UNTIL + DAY) is State.OVERDUE


@settings(deadline=None)
@given(st.integers(-30, 400), st.booleans(), st.integers(-400, 400))
def test_the_order_and_number_of_receipts_makes_no_difference(days, taken_back, at):
    now = NOW + days * DAY
    found = withdrawal(NOW + at * DAY) if taken_back else None
    for receipts in ((), (RECEIVED,), (DELETED,), (RECEIVED, DELETED)):
        states = {
            state_of(DOCUMENT, found, order, now) for order in itertools.permutations([*receipts, *receipts])
        }
        assert len(states) == 1


@settings(deadline=None)
@given(st.integers(-400, 400), st.integers(-30, 400), st.integers(0, 400))
def test_what_is_not_usable_never_becomes_usable_again(at, days, later):
    for found in (None, withdrawal(NOW + at * DAY)):
        for receipts in ((), (RECEIVED,), (RECEIVED, DELETED)):
            before = state_of(DOCUMENT, found, receipts, NOW + days * DAY)
            after = state_of(DOCUMENT, found, receipts, NOW + (days + later) * DAY)
            assert after not in USABLE or before in USABLE


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(-10, 60))
def test_overdue_begins_the_days_that_the_owner_gave_after_the_end(days, at):
    document, _ = disclosure(deletion_days=days)
    found = withdrawal(NOW + at * DAY)
    last = due(document, found)
    assert last == min(max(NOW, NOW + at * DAY), UNTIL) + days * DAY
    assert state_of(document, found, (), last) is State.OVERDUE
    if days:
        assert state_of(document, found, (), last - 1) is State.WITHDRAWN

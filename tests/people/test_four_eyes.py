"""Four eyes: two accounts, both with the right, on the same thing; nothing else counts as two people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.foundation.errors import Conflict, Refused
from cloister.people import four_eyes
from cloister.people.four_eyes import LASTS
from cloister.people.sessions import Person

NOW = 1_800_000_000
ADA = Person("ada", "Ada", frozenset({"approver"}))
BOB = Person("bob", "Bob", frozenset({"approver", "operator"}))
OPERATOR = Person("oskar", "Oskar", frozenset({"operator"}))


def asked(first=ADA, kind="sign", subject="sha256:one"):
    return four_eyes.wish(kind, subject, first, NOW)


def confirmed(wish=None, *, kind="sign", subject="sha256:one", first=ADA, second=BOB, now=NOW + 5):
    four_eyes.check_second(wish or asked(), kind, subject, first, second, now)


def test_another_person_with_the_right_confirms_what_the_first_asked_for():
    confirmed()


def test_one_person_is_one_however_many_roles_she_has():
    both = Person("ada", "Ada", frozenset({"approver", "operator", "analyst"}))
    with pytest.raises(Refused) as caught:
        confirmed(asked(both), first=both, second=both)
    assert caught.value.clause == "four-eyes"


def test_an_account_that_was_renamed_is_still_the_same_person():
    with pytest.raises(Refused):
        confirmed(second=Person("ada", "Somebody else", frozenset({"approver"})))


@pytest.mark.parametrize(
    "person",
    [
        None,
        OPERATOR,
        Person("carl", "Carl", frozenset({"auditor"})),
        Person("dora", "Dora", BOB.roles, enabled=False),
    ],
)
def test_who_may_not_sign_is_neither_the_first_nor_the_second(person):
    with pytest.raises(Refused):
        asked(person)
    with pytest.raises(Refused):
        confirmed(second=person)


@pytest.mark.parametrize(
    "first",
    [None, Person("ada", "Ada", ADA.roles, enabled=False), Person("ada", "Ada", frozenset({"auditor"}))],
)
def test_a_wish_ends_with_the_right_of_whose_it_was(first):
    with pytest.raises(Refused):
        confirmed(first=first)


def test_another_document_is_not_what_was_asked_for():
    with pytest.raises(Conflict):
        confirmed(subject="sha256:two")
    with pytest.raises(Conflict):
        confirmed(kind="offer")


@given(st.integers(-10, 10))
def test_a_wish_lapses_at_its_end_and_not_before(around):
    now = NOW + LASTS + around
    if around < 0:
        confirmed(now=now)
    else:
        with pytest.raises(Conflict):
            confirmed(now=now)


def test_a_wish_from_the_future_does_not_count():
    with pytest.raises(Conflict):
        confirmed(now=NOW - 3600)


def test_it_takes_two_who_can_go_on_to_switch_it_on():
    four_eyes.check_enough([ADA, BOB])
    for few in (
        [],
        [ADA],
        [ADA, ADA],
        [ADA, OPERATOR],
        [ADA, Person("bob", "Bob", BOB.roles, enabled=False)],
    ):
        with pytest.raises(Refused):
            four_eyes.check_enough(few)

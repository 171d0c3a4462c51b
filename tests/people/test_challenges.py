"""Challenges, rule by rule (see `cloister.people.challenges`)."""

from __future__ import annotations

import pytest

from cloister.foundation.errors import Refused
from cloister.people import challenges as module
from cloister.people.challenges import EACH, LIFE, Challenges


def refused(challenges: Challenges, *asked: object) -> None:
    with pytest.raises(Refused) as found:
        challenges.take(*asked)
    assert found.value.clause == "challenge"


def test_rule_1_only_what_was_issued_here_is_answered():
    challenges = Challenges()
    issued = {challenges.issue("sign-in", f"a{i}", "localhost", 0) for i in range(100)}
    assert len(issued) == 100
    assert {len(item) for item in issued} == {32}
    refused(challenges, b"x" * 32, "sign-in", "a1", 0)


def test_rule_2_it_is_good_for_its_purpose_for_who_asked_and_for_some_minutes():
    challenges = Challenges()
    for purpose, bound, now in (("show-again", "s", 1), ("add", "t", 1), ("add", "s", LIFE)):
        refused(challenges, challenges.issue("add", "s", "localhost", 0), purpose, bound, now)
    found = challenges.take(challenges.issue("add", "s", "localhost", 0, account="a"), "add", "s", LIFE - 1)
    assert (found.account, found.host) == ("a", "localhost")


def test_rule_2_one_for_signing_in_does_not_show_again_who_one_is():
    challenges = Challenges()
    made = challenges.issue("sign-in", "s", "localhost", 0)
    refused(challenges, made, "show-again", "s", 0)
    refused(challenges, made, "first", "s", 0)


def test_rule_3_it_is_good_once_whether_the_answer_was_right_or_not():
    challenges = Challenges()
    made = challenges.issue("add", "s", "localhost", 0)
    challenges.take(made, "add", "s", 0)
    refused(challenges, made, "add", "s", 0)
    made = challenges.issue("add", "s", "localhost", 0)
    refused(challenges, made, "add", "somebody else", 0)
    refused(challenges, made, "add", "s", 0)


def test_rule_4_each_has_so_many_and_strangers_push_nobody_out(monkeypatch):
    monkeypatch.setattr(module, "MOST", 20)
    challenges = Challenges()
    mine = challenges.issue("show-again", "s", "localhost", 0)
    for i in range(100):
        challenges.issue("sign-in", f"stranger {i}", "localhost", 0)
    assert len(challenges._waiting[False]) == 20
    challenges.take(mine, "show-again", "s", 0)
    own = [challenges.issue("add", "s", "localhost", 0) for _ in range(EACH + 1)]
    refused(challenges, own[0], "add", "s", 0)
    challenges.take(own[1], "add", "s", 0)


def test_rule_4_what_is_over_is_forgotten():
    challenges = Challenges()
    for i in range(10):
        challenges.issue("add", f"s{i}", "localhost", 0)
    challenges.issue("add", "t", "localhost", LIFE)
    assert len(challenges._waiting[True]) == 1

"""Challenges, rule by rule (see `cloister.people.challenges`)."""

from __future__ import annotations

import pytest

from cloister.foundation.errors import Refused
from cloister.people import challenges as module
from cloister.people.challenges import EACH, LIFE, Challenges, Strangers


def refused(challenges: Challenges, *asked: object) -> None:
    with pytest.raises(Refused) as found:
        challenges.take(*asked)
    assert found.value.clause == "challenge"


def test_rule_1_only_what_was_issued_here_is_answered():
    challenges = Challenges()
    issued = {challenges.issue("add", f"a{i}", "localhost", 0) for i in range(100)}
    assert len(issued) == 100
    assert {len(item) for item in issued} == {32}
    refused(challenges, b"x" * 32, "add", "a1", 0)


def test_rule_2_it_is_good_for_its_purpose_for_who_asked_and_for_some_minutes():
    challenges = Challenges()
    for purpose, bound, now in (("show-again", "s", 1), ("add", "t", 1), ("add", "s", LIFE)):
        refused(challenges, challenges.issue("add", "s", "localhost", 0), purpose, bound, now)
    found = challenges.take(challenges.issue("add", "s", "localhost", 0, account="a"), "add", "s", LIFE - 1)
    assert (found.account, found.host) == ("a", "localhost")


def test_rule_3_it_is_good_once_whether_the_answer_was_right_or_not():
    challenges = Challenges()
    made = challenges.issue("add", "s", "localhost", 0)
    challenges.take(made, "add", "s", 0)
    refused(challenges, made, "add", "s", 0)
    made = challenges.issue("add", "s", "localhost", 0)
    refused(challenges, made, "add", "somebody else", 0)
    refused(challenges, made, "add", "s", 0)


def test_rule_5_each_has_so_many_and_those_over_are_forgotten(monkeypatch):
    monkeypatch.setattr(module, "MOST", 20)
    challenges = Challenges()
    for i in range(100):
        challenges.issue("add", f"s{i}", "localhost", 0)
    assert len(challenges._waiting) == 20
    own = [challenges.issue("add", "s", "localhost", 1) for _ in range(EACH + 1)]
    refused(challenges, own[0], "add", "s", 1)
    challenges.take(own[1], "add", "s", 1)
    challenges.issue("add", "t", "localhost", LIFE)
    assert len(challenges._waiting) == EACH


def over(work) -> None:
    with pytest.raises(Refused) as found:
        work()
    assert found.value.clause == "challenge"


def test_a_strangers_challenge_is_good_for_its_browser_its_page_and_some_minutes():
    strangers = Strangers()
    made = strangers.issue("mine", "localhost", 100)
    strangers.check(made, "mine", "localhost", 100)
    strangers.check(made, "mine", "localhost", 99 + LIFE)
    for browser, host, now in (
        ("another", "localhost", 100),
        ("mine", "node.example", 100),
        ("mine", "localhost", 100 + LIFE),
        ("mine", "localhost", 99),
    ):
        over(lambda asked=(browser, host, now): strangers.check(made, *asked))
    nobody = strangers.issue("", "localhost", 100)
    over(lambda: strangers.check(nobody, "", "localhost", 100))


def test_rule_1_a_challenge_that_was_changed_or_made_elsewhere_is_refused():
    strangers = Strangers()
    made = strangers.issue("mine", "localhost", 100)
    changed = [made[:i] + bytes([made[i] ^ 1]) + made[i + 1 :] for i in range(len(made))]
    for bad in (
        *changed,
        made[:-1],
        made + b"x",
        b"",
        b"x" * 32,
        Strangers().issue("mine", "localhost", 100),
    ):
        over(lambda bad=bad: strangers.check(bad, "mine", "localhost", 100))


def test_rule_4_what_signed_somebody_in_is_remembered_until_it_would_lapse(monkeypatch):
    monkeypatch.setattr(module, "EACH_USED", 3)
    strangers = Strangers()
    first, *more = [strangers.issue("mine", "localhost", 100) for _ in range(5)]
    strangers.spend(first, "ada", 100)
    for account in ("ada", "bob"):
        over(lambda account=account: strangers.spend(first, account, 99 + LIFE))
    strangers.spend(more[0], "ada", 100)
    strangers.spend(more[1], "ada", 100)
    with pytest.raises(Refused) as found:
        strangers.spend(more[2], "ada", 100)
    assert found.value.clause == "too-often"
    strangers.spend(more[3], "bob", 100)
    strangers.spend(strangers.issue("mine", "localhost", 100 + LIFE), "ada", 100 + LIFE)
    assert list(strangers._used) == ["ada"]
    assert len(strangers._used["ada"]) == 1

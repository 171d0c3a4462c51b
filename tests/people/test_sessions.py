"""Sessions, tokens and roles, rule by rule (see `cloister.people.sessions` and `cloister.people.roles`)."""

from __future__ import annotations

import base64
import hashlib
from typing import get_args

import pytest

from cloister.people.roles import ALL, RIGHTS, WORDS, Role, rights_of
from cloister.people.sessions import FRESH, IDLE, LIFE, Person, Session, new_secret, of_token, stored

OPERATOR = Person("a", "Ada", frozenset({"operator"}))


def test_rule_1_a_secret_has_256_bits_and_only_its_digest_is_stored():
    secret, digest = new_secret()
    assert len(base64.urlsafe_b64decode(secret + "=")) == 32
    assert digest == hashlib.sha256(secret.encode()).hexdigest() == stored(secret)
    assert len({new_secret()[0] for _ in range(100)}) == 100
    assert stored("\ud800")  # what is no text is nobody's secret, and no failure


def test_rule_2_a_session_ends_by_idleness_and_after_its_life():
    session = Session("a", 1000, 1000, 1000)
    assert session.alive(1000 + IDLE - 1)
    assert not session.alive(1000 + IDLE)
    used = Session("a", 1000, 1000 + LIFE - 10, 1000)
    assert used.alive(1000 + LIFE - 1)
    assert not used.alive(1000 + LIFE)
    assert not session.alive(0), "one from the future: the clock was set back"


def test_rule_4_a_session_is_fresh_for_some_minutes():
    session = Session("a", 1000, 9000, 9000)
    assert session.fresh(9000)
    assert session.fresh(9000 + FRESH - 1)
    assert not session.fresh(9000 + FRESH)
    assert not session.fresh(8999), "shown in the future: the clock was set back"
    assert not Session("a", 0, 9000, LIFE).fresh(LIFE), "not alive"


def test_rule_5_a_token_has_part_of_its_makers_rights_as_they_are_now():
    scopes = frozenset({"tasks.read", "people.manage", "agreements.sign", "own-account"})
    assert of_token(OPERATOR, scopes) == {"tasks.read", "people.manage"}
    less = Person("a", "Ada", frozenset({"auditor"}))
    assert of_token(less, scopes) == {"tasks.read"}
    assert of_token(Person("a", "Ada", frozenset({"operator"}), enabled=False), scopes) == frozenset()


def test_rule_6_who_has_a_password_of_somebody_elses_may_only_choose_another():
    person = Person("a", "Ada", frozenset(get_args(Role)), given=True)
    assert person.rights == {"own-account"}
    assert of_token(person, ALL) == frozenset()


def test_nothing_is_allowed_that_no_right_names():
    for role in get_args(Role):
        assert RIGHTS[role] <= ALL
        assert WORDS[role]
        assert "own-account" in RIGHTS[role]
    assert rights_of(["unknown", ""]) == frozenset()
    assert rights_of(get_args(Role)) == ALL, "every right is somebody's"


def test_who_runs_the_server_does_not_speak_for_the_organisation():
    assert not RIGHTS["operator"] & {
        "agreements.sign",
        "tasks.approve",
        "tasks.ask",
        "results.revoke",
        "parties.trust",
    }
    assert not RIGHTS["approver"] & {"people.manage", "node.manage"}


def test_an_auditor_reads_and_changes_nothing():
    assert all(right.endswith(".read") for right in RIGHTS["auditor"] - {"own-account"})
    assert {right for right in ALL if right.endswith(".read")} - RIGHTS["auditor"] == {"samples.read"}


@pytest.mark.parametrize("role", ["analyst", "tool-user", "approver"])
def test_what_people_did_is_read_by_auditor_and_operator_only(role):
    assert "people.read" not in RIGHTS[role]
    assert "people.read" in RIGHTS["auditor"] & RIGHTS["operator"]

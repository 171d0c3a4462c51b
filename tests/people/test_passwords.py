"""Passwords, rule by rule (see `cloister.people.passwords`)."""

from __future__ import annotations

import re
import statistics
import time

import pytest
from argon2 import extract_parameters
from argon2.low_level import Type

from cloister.foundation.errors import BadInput
from cloister.people import passwords


def test_rule_1_what_is_kept_is_argon2id_with_the_stated_cost_and_a_salt_of_its_own():
    one, two = passwords.kept("correct horse battery"), passwords.kept("correct horse battery")
    assert one != two
    found = extract_parameters(one)
    assert (found.type, found.time_cost, found.memory_cost, found.parallelism) == (Type.ID, 3, 64 << 10, 4)
    assert found.salt_len >= 16
    assert passwords.matches("correct horse battery", one)
    assert passwords.matches("correct horse battery", two)
    assert not passwords.matches("correct horse Battery", one)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "ninechars",
        "x" * 257,
        "a" * 100_000,
        "aaaaaaaaaab",
        "1234567890",
        "PassWord1234",
        "Ada Lovelace",
        "ecalevoL adA",
    ],
)
def test_rule_2_what_is_short_long_common_or_the_name_is_refused(bad):
    with pytest.raises(BadInput):
        passwords.check(bad, "Ada Lovelace")


@pytest.mark.parametrize(
    "good", ["ten chars!", "x" * 250 + "abcdef", "äöüß und ein Fluß", "🐎🔋🍏🌳🚲🎈🧩🪁🎻🪴"]
)
def test_rule_2_what_is_long_enough_is_taken_whatever_its_signs(good):
    passwords.check(good, "Ada Lovelace")
    assert passwords.matches(good, passwords.kept(good))


def test_rule_2_a_password_is_the_same_however_a_keyboard_composes_it():
    kept = passwords.kept("schöne Grüße")
    assert passwords.matches("scho\u0308ne Gru\u0308ße", kept)


def test_text_that_is_none_is_refused_and_never_raises_anything_else():
    kept = passwords.kept("some \ud800 thing else")
    assert not passwords.matches("some \udfff other", kept)
    assert not passwords.matches("x" * 10_000_000, kept)
    assert not passwords.matches("anything at all", "not a hash")


def test_rule_3_the_stand_in_for_nobody_costs_what_a_real_one_costs():
    assert extract_parameters(passwords._NOBODY) == extract_parameters(
        passwords.kept("correct horse battery")
    )


def test_rule_3_no_account_takes_as_long_as_a_wrong_password():
    kept = passwords.kept("correct horse battery")

    def seconds(stored):
        before = time.perf_counter()
        assert not passwords.matches("wrong horse battery", stored)
        return time.perf_counter() - before

    both = [(seconds(kept), seconds(None)) for _ in range(7)]
    there, nobody = (statistics.median(item) for item in zip(*both, strict=True))
    assert 0.5 < nobody / there < 2


def test_rule_3_no_password_matches_nobody():
    assert not passwords.matches("nobody has this account", None)


def test_a_first_password_is_drawn_good_enough_and_read_out_easily():
    found = {passwords.drawn() for _ in range(200)}
    assert len(found) == 200
    for password in found:
        passwords.check(password, "Eva Ash")
        assert re.fullmatch(r"([a-hj-km-np-z2-9]{4}-){3}[a-hj-km-np-z2-9]{4}", password)

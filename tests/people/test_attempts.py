"""The pace of signing in, rule by rule (see `cloister.people.attempts`)."""

from __future__ import annotations

import pytest

from cloister.people import attempts as module
from cloister.people.attempts import FORGOTTEN, FREE, FREE_ADDRESS, MOST, Attempts


def fail(
    attempts: Attempts, times: int, name: str | None = "ada", address: str = "192.0.2.7", at: float = 0.0
):
    """So many failures; the time after the last, as somebody who waits each time."""
    for _ in range(times):
        at += attempts.begin(name, address, at, known=True)
        assert attempts.begin(name, address, at, known=True) == 0
    return at


def test_rule_1_a_try_is_counted_before_it_is_looked_at():
    attempts = Attempts()
    begun = [attempts.begin("ada", "192.0.2.7", 0.0, known=True) for _ in range(FREE + 3)]
    assert begun[:FREE] == [0] * FREE
    assert min(begun[FREE:]) > 0


@pytest.mark.parametrize("known", [True, False])
def test_rule_1_a_name_without_an_account_waits_as_one_with(known):
    attempts = Attempts()
    waits = [attempts.begin("x", f"192.0.2.{i}", 0.0, known=known) for i in range(FREE + 1)]
    assert waits == [0] * FREE + [1.0]


def test_rule_1_of_ipv6_the_first_half_counts():
    attempts = Attempts()
    for i in range(FREE_ADDRESS):
        assert attempts.begin(None, f"2001:db8:1:2::{i:x}", 0.0) == 0
    assert attempts.begin(None, "2001:db8:1:2:ffff::1", 0.0) > 0
    assert attempts.begin(None, "2001:db8:1:3::1", 0.0) == 0
    for _ in range(FREE_ADDRESS):
        attempts.begin(None, "::ffff:192.0.2.9", 0.0)
    assert attempts.begin(None, "192.0.2.9", 0.0) > 0, "an address of IPv4 in IPv6's form is the same one"


def test_rule_2_each_further_failure_doubles_the_wait_up_to_the_most():
    attempts, now, waits = Attempts(), 0.0, []
    for i in range(FREE + 14):
        wait = attempts.begin("ada", f"192.0.2.{i}", now, known=True)
        if wait:
            waits.append(wait)
            now += wait
            assert attempts.begin("ada", f"192.0.2.{i}", now, known=True) == 0
    assert waits[:5] == [1, 2, 4, 8, 16]
    assert max(waits) == MOST == waits[-1]


def test_rule_2_a_success_clears_the_name_and_its_own_try_of_the_address():
    attempts = Attempts()
    for _ in range(10 * FREE_ADDRESS):
        assert attempts.begin("ada", "192.0.2.7", 0.0, known=True) == 0
        attempts.succeeded("ada", "192.0.2.7")
    for i in range(FREE_ADDRESS):
        assert attempts.begin(f"x{i}", "192.0.2.7", 0.0) == 0
    assert attempts.begin("ada", "192.0.2.7", 0.0, known=True) > 0, "others' failures from there still count"
    assert attempts.begin("ada", "192.0.2.8", 0.0, known=True) == 0


def test_rule_3_waiting_costs_nothing_and_ends():
    attempts = Attempts()
    for _ in range(FREE):
        attempts.begin("ada", "192.0.2.7", 0.0, known=True)
    assert [attempts.begin("ada", "192.0.2.7", 0.5, known=True) for _ in range(5)] == [0.5] * 5
    assert attempts.begin("ada", "192.0.2.7", 1.0, known=True) == 0
    for _ in range(3):
        attempts.begin("ada", "192.0.2.7", 2.0, known=True)
    assert attempts.begin("ada", "192.0.2.7", 2.0 + FORGOTTEN, known=True) == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"])
def test_rule_4_this_machines_own_address_is_not_counted(address):
    attempts = Attempts()
    assert not any(attempts.begin(f"x{i}", address, 0.0) for i in range(5 * FREE_ADDRESS))
    for _ in range(FREE):
        attempts.begin("ada", address, 0.0, known=True)
    assert attempts.begin("ada", address, 0.0, known=True) > 0, "its names are"


def test_rule_5_memory_is_bounded_and_an_account_is_not_pushed_out(monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 50)
    attempts = Attempts()
    for _ in range(FREE):
        attempts.begin("ada", "127.0.0.1", 0.0, known=True)
    for i in range(500):
        attempts.begin(f"x{i}", f"10.0.{i // 250}.{i % 250}", 0.0)
    assert len(attempts._names) == len(attempts._addresses) == 50
    assert attempts.begin("ada", "127.0.0.1", 0.0, known=True) > 0

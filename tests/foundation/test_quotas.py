"""Quotas: what one sender may leave at another's machine (`foundation.quotas`)."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.errors import Refused
from cloister.foundation.quotas import Allowed, Held, Quota, Usage, consider

SMALL = Quota(number=3, size=100, burst=10, per_hour=60)


def fill(quota, count, size=10, now=1000, standing=None):
    usage = Usage()
    for number in range(count):
        decision = consider(quota, usage, f"n{number}", size, now, standing or {})
        assert isinstance(decision, Allowed), decision
        usage = decision.usage
    return usage


def test_what_is_held_already_costs_nothing_however_often_it_comes():
    """Rule 2."""
    usage = fill(SMALL, 3)
    for _ in range(50):
        assert consider(SMALL, usage, "n0", 10, 1000, {}) == Allowed(usage)


def test_what_was_taken_up_is_no_longer_counted():
    """Rule 3."""
    usage = fill(SMALL, 3)
    assert isinstance(consider(SMALL, usage, "new", 10, 1000, {}), Refused)
    allowed = consider(SMALL, usage, "new", 10, 1000, {"n1": "taken"})
    assert isinstance(allowed, Allowed)
    assert set(allowed.usage.held) == {"n0", "n2", "new"}
    assert allowed.forget == ()


def test_the_oldest_that_nobody_waits_for_makes_room_and_what_waits_never_does():
    """Rule 4."""
    usage = Usage({"old": Held(10, 1), "older": Held(10, 0), "waits": Held(10, 0)})
    standing = {"old": "spent", "older": "spent", "waits": "waiting"}
    allowed = consider(SMALL, usage, "new", 10, 1000, standing)
    assert isinstance(allowed, Allowed)
    assert allowed.forget == ("older",)
    refused = consider(SMALL, usage, "new", 95, 1000, standing)
    assert isinstance(refused, Refused)


def test_a_refusal_says_what_is_used_up_and_when_there_is_room():
    """Rule 5."""
    full = consider(SMALL, fill(SMALL, 3), "new", 10, 1000, {}, kind="plans")
    assert full.clause == "quota"
    assert "plans" in full.what
    assert "3 of 3" in full.why
    assert full.remedy
    fast = Quota(1000, 10**9, burst=5, per_hour=60)
    late = consider(fast, fill(fast, 5), "new", 10, 1000, {})
    assert "60 an hour" in late.why
    assert late.detail["retry_after"] == 60
    again = consider(fast, fill(fast, 5), "new", 10, 1000 + 60, {})
    assert isinstance(again, Allowed)


def test_usage_survives_being_stored_and_nonsense_counts_as_nothing_used():
    """Rule 6."""
    usage = fill(SMALL, 3)
    assert Usage.from_json(json.loads(json.dumps(usage.to_json()))) == usage
    for nonsense in (None, [], {"held": 3}, {"held": {"a": []}, "filled": 0}, "text"):
        assert Usage.from_json(nonsense) == Usage()


def test_a_clock_that_jumped_back_locks_nobody_out_for_longer_than_the_bucket_lasts():
    """Rule 6."""
    quota = Quota(1000, 10**9, burst=5, per_hour=60)
    usage = fill(quota, 5, now=10**9)
    assert isinstance(consider(quota, usage, "new", 1, 1000, {}), Refused)
    assert isinstance(consider(quota, Usage(usage.held, (1000 + 5 * 60) * 1000), "new", 1, 1060, {}), Allowed)


@settings(max_examples=60, deadline=None)
@given(
    quota=st.builds(Quota, st.integers(1, 8), st.integers(1, 200), st.integers(1, 20), st.integers(1, 3600)),
    steps=st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 100), st.integers(0, 400), st.sampled_from(["waiting", "taken", "spent"])),
        max_size=60,
    ),
)  # fmt: skip
def test_whatever_is_sent_the_limits_hold_and_what_waits_stays(quota, steps):
    usage, now, came, standing = Usage(), 1000, [], {}
    for name, size, later, state in steps:
        now += later
        before = usage
        decision = consider(quota, usage, f"n{name}", size, now, standing)
        if isinstance(decision, Refused):
            continue
        usage = decision.usage
        if f"n{name}" not in before.held:
            came.append(now)
            standing[f"n{name}"] = state
        assert len(usage.held) <= quota.number
        assert sum(item.size for item in usage.held.values()) <= quota.size
        for gone in before.held.keys() - usage.held.keys():
            assert standing[gone] != "waiting"
    interval = max(1, 3_600_000 // quota.per_hour)
    for start in range(len(came)):
        for end in range(start, len(came)):
            assert (end - start + 1) <= quota.burst + (came[end] - came[start]) * 1000 // interval + 1


def test_of_things_that_came_within_one_second_the_first_makes_room_first():
    quota, usage, gone = Quota(3, 1000, 100, 3600), Usage(), []
    for name in "zayxbw":
        allowed = consider(quota, usage, name, 1, 50, dict.fromkeys(usage.held, "spent"))
        assert isinstance(allowed, Allowed)
        usage, gone = allowed.usage, [*gone, *allowed.forget]
    assert gone == list("zay")

"""Which numbers of participants, dropouts and colluders go together."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cloister.aggregation import Thresholds, choose
from cloister.foundation.errors import Refused


def chosen(n, c, d):
    try:
        return choose(n, colluders=c, dropouts=d)
    except Refused as error:
        return error


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 140), st.integers(-1, 40), st.integers(-1, 140))
def test_chosen_thresholds_keep_the_rules_and_refusals_are_right(n, c, d):
    found = chosen(n, c, d)
    if isinstance(found, Refused):
        assert found.why
        assert found.remedy
        possible = any(t <= n - d and 2 * t > n + c and c + 2 <= n - d for t in range(n + 1))
        assert not (possible and c >= 1 and d >= 0 and n <= 128)
        return
    t = found.threshold
    assert t <= n - d  # rule 1
    assert 2 * t > n + c  # rule 2
    assert found.survivors >= max(t, c + 2, 3)  # rule 3
    assert found.survivors <= n - d


def test_three_participants_permit_no_dropout():
    assert choose(3).threshold == 3
    with pytest.raises(Refused, match="at most 0 dropouts"):
        choose(3, dropouts=1)
    assert choose(5, dropouts=1).threshold == 4


def test_two_participants_cannot_aggregate():
    """Rule 3: from the sum of two each learns the other's."""
    with pytest.raises(Refused, match="at least 3"):
        choose(2)


def test_no_two_sets_of_survivors_can_both_be_endorsed():
    """Rule 2, by trying: colluders endorse both, each honest participant one or none."""
    for n, c, d in [(3, 1, 0), (5, 1, 1), (5, 2, 1), (7, 2, 2), (6, 1, 2)]:
        t = choose(n, colluders=c, dropouts=d).threshold
        for choice in itertools.product((0, 1, 2), repeat=n - c):
            assert not (c + choice.count(1) >= t and c + choice.count(2) >= t)


@pytest.mark.parametrize(
    "changes", [{"threshold": 5}, {"threshold": 3}, {"survivors": 3}, {"survivors": 5}, {"colluders": 0}]
)
def test_thresholds_that_break_a_rule_cannot_be_made(changes):
    good = choose(5, dropouts=1).model_dump()
    Thresholds(**good)
    with pytest.raises(ValidationError):
        Thresholds(**{**good, **changes})

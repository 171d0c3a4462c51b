"""What people type becomes a number or is refused by its field's name; what was typed is in no error."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.foundation.errors import BadInput
from cloister.web.views import typed

NONE = [
    "", " ", "nan", "inf", "-inf", "Infinity", "1_000", "1 000", "٣", "½", "1e", "e5", ".", "0x10", "1.2.3", "1,2.3", "--1",
    "1e9999", "9" * 41, "1\n2",
]  # fmt: skip


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_number_is_none(text):
    for read in (typed.number, typed.whole):
        with pytest.raises(BadInput, match=r"^Epsilon is not a"):
            read(text, "Epsilon")


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.65", 0.65), (" 0,65 ", 0.65), (".5", 0.5), ("1e-6", 1e-6), ("-2", -2.0), ("7.", 7.0)],
)
def test_numbers_are_read_with_a_point_or_a_comma(text, value):
    assert typed.number(text, "It") == value


def test_limits_hold_and_are_told():
    for text in ("0", "-0.5", "1001", "1e999"):
        with pytest.raises(BadInput, match="Epsilon cannot be used") as caught:
            typed.number(text, "Epsilon", above=0, most=1000)
        assert caught.value.why == "It is a number above 0 and at most 1000."
    for text in ("-0.1", "1"):
        with pytest.raises(BadInput, match="Delta cannot be used") as caught:
            typed.number(text, "Delta", least=0, below=1)
        assert caught.value.why == "It is a number at least 0 and below 1."
    assert typed.number("0", "Delta", least=0, below=1) == 0
    with pytest.raises(BadInput, match="cannot be used") as caught:
        typed.whole("7", "Rounds", most=6)
    assert caught.value.why == "It is a whole number from 0 to 6."


def test_a_whole_number_has_no_fraction():
    assert typed.whole(" 12 ", "Rounds") == 12
    for text in ("12.0", "1e3", "1,5"):
        with pytest.raises(BadInput, match="not a whole number"):
            typed.whole(text, "Rounds")


def test_days_are_days():
    assert typed.day(" 2026-11-23 ", "The last day") == date(2026, 11, 23)
    assert typed.begins(date(1970, 1, 2)) == 86400
    for text in ("", "23.11.2026", "2026-02-30", "9" * 41):
        with pytest.raises(BadInput, match="The last day is no date"):
            typed.day(text, "The last day")


@given(st.text(max_size=60) | st.from_regex(r"[-+.,0-9e_]{1,50}", fullmatch=True))
def test_whatever_is_typed_is_a_number_within_limits_or_one_of_two_errors(text):
    for read, wrong in ((typed.number, "A."), (typed.whole, "7,5")):
        # An error depends on the field alone.
        assert error_of(read, text) in {None, error_of(read, wrong), error_of(read, "9" * 15)}


def error_of(read, text):
    try:
        value = read(text, "The field")
    except BadInput as error:
        return error.what, error.why, error.remedy
    return None if abs(value) <= typed.MOST else "no error"

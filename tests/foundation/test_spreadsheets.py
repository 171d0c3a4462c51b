from __future__ import annotations

import pytest

from cloister.foundation.spreadsheets import harmless


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_text_that_a_spreadsheet_would_run_begins_with_an_apostrophe(text: str) -> None:
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("value", ["", "a=1", "'=1", -1, -1.5, None, True])
def test_other_text_and_what_is_no_text_is_as_it_was(value: object) -> None:
    assert harmless(value) is value

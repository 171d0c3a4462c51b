"""The machine form beside the words is the document itself, however it is laid out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.web.views.agreements import pretty, tight

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=90),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=20), inner, max_size=5),
    max_leaves=30,
)


@pytest.mark.parametrize("lay", [pretty, tight])
@given(value=values)
def test_it_reads_back_as_it_was(lay, value):
    assert json.loads(lay(value)) == value


@pytest.mark.parametrize("lay", [pretty, tight])
def test_what_is_long_takes_several_lines_that_stand_below_each_other(lay):
    text = lay(
        {"leftOperand": "purpose", "rightOperand": ["one purpose of the data " * 2, "another purpose " * 3]}
    )
    assert len(text.splitlines()) > 1
    assert max(len(line) for line in text.splitlines()) < 100

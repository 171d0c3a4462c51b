"""Failure notices: foreign bytes within limits."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.foundation.errors import BadInput
from cloister.journal.notices import Notice


@given(st.binary(max_size=300))
def test_foreign_bytes_are_refused_or_read_but_never_crash(data: bytes) -> None:
    with contextlib.suppress(BadInput):
        Notice.decode(data)


@pytest.mark.parametrize(
    "field", ['{"error":"refused"}', '{"error":"A b","phase":"x"}', '{"error":"x","phase":"../"}', "[]"]
)
def test_a_notice_says_a_phase_and_a_kind_of_error_only(field: str) -> None:
    with pytest.raises(BadInput):
        Notice.decode(field.encode())
    assert Notice.decode(Notice(phase="collect-1", error="task-failed").encode()).phase == "collect-1"

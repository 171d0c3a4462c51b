"""Release messages: strict, limited, and without a place for figures."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.errors import BadInput, CloisterError
from cloister.release import messages

KINDS = (
    messages.CandidateHeader,
    messages.VoteHeader,
    messages.ReleaseHeader,
    messages.ContentHeader,
    messages.WithdrawnHeader,
    messages.StoredHeader,
)


@given(st.binary(max_size=200))
@settings(max_examples=100)
def test_unknown_bytes_are_refused_and_never_crash(data):
    for kind in KINDS:
        for body in (data, messages.MAGIC + data, messages.MAGIC + len(data).to_bytes(4, "big") + data):
            with pytest.raises(CloisterError):
                messages.read(kind, body, max_content=100)


@given(st.binary(max_size=50))
@settings(max_examples=30)
def test_a_message_gives_back_what_was_put_in(content):
    header = messages.CandidateHeader(kind="model", facts={"a": [1]}, created=1, admissions={})
    assert messages.read(messages.CandidateHeader, messages.write(header, content), max_content=50) == (
        header,
        content,
    )


def test_content_over_the_limit_is_refused():
    body = messages.write(messages.VoteHeader(vote="refuse"), b"xx")
    with pytest.raises(BadInput):
        messages.read(messages.VoteHeader, body, max_content=1)
    with pytest.raises(BadInput):
        messages.read(messages.VoteHeader, body)


@pytest.mark.parametrize("told", ["accuracy 0.43", "0.43", "a" * 41, "Size", "x\n"])
def test_a_vote_has_no_place_for_a_figure(told):
    body = messages.write(messages.VoteHeader.model_construct(vote="refuse", envelope=None, told=told))
    with pytest.raises(BadInput):
        messages.read(messages.VoteHeader, body)


def test_a_header_over_the_limit_is_not_written():
    header = messages.CandidateHeader(
        kind="model", facts={"x": "y" * messages.MAX_HEADER}, created=1, admissions={}
    )
    with pytest.raises(BadInput):
        messages.write(header)

"""Documents: frozen, exact, and refused without telling what was in them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cloister.foundation.documents import Document, parse_document
from cloister.foundation.errors import BadInput, CloisterError


class Parcel(Document):
    name: str
    weight: int = 0


def read(data: bytes, **limits: int) -> Parcel:
    return parse_document(Parcel, data, "A parcel", **limits)


def test_a_document_survives_its_canonical_bytes_and_cannot_be_altered():
    made = Parcel(name="a", weight=3)
    assert read(made.canonical()) == made
    assert made.canonical() == b'{"name":"a","weight":3}'
    assert made.digest() != Parcel(name="a", weight=4).digest()
    with pytest.raises(ValidationError):
        made.name = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"name": "a", "weight": "3"}, "weight"),  # not coerced
        ({"name": "a", "height": 1}, "height"),  # unknown
        ({"weight": 1}, "name"),  # missing
    ],
)
def test_rule_1_what_does_not_fit_exactly_is_refused_by_the_fields_name(document, field):
    with pytest.raises(BadInput, match="A parcel is malformed") as caught:
        read(json.dumps(document).encode())
    assert f"At {field}:" in caught.value.why
    assert caught.value.remedy


def test_rule_2_a_refusal_does_not_tell_the_value():
    with pytest.raises(BadInput) as caught:
        read(b'{"name":"a","weight":"Anna Schmidt"}')
    assert "Anna" not in json.dumps(caught.value.problem())


@pytest.mark.parametrize("data", [b'{"name":"a","name":"b"}', b'{"name":"a","weight":9007199254740993}'])
def test_json_that_readers_understand_differently_is_refused(data):
    with pytest.raises(BadInput):
        read(data)


def test_a_document_over_its_limit_is_refused_before_it_is_parsed():
    with pytest.raises(BadInput, match="too large"):
        read(b"[" * 100, max_bytes=10)


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: json.dumps({"name": text}).encode()))
@settings(max_examples=100, deadline=None)
def test_foreign_bytes_are_read_or_refused_and_nothing_else(data):
    try:
        assert isinstance(read(data), Parcel)
    except CloisterError:
        pass

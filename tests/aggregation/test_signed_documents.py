"""Contexts and messages that cannot be."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from aggregation.world import CARDS, COORDINATOR, NAMES, World, context, digest, vectors
from cloister import aggregation
from cloister.aggregation import messages
from cloister.aggregation.keys import tagged
from cloister.aggregation.messages import SignedAnnouncement, SignedMasked, read, write
from cloister.aggregation.vectors import Blinded, wire_size
from cloister.foundation.errors import BadInput, NotTrusted
from cloister.identity.keys import b64


@pytest.mark.parametrize(
    "changes",
    [
        {"roster": tuple(NAMES[2::-1])},
        {"roster": (NAMES[0], NAMES[0], NAMES[1])},
        {"roster": tuple(NAMES[:4])},
        {"roster": tuple(NAMES[:2])},
        {"coordinator": NAMES[0]},
        {"thresholds": aggregation.choose(4)},
        {"encoding": aggregation.integers(3, 4, 1)},
        {"attempt": 0},
        {"task": ""},
        {"weights": "sha256:abc"},
    ],
)
def test_a_context_that_cannot_be_is_refused(changes):
    """Rule 2 of `context`."""
    context(3)
    with pytest.raises(ValidationError):
        context(3, **changes)


def test_places_count_along_the_roster_and_the_outer_mask_is_always_among_survivors():
    of = context(7, dropouts=2)
    assert [of.place(party) for party in of.roster] == [1, 2, 3, 4, 5, 6, 7]
    assert len(set(of.roster) - set(of.outer)) < of.thresholds.threshold
    assert of.name == context(7, dropouts=2).name != context(7, dropouts=2, weights=digest("x")).name


def test_a_changed_copy_of_a_context_has_another_name():
    of = context(3)
    assert of.name
    assert of.model_copy(update={"attempt": 2}).name == context(3, attempt=2).name != of.name


def models(of=messages.Document):
    for kind in of.__subclasses__():
        yield kind
        yield from models(kind)


def test_every_value_of_one_length_is_refused_in_any_other():
    """Rule 3 of `messages`: each base64 field of an announcement, longer, shorter, or not base64."""
    of = context(3)
    run = World(of, vectors(of)).run()
    item, _ = read(SignedAnnouncement, run.said[0][3])
    fields = item.content.model_dump()
    for name, value in fields.items():
        if name in {"context", "party"}:
            continue
        raw = base64.b64decode(value)
        for wrong in (b64(raw + b"x"), b64(raw[:-1]), "", value[:-1] + "!", value + "\n", value.rstrip("=")):
            if wrong == value:
                continue
            with pytest.raises(ValidationError):
                type(item.content)(**{**fields, name: wrong})


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=400),
    st.sampled_from([kind for kind in models() if kind.__module__ == messages.__name__]),
)
def test_any_bytes_are_a_message_or_bad_input(data, kind):
    """Rule 1 of `messages`."""
    for body in (data, b"CLA1" + len(data).to_bytes(4, "big") + data):
        try:
            found, _ = read(kind, body)
        except BadInput:
            continue
        assert isinstance(found, BaseModel)
        assert write(found) == body


def test_a_vector_that_is_not_the_one_that_was_signed_is_not_summed():
    """Rule 2 of `coordinator`."""
    of = context(7, dropouts=2)

    def other(stage, sender, recipient, body):
        if stage == "mask" and sender == NAMES[2]:
            item, packed = read(SignedMasked, body, wire_size(of.encoding))
            return write(item, bytes([packed[0] ^ 1]) + bytes(packed[1:]))
        return body

    run = World(of, vectors(of), tamper=other).run()
    assert set(run.left_out["collect"]) == {NAMES[2]}
    assert run.right([party for party in NAMES[:7] if party != NAMES[2]])


def test_masks_of_one_key_differ_between_vector_and_check_value_and_between_keys():
    """Rule 1 of `vectors`."""
    encoding = aggregation.integers(64, 3, 1 << 29)
    seen = set()
    for key in (b"a" * 32, b"b" * 32):
        one = Blinded.zero(encoding)
        one.add_mask(key)
        seen |= {one.check, *one.values.tolist()}
        assert np.unique(one.values).size == 64
    assert len(seen) == 2 * 65


def test_a_signature_is_by_one_party_over_one_kind_of_content():
    signing = aggregation.PartySigning(CARDS, CARDS.of[NAMES[0]])
    signature = signing.sign("a", b"content")
    assert len(signature) == aggregation.signing.SIGNATURE <= aggregation.signing.MAX_SIGNATURE
    signing.verify(NAMES[0], "a", b"content", signature)
    for wrong in (
        (NAMES[1], "a", b"content", signature),
        (NAMES[0], "b", b"content", signature),
        (NAMES[0], "a", b"other", signature),
        (NAMES[0], "a", b"content", signature[:-1]),
        (NAMES[0], "a", b"content", bytes(16) + signature[16:]),
        ("z" * 52, "a", b"content", signature),
    ):
        with pytest.raises(NotTrusted):
            signing.verify(*wrong)
    with pytest.raises(BadInput):
        aggregation.PartySigning(CARDS).sign("a", b"content")


def test_no_list_of_parts_is_framed_like_another():
    assert (
        len({tagged("a", b"b", b"c"), tagged("a", b"bc"), tagged("a", b"", b"bc"), tagged("ab", b"c")}) == 4
    )
    assert COORDINATOR not in NAMES

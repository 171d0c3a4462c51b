"""What federated parties send: one byte form, strict limits, no figure that is not declared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cloister.foundation.errors import BadInput, CloisterError
from cloister.protections.federated import framing, messages

ZERO = "sha256:" + "0" * 64
LINK = messages.Link(weights=ZERO, answers=ZERO)
FLOATS = hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32))


@given(FLOATS)
@settings(max_examples=40)
def test_a_frame_gives_back_exactly_what_was_put_in(vector):
    header, back = framing.decode(framing.encode({"b": 1, "a": "x"}, vector))
    assert header == {"a": "x", "b": 1}
    assert back.dtype == np.float32
    assert framing.wire(back) == framing.wire(vector)


def test_a_frame_is_made_and_read_with_one_copy_of_its_vectors():
    first, second = np.ones(3, np.float32), np.full(2, 2.0, np.float32)
    body = framing.encode({}, first, second)
    assert body == framing.encode({}, np.concatenate([first, second]))
    assert np.shares_memory(np.frombuffer(framing.wire(first), np.uint8), first)
    _, vector = framing.decode(body)
    assert np.shares_memory(vector, np.frombuffer(body, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 7.0


def test_a_vector_has_one_digest_on_every_machine():
    vector = np.array([1.0, -2.5], np.float32)
    assert framing.wire(vector) == b"\x00\x00\x80?\x00\x00 \xc0"
    assert framing.vector_digest(vector.astype(">f4").astype(np.float32)) == framing.vector_digest(vector)


@given(st.binary(max_size=200))
@settings(max_examples=150)
def test_unknown_bytes_are_refused_and_never_crash(data):
    for kind in (messages.WeightsHeader, messages.UpdateHeader, messages.FinishedHeader):
        for body in (data, framing.MAGIC + data, framing.MAGIC + len(data).to_bytes(4, "big") + data):
            with pytest.raises(CloisterError):
                messages.read(kind, body, length=3)


@given(st.data())
@settings(max_examples=150)
def test_a_message_with_one_byte_changed_is_refused_or_differs(data):
    header = messages.UpdateHeader(round=1, attempt=1, on=ZERO, salt="ab" * 32)
    body = messages.write(header, np.array([1.0, 2.0, 3.0], np.float32))
    place = data.draw(st.integers(0, len(body) - 1))
    changed = bytearray(body)
    changed[place] ^= data.draw(st.integers(1, 255))
    try:
        read, vector = messages.read(messages.UpdateHeader, bytes(changed), length=3)
    except BadInput:
        return
    assert messages.write(read, vector) != body


@pytest.mark.parametrize("cut", [0, 3, 7, 20, -1, -4])
def test_a_message_cut_short_is_refused(cut):
    header = messages.UpdateHeader(round=1, attempt=1, on=ZERO, salt="ab" * 32)
    with pytest.raises(BadInput):
        messages.read(messages.UpdateHeader, messages.write(header, np.ones(3, np.float32))[:cut], length=3)


def test_a_vector_of_another_length_is_refused_before_it_is_copied():
    body = framing.encode({}, np.zeros(1000, np.float32))
    with pytest.raises(BadInput):
        framing.decode(body, max_length=999)
    header = messages.UpdateHeader(round=1, attempt=1, on=ZERO, salt="ab" * 32)
    with pytest.raises(BadInput):
        messages.read(messages.UpdateHeader, messages.write(header, np.ones(2, np.float32)), length=3)


@pytest.mark.parametrize(
    "extra", [{"loss": 0.25}, {"count": 12}, {"seconds": 3}, {"figures": {}}, {"round": 0}, {"round": True}]
)
def test_no_figure_but_the_update_itself_has_a_place_in_a_message(extra):
    header = {"round": 1, "attempt": 1, "on": ZERO, "salt": "ab" * 32} | extra
    with pytest.raises(BadInput):
        messages.read(messages.UpdateHeader, framing.encode(header, np.ones(3, np.float32)), length=3)


def test_a_header_over_the_limit_is_refused_on_both_sides():
    with pytest.raises(BadInput):
        framing.encode({"a": "x" * framing.MAX_HEADER})
    with pytest.raises(BadInput):
        framing.decode(framing.MAGIC + (framing.MAX_HEADER + 1).to_bytes(4, "big") + b"{}")


def test_the_longest_trail_fits_into_a_message():
    trail = (LINK,) * messages.MAX_ROUNDS
    header = messages.WeightsHeader(round=messages.MAX_ROUNDS, attempt=1, trail=trail, answered={})
    read, _ = messages.read(messages.WeightsHeader, messages.write(header, np.ones(1, np.float32)), length=1)
    assert read == header


def test_an_answer_appears_only_as_a_salted_commitment():
    update = np.ones(4, np.float32)
    assert messages.commitment("00" * 32, update) != messages.commitment("11" * 32, update)
    assert messages.commitment("00" * 32, update) != framing.vector_digest(update)


def test_a_trail_continues_only_what_was_seen():
    first, second = LINK, messages.Link(weights="sha256:" + "1" * 64, answers=ZERO)
    assert messages.continues((first,), (first, second))
    assert messages.continues((first, second), (first, second))
    assert not messages.continues((first, second), (first,))
    assert not messages.continues((second,), (first, second))

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, Unreachable
from cloister.journal.notices import Notice
from cloister.journal.ports import Taken
from cloister.journal.wire import METHOD, CallOutbound, TaskMessage, decode_answer, encode_answer

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,30}", fullmatch=True)


@given(NAMES, NAMES, st.integers(1, 1 << 30), st.binary(max_size=200))
def test_a_message_survives_the_wire(phase: str, kind: str, sequence: int, body: bytes) -> None:
    message = TaskMessage(digest(body), phase, kind, sequence, body)
    assert TaskMessage.decode(message.encode()) == message


@given(st.binary(max_size=300))
def test_foreign_bytes_are_refused_or_read_but_never_crash(data: bytes) -> None:
    with contextlib.suppress(BadInput):
        TaskMessage.decode(data)
    with contextlib.suppress(BadInput):
        Notice.decode(data)


@given(st.data())
def test_a_message_cut_or_changed_in_its_header_is_refused_or_another_message(data: st.DataObject) -> None:
    whole = TaskMessage(digest(b""), "phase", "kind", 3, b"body").encode()
    at = data.draw(st.integers(0, len(whole) - 5))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        assert TaskMessage.decode(bytes(changed)) != TaskMessage.decode(whole)
    except BadInput:
        pass


def test_a_header_with_an_unknown_field_is_refused() -> None:
    whole = TaskMessage(digest(b""), "phase", "kind", 3, b"").encode()
    header = whole[4:].replace(b'"kind":"kind"', b'"kind":"kind","more":1')
    with pytest.raises(BadInput):
        TaskMessage.decode(len(header).to_bytes(4, "big") + header)


def test_answers_survive_the_wire_and_nonsense_means_try_again() -> None:
    for taken in Taken:
        assert decode_answer(encode_answer(taken)) is taken
    with pytest.raises(Unreachable):
        decode_answer(b"perhaps")


def test_a_message_travels_as_a_call() -> None:
    calls = []

    def call(to: str, method: str, body: bytes) -> bytes:
        calls.append((to, method, TaskMessage.decode(body)))
        return encode_answer(Taken.LATER)

    task = digest(b"task")
    assert CallOutbound(call).send("a", task, "phase", "kind", 4, b"body") is Taken.LATER
    assert calls == [("a", METHOD, TaskMessage(task, "phase", "kind", 4, b"body"))]


@pytest.mark.parametrize(
    "field", ['{"error":"refused"}', '{"error":"A b","phase":"x"}', '{"error":"x","phase":"../"}', "[]"]
)
def test_a_notice_says_a_phase_and_a_kind_of_error_only(field: str) -> None:
    with pytest.raises(BadInput):
        Notice.decode(field.encode())
    assert Notice.decode(Notice(phase="collect-1", error="task-failed").encode()).phase == "collect-1"

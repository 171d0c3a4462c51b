"""Whatever bytes another node sends to a method of this one: an answer or an error that says what is wrong."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloister.foundation.canonical import canonical
from cloister.foundation.errors import BadInput, CloisterError
from cloister.node.messages import MessageHeader, pack, unpack
from node.town import PAIR, town

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = (
    "task",
    "start",
    "admissions",
    "problem",
    "content",
    "note",
    "old_size",
    "proof",
    "payload",
    "signatures",
)
BODIES = (
    st.binary(max_size=200)
    | JSON.map(canonical)
    | st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4).map(canonical)
)


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with town(tmp_path_factory.mktemp("foreign"), names=PAIR) as here:
        here.start("Ash")
        yield here["Ash"]


METHODS = {
    "propose": lambda node, body: node.tasks.admitting.on_propose("a" * 52, body),
    "start": lambda node, body: node.tasks.admitting.on_start("a" * 52, body),
    "admission": lambda node, body: node.tasks.asking.on_admission("a" * 52, body),
    "content": lambda node, body: node.tasks.asking.on_content("a" * 52, body),
    "push": lambda node, body: node.sync.take("a" * 52, body),
    "witness": lambda node, body: node.ledger.witness("a" * 52, body),
    "revoke": lambda node, body: node.revocations.take("a" * 52, body),
    "message": lambda _node, body: unpack(body),
}


@pytest.mark.parametrize("method", sorted(METHODS))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES)
def test_foreign_bytes_are_answered_or_refused(node, method, body):
    with contextlib.suppress(CloisterError):
        METHODS[method](node, body)


@given(body=st.binary(max_size=100), sequence=st.integers(1, 2**48))
def test_a_message_comes_out_as_it_went_in(body, sequence):
    header = MessageHeader(task="sha256:" + "a" * 64, phase="train", kind="update", sequence=sequence)
    assert unpack(pack(header, body)) == (header, body)
    with pytest.raises(BadInput):
        unpack(pack(header, body)[:20])

"""Rules of data.commitment: salted leaves, the RFC's tree, the size bound in, foreign proofs never crash."""

from __future__ import annotations

import contextlib
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.data.commitment import (
    bind,
    commit,
    image_record,
    leaf,
    merkle_root,
    parse_proof,
    prove,
    record_salt,
    row_record,
    schema_prefix,
    verify,
)
from cloister.data.schema import Column
from cloister.foundation.errors import BadInput, CloisterError, NotTrusted

SECRET = bytes(range(32))
records_strategy = st.lists(st.binary(max_size=40), min_size=1, max_size=40)


def rfc6962_root(leaves):
    """RFC 6962 section 2.1, word for word."""
    if len(leaves) == 0:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + rfc6962_root(leaves[:k]) + rfc6962_root(leaves[k:])).digest()


@given(st.integers(0, 70))
def test_the_tree_has_the_shape_of_rfc_6962(size):
    leaves = [hashlib.sha256(bytes([i])).digest() for i in range(size)]
    assert merkle_root(leaves) == rfc6962_root(leaves)


@settings(max_examples=60)
@given(records_strategy, st.data())
def test_every_records_proof_verifies_and_no_other_record_does(records, data):
    committed = commit(records, SECRET)
    index = data.draw(st.integers(0, len(records) - 1))
    proof = prove(committed.leaves, index, SECRET)
    verify(committed.published, records[index], proof)
    assert parse_proof(proof.canonical()) == proof
    with pytest.raises(NotTrusted):
        verify(committed.published, records[index] + b"x", proof)


@settings(max_examples=80)
@given(records_strategy, st.data())
def test_any_flipped_byte_changes_the_commitment(records, data):
    place = data.draw(st.integers(0, len(records) - 1))
    changed = list(records)
    if not changed[place]:
        changed[place] = b"\0"
    else:
        at = data.draw(st.integers(0, len(changed[place]) - 1))
        flipped = bytearray(changed[place])
        flipped[at] ^= data.draw(st.integers(1, 255))
        changed[place] = bytes(flipped)
    assert commit(changed, SECRET).published != commit(records, SECRET).published


@given(records_strategy)
def test_leaves_are_salted_so_that_equal_records_and_datasets_look_different(records):
    twice = commit([*records, *records], SECRET)
    assert len(set(twice.leaves)) == len(twice.leaves)
    assert commit(records, SECRET).published != commit(records, bytes(32)).published


def test_salts_need_32_secret_bytes():
    with pytest.raises(BadInput):
        record_salt(b"short", 0)
    with pytest.raises(BadInput):
        leaf(b"short", b"record")


@settings(max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_a_proof_with_another_size_or_place_is_refused(size, other, data):
    records = [bytes([i]) for i in range(size)]
    committed = commit(records, SECRET)
    index = data.draw(st.integers(0, size - 1))
    proof = prove(committed.leaves, index, SECRET)
    place = data.draw(st.integers(0, other - 1))
    if (other, place) == (size, index):
        return
    with pytest.raises(NotTrusted):
        verify(committed.published, records[index], proof.model_copy(update={"size": other, "index": place}))


def test_the_size_is_bound_into_the_commitment():
    root = merkle_root([bytes(32)])
    assert bind(1, root) != bind(2, root)


def test_an_interior_node_cannot_pose_as_a_record():
    committed = commit([b"a", b"b", b"c", b"d"], SECRET)
    node = committed.leaves[0] + committed.leaves[1]
    proof = prove(committed.leaves, 0, SECRET).model_copy(update={"size": 2, "salt": node.hex()[:64]})
    with pytest.raises(NotTrusted):
        verify(committed.published, node[32:], proof)


@settings(max_examples=150)
@given(st.data())
def test_foreign_proof_bytes_never_crash(data):
    good = prove(commit([b"a", b"b", b"c"], SECRET).leaves, 1, SECRET).canonical()
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(0, 5))):
        changed[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    foreign = data.draw(st.one_of(st.just(bytes(changed)), st.binary(max_size=200)))
    with contextlib.suppress(CloisterError):
        verify(commit([b"a", b"b", b"c"], SECRET).published, b"x", parse_proof(foreign))


def test_a_proof_for_no_record_is_refused():
    with pytest.raises(BadInput):
        prove([bytes(32)], 1, SECRET)


def test_labels_give_the_same_record_however_they_were_stored():
    labels = {"centres": [[1, 2.5]], "diameters": None}
    assert image_record("sha256:" + "0" * 64, labels) == image_record(
        "sha256:" + "0" * 64, {"diameters": None, "centres": [[1.0, 2.5]]}
    )


KINDS = {
    "boolean": st.booleans(),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "real": st.floats(allow_nan=False, allow_infinity=False),
    "text": st.text(max_size=20),
    "timestamp": st.integers(-(2**50), 2**50),
}
COLUMNS = tuple(Column(name=kind, kind=kind) for kind in KINDS)
rows = st.tuples(*(st.one_of(st.none(), strategy) for strategy in KINDS.values()))


@settings(max_examples=150)
@given(rows, rows)
def test_two_rows_have_the_same_bytes_only_if_they_are_equal(first, second):
    prefix = schema_prefix(COLUMNS)
    assert (row_record(prefix, COLUMNS, first) == row_record(prefix, COLUMNS, second)) == (first == second)


def test_a_row_is_bound_to_its_columns_names_and_kinds():
    one, other = (Column(name="a", kind="integer"),), (Column(name="b", kind="integer"),)
    assert row_record(schema_prefix(one), one, (1,)) != row_record(schema_prefix(other), other, (1,))


def test_a_number_that_is_not_finite_cannot_be_committed_to():
    column = (Column(name="a", kind="real"),)
    with pytest.raises(BadInput):
        row_record(schema_prefix(column), column, (float("nan"),))

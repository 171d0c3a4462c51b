"""The Merkle tree against the published vectors of Certificate Transparency and a recursive definition."""

from __future__ import annotations

import hashlib
import secrets
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.errors import BadInput, CloisterError, NotTrusted, Tampered
from cloister.ledger.tree import (
    EMPTY_ROOT,
    MemoryNodes,
    Tree,
    leaf_hash,
    node_hash,
    root_from_hashes,
    verify_consistency,
    verify_inclusion,
)

# The inputs, roots and proofs that the Certificate Transparency reference implementations test with.
INPUTS = [
    bytes.fromhex(item)
    for item in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def naive_root(leaves: list[bytes]) -> bytes:
    """The recursive definition of RFC 6962 section 2.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))


def naive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if index < k:
        return [*naive_path(index, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(index - k, leaves[k:]), naive_root(leaves[:k])]


def naive_consistency(old: int, leaves: list[bytes], whole: bool = True) -> list[bytes]:
    if old == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if old <= k:
        return [*naive_consistency(old, leaves[:k], whole), naive_root(leaves[k:])]
    return [*naive_consistency(old - k, leaves[k:], False), naive_root(leaves[:k])]


@cache
def grown(size: int = 66) -> Tree:
    tree = Tree(MemoryNodes())
    for index in range(size):
        assert tree.append(b"%d" % index) == index
    return tree


def reference() -> Tree:
    tree = Tree(MemoryNodes())
    for item in INPUTS:
        tree.append(item)
    return tree


def test_roots_are_those_of_the_reference() -> None:
    tree = Tree(MemoryNodes())
    assert tree.root().hex() == hashlib.sha256(b"").hexdigest()
    for item, root in zip(INPUTS, ROOTS, strict=True):
        tree.append(item)
        assert tree.root().hex() == root


@pytest.mark.parametrize(("place", "path"), INCLUSION.items())
def test_inclusion_proofs_are_those_of_the_reference(place: tuple[int, int], path: list[str]) -> None:
    assert [item.hex() for item in reference().inclusion_proof(*place)] == path


@pytest.mark.parametrize(("sizes", "path"), CONSISTENCY.items())
def test_consistency_proofs_are_those_of_the_reference(sizes: tuple[int, int], path: list[str]) -> None:
    assert [item.hex() for item in reference().consistency_proof(*sizes)] == path


def test_every_small_tree_agrees_with_the_recursive_definition_and_every_proof_holds() -> None:
    tree, leaves = grown(), [b"%d" % index for index in range(66)]
    for size in range(35):
        root = naive_root(leaves[:size])
        assert tree.root(size) == root == root_from_hashes([leaf_hash(item) for item in leaves[:size]])
        for index in range(size):
            proof = tree.inclusion_proof(index, size)
            assert proof == naive_path(index, leaves[:size])
            verify_inclusion(leaf_hash(leaves[index]), index, size, proof, root)
        for old in range(1, size + 1):
            proof = tree.consistency_proof(old, size)
            assert proof == naive_consistency(old, leaves[:size])
            verify_consistency(old, size, naive_root(leaves[:old]), root, proof)
        verify_consistency(0, size, EMPTY_ROOT, root, [])


def test_a_proof_holds_for_no_other_index_size_leaf_or_root() -> None:
    tree = grown()
    for size in (1, 2, 3, 7, 8, 13, 32, 33):
        for index in range(size):
            leaf, proof, root = tree.leaf(index), tree.inclusion_proof(index, size), tree.root(size)
            for other in range(size):
                if other != index:
                    with pytest.raises(NotTrusted):
                        verify_inclusion(leaf, other, size, proof, root)
            with pytest.raises(NotTrusted):
                verify_inclusion(leaf_hash(b"other"), index, size, proof, root)
            with pytest.raises(NotTrusted):
                verify_inclusion(leaf, index, size, [*proof, root], root)
            with pytest.raises(NotTrusted):
                verify_inclusion(leaf, index, size, proof, EMPTY_ROOT)
            if proof:
                with pytest.raises(NotTrusted):
                    verify_inclusion(leaf, index, size, proof[:-1], root)


def test_no_proof_joins_histories_that_differ() -> None:
    ours, theirs = grown(), Tree(MemoryNodes())
    for index in range(40):
        theirs.append(b"%d" % index if index != 5 else b"changed")
    for old in range(6, 40):
        for new in range(old, 41):
            if new > theirs.size:
                continue
            for proof in (ours.consistency_proof(old, new), theirs.consistency_proof(old, new)):
                with pytest.raises(NotTrusted):
                    verify_consistency(old, new, ours.root(old), theirs.root(new), proof)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 66), st.data())
def test_a_proof_with_any_bit_flipped_or_a_hash_moved_is_refused(size: int, data: st.DataObject) -> None:
    tree = grown()
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    for proof, check in (
        (
            tree.inclusion_proof(index, size),
            lambda p: verify_inclusion(tree.leaf(index), index, size, p, tree.root(size)),
        ),
        (
            tree.consistency_proof(old, size),
            lambda p: verify_consistency(old, size, tree.root(old), tree.root(size), p),
        ),
    ):
        check(proof)
        if not proof:
            continue
        position = data.draw(st.integers(0, 10_000)) % len(proof)
        changed = bytearray(proof[position])
        changed[data.draw(st.integers(0, 31))] ^= 1 << data.draw(st.integers(0, 7))
        with pytest.raises(NotTrusted):
            check([*proof[:position], bytes(changed), *proof[position + 1 :]])
        with pytest.raises(NotTrusted):
            check([*proof[:position], *proof[position + 1 :]])
        with pytest.raises(NotTrusted):
            check([*proof, secrets.token_bytes(32)])


@settings(max_examples=150, deadline=None)
@given(st.integers(-2, 70), st.integers(-2, 70), st.lists(st.binary(min_size=31, max_size=33), max_size=8))
def test_verifiers_answer_any_input_with_a_refusal(first: int, second: int, proof: list[bytes]) -> None:
    with pytest.raises(NotTrusted):
        verify_inclusion(bytes(32), first, second, proof, b"\x01" * 32)
    with pytest.raises(NotTrusted):
        verify_consistency(first, second, bytes(32), b"\x01" * 32, proof)


def test_a_proof_that_is_far_too_long_is_refused_at_once() -> None:
    with pytest.raises(NotTrusted):
        verify_inclusion(bytes(32), 0, 2, [bytes(32)] * 10_000, bytes(32))
    with pytest.raises(NotTrusted):
        verify_consistency(1, 2, bytes(32), bytes(32), [bytes(32)] * 10_000)


def test_a_tree_goes_on_from_its_stored_nodes() -> None:
    nodes = MemoryNodes()
    first = Tree(nodes)
    for index in range(21):
        first.append(b"%d" % index)
    again = Tree(nodes, 21)
    for index in range(21, 66):
        again.append(b"%d" % index)
    assert again.root() == grown().root()


class Counting(MemoryNodes):
    def __init__(self) -> None:
        super().__init__()
        self.touched = 0

    def get(self, level: int, index: int) -> bytes | None:
        self.touched += 1
        return super().get(level, index)

    def put(self, level: int, index: int, value: bytes) -> None:
        self.touched += 1
        super().put(level, index, value)


def test_appending_and_proving_touch_a_logarithm_of_the_nodes() -> None:
    nodes = Counting()
    tree = Tree(nodes)
    size = 5000
    for index in range(size):
        nodes.touched = 0
        tree.append(b"%d" % index)
        assert nodes.touched <= 2 * 13 + 1
    for work in (
        tree.root,
        lambda: tree.inclusion_proof(1234),
        lambda: tree.inclusion_proof(size - 1),
        lambda: tree.consistency_proof(1233, 4999),
    ):
        nodes.touched = 0
        work()
        assert nodes.touched <= 3 * 13


def test_a_missing_or_malformed_node_is_noticed() -> None:
    nodes = MemoryNodes()
    tree = Tree(nodes)
    for index in range(8):
        tree.append(b"%d" % index)
    nodes.nodes[3, 0] = b"short"
    with pytest.raises(Tampered):
        tree.root()
    del nodes.nodes[0, 4]
    with pytest.raises(Tampered):
        tree.inclusion_proof(5)


def test_sizes_and_indexes_out_of_range_are_refused() -> None:
    tree = grown()
    for work in (
        lambda: tree.root(67),
        lambda: tree.root(-1),
        lambda: tree.leaf(66),
        lambda: tree.inclusion_proof(3, 3),
        lambda: tree.inclusion_proof(-1),
        lambda: tree.consistency_proof(5, 4),
        lambda: tree.consistency_proof(-1),
    ):
        with pytest.raises(CloisterError) as caught:
            work()
        assert isinstance(caught.value, BadInput)


def test_a_hash_left_over_is_refused_even_where_the_root_was_made_to_fit() -> None:
    tree, extra = grown(), bytes(range(32))
    for size in (1, 2, 5, 8):
        forged = node_hash(extra, tree.root(size))
        with pytest.raises(NotTrusted, match="left over"):
            verify_inclusion(tree.leaf(0), 0, size, [*tree.inclusion_proof(0, size), extra], forged)
    old, new = node_hash(extra, tree.root(3)), node_hash(extra, tree.root(6))
    with pytest.raises(NotTrusted, match="left over"):
        verify_consistency(3, 6, old, new, [*tree.consistency_proof(3, 6), extra])

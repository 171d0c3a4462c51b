"""An append-only Merkle tree, as in RFC 6962 and RFC 9162, over leaves that are bytes.

The root of a tree commits to every leaf and its position. An *inclusion proof* shows that one leaf is under a root; a
*consistency proof* shows that a newer root extends an older one, so that nothing before was changed or dropped.

Rules:
1. Leaf hashes and node hashes are of different domains (0x00 and 0x01 in front), so a node cannot pass as a leaf.
2. Only complete subtrees are stored, each once, by level and index: `(level, i)` covers the leaves from
   `i * 2**level` to `(i + 1) * 2**level`. A stored node never changes; appending writes at most log2(n) + 1 nodes.
3. Verifiers take sizes, hashes and proofs from strangers: every length is checked, and a proof that has hashes left
   over or too few is wrong.

Sources: RFC 6962 section 2.1; RFC 9162 sections 2.1.3 (inclusion) and 2.1.4 (consistency).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

from cloister.foundation.digests import same
from cloister.foundation.errors import BadInput, NotTrusted, Tampered

HASH = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
MAX_SIZE = 1 << 48
MAX_PROOF = 64


class NodeStore(Protocol):
    """Keeps hashes of complete subtrees. Writing the same node twice with the same hash must be harmless."""

    def get(self, level: int, index: int) -> bytes | None:
        """The 32-byte hash at that place, or `None`."""
        ...

    def put(self, level: int, index: int, value: bytes) -> None:
        """Keeps a 32-byte hash."""
        ...


class MemoryNodes:
    """A `NodeStore` in memory."""

    def __init__(self) -> None:
        self.nodes: dict[tuple[int, int], bytes] = {}

    def get(self, level: int, index: int) -> bytes | None:
        """The hash at that place, or `None`."""
        return self.nodes.get((level, index))

    def put(self, level: int, index: int, value: bytes) -> None:
        """Keeps a hash."""
        self.nodes[level, index] = value


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256(0x00 ‖ leaf) (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right) (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree of `size` leaves whose nodes are in `store`. The caller keeps the size together with its leaves."""

    def __init__(self, store: NodeStore, size: int = 0) -> None:
        self._store = store
        self._size = size

    def __len__(self) -> int:
        return self._size

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return self._size

    def append(self, leaf: bytes) -> int:
        """Adds a leaf; returns its index."""
        return self.append_hash(leaf_hash(leaf))

    def append_hash(self, value: bytes) -> int:
        """Adds a leaf by its hash; returns its index."""
        place = index = self._size
        level = 0
        self._store.put(level, index, value)
        while index & 1:
            value = node_hash(self._node(level, index - 1), value)
            level, index = level + 1, index >> 1
            self._store.put(level, index, value)
        self._size += 1
        return place

    def leaf(self, index: int) -> bytes:
        """The hash of the leaf at `index`."""
        _within(index, self._size)
        return self._node(0, index)

    def root(self, size: int | None = None) -> bytes:
        """The root over the first `size` leaves (all, if absent)."""
        return self._range(0, self._at(size))

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """The hashes that lead from the leaf at `index` to the root over `size` leaves (RFC 9162, 2.1.3.1)."""
        end = self._at(size)
        _within(index, end)
        proof: list[bytes] = []
        start = 0
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                proof.append(self._range(middle, end))
                end = middle
            else:
                proof.append(self._range(start, middle))
                start = middle
        return proof[::-1]

    def consistency_proof(self, old: int, new: int | None = None) -> list[bytes]:
        """The hashes that show that the root over `new` leaves extends the one over `old` (RFC 9162, 2.1.4.1)."""
        end = self._at(new)
        if not 0 <= old <= end:
            raise _bad_size(old, end)
        if old in {0, end}:
            return []
        proof: list[bytes] = []
        start, whole = 0, True
        while old != end:
            middle = start + _split(end - start)
            if old <= middle:
                proof.append(self._range(middle, end))
                end = middle
            else:
                proof.append(self._range(start, middle))
                start, whole = middle, False
        if not whole:
            proof.append(self._range(start, end))
        return proof[::-1]

    def _at(self, size: int | None) -> int:
        if size is None:
            return self._size
        if not 0 <= size <= self._size:
            raise _bad_size(size, self._size)
        return size

    def _range(self, start: int, end: int) -> bytes:
        """The hash over leaves `start` to `end`, where `start` is a multiple of the next power of two."""
        if start == end:
            return EMPTY_ROOT
        value: bytes | None = None
        while end > start:
            # The last complete subtree has the size of the lowest set bit of what is left.
            width = (end - start) & -(end - start)
            level = width.bit_length() - 1
            part = self._node(level, (end >> level) - 1)
            value = part if value is None else node_hash(part, value)
            end -= width
        assert value is not None
        return value

    def _node(self, level: int, index: int) -> bytes:
        value = self._store.get(level, index)
        if value is None or len(value) != HASH:
            raise Tampered(
                "The ledger's tree lacks a node.",
                f"Level {level}, index {index} is missing or malformed.",
                "Restore the ledger from a backup, then run `cloister ledger verify`.",
                clause="ledger-node",
            )
        return value


def root_from_hashes(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, without storing a tree. O(n)."""
    stack: list[tuple[int, bytes]] = []
    for value in hashes:
        level = 0
        while stack and stack[-1][0] == level:
            value, level = node_hash(stack.pop()[1], value), level + 1
        stack.append((level, value))
    if not stack:
        return EMPTY_ROOT
    value = stack.pop()[1]
    while stack:
        value = node_hash(stack.pop()[1], value)
    return value


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raises `NotTrusted` unless the leaf *hash* is at `index` under `root` over `size` leaves (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size <= MAX_SIZE:
        raise _wrong("The index lies outside the tree.")
    _check_hashes([leaf, root, *proof])
    first, last = index, size - 1
    value = leaf
    for item in proof:
        if last == 0:
            raise _wrong("The proof has hashes left over.")
        if first & 1 or first == last:
            value = node_hash(item, value)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            value = node_hash(value, item)
        first, last = first >> 1, last >> 1
    if last != 0 or not same(value, root):
        raise _wrong("It does not lead to the root.")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raises `NotTrusted` unless the tree of `new` leaves extends the tree of `old` leaves (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new <= MAX_SIZE:
        raise _wrong("A log does not shrink.")
    _check_hashes([old_root, new_root, *proof])
    if old in {0, new}:
        if proof or (old == new and not same(old_root, new_root)) or (old == 0 and old_root != EMPTY_ROOT):
            raise _wrong("The roots of equal sizes differ, or the proof has hashes left over.")
        return
    hashes = list(proof)
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    if not hashes:
        raise _wrong("The proof is empty.")
    older = newer = hashes[0]
    for item in hashes[1:]:
        if last == 0:
            raise _wrong("The proof has hashes left over.")
        if first & 1 or first == last:
            older, newer = node_hash(item, older), node_hash(item, newer)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            newer = node_hash(newer, item)
        first, last = first >> 1, last >> 1
    if last != 0 or not same(older, old_root) or not same(newer, new_root):
        raise _wrong("It does not lead from the old root to the new one.")


def _split(count: int) -> int:
    """The largest power of two smaller than `count` (at least 2)."""
    return 1 << ((count - 1).bit_length() - 1)


def _within(index: int, size: int) -> None:
    if not 0 <= index < size:
        raise BadInput(
            "There is no such ledger entry.",
            f"Index {index} of {size}.",
            "Give an index below the ledger's size.",
        )


def _bad_size(asked: int, size: int) -> BadInput:
    return BadInput(
        "There is no such state of the ledger.",
        f"Size {asked} was asked for; it has {size} entries.",
        "Give a size that the ledger has reached.",
    )


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if len(hashes) > MAX_PROOF + 2 or any(len(item) != HASH for item in hashes):
        raise _wrong("It has too many hashes, or some of the wrong length.")


def _wrong(why: str) -> NotTrusted:
    return NotTrusted(
        "A ledger proof does not hold.",
        why,
        "Ask for the proof again; if it fails again, keep it and tell the other parties.",
        clause="ledger-proof",
    )

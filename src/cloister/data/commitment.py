"""A promise about records that tells nothing about them, and can be opened one record at a time.

At registration the owner publishes one digest. Later it can prove that a record was in the dataset then (for example to
an auditor, or inside a zero-knowledge proof) without showing any other record. Rules:
1. Every leaf is salted: leaf_i = SHA-256(0x00 ‖ salt_i ‖ record_i), salt_i = HMAC-SHA-256(dataset secret, label ‖ i).
   Whoever sees the digest or another record's proof cannot test a guess of record i.
2. Interior nodes are SHA-256(0x01 ‖ left ‖ right) over the tree of RFC 6962, section 2.1: leaves cannot pose as nodes.
3. The published digest binds the number of records too: SHA-256(0x02 ‖ size as 8 bytes ‖ root). A proof made for a
   tree of another size does not verify, although RFC 6962 paths alone would not always tell.
4. A foreign proof is parsed within limits; verifying it raises `NotTrusted` or `BadInput`, nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from cloister.data.schema import Column, Digest
from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest_json, raw, same
from cloister.foundation.documents import Document, parse_document
from cloister.foundation.errors import BadInput, NotTrusted

SALT_BYTES = 32
MAX_RECORDS = 1 << 40
_LABEL = b"cloister/record-salt@1"


def record_salt(secret: bytes, index: int) -> bytes:
    """The salt of record `index`, 32 bytes, from the dataset's secret (at least 32 random bytes)."""
    if len(secret) < SALT_BYTES:
        raise BadInput(
            "The dataset's salt is too short.",
            f"At least {SALT_BYTES} bytes.",
            "Make one with secrets.token_bytes(32).",
        )
    return hmac.new(secret, _LABEL + struct.pack(">Q", index), hashlib.sha256).digest()


def leaf(salt: bytes, record: bytes) -> bytes:
    """The leaf of one salted record. The salt has a fixed length, so salt and record cannot be cut differently."""
    if len(salt) != SALT_BYTES:
        raise BadInput(
            "A record's salt has the wrong length.", f"It has {SALT_BYTES} bytes.", "Use record_salt()."
        )
    return hashlib.sha256(b"\x00" + salt + record).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 section 2.1 over 32-byte leaves; of none, SHA-256 of the empty string."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = list(leaves)
    # Pairing from the left and carrying an odd one up gives the RFC's split at the largest power of two.
    while len(level) > 1:
        paired = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


def commitment(leaves: Sequence[bytes]) -> str:
    """The public digest of a dataset: root and size together (rule 3)."""
    return bind(len(leaves), merkle_root(leaves))


def bind(size: int, root: bytes) -> str:
    """The commitment to a tree of `size` leaves with this root."""
    return "sha256:" + hashlib.sha256(b"\x02" + struct.pack(">Q", size) + root).hexdigest()


class InclusionProof(Document):
    """That a record was in a dataset. It reveals the dataset's size, the record's place and its salt, nothing else."""

    type: Literal["cloister/inclusion@1"] = "cloister/inclusion@1"
    size: Annotated[int, Field(ge=1, le=MAX_RECORDS)]
    index: Annotated[int, Field(ge=0, lt=MAX_RECORDS)]
    salt: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    path: Annotated[tuple[Digest, ...], Field(max_length=64)]


def prove(leaves: Sequence[bytes], index: int, secret: bytes) -> InclusionProof:
    """The proof for record `index`. Raises `BadInput` if there is no such record."""
    if not 0 <= index < len(leaves):
        raise BadInput("There is no such record.", "The index is outside the dataset.", "Count from 0.")
    path: list[str] = []
    level, at = list(leaves), index
    while len(level) > 1:
        beside = at ^ 1
        if beside < len(level):
            path.append("sha256:" + level[beside].hex())
        paired = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level, at = paired, at // 2
    return InclusionProof(
        size=len(leaves), index=index, salt=record_salt(secret, index).hex(), path=tuple(path)
    )


def parse_proof(data: bytes) -> InclusionProof:
    """A proof from another party. Raises `BadInput`."""
    return parse_document(InclusionProof, data, "An inclusion proof", max_bytes=16 << 10)


def verify(published: str, record: bytes, proof: InclusionProof) -> None:
    """That `record` is in the dataset whose commitment is `published` (RFC 9162 section 2.1.3.2, and rule 3).

    Raises:
        NotTrusted: it is not, or the proof is for another dataset.
    """
    if proof.index >= proof.size:
        raise _not_included()
    digest = leaf(bytes.fromhex(proof.salt), record)
    at, last = proof.index, proof.size - 1
    for step in proof.path:
        if last == 0:
            raise _not_included()
        beside = raw(step)
        if at % 2 or at == last:
            digest = _node(beside, digest)
            while at % 2 == 0 and at:
                at, last = at >> 1, last >> 1
        else:
            digest = _node(digest, beside)
        at, last = at >> 1, last >> 1
    if last or not same(bind(proof.size, digest), published):
        raise _not_included()


def image_record(file_digest: str, labels: dict[str, Any] | None) -> bytes:
    """The record of a picture: canonical JSON of its file's digest and its labels.

    Args:
        file_digest: `sha256:<hex>` of the encoded file.
        labels: `{"centres": [[x, y], …], "diameters": [d, …] or null}`, or None if unlabelled. However the labels were
            stored (JSON, CSV, one file or many), equal labels give equal bytes.
    """
    return canonical({"image": file_digest, "labels": labels})


def schema_prefix(columns: Sequence[Column]) -> bytes:
    """32 bytes that bind names, kinds and order of the columns to every row."""
    return raw(digest_json([[column.name, column.kind] for column in columns]))


def row_record(prefix: bytes, columns: Sequence[Column], values: Sequence[Any]) -> bytes:
    """The record of a table's row: the schema's prefix, then each cell by its column's kind.

    A cell is one tag byte and a payload: 0x00 missing; 0x01 boolean, one byte; 0x02 integer, 8 bytes two's complement;
    0x03 real, 8 bytes IEEE 754 with -0 written as 0; 0x04 text, 4 bytes length and UTF-8; 0x05 timestamp, 8 bytes
    microseconds since 1970 UTC. Everything is big-endian. Each payload says its own length, so no two rows share bytes.
    """
    parts = [prefix]
    for column, value in zip(columns, values, strict=True):
        parts.append(_cell(column.kind, value))
    return b"".join(parts)


def _cell(kind: str, value: Any) -> bytes:
    if value is None:
        return b"\x00"
    if kind == "boolean":
        return b"\x01\x01" if value else b"\x01\x00"
    if kind == "integer":
        return b"\x02" + struct.pack(">q", value)
    if kind == "real":
        if not math.isfinite(value):
            raise BadInput(
                "A table has a number that is not finite.",
                "It cannot be committed to.",
                "Leave the cell empty instead.",
            )
        return b"\x03" + struct.pack(">d", value + 0.0)  # -0.0 + 0.0 is 0.0
    if kind == "text":
        text = str(value).encode("utf-8")
        return b"\x04" + struct.pack(">I", len(text)) + text
    return b"\x05" + struct.pack(">q", value)


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _not_included() -> NotTrusted:
    return NotTrusted(
        "The record is not part of the registered dataset.",
        "Its proof does not lead to the published commitment.",
        "Ask the owner which version of the dataset the proof belongs to.",
        clause="dataset-commitment",
    )


@dataclass(frozen=True)
class Committed:
    """A dataset's leaves and the digest to publish."""

    leaves: tuple[bytes, ...]
    published: str


def commit(records: Iterable[bytes], secret: bytes) -> Committed:
    """Salts, hashes and commits to all records, in order."""
    leaves = tuple(leaf(record_salt(secret, index), record) for index, record in enumerate(records))
    return Committed(leaves, commitment(leaves))

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.errors import BadInput, CloisterError, NotTrusted
from cloister.ledger.leaves import KINDS, MAX_LEAF, Leaf, Opening, conceal, verify_opening

NOW = 1_800_000_000
DOCUMENT = "sha256:" + "ab" * 32


def test_an_entry_tells_its_kind_and_time_and_nothing_of_its_document() -> None:
    leaf, opening = conceal("agreement", DOCUMENT, NOW)
    assert set(leaf.model_dump()) == {"kind", "digest", "time"}
    assert b"ab" * 32 not in leaf.encode()
    assert opening.salt.hex() not in leaf.encode().decode()
    assert leaf.at == NOW
    assert "salt" not in repr(opening)


def test_two_entries_about_one_document_cannot_be_linked() -> None:
    assert conceal("agreement", DOCUMENT, NOW)[0].digest != conceal("agreement", DOCUMENT, NOW)[0].digest


def test_an_opening_shows_the_document_and_only_that_one() -> None:
    leaf, opening = conceal("release", DOCUMENT, NOW)
    verify_opening(leaf, opening)
    verify_opening(leaf, Opening.from_json(opening.to_json()))
    for other in (Opening("sha256:" + "00" * 32, opening.salt), Opening(DOCUMENT, bytes(32))):
        with pytest.raises(NotTrusted):
            verify_opening(leaf, other)


def test_a_salted_digest_is_sha_256_over_salt_and_document_digest() -> None:
    import hashlib

    leaf, _ = conceal("card", DOCUMENT, NOW, salt=bytes(range(32)))
    assert leaf.digest == "sha256:" + hashlib.sha256(bytes(range(32)) + bytes.fromhex("ab" * 32)).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_entries_of_every_kind_survive_their_bytes(kind: str) -> None:
    leaf, _ = conceal(kind, DOCUMENT, NOW)  # type: ignore[arg-type]  # parametrised over the literal's values
    assert Leaf.decode(leaf.encode()) == leaf
    assert len(leaf.encode()) < MAX_LEAF


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"digest":"sha256:x","kind":"card","time":"2026-11-22T14:00:00Z"}',
        b'{"kind":"card"}',
        b'{"digest":"sha256:' + b"0" * 64 + b'","kind":"sql","time":"2026-11-22T14:00:00Z"}',
        b'{"digest":"sha256:' + b"0" * 64 + b'","kind":"card","time":"2026-02-30T14:00:00Z"}',
        b'{"digest":"sha256:' + b"0" * 64 + b'","kind":"card","name":"x","time":"2026-11-22T14:00:00Z"}',
        b'{"digest":"sha256:' + b"0" * 64 + b'", "kind":"card","time":"2026-11-22T14:00:00Z"}',
        b" " * 600,
    ],
)
def test_a_malformed_entry_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        Leaf.decode(data)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"document": DOCUMENT, "salt": "AA=="},
        {"document": "x", "salt": "AA=="},
        {"document": DOCUMENT, "salt": "!"},
    ],
)
def test_a_malformed_opening_is_refused(value: object) -> None:
    with pytest.raises(BadInput):
        Opening.from_json(value)
    with pytest.raises(BadInput):
        conceal("card", DOCUMENT, NOW, salt=b"short")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CloisterError):
        Leaf.decode(data)


@given(st.sampled_from(KINDS), st.binary(min_size=32, max_size=32), st.integers(0, 4_000_000_000))
def test_the_entrys_pattern_and_canonical_json_agree(kind: str, document: bytes, now: int) -> None:
    from cloister.foundation.canonical import parse_canonical

    leaf, _ = conceal(kind, "sha256:" + document.hex(), now)  # type: ignore[arg-type]  # sampled from the literal
    assert Leaf.decode(leaf.encode()) == leaf
    assert parse_canonical(leaf.encode()) == leaf.model_dump()
    assert leaf.at == now

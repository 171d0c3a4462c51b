"""Sealed streams, rule by rule (see `cloister.identity.streams`)."""

from __future__ import annotations

import io

import pytest

from cloister.foundation.canonical import canonical, parse
from cloister.foundation.errors import BadInput, CloisterError, NotTrusted, Tampered
from cloister.identity.keystore import Cost, Passphrase
from cloister.identity.streams import CHUNK, MAX_HEADER, TAG, seal, unseal

KIND = "cloister/test@1"
UNLOCK = Passphrase(b"a passphrase of the tests", Cost(1, 1, 64))


def sealed(data: bytes, step: int = 300_000) -> bytes:
    return b"".join(seal((data[at : at + step] for at in range(0, len(data), step)), KIND, UNLOCK))


def opened(data: bytes, kind: str = KIND, unlock: Passphrase = UNLOCK) -> bytes:
    return b"".join(unseal(io.BytesIO(data), kind, unlock))


def text(size: int) -> bytes:
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17])
def test_what_was_sealed_opens(size):
    assert opened(sealed(text(size))) == text(size)


def test_it_opens_whatever_sizes_a_reader_gets():
    class Slow(io.BytesIO):
        def read(self, size: int = -1, /) -> bytes:
            return super().read(min(size, 4099))

    assert b"".join(unseal(Slow(sealed(text(CHUNK + 9))), KIND, UNLOCK)) == text(CHUNK + 9)


def test_rule_1_each_stream_has_a_key_and_a_prefix_of_its_own():
    headers = [parse(sealed(b"x").partition(b"\n")[0]) for _ in range(3)]
    assert len({item["key"]["salt"] for item in headers}) == len({item["prefix"] for item in headers}) == 3


def test_rule_1_another_passphrase_does_not_open_it():
    with pytest.raises(NotTrusted) as found:
        opened(sealed(b"x"), unlock=Passphrase(b"another passphrase", Cost(1, 1, 64)))
    assert found.value.clause == "passphrase"


def test_rule_2_what_was_changed_swapped_repeated_left_out_cut_or_made_longer_does_not_open():
    whole = sealed(text(3 * CHUNK + 5))
    head, _, body = whole.partition(b"\n")
    size = CHUNK + TAG
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    assert len(chunks) == 4

    def of(*order: int) -> bytes:
        return head + b"\n" + b"".join(chunks[number] for number in order)

    assert opened(of(0, 1, 2, 3)) == text(3 * CHUNK + 5)
    bent = bytearray(whole)
    bent[len(head) + 2 * size] ^= 1
    for wrong in (
        of(0, 2, 1, 3),
        of(0, 1, 1, 2, 3),
        of(0, 2, 3),
        of(0, 1, 2),
        of(0, 1, 3),
        of(1, 2, 3),
        of(0, 1, 2, 3, 3),
        whole[:-1],
        whole[: -len(chunks[3])],
        whole + b"x",
        head + b"\n",
        bytes(bent),
    ):
        with pytest.raises(NotTrusted):
            opened(wrong)


def test_rule_2_a_stream_that_ends_at_a_chunks_end_is_not_cut_there_unnoticed():
    whole = sealed(text(2 * CHUNK))
    with pytest.raises(Tampered) as found:
        opened(whole[: len(whole) - CHUNK - TAG] + whole[-TAG:])
    assert found.value.clause == "stream"
    with pytest.raises(NotTrusted):
        opened(whole[: len(whole) - CHUNK - TAG])


@pytest.mark.parametrize(
    "change",
    [{"type": "cloister/other@1"}, {"more": 1}, {"key": 3}, {"prefix": "AAAA"}, {"key": {"name": "master"}}],
)
def test_rule_3_another_header_is_refused(change):
    head, _, body = sealed(b"x").partition(b"\n")
    with pytest.raises(CloisterError):
        opened(canonical(parse(head) | change) + b"\n" + body)


def test_rule_3_the_header_is_authenticated():
    head, _, body = sealed(b"x").partition(b"\n")
    other = sealed(b"x").partition(b"\n")[0]
    with pytest.raises(NotTrusted):
        opened(other + b"\n" + body)
    with pytest.raises(BadInput):
        opened(b" " + head + b"\n" + body)


def test_rule_3_what_a_header_asks_for_is_bounded_before_any_work_is_done():
    head, _, body = sealed(b"x").partition(b"\n")
    found = parse(head)
    found["key"]["memory_kib"] = 1 << 40
    with pytest.raises(CloisterError):
        opened(canonical(found) + b"\n" + body)


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"{}\n", b"x" * 10_000_000, b"[]\n", b"\xff\n", b"{" * (MAX_HEADER + 2)]
)
def test_what_is_no_sealed_stream_is_bad_input(data):
    with pytest.raises(BadInput):
        opened(data)


def test_rule_4_nothing_is_handed_on_before_it_was_authenticated():
    bent = bytearray(sealed(text(2 * CHUNK + 5)))
    bent[-1] ^= 1
    chunks = unseal(io.BytesIO(bytes(bent)), KIND, UNLOCK)
    assert next(chunks) + next(chunks) == text(2 * CHUNK)
    with pytest.raises(NotTrusted):
        next(chunks)

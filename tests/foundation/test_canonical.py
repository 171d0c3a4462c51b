"""Canonical JSON against RFC 8785's own examples, and the parser against hostile bytes."""

from __future__ import annotations

import json
import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.canonical import MAX_SAFE_INTEGER, _check_depth, canonical, parse, parse_canonical
from cloister.foundation.errors import BadInput, CloisterError

# RFC 8785, appendix B: IEEE 754 bits and the text that ECMAScript gives.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: abs(x) < 2**53)
    | st.text(st.characters(codec="utf-8"), max_size=20)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), inner, max_size=5)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_numbers_are_written_as_rfc_8785_appendix_b_says(bits: str, text: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical(value) == text.encode()


def test_the_example_of_rfc_8785_section_3_2_4_gives_its_bytes() -> None:
    source = (
        rb'{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],'
        rb'"string":"\u20ac$\u000F\u000aA'
        rb"'\u0042\u0022\u005c\\\"\/"
        rb'","literals":[null,true,false]}'
    )
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    ).encode()
    assert canonical(parse(source)) == expected


def test_keys_are_sorted_by_utf_16_units_as_in_rfc_8785_section_3_2_3() -> None:
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\x80", "\xf6"]
    ordered = list(json.loads(canonical(dict.fromkeys(keys))))
    assert ordered == ["\r", "1", "\x80", "\xf6", "\u20ac", "\U0001f600", "\ufb33"]


@settings(max_examples=100, deadline=None)
@given(values)
def test_what_is_written_is_read_back_and_written_the_same(value: object) -> None:
    data = canonical(value)
    assert parse(data) == value
    assert parse_canonical(data) == value
    assert canonical(parse(data)) == data


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\0123456789.eE-+ntrue falsu\ud7ff', max_size=80))
def test_any_bytes_are_read_or_refused_with_advice(source: bytes | str) -> None:
    data = source.encode("utf-8") if isinstance(source, str) else source
    for reader in (parse, parse_canonical):
        refusal: CloisterError | None = None
        try:
            reader(data)
        except CloisterError as error:
            refusal = error
        assert refusal is None or (refusal.what and refusal.remedy)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b"[NaN]",
        b"[Infinity]",
        b"[-Infinity]",
        b"[1e999]",
        b"[9007199254740992]",
        b"[-9007199254740992]",
        b"[123456789012345678901234567890]",
        b"\xff",
        b'\xef\xbb\xbf{"a":1}',
        b"",
        b"{",
        b"[1,]",
        b"{'a':1}",
        b"[1] [2]",
        b'"\\ud800"'[:-1],
    ],
)
def test_ambiguous_or_malformed_json_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        parse(data)


def test_depth_is_limited_before_parsing_and_brackets_in_strings_do_not_count() -> None:
    assert parse(b"[" * 64 + b"]" * 64)
    with pytest.raises(BadInput, match="nested"):
        parse(b"[" * 65 + b"]" * 65)
    with pytest.raises(BadInput, match="nested"):
        parse(b"[" * 100_000)
    assert parse(b'"' + b"[" * 500 + b'\\"' + b"{" * 500 + b'"')


def test_size_is_limited() -> None:
    assert parse(b'"aaaaaaaa"', max_bytes=10) == "aaaaaaaa"
    with pytest.raises(BadInput, match="large"):
        parse(b'"aaaaaaaaa"', max_bytes=10)


@pytest.mark.parametrize(
    "data", [b'{ "a":1}', b'{"b":1,"a":2}', b"1.0", b'"\\u0061"', b"[1]\n", b"-0", b'"\\ud800"']
)
def test_bytes_that_are_not_in_canonical_form_are_refused(data: bytes) -> None:
    parse(data)
    with pytest.raises(BadInput):
        parse_canonical(data)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**53, {1: 2}, {"a": object()}, "\ud800", b"bytes"]
)
def test_what_json_cannot_say_exactly_is_not_written(value: object) -> None:
    with pytest.raises(BadInput):
        canonical(value)


@pytest.mark.parametrize("piece", [b'\\"', b'"', b"\\", b'"\\'])
def test_hostile_strings_are_scanned_in_one_pass(piece: bytes) -> None:
    # A scanner that started anew at every quote would need hours for this.
    with pytest.raises(BadInput):
        parse(b'"' + piece * 500_000)


@pytest.mark.parametrize("piece", [b'"",\n', b'"\\\\\\"",', b"[],", b'{"a":[1]},', b"1,"])
def test_how_deep_a_document_is_takes_no_memory_to_find_out(piece: bytes) -> None:
    data = b"[" + b"[]," * 100 + piece * ((1 << 18) // len(piece)) + b"0]"
    tracemalloc.start()
    try:
        _check_depth(data, 64)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 16 << 10


@given(
    st.lists(st.sampled_from(['"', "\\", "[", "]", "{", "}", "x", "é", "\n"]), max_size=60), st.integers(0, 5)
)
def test_only_brackets_outside_of_strings_count(pieces: list[str], limit: int) -> None:
    text = "".join(pieces)
    deepest = depth = 0
    inside = escaped = False
    for letter in text:
        if inside:
            if escaped:
                escaped = False
            elif letter == "\\":
                escaped = True
            elif letter == '"':
                inside = False
        elif letter == '"':
            inside = True
        elif letter in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in "]}":
            depth -= 1
    if deepest > limit:
        with pytest.raises(BadInput):
            _check_depth(text.encode(), limit)
    else:
        _check_depth(text.encode(), limit)

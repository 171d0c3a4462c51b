"""JSON with exactly one byte form per value (RFC 8785), and a parser that trusts nobody.

Signatures and digests are over canonical bytes, so two nodes that hold the same document hold the same bytes.
Rules:
1. Foreign bytes are parsed within limits on size and depth, before anything else looks at them.
2. Duplicate keys, NaN, Infinity and integers beyond 2^53-1 are refused: parsers disagree about them.
3. `parse_canonical` also refuses bytes that are not the canonical form of what they say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import rfc8785

from cloister.foundation.errors import BadInput

JSON: TypeAlias = bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"] | None

MAX_BYTES = 4 << 20
MAX_DEPTH = 64
MAX_SAFE_INTEGER = 2**53 - 1


def canonical(value: JSON) -> bytes:
    """The RFC 8785 form of `value`, UTF-8. Raises `BadInput` for what JSON cannot say exactly."""
    try:
        return bytes(rfc8785.dumps(value))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise BadInput(
            "A document could not be written as canonical JSON.",
            str(error)[:200],
            "Use strings, lists, maps, booleans, null and numbers that JSON can hold exactly.",
        ) from None


def parse(data: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """The JSON value in `data`. Raises `BadInput` for anything ambiguous, oversized, too deep or malformed."""
    if len(data) > max_bytes:
        raise BadInput(
            "A JSON document is too large.",
            f"It has {len(data)} bytes; the limit is {max_bytes}.",
            "Send a smaller document.",
        )
    _check_depth(data, max_depth)
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constant,
            parse_int=_safe_integer,
            parse_float=_finite,
        )
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise BadInput(
            "A JSON document could not be read.", str(error)[:200], "Check that it is UTF-8 JSON."
        ) from None


def parse_canonical(data: bytes, *, max_bytes: int = MAX_BYTES) -> Any:
    """Like `parse`, and refuses bytes that are not in canonical form."""
    value = parse(data, max_bytes=max_bytes)
    if canonical(value) != data:
        raise BadInput(
            "A signed document is not in canonical form.",
            "Its bytes differ from the RFC 8785 form of its content.",
            "Have it written and signed again by Cloister.",
        )
    return value


# Up to the next bracket that is in no string; strings are skipped whole, also one that does not end. Nothing is kept but one match.
_TO_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]|\\.)*+"?)*+([\[\]{}]?)', re.DOTALL)


def _check_depth(data: bytes, limit: int) -> None:
    # Before json.loads, whose recursion is deeper than ours may be.
    if data.count(b"[") + data.count(b"{") <= limit:
        return  # it cannot be nested more deeply than it has brackets
    depth = 0
    for match in _TO_BRACKET.finditer(data):
        bracket = match[1]
        if bracket in (b"[", b"{"):
            depth += 1
            if depth > limit:
                raise BadInput(
                    "A JSON document is nested too deeply.",
                    f"The limit is {limit} levels.",
                    "Send a flatter document.",
                )
        elif bracket:
            depth -= 1


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise BadInput(
            "A JSON document repeats a key.",
            "Readers disagree about which value counts.",
            "Keep each key once.",
        )
    return result


def _no_constant(_name: str) -> Any:
    raise BadInput(
        "A JSON document has a number that is not finite.",
        "NaN and Infinity are not JSON.",
        "Use finite numbers.",
    )


def _safe_integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_SAFE_INTEGER:
        raise BadInput(
            "A JSON document has an integer that readers round differently.",
            "Integers beyond 2^53-1 are not exact in JSON.",
            "Write it as a string.",
        )
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        _no_constant(text)
    return value

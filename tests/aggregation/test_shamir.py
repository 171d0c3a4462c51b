"""Shamir's sharing: any t shares open, fewer fit every secret alike."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.aggregation import shamir
from cloister.foundation.errors import BadInput


def times(values, factor):
    return shamir.times(values, np.uint8(factor))


@st.composite
def sharings(draw):
    threshold = draw(st.integers(1, 12))
    places = draw(st.lists(st.integers(1, 255), min_size=threshold, max_size=15, unique=True))
    secret = draw(st.binary(min_size=1, max_size=40))
    size = shamir.coefficient_bytes(len(secret), threshold)
    return secret, threshold, places, draw(st.binary(min_size=size, max_size=size)), draw(st.randoms())


@settings(max_examples=60, deadline=None)
@given(sharings())
def test_any_t_shares_open_the_secret(case):
    secret, threshold, places, randomness, chance = case
    shares = shamir.split(secret, threshold, places, randomness)
    some = chance.sample(places, threshold)
    assert shamir.combine({place: shares[place] for place in some}, threshold) == secret
    assert shamir.combine(shares, threshold) == secret
    assert all(len(share) == len(secret) for share in shares.values())


def test_the_product_is_that_of_the_field_of_aes():
    # FIPS 197, sections 4.2 and 4.2.1.
    assert times(np.array([0x57], np.uint8), 0x83)[0] == 0xC1
    assert times(np.array([0x57], np.uint8), 0x13)[0] == 0xFE


def test_products_make_a_field():
    everything = np.arange(256, dtype=np.uint8)
    for factor in range(1, 256):
        found = times(everything, factor)
        assert len(set(found.tolist())) == 256
        assert shamir._product(factor, shamir._inverse(factor)) == 1
        assert found[7] == shamir._product(7, factor) == shamir._product(factor, 7)


def test_fewer_than_t_shares_fit_every_secret_alike():
    """Rule 1: exhaustive for one byte and t = 3, all 65536 polynomials of two secrets."""
    places, seen = [1, 2, 9], {}
    for secret in (b"\x00", b"\xa7"):
        counts: Counter[tuple[bytes, bytes]] = Counter()
        grid = np.array(list(itertools.product(range(256), repeat=2)), np.uint8)
        values = {}
        for place in places[:2]:
            linear = times(grid[:, 0], place)
            square = times(times(grid[:, 1], place), place)
            values[place] = linear ^ square ^ secret[0]
        counts.update(zip(values[1].tolist(), values[2].tolist(), strict=True))
        seen[secret] = counts
        first = shamir.split(secret, 3, places, bytes(grid[4711]))
        assert first[1][0] == values[1][4711]
    assert set(seen[b"\x00"].values()) == {1}
    assert len(seen[b"\x00"]) == 65536
    assert seen[b"\x00"] == seen[b"\xa7"]


def test_products_do_the_same_whatever_the_secret():
    """Rule 2: the code that meets secrets has no branch on, and no index by, their values."""
    import ast
    import inspect

    for function in (shamir.times, shamir.split, shamir.combine):
        tree = ast.parse(inspect.getsource(function))
        for node in ast.walk(tree):
            if isinstance(node, ast.If):
                names = {item.id for item in ast.walk(node.test) if isinstance(item, ast.Name)}
                # `randomness` and `secret` only by length.
                text = ast.unparse(node.test)
                assert not names & {
                    "values",
                    "shifted",
                    "result",
                    "carried",
                    "chosen",
                    "coefficients",
                    "coefficient",
                }, text
                assert "secret[" not in text
                assert "randomness[" not in text
            if isinstance(node, ast.Subscript):
                names = {item.id for item in ast.walk(node.slice) if isinstance(item, ast.Name)}
                assert not names & {"values", "shifted", "secret", "randomness"}


@pytest.mark.parametrize(
    ("threshold", "places"), [(2, [1]), (2, [1, 1]), (2, [0, 1]), (2, [1, 256]), (0, [1]), (256, [1])]
)
def test_impossible_places_are_refused(threshold, places):
    """Rule 3."""
    with pytest.raises(BadInput):
        shamir.split(b"s", threshold, places, b"\x01")
    with pytest.raises(BadInput):
        shamir.combine(dict.fromkeys(places, b"s"), threshold)


def test_shares_of_other_lengths_and_short_randomness_are_refused():
    with pytest.raises(BadInput):
        shamir.combine({1: b"ab", 2: b"a"}, 2)
    with pytest.raises(BadInput):
        shamir.combine({1: b"", 2: b""}, 2)
    with pytest.raises(BadInput):
        shamir.split(b"ab", 2, [1, 2], b"a")

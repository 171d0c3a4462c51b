"""Which records are kept apart: each decided by itself, so that no unit's fate depends on another."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.training.splitting import identities, split

CONTENTS = st.lists(st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f"]), max_size=12)
SHARES = st.sampled_from([0.0, 0.2, 0.5, 0.9])


@given(contents=st.lists(st.binary(max_size=3), max_size=20), share=SHARES)
@settings(max_examples=100)
def test_every_unit_is_trained_on_or_kept_apart_and_neither_is_empty_without_need(
    contents: list[bytes], share: float
) -> None:
    cut = split(identities(contents), share)
    assert sorted(cut.train + cut.kept) == list(range(len(contents)))
    assert set(cut.units) <= set(cut.train)
    if contents:
        assert cut.train
    if share and len(contents) > 1:
        assert cut.kept
    if not share:
        assert not cut.kept


@given(contents=CONTENTS, share=SHARES, data=st.data())
@settings(max_examples=300)
def test_one_unit_less_takes_at_most_one_from_those_that_private_training_draws(
    contents: list[bytes], share: float, data: st.DataObject
) -> None:
    """Rules 1 to 3: the multisets of drawn contents are neighbours, whatever is removed and in whatever order it stood."""
    if not contents:
        return
    gone = data.draw(st.integers(0, len(contents) - 1))
    fewer = contents[:gone] + contents[gone + 1 :]
    drawn, less = (
        Counter(units[place] for place in split(identities(units), share).units)
        for units in (contents, fewer)
    )
    assert sum(((drawn - less) + (less - drawn)).values()) <= 1


def test_about_the_share_is_kept_apart_and_the_order_does_not_matter() -> None:
    contents = [str(number).encode() for number in range(1000)]
    kept = split(identities(contents), 0.2).kept
    assert 150 < len(kept) < 250
    turned = split(identities(contents[::-1]), 0.2).kept
    assert {999 - place for place in turned} == set(kept)

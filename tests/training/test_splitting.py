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


@given(contents=CONTENTS, share=SHARES, data=st.data())
@settings(max_examples=300)
def test_rule_4_one_unit_less_takes_one_from_exactly_one_side_where_fates_alone_decide(
    contents: list[bytes], share: float, data: st.DataObject
) -> None:
    """Also where a side is empty, and whatever the order: what a check under a budget rests on."""
    if not contents:
        return
    gone = data.draw(st.integers(0, len(contents) - 1))
    fewer = data.draw(st.permutations(contents[:gone] + contents[gone + 1 :]))

    def sides(units: list[bytes]) -> tuple[Counter[bytes], Counter[bytes]]:
        cut = split(identities(units), share, alone=True)
        assert sorted(cut.train + cut.kept) == list(range(len(units)))
        assert cut.units == cut.train
        return Counter(units[place] for place in cut.train), Counter(units[place] for place in cut.kept)

    (trained, kept), (trained_less, kept_less) = sides(contents), sides(fewer)
    assert not trained_less - trained
    assert not kept_less - kept
    assert (trained - trained_less) + (kept - kept_less) == Counter([contents[gone]])


def test_with_rule_3_one_unit_can_move_two() -> None:
    """Why rule 4: a newcomer that is kept apart sends the one back that was kept for want of another."""
    names = identities(str(number).encode() for number in range(100))
    apart = next(name for name in names if split([name], 0.2, alone=True).kept)
    trained = [name for name in names if split([name], 0.2, alone=True).units][:3]
    assert split(trained, 0.2).kept == (2,)
    both = split([*trained, apart], 0.2)
    assert (both.units, both.kept) == ((0, 1, 2), (3,))


def test_about_the_share_is_kept_apart_and_the_order_does_not_matter() -> None:
    contents = [str(number).encode() for number in range(1000)]
    kept = split(identities(contents), 0.2).kept
    assert 150 < len(kept) < 250
    turned = split(identities(contents[::-1]), 0.2).kept
    assert {999 - place for place in turned} == set(kept)

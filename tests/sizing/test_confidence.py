from __future__ import annotations

import numpy as np
import pytest

from cloister.foundation.errors import BadInput
from cloister.sizing.confidence import FEW_PICTURES, OPTIMISTIC, expanded_tail, interval
from cloister.sizing.distribution import Distribution


def _mean(rows: np.ndarray) -> float:
    return float(rows[:, 0].mean())


def _pictures(rng: np.random.Generator, count: int, between: float, particles: int = 40) -> list[np.ndarray]:
    """Pictures whose particles share a shift, as the drops of one sample do."""
    return [rng.normal(rng.normal(0.0, between), 1.0, particles) for _ in range(count)]


@pytest.mark.parametrize(("count", "between"), [(8, 0.5), (16, 0.0)])
def test_the_range_holds_the_truth_about_as_often_as_it_says(count: int, between: float) -> None:
    rng = np.random.default_rng(count)
    held = 0
    for seed in range(120):
        found = interval(_pictures(rng, count, between), _mean, seed=seed, level=0.9, resamples=200)
        held += bool(found.low[0] <= 0.0 <= found.high[0])
    # 0.9 ± three standard errors of 120 trials.
    assert 0.815 < held / 120 < 0.985


def test_drawing_particles_instead_of_pictures_would_be_far_too_narrow() -> None:
    rng = np.random.default_rng(2)
    pictures = _pictures(rng, 12, 1.0, particles=200)
    honest = interval(pictures, _mean, seed=0, resamples=400)
    naive = interval([np.concatenate(pictures)], _mean, seed=0, resamples=400)
    assert honest.over == "pictures"
    assert naive.over == "particles"
    assert (honest.high - honest.low)[0] > 4 * (naive.high - naive.low)[0]


def test_few_pictures_fall_back_to_particles_and_say_that_it_is_too_narrow() -> None:
    rng = np.random.default_rng(3)
    few = interval(_pictures(rng, FEW_PICTURES - 1, 0.0), _mean, seed=0, resamples=200)
    enough = interval(_pictures(rng, FEW_PICTURES, 0.0), _mean, seed=0, resamples=200)
    assert (few.over, few.notice, few.pictures) == ("particles", OPTIMISTIC, FEW_PICTURES - 1)
    assert (enough.over, enough.notice) == ("pictures", "")


def test_the_tail_is_what_the_tables_of_t_and_of_the_normal_give() -> None:
    # By hand, with the table of t:
    # n = 5: sqrt(5/4)·2.7764 = 3.1042, whose tail is 0.000954.
    assert expanded_tail(0.95, 5) == pytest.approx(0.000954, rel=2e-3)
    assert expanded_tail(0.95, 100_000) == pytest.approx(0.025, rel=1e-3)
    assert expanded_tail(0.95, 1) == 0.0


def test_several_numbers_at_once_are_each_the_same_as_alone() -> None:
    rng = np.random.default_rng(4)
    pictures = [np.exp(rng.normal(3, 0.4, 50)) for _ in range(6)]

    def percentile(percent: float):
        return lambda rows: Distribution.of(rows[:, 0], weighting="volume").percentile(percent)

    together = interval(
        pictures, lambda rows: [percentile(50.0)(rows), percentile(90.0)(rows)], seed=1, resamples=300
    )
    alone = interval(pictures, percentile(90.0), seed=1, resamples=300)
    assert together.estimate[1] == alone.estimate[0]
    assert (together.low[1], together.high[1]) == (alone.low[0], alone.high[0])
    assert (together.low <= together.estimate).all()
    assert (together.estimate <= together.high).all()


def test_the_same_seed_gives_the_same_range_and_another_nearly() -> None:
    pictures = _pictures(np.random.default_rng(5), 9, 0.3)
    one, again, other = (interval(pictures, _mean, seed=seed) for seed in (1, 1, 2))
    assert (one.low, one.high) == (again.low, again.high)
    assert one.low != other.low
    assert one.low[0] == pytest.approx(other.low[0], abs=0.15)


def test_a_picture_without_particles_is_a_picture_too() -> None:
    pictures = [np.zeros((0, 1)), *[row[:, None] for row in _pictures(np.random.default_rng(6), 6, 0.0)]]
    per_picture = interval(pictures, lambda rows: len(rows) / 7.0, seed=0, resamples=500)
    assert per_picture.estimate[0] == pytest.approx(240 / 7)
    # The one that was empty is drawn twice or never.
    assert per_picture.low[0] < 30
    assert per_picture.high[0] >= 40


def test_what_has_no_value_is_refused() -> None:
    pictures = _pictures(np.random.default_rng(7), 6, 0.0)
    rare = [np.array([np.nan] * 3)] * 5 + [np.array([1.0])]
    for bad, statistic in (
        (pictures, lambda _: np.nan),
        (rare, lambda rows: np.nanmax(rows) if 1.0 in rows else np.nan),
    ):
        with pytest.raises(BadInput):
            interval(bad, statistic, seed=0, resamples=200)
    for bad in ([], [np.zeros(0)] * 6, [np.zeros((2, 1)), np.zeros((2, 2))], [np.zeros((2, 2, 2))]):
        with pytest.raises(BadInput):
            interval(bad, _mean, seed=0)
    for values in ({"level": 0.3}, {"level": 1.0}, {"resamples": 10}, {"resamples": 10**7}):
        with pytest.raises(BadInput):
            interval(pictures, _mean, seed=0, **values)

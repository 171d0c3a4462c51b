"""The exact sampler: its distribution, its determinism, its slow path."""

from __future__ import annotations

import hashlib
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from cloister.foundation.errors import BadInput
from cloister.privacy import discrete_gaussian as module
from cloister.privacy.discrete_gaussian import MAX_VARIANCE, discrete_gaussian
from cloister.privacy.stream import NoiseStream

SECRET = bytes(range(32))


def drawn(variance: int, size: int, label: str = "test") -> np.ndarray:
    return discrete_gaussian(NoiseStream(SECRET, label), variance, size)


def masses(variance: int) -> tuple[np.ndarray, np.ndarray]:
    reach = int(12 * math.sqrt(variance)) + 2
    points = np.arange(-reach, reach + 1)
    weights = np.exp(-(points.astype(float) ** 2) / (2 * variance))
    return points, weights / weights.sum()


@pytest.mark.parametrize("variance", [1, 2, 7, 63, 64, 255, 256, 1000, 40_000])
def test_samples_follow_the_exact_distribution(variance: int) -> None:
    size = 200_000
    found = drawn(variance, size)
    points, mass = masses(variance)
    counts = np.bincount(found - points[0], minlength=len(points))
    # Cells of at least 20 expected samples; the two tails are one cell each.
    width = max(1, int(math.sqrt(variance) / 8))
    cells = points // width
    order = np.unique(cells)
    expected = np.array([mass[cells == cell].sum() for cell in order]) * size
    seen = np.array([counts[cells == cell].sum() for cell in order])
    big = expected >= 20
    expected = np.append(expected[big], expected[~big].sum())
    seen = np.append(seen[big], seen[~big].sum())
    assert seen.sum() == size
    statistic = ((seen - expected) ** 2 / expected).sum()
    assert stats.chi2.sf(statistic, len(expected) - 1) > 1e-3


@pytest.mark.parametrize("variance", [10**6, 10**12 + 7, MAX_VARIANCE])
def test_on_a_fine_lattice_samples_are_as_a_continuous_gaussian(variance: int) -> None:
    size = 300_000
    scaled = drawn(variance, size) / math.sqrt(variance)
    assert stats.kstest(scaled, "norm").pvalue > 1e-3
    assert abs(scaled.mean()) < 4 / math.sqrt(size)
    assert abs(scaled.var() - 1) < 4 * math.sqrt(2 / size)
    assert abs((scaled**4).mean() - 3) < 4 * math.sqrt(96 / size)


def test_tails_hold_as_many_as_they_should() -> None:
    size, variance = 2_000_000, 10**10
    scaled = np.abs(drawn(variance, size, "tails")) / math.sqrt(variance)
    for deviations in (3.0, 3.5, 4.0, 4.5):
        expected = size * math.erfc(deviations / math.sqrt(2))
        assert abs((scaled > deviations).sum() - expected) < 4 * math.sqrt(expected)
    assert scaled.max() < 7


def test_low_bits_tell_nothing() -> None:
    found = drawn(10**10, 400_000, "bits")
    for modulus in (2, 3, 64, 1000):
        seen = np.bincount(np.mod(found, modulus), minlength=modulus)
        assert stats.chisquare(seen).pvalue > 1e-3


def test_the_same_secret_and_label_give_the_same_noise_on_every_machine() -> None:
    """Rule 2; the digests were computed once and hold wherever 64-bit integers do."""
    assert drawn(1, 12).tolist() == drawn(1, 1000)[:12].tolist()
    digests = [
        hashlib.sha256(drawn(variance, 70_000).astype("<i8").tobytes()).hexdigest()[:16]
        for variance in (3, 10**9)
    ]
    assert digests == KNOWN
    assert (drawn(100, 50) != drawn(100, 50, "other")).any()
    other = discrete_gaussian(NoiseStream(bytes(32), "test"), 100, 50)
    assert (drawn(100, 50) != other).any()


KNOWN = ["5c35bddde23a842d", "9bbb2ae3333128f5"]


@pytest.mark.parametrize("variance", [5, 4000, 10**9])
def test_every_sample_is_decided_as_if_on_infinitely_many_bits(
    variance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 1: deciding everything with ever more digits gives what the quick decisions gave."""
    quick = drawn(variance, 400)
    monkeypatch.setattr(module, "BAND", 2.0)
    monkeypatch.setattr(module._Table, "open", lambda _self, words, _rows: np.ones(len(words), dtype=bool))
    assert drawn(variance, 400).tolist() == quick.tolist()


def test_where_64_bits_leave_it_open_further_bits_decide() -> None:
    sampler = module._Sampler(NoiseStream(SECRET, "open"), 10**6)
    answers = set()
    for place in range(40):
        numerator = 1000 + place
        low, _ = module._exponential(numerator, 2 * 10**6, 256)
        word = low >> 192  # the uniform number's first 64 bits are exactly the probability's
        exact = Fraction(low, 1 << 256)
        more = sampler._stream.more(place, 1, 2)
        uniform = Fraction((word << 128) | more, 1 << 192)
        below = sampler._below(place, word, numerator)
        assert below == (uniform < exact)
        answers.add(below)
    assert answers == {True, False}


def test_rows_of_the_table_are_decided_at_their_very_edges() -> None:
    sampler = module._Sampler(NoiseStream(SECRET, "rows"), 10**6)
    sums = module._partial_sums(sampler._variance, sampler._shift, 256)
    rows = set()
    for place, (low, _) in enumerate(sums[:60]):
        word = low >> 192
        uniform = Fraction((word << 128) | sampler._stream.more(place, 0, 2), 1 << 192)
        row = sampler._row(place, word)
        assert row == place + (uniform >= Fraction(low, 1 << 256))
        rows.add(row - place)
    assert rows == {0, 1}


def test_words_that_are_exactly_a_threshold_are_decided_by_further_bits() -> None:
    variance = 10**6
    table = module._table(variance, 6)

    class Edges(NoiseStream):
        """Proposes each row's edge, the smallest magnitude in it, accepted and positive."""

        def words(self, count: int) -> np.ndarray:
            zeros = np.zeros_like(table.thresholds)
            return np.stack([table.thresholds, zeros, zeros], axis=1).ravel()

    sampler = module._Sampler(Edges(SECRET, "edges"), variance)
    assert sampler._shift == 6
    found = sampler.draw(len(table.thresholds))
    rows = [sampler._row(place, int(word)) for place, word in enumerate(table.thresholds)]
    assert found.tolist() == [row << 6 for row in rows]
    assert {row - place for place, row in enumerate(rows)} >= {0, 1}


def test_the_band_covers_the_error_of_double_precision() -> None:
    generator = np.random.default_rng(1)
    for variance in (10**5, 10**12 + 1, MAX_VARIANCE):
        numerators = generator.integers(0, 5 * variance, 200)
        found = np.exp(numerators.astype(np.float64) / (-2.0 * variance))
        for numerator, value in zip(numerators, found, strict=True):
            low, high = module._exponential(int(numerator), 2 * variance, 100)
            exact = Fraction(low + high, 2 << 100)
            assert abs(Fraction(float(value)) - exact) < Fraction(1, 1 << 48) <= Fraction(module.BAND) / 16


def test_noise_of_impossible_sizes_is_refused() -> None:
    for variance, size in ((0, 1), (-1, 1), (MAX_VARIANCE + 1, 1), (1, -1), (1, 1 << 40)):
        with pytest.raises(BadInput):
            drawn(variance, size)
    for secret, label in ((b"short", "x"), (SECRET, "x" * 1001)):
        with pytest.raises(BadInput):
            NoiseStream(secret, label)
    assert drawn(9, 0).shape == (0,)


def test_further_bits_of_a_place_begin_with_the_ones_before() -> None:
    stream = NoiseStream(SECRET, "more")
    first = stream.more(5, 1, 1)
    assert stream.more(5, 1, 3) >> 128 == first
    assert len({stream.more(place, purpose, 1) for place in range(50) for purpose in (0, 1)}) == 100

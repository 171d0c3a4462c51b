"""Noise shares, sensitivity, and that the noise is as private as the continuous Gaussian it is accounted as."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.canonical import canonical, parse
from cloister.foundation.errors import BadInput, CloisterError, Refused
from cloister.privacy import lattice
from cloister.privacy.mechanisms import LEAST_SHARE, SMOOTHING, Mechanism, mechanism_for, summation_slack

SECRET = bytes(range(32))


def planned(**changes: object) -> Mechanism:
    values: dict[str, object] = {
        "dimension": 1000,
        "clip": 1.0,
        "noise_multiplier": 1.3,
        "largest": 64.0,
        "nodes": 5,
        "distributed": True,
        "dropouts": 1,
        "colluders": 1,
        "steps": 10,
    }
    return mechanism_for(**{**values, **changes})  # type: ignore[arg-type]


def test_a_plan_carries_the_mechanism_and_every_node_computes_the_same_multiplier_from_it() -> None:
    """Rule 1."""
    mechanism = planned()
    again = Mechanism.model_validate(parse(canonical(mechanism.model_dump(mode="json"))))
    assert again == mechanism
    assert again.noise_multiplier == mechanism.noise_multiplier >= 1.3
    assert again.noise_multiplier < 1.3 * 1.001


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(0, 20),
    st.integers(1, 20),
    st.floats(0.05, 50),
    st.integers(1, 10**7),
    st.floats(1e-3, 1e3),
)
def test_shares_of_those_who_stay_and_do_not_collude_make_up_the_whole(
    nodes: int, dropouts: int, colluders: int, multiplier: float, dimension: int, clip: float
) -> None:
    """Rule 2: share ≥ total / (nodes - dropouts - colluders)."""
    if nodes - dropouts - colluders < 1:
        with pytest.raises(Refused) as caught:
            planned(nodes=nodes, dropouts=dropouts, colluders=colluders)
        assert caught.value.clause == "noise-shares"
        return
    try:
        mechanism = planned(
            nodes=nodes,
            dropouts=dropouts,
            colluders=colluders,
            noise_multiplier=multiplier,
            dimension=dimension,
            clip=clip,
            largest=100 * clip,
        )
    except BadInput:
        assert multiplier > 5
        return
    total = (multiplier * mechanism.sensitivity) ** 2
    assert mechanism.honest == nodes - dropouts - colluders
    assert mechanism.variance * mechanism.honest >= total + SMOOTHING * 0.99
    assert mechanism.variance >= LEAST_SHARE
    assert mechanism.noise_multiplier >= multiplier
    assert mechanism.noise_multiplier <= multiplier * 1.002


def test_without_secure_aggregation_every_node_adds_the_whole_noise() -> None:
    """Rule 2."""
    alone = planned(distributed=False, dropouts=0, colluders=0)
    assert alone.honest == 1
    assert alone.variance >= (1.3 * alone.sensitivity) ** 2
    with pytest.raises(BadInput):
        planned(distributed=False, dropouts=1, colluders=0)


def test_sensitivity_counts_clipping_rounding_summation_and_occurrences() -> None:
    """Rule 3."""
    plain = planned()
    unit = math.ldexp(1.0, plain.exponent)
    assert plain.sensitivity == pytest.approx(unit + math.sqrt(1000), rel=1e-9)
    assert math.sqrt(1000) <= 0.01 * unit
    sloppy = planned(slack=0.25)
    assert sloppy.sensitivity == pytest.approx(1.25 * math.ldexp(1.0, sloppy.exponent) + math.sqrt(1000))
    twice = planned(occurrences=2)
    assert twice.sensitivity == pytest.approx(2 * math.ldexp(1.0, twice.exponent) + 2 * math.sqrt(1000))
    counts = mechanism_for(
        dimension=50, clip=1.0, noise_multiplier=2.0, largest=1e6, exact_exponent=0, nodes=1
    )
    assert counts.sensitivity == pytest.approx(math.ldexp(1.0, counts.exponent))


def test_what_is_planned_to_lie_on_the_lattice_must_lie_on_it() -> None:
    """Rule 3: otherwise rounding would add to a sensitivity that does not count it."""
    counts = mechanism_for(dimension=3, clip=1.0, noise_multiplier=2.0, largest=1e6, exact_exponent=0)
    assert counts.exact
    assert counts.noisy(np.array([1.0, 2.0, 7.0]), SECRET, "x").shape == (3,)
    with pytest.raises(BadInput):
        counts.noisy(np.array([1.0, 2.0, math.pi]), SECRET, "x")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_one_unit_moves_the_lattice_point_by_at_most_the_sensitivity(seed: int, units: int) -> None:
    """Rule 3: on the float sums of clipped parts, in single precision, with and without one unit."""
    generator = np.random.default_rng(seed)
    mechanism = planned(dimension=300, slack=summation_slack(16))
    parts = generator.normal(size=(units, 300)) * 10.0 ** generator.integers(-6, 6, (units, 1))
    norms = np.linalg.norm(parts, axis=1, keepdims=True)
    clipped = (parts / np.maximum(norms, 1.0)).astype(np.float32)
    whole, without = clipped.sum(axis=0), clipped[1:].sum(axis=0)
    points = [
        lattice.encode(vector, mechanism.exponent, mechanism.bound).astype(float)
        for vector in (whole, without)
    ]
    assert np.linalg.norm(points[0] - points[1]) <= mechanism.sensitivity


def test_a_step_that_runs_again_gives_the_same_bytes() -> None:
    """Rule 4."""
    mechanism, vector = planned(), np.linspace(-1, 1, 1000)
    first = mechanism.noisy(vector, SECRET, "round/1/step/1")
    assert (first == mechanism.noisy(vector, SECRET, "round/1/step/1")).all()
    assert (first != mechanism.noisy(vector, SECRET, "round/1/step/2")).any()
    assert (first != mechanism.noisy(vector, bytes(32), "round/1/step/1")).any()


def test_what_all_publish_together_has_the_planned_noise_and_the_right_sum() -> None:
    mechanism = planned(dimension=20_000, largest=10.0)
    vectors = np.random.default_rng(3).normal(size=(5, 20_000))
    ring = mechanism.ring_bits
    total = np.zeros(20_000, dtype=np.uint64)
    for number, vector in enumerate(vectors):
        noisy = mechanism.noisy(vector, SECRET, f"node/{number}")
        total = (total + lattice.to_ring(noisy, ring)) & np.uint64((1 << ring) - 1)
    error = mechanism.read(lattice.from_ring(total, ring)) - vectors.sum(axis=0)
    assert abs(error.mean()) < 4 * mechanism.deviation / math.sqrt(20_000)
    assert error.std() == pytest.approx(mechanism.deviation, rel=0.03)
    # The adversary knows one share and another is missing: what is left has the planned deviation.
    assert math.sqrt(3 / 5) * mechanism.deviation >= 1.3 * 1.0


def test_a_round_of_many_values_fits_into_little_more_than_four_bytes_each() -> None:
    ten = planned(dimension=10**6, nodes=10, dropouts=2, colluders=1, largest=256.0, steps=1000, slack=0.01)
    assert ten.ring_bits <= 1.2 * 32
    many = planned(dimension=10**7, nodes=30, dropouts=5, colluders=2, largest=256.0, steps=1000, slack=0.01)
    assert many.ring_bits <= 1.2 * 32


def test_vectors_of_another_length_are_refused() -> None:
    for shape in ((999,), (1000, 1), ()):
        with pytest.raises(BadInput):
            planned().noisy(np.zeros(shape), SECRET, "x")


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(list(Mechanism.model_fields)),
        st.one_of(st.integers(-5, 10**30), st.floats(), st.booleans(), st.text(max_size=3), st.none()),
    )
)
def test_a_mechanism_from_outside_is_within_limits_or_refused(changes: dict[str, object]) -> None:
    try:
        found = Mechanism.model_validate({**planned().model_dump(), **changes})
    except ValueError:
        return
    assert 0 <= found.noise_multiplier < 1e40
    assert found.sensitivity > 0
    try:
        assert found.ring_bits <= 63
    except CloisterError:
        pass


@pytest.mark.parametrize(
    "changes",
    [
        {"noise_multiplier": 0.0},
        {"noise_multiplier": math.nan},
        {"clip": 0.0},
        {"clip": math.inf},
        {"largest": 1e15},
        {"dimension": 0},
        {"nodes": 2000},
        {"occurrences": 6},
        {"colluders": 0},
        {"steps": 0},
    ],
)
def test_plans_with_impossible_numbers_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        planned(**changes)


def test_the_summation_slack_covers_sums_in_single_precision() -> None:
    generator = np.random.default_rng(4)
    for terms in (2, 64, 512):
        parts = generator.normal(size=(terms, 100))
        parts /= np.linalg.norm(parts, axis=1, keepdims=True)
        worst = 0.0
        for order in range(5):
            shuffled = generator.permutation(parts).astype(np.float32) if order else parts.astype(np.float32)
            total = np.zeros(100, dtype=np.float32)
            for row in shuffled:
                total = total + row
            worst = max(worst, float(np.linalg.norm(total - shuffled.astype(np.float64).sum(axis=0))))
        assert 2 * worst <= summation_slack(terms)
    assert summation_slack(256, bits=53) < 1e-9
    for terms, bits in ((1 << 24, 24), (0, 24), (5000, 24)):
        with pytest.raises(BadInput):
            summation_slack(terms, bits=bits)


# docs/proofs/discrete-gaussian.md, at parameters so small that the terms can be seen -------------------------------


def gaussian_masses(variance: float, reach: int = 60) -> np.ndarray:
    points = np.arange(-reach, reach + 1)
    weights = np.exp(-(points**2) / (2 * variance))
    return weights / weights.sum()


def eta(variance: float) -> float:
    return 2 * sum(math.exp(-2 * math.pi**2 * variance * k * k) for k in range(1, 20))


@pytest.mark.parametrize("first", [0.4, 0.7, 1.0, 1.5])
@pytest.mark.parametrize("second", [0.4, 0.9])
def test_a_sum_of_two_shares_is_nearly_a_discrete_gaussian(first: float, second: float) -> None:
    """Lemma 2: at every point, within (1 + η) / (1 - η), η at the variance first · second / (first + second)."""
    total = np.convolve(gaussian_masses(first), gaussian_masses(second))
    wanted = gaussian_masses(first + second, 120)
    middle = slice(120 - 25, 120 + 26)
    worst = np.abs(np.log(total[middle] / wanted[middle])).max()
    bound = eta(first * second / (first + second))
    assert 1e-8 < worst <= math.log((1 + bound) / (1 - bound)) * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("smoothing", [0.25, 0.4])
def test_the_discrete_gaussian_is_nearly_a_post_processing_of_the_continuous_one(smoothing: float) -> None:
    """Lemma 3: rounding N(c, variance - s²) at random by a discrete Gaussian of variance s² about it."""
    variance, centre = 2.0, 0.0
    y = np.arange(-30, 30, 1e-3)
    density = np.exp(-((y - centre) ** 2) / (2 * (variance - smoothing)))
    density /= density.sum()
    points = np.arange(-60, 61)
    weights = np.exp(-((points[:, None] - y[None, :]) ** 2) / (2 * smoothing))
    found = (weights / weights.sum(axis=0) * density).sum(axis=1)
    wanted = gaussian_masses(variance)
    middle = slice(60 - 8, 60 + 9)
    worst = np.abs(np.log(found[middle] / wanted[middle])).max()
    bound = eta(smoothing)
    assert 1e-7 < worst <= math.log((1 + bound) / (1 - bound)) * (1 + 1e-6)


def test_within_the_limits_the_difference_is_below_two_to_the_minus_hundred() -> None:
    """Theorem 4: 2 · coordinates · steps · nodes · log((1 + η) / (1 - η)) at the smoothing that is used."""
    fields = Mechanism.model_fields
    most = {
        name: next(item.le for item in fields[name].metadata if hasattr(item, "le"))
        for name in ("dimension", "steps", "nodes")
    }
    assert LEAST_SHARE / 2 >= SMOOTHING
    each = 2.0001 * 2 * math.exp(-2 * math.pi**2 * SMOOTHING)
    assert 2 * math.prod(most.values()) * each < 2.0**-100

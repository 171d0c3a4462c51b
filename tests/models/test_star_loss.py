"""The loss of outlines: the same as written down plainly, the right slope, of each example by itself, blind to what is not asked."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.data.star_targets import WEIGHTED, star_targets
from cloister.data.stars import CHANNELS, FOLDED, RAYS, RAYS_FROM, UNIT, unfold
from cloister.foundation.errors import BadInput
from cloister.models.losses import loss_named
from cloister.models.star_loss import NAME

LOSS = loss_named(NAME)
SQUARE = np.array([[-9.0, -7.0], [9.0, -7.0], [9.0, 7.0], [-9.0, 7.0]])


def asked(seed: int = 0, *, outlined: bool = True, bubbles: bool = True) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.uniform(8, 56, (4, 2))
    made = star_targets(
        (64, 64),
        centres,
        np.full(4, np.sqrt(4 * 18 * 14 / np.pi)),
        [SQUARE + centre if outlined and n != 2 else None for n, centre in enumerate(centres)],
        bubbles=[(30.0, 40.0, 6.0)] if bubbles else None,
        facts=np.array([[1.0, 1, 0.2], [2.0, 0, 0.0], [np.nan] * 3, [0.5, np.nan, 0.5]], np.float32),
    )
    return made.encoded((10.0, 1.0, 1.0, 0.3), 3.0)


def plainly(answer: np.ndarray, target: np.ndarray, weights: np.ndarray) -> float:
    """One example's loss in loops over maps and cells, without any of the code under test."""
    height, width = answer.shape[1:]
    maps, wanted = (
        unfold(answer),
        unfold(np.concatenate([target[:FOLDED], np.zeros((35, height, width), np.float32)])),
    )
    counts = unfold(np.concatenate([weights[:FOLDED], np.zeros((35, height, width), np.float32)]))
    total = sum(
        np.mean(c * (-w * np.log(1 / (1 + np.exp(-m))) - (1 - w) * np.log(1 / (1 + np.exp(m)))))
        for m, w, c in zip(maps.astype(float), wanted.astype(float), counts.astype(float), strict=True)
    )

    def smooth(x: float, beta: float) -> float:
        return 0.5 * x * x / beta if abs(x) < beta else abs(x) - 0.5 * beta

    found, norm = 0.0, 1.0
    for row in range(height):
        for column in range(width):
            cell, want = answer[:, row, column].astype(float), target[:, row, column].astype(float)
            w = weights[FOLDED:, row, column].astype(float)
            norm += w[1]
            if w[1] == 0:
                continue
            told, true = cell[RAYS_FROM : RAYS_FROM + RAYS], want[RAYS_FROM : RAYS_FROM + RAYS]
            found += 4 * w[0] * np.mean([smooth(x, 0.05) for x in told - true])
            areas = [
                sum(r[i] * r[(i + 1) % RAYS] for i in range(RAYS))
                for r in (UNIT * np.exp(np.clip(told, -3, 4)), UNIT * np.exp(true))
            ]
            found += 0.5 * w[1] * abs(np.log(areas[0] / areas[1]))
            facts, known = cell[RAYS_FROM + RAYS :], want[RAYS_FROM + RAYS :]
            found += 0.3 * w[2] * smooth(facts[0] - np.log2(known[0] + 0.25), 0.2)
            for place in (1, 2):
                chance = 1 / (1 + np.exp(-facts[place]))
                cost = -known[place] * np.log(chance) - (1 - known[place]) * np.log(1 - chance)
                found += 1.0 * w[2 + place] * cost
    return total + found / norm


@pytest.mark.parametrize("outlined", [True, False])
def test_it_is_what_a_plain_loop_over_maps_and_cells_gives(outlined: bool) -> None:
    answers = np.random.default_rng(1).normal(0, 1, (2, CHANNELS, 16, 16)).astype(np.float32)
    parts = [asked(0, outlined=outlined), asked(3)]
    target, weights = (np.stack(side) for side in zip(*parts, strict=True))
    found = np.asarray(LOSS(answers, target, weights))
    wanted = [plainly(a, t, w) for a, t, w in zip(answers, target, weights, strict=True)]
    np.testing.assert_allclose(found, wanted, rtol=2e-5)


def test_it_is_what_the_script_trains_by_in_pytorch() -> None:
    """The terms of `scripts/train_crystal_outlines.py`, with PyTorch's own functions, of one example with all known."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    rng = np.random.default_rng(4)
    centres = rng.uniform(8, 56, (4, 2))
    facts = np.array([[1.0, 1, 0.2], [2.0, 0, 0.0], [0.7, 0, 0.1], [0.5, 1, 0.5]], np.float32)
    made = star_targets(
        (64, 64), centres, np.full(4, 17.9), [SQUARE + c for c in centres], bubbles=[(30, 40, 6)], facts=facts,
        litter=rng.random((64, 64)) > 0.9,
    )  # fmt: skip
    target, weights = made.encoded((10.0, 1.0, 1.0, 0.3), 3.0)
    answers = rng.normal(0, 1, (1, CHANNELS, 16, 16)).astype(np.float32)
    found = float(LOSS(answers, target[None], weights[None])[0])

    a, fine = torch.from_numpy(answers), torch.from_numpy(made.fine[None])
    rays = torch.from_numpy(
        np.concatenate([made.rays, np.zeros((1, RAYS), np.float32)])[made.owner]
        .transpose(2, 0, 1)[None]
        .copy()
    )
    told_facts = torch.from_numpy(
        np.concatenate([facts, np.zeros((1, 3), np.float32)])[made.owner].transpose(2, 0, 1)[None].copy()
    )
    shares = torch.tensor([10.0, 1.0, 1.0, 0.3])[None, :, None, None]
    maps, wanted = functional.pixel_shuffle(a[:, :FOLDED], 2), fine.float() / 254
    each = (functional.softplus(maps) - maps * wanted) * (shares * (1 + 3.0 * wanted * (shares > 5)))
    near = (rays[:, 0] > 0).float() * (0.1 + functional.max_pool2d(wanted[:, 0], 2))
    total = near.sum() + 1.0
    told = a[:, RAYS_FROM : RAYS_FROM + RAYS]
    off = functional.smooth_l1_loss(
        told, torch.log(rays.clamp(min=1.0) / UNIT), reduction="none", beta=0.05
    ).mean(1)
    lengths = UNIT * torch.exp(told.clamp(-3, 4))
    area = (lengths * lengths.roll(-1, 1)).sum(1) / (rays * rays.roll(-1, 1)).sum(1).clamp(min=1.0)
    blur = functional.smooth_l1_loss(
        a[:, -3], torch.log2(told_facts[:, 0] + 0.25), reduction="none", beta=0.2
    )
    said = (functional.softplus(a[:, -2:]) - a[:, -2:] * told_facts[:, 1:]).sum(1)
    theirs = (
        each.mean((0, 2, 3)).sum() + (off * near).sum() / total * 4
        + (area.log().abs() * near).sum() / total * 0.5 + ((0.3 * blur + said) * near).sum() / total
    )  # fmt: skip
    assert found == pytest.approx(float(theirs), rel=1e-4)


def test_its_slope_is_that_of_small_differences() -> None:
    target, weights = (part[None] for part in asked(2))
    rng = np.random.default_rng(3)
    answers = rng.normal(0, 1, (1, CHANNELS, 16, 16))
    with jax.enable_x64(True):
        value = lambda x: LOSS(x, jnp.asarray(target, jnp.float64), jnp.asarray(weights, jnp.float64))[0]  # noqa: E731
        slope = np.asarray(jax.grad(value)(jnp.asarray(answers)))
        for _ in range(12):
            way = rng.normal(size=answers.shape)
            step = 1e-6
            difference = float(value(answers + step * way) - value(answers - step * way)) / (2 * step)
            assert difference == pytest.approx(float((slope * way).sum()), rel=1e-4, abs=1e-6)


@given(st.integers(0, 1000))
@settings(max_examples=5, deadline=None)
def test_what_is_not_asked_changes_neither_value_nor_slope(seed: int) -> None:
    target, weights = asked(seed, outlined=False, bubbles=False)
    rng = np.random.default_rng(seed)
    answers = rng.normal(0, 1, (1, CHANNELS, 16, 16)).astype(np.float32)
    value, slope = jax.value_and_grad(lambda x: LOSS(x, target[None], weights[None])[0])(answers)
    assert np.isfinite(value)
    assert np.isfinite(slope).all()
    # Bubbles and litter, cells that nobody owns, and facts that nobody knows.
    assert not slope[:, 8:FOLDED].any()
    assert not slope[:, RAYS_FROM:][:, :, weights[FOLDED + 1] == 0].any()
    assert not slope[:, RAYS_FROM + RAYS :][:, weights[FOLDED + 2 :] == 0].any()
    # Rays without an outline are only made longer or shorter: all of a cell the same way.
    rays = slope[0, RAYS_FROM : RAYS_FROM + RAYS][:, weights[FOLDED + 1] > 0]
    assert ((rays >= 0).all(axis=0) | (rays <= 0).all(axis=0)).all()


def test_examples_do_not_mix_and_one_without_objects_counts() -> None:
    parts = [asked(5), asked(6)]
    target, weights = (np.stack(side) for side in zip(*parts, strict=True))
    weights[1, FOLDED:] = 0
    answers = np.random.default_rng(7).normal(0, 1, (2, CHANNELS, 16, 16)).astype(np.float32)
    both = np.asarray(LOSS(answers, target, weights))
    alone = [
        float(LOSS(a[None], t[None], w[None])[0]) for a, t, w in zip(answers, target, weights, strict=True)
    ]
    np.testing.assert_allclose(both, alone, rtol=1e-6)
    mapped = jax.vmap(lambda a, t, w: LOSS(a[None], t[None], w[None])[0])(answers, target, weights)
    np.testing.assert_allclose(both, mapped, rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, CHANNELS, 16, 15), (1, 2, 16, 16)])
def test_other_shapes_are_refused_with_what_to_use(shape: tuple[int, ...]) -> None:
    target, weights = (part[None] for part in asked(2))
    with pytest.raises(BadInput) as caught:
        LOSS(np.zeros(shape, np.float32), target, weights)
    assert "outlines" in caught.value.remedy
    with pytest.raises(BadInput):
        LOSS(np.zeros((1, CHANNELS, 16, 16), np.float32), target, None)
    assert weights.shape[1] == WEIGHTED

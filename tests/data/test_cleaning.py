"""Cleaned pictures against the same pictures drawn without flaws: nearer to them, with their objects as they were, with nothing added.

The flaws are laid over a drawn picture here, so that both share every crystal; what is known of flaws is their drawn truth.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.draw import polygon

from cloister.applications.crystals.factories import SEED_LIKE
from cloister.applications.crystals.mimics import lay_fibres, scatter_dust, scratch
from cloister.applications.crystals.synthesis import synthesise
from cloister.data import cleaning
from cloister.data.cleaning import Ground, clean
from cloister.foundation.errors import BadInput

FLAWLESS = replace(
    SEED_LIKE,
    width=480,
    height=360,
    bubbles=(0, 0),
    dust=(0, 0),
    fibres=(0, 0),
    scratches=(0, 0),
    rim=0.0,
    vignette=(0.0, 0.0),
    slope=(0.0, 0.0),
    mottle=(0.0, 0.0),
    noise=(0.0, 0.0),
    grey=0.0,
    jpeg=(0, 0),
    crystals=(40, 40),
    level_dark=(0.08, 0.12),
)
LIGHTS = ("bright", "polarised", "reflected")


def drawn(light, seed=1):
    """A picture without flaws, and the same with some, under an uneven lamp, by a noisy camera."""
    pure = synthesise(replace(FLAWLESS, lights={light: 1.0}), seed)
    rng = np.random.default_rng((seed, 7))
    height, width = pure.image.shape[:2]
    dark = np.zeros((height, width), np.float32)
    glow = None if light == "bright" else np.zeros((height, width, 3), np.float32)
    scatter_dust(rng, dark, glow, 40, 3.0)
    lay_fibres(rng, dark, glow, 2)
    scratch(rng, dark, glow, 3)
    litter = np.abs(dark) > 0.05 if glow is None else glow.max(axis=2) > 0.02
    v, u = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    lamp = 1.0 - 0.25 * (u**2 + v**2) + 0.1 * u
    scene = pure.image / 255.0 * np.exp(dark)[..., None] + (0.0 if glow is None else glow)
    noisy = scene * lamp[..., None] + 0.02 * rng.standard_normal(scene.shape)
    image = np.clip(255 * noisy + 0.5, 0, 255).astype(np.uint8)
    crystals = pure.mask()
    for outline in pure.beyond:  # parts of them are seen at the edge
        rows, columns = polygon(outline[:, 1], outline[:, 0], crystals.shape)
        crystals = crystals.copy()
        crystals[rows, columns] = True
    return SimpleNamespace(
        pure=pure.image,
        flawed=image,
        kept=ndimage.binary_dilation(crystals, iterations=3),
        litter=ndimage.binary_dilation(litter, iterations=2),
    )


@pytest.fixture(scope="module", params=LIGHTS)
def case(request):
    made = drawn(request.param)
    made.light = request.param
    made.cleaned = clean(made.flawed, made.kept, made.litter)
    return made


def ground(case):
    return ~ndimage.binary_dilation(case.kept | case.litter, iterations=8)


def test_the_light_is_even_afterwards(case):
    where = ground(case)

    def unevenness(image):
        # Of the ground alone: a normalised average that never sees crystals or litter.
        grey = np.where(where, image.astype(np.float64).mean(axis=2), 0.0)
        near = ndimage.gaussian_filter(where.astype(np.float64), 10)
        return float(
            np.std((ndimage.gaussian_filter(grey, 10) / np.maximum(near, 1e-9))[where & (near > 0.05)])
        )

    before, after = unevenness(case.flawed), unevenness(case.cleaned)
    assert after < before / 20


def test_noise_falls_to_an_eighth_on_the_ground(case):
    where = ground(case)

    def noise(image):
        grey = image.astype(np.float64).mean(axis=2)
        return float((grey - ndimage.gaussian_filter(grey, 2))[where].std())

    assert noise(case.cleaned) < noise(case.flawed) / 8


def test_it_is_nearer_to_the_picture_drawn_without_flaws(case):
    def error(image, where):
        # The cleaned level is the middle one of the given picture, not the flawless one's: a constant is no error of cleaning.
        gap = image.astype(np.float64) - case.pure
        return float(np.sqrt(np.mean((gap - np.median(gap[ground(case)], axis=0))[where] ** 2)))

    background = ~case.kept
    assert error(case.cleaned, background) < error(case.flawed, background) / 3
    litter = case.litter & background
    assert error(case.cleaned, litter) < error(case.flawed, litter) / 3


def test_crystals_keep_their_edges(case):
    def gradient(image):
        grey = image.astype(np.float64).mean(axis=2)
        return np.hypot(ndimage.sobel(grey, 0), ndimage.sobel(grey, 1))[case.kept]

    assert np.corrcoef(gradient(case.cleaned), gradient(case.flawed))[0, 1] > 0.985


def test_within_objects_only_the_light_changes(case):
    """Each pixel there is the given one times a slow factor plus a slow offset: a plane fits the change of each small patch."""
    inside = ndimage.binary_erosion(case.kept, iterations=1)
    parts, count = ndimage.label(inside)
    worst = 0.0
    for part in range(1, count + 1):
        rows, columns = np.nonzero(parts == part)
        if len(rows) < 200 or np.ptp(rows) > 60 or np.ptp(columns) > 60:
            continue
        given_, made = (image[rows, columns, 1].astype(np.float64) for image in (case.flawed, case.cleaned))
        usable = (given_ > 0) & (given_ < 255) & (made > 0) & (made < 255)
        v, u = rows - rows.mean(), columns - columns.mean()
        terms = np.stack([np.ones_like(given_), u, v, given_, given_ * u, given_ * v], axis=1)[usable]
        fitted = np.linalg.lstsq(terms, made[usable], rcond=None)[0]
        worst = max(worst, float(np.abs(terms @ fitted - made[usable]).max()))
    assert 0 < worst < 2.5  # two roundings, and what of the lamp is no plane


def test_nothing_is_invented_in_an_empty_picture():
    rng = np.random.default_rng(3)
    v, u = np.mgrid[-1:1:300j, -1:1:400j]
    light = 150 * (1 - 0.3 * (u**2 + v**2))
    empty = np.clip(light + 4 * rng.standard_normal(light.shape), 0, 255).astype(np.uint8)
    made = clean(empty, np.zeros(empty.shape, bool)).astype(float)
    assert np.ptp(made) <= np.ptp(empty - light) / 3
    assert made.std() < 1.0
    black = np.clip(4 + 2 * rng.standard_normal(light.shape), 0, 255).astype(np.uint8)
    assert np.ptp(clean(black, np.zeros(black.shape, bool)).astype(float)) <= 4


def test_an_object_is_never_taken_for_a_speck():
    image = np.full((120, 160), 180, np.uint8)
    image[40:43, 50:53] = 60
    image[80:83, 100:103] = 60
    kept = np.zeros(image.shape, bool)
    kept[37:46, 47:56] = True
    made = clean(image, kept)
    assert made[41, 51] < 80, "kept"
    assert made[81, 101] > 160, "a speck"
    assert clean(image, kept, speck=0.0)[81, 101] < 120


def test_what_is_larger_than_a_speck_and_not_known_as_litter_stays():
    image = np.full((120, 160), 180, np.uint8)
    image[40:60, 50:70] = 90
    made = clean(image, np.zeros(image.shape, bool))
    assert np.abs(made.astype(int) - image)[42:58, 52:68].max() <= 3


def test_grey_and_colour_give_the_same_where_all_channels_are_alike():
    case = drawn("bright", 2)
    grey = case.flawed[..., 1]
    one = clean(grey, case.kept, case.litter)
    three = clean(np.repeat(grey[..., None], 3, axis=2), case.kept, case.litter)
    assert all(np.array_equal(three[..., channel], one) for channel in range(3))


def test_holes_are_filled_with_what_lies_around_them():
    v, u = np.mgrid[:700, :640].astype(np.float32)
    plane = 0.2 + 0.0004 * u + 0.0002 * v
    holes = np.zeros(plane.shape, bool)
    holes[300:360, 100:300] = True
    holed = np.where(holes, np.float32(9.0), plane)
    ground = Ground(lambda band: holed[band], lambda band: holes[band], plane.shape)
    whole = slice(0, len(plane))
    assert np.abs(ground.rows(whole) - plane).max() < 0.01
    some = slice(297, 315)
    assert np.array_equal(ground.rows(some), ground.rows(whole)[some])


def test_a_picture_of_many_parts_is_cleaned_as_one(monkeypatch):
    """Parts are of eight rows here: seams would show."""
    case = drawn("bright", 3)
    whole = clean(case.flawed, case.kept, case.litter)
    monkeypatch.setattr(
        cleaning, "_bands", lambda height, _: (slice(a, min(height, a + 8)) for a in range(0, height, 8))
    )
    parts = clean(case.flawed, case.kept, case.litter)
    assert np.abs(parts.astype(int) - whole).max() <= 1


@settings(max_examples=25, deadline=None)
@given(
    arrays(np.uint8, st.one_of(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3)))),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_any_picture_of_any_size_gives_one_of_its_size(pixels, seed):
    rng = np.random.default_rng(seed)
    kept, litter = (rng.random(pixels.shape[:2]) < rng.random() * 1.1 for _ in range(2))
    made = clean(pixels, kept, litter)
    assert (made.shape, made.dtype) == (pixels.shape, np.uint8)


def test_masks_of_another_size_are_refused():
    with pytest.raises(BadInput):
        clean(np.zeros((10, 10), np.uint8), np.zeros((9, 10), bool))

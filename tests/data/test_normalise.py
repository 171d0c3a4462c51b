from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from cloister.data.normalise import background, luminance, normalise_micrograph
from cloister.foundation.errors import BadInput


def _field(level: float, noise: float = 0.01, shape: tuple[int, int] = (256, 320)) -> np.ndarray:
    rng = np.random.default_rng(5)
    return np.full(shape, level) + rng.normal(0, noise, shape)


def _bytes(grey: np.ndarray) -> np.ndarray:
    return (np.clip(grey, 0, 1) * 255 + 0.5).astype(np.uint8)


def test_a_flat_picture_becomes_zero_everywhere() -> None:
    for value in (0, 7, 128, 255):
        assert np.abs(normalise_micrograph(np.full((64, 80, 3), value, dtype=np.uint8))).max() < 1e-3


def test_dark_objects_are_negative_and_bright_ones_positive_in_either_light() -> None:
    for level, change, sign in ((0.8, -0.3, -1), (0.05, 0.5, 1)):
        grey = _field(level)
        grey[100:120, 100:120] += change
        normal = normalise_micrograph(_bytes(grey))
        assert sign * normal[100:120, 100:120].mean() > 0.5
        assert abs(float(np.median(normal))) < 0.1


def test_a_vignetted_picture_is_evened() -> None:
    v, u = np.mgrid[-1:1:256j, -1:1:320j]
    normal = normalise_micrograph(_bytes(_field(0.8) * (1 - 0.4 * (u**2 + v**2) / 2)))
    corners = np.mean([normal[:40, :40].mean(), normal[-40:, -40:].mean()])
    assert abs(corners - normal[100:150, 130:190].mean()) < 0.12


def test_noise_alone_stays_small() -> None:
    assert normalise_micrograph(_bytes(_field(0.5, noise=0.03))).std() < 0.25


def test_the_gain_of_a_bright_field_hardly_matters() -> None:
    grey = _field(0.8, noise=0.0)
    grey[50:80, 60:90] *= 0.6
    bright, dim = normalise_micrograph(_bytes(grey)), normalise_micrograph(_bytes(grey * 0.6))
    assert np.abs(bright - dim).max() < 0.1


def test_sixteen_bits_and_eight_bits_agree() -> None:
    picture = _bytes(_field(0.5, noise=0.1))
    wide = picture.astype(np.uint16) * 257
    np.testing.assert_allclose(normalise_micrograph(picture), normalise_micrograph(wide), atol=1e-4)


def test_grey_as_colour_gives_what_grey_gives() -> None:
    picture = _bytes(_field(0.5, noise=0.1))
    np.testing.assert_allclose(
        normalise_micrograph(picture), normalise_micrograph(np.stack([picture] * 3, axis=2)), atol=1e-4
    )


def test_the_background_passes_under_objects() -> None:
    grey = _field(0.7, noise=0.0).astype(np.float32)
    grey[100:140, 100:140] = 0.1
    assert np.abs(background(grey) - 0.7).max() < 0.05


@given(
    npst.arrays(
        st.sampled_from([np.uint8, np.uint16]),
        st.one_of(
            st.tuples(st.integers(1, 70), st.integers(1, 70)),
            st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3)),
        ),
    )
)
@settings(max_examples=60, deadline=None)
def test_every_picture_gives_finite_values_inside_one(picture: np.ndarray) -> None:
    normal = normalise_micrograph(picture)
    assert normal.dtype == np.float32
    assert normal.shape == picture.shape[:2]
    assert np.all(np.abs(normal) < 1)
    np.testing.assert_array_equal(normal, normalise_micrograph(picture))


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4)),
        np.zeros((4, 4, 4), dtype=np.uint8),
        np.zeros(4, dtype=np.uint8),
        np.zeros((0, 4), dtype=np.uint8),
        np.zeros((4, 4), dtype=np.int16),
    ],
)
def test_what_is_no_picture_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(BadInput) as caught:
        normalise_micrograph(picture)
    assert caught.value.remedy


def test_luminance_reaches_from_zero_to_one() -> None:
    white = np.full((3, 3, 3), 255, dtype=np.uint8)
    np.testing.assert_allclose(luminance(white), 1.0, atol=1e-5)
    assert luminance(white * 0).max() == 0


def test_bands_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture of several bands is normalised as one of a single band would be."""
    from cloister.data import normalise

    image = np.random.default_rng(0).integers(0, 255, (301, 207, 3), dtype=np.uint8)
    whole = normalise_micrograph(image)
    monkeypatch.setattr(
        normalise, "_bands", lambda height, _width: (slice(s, s + 37) for s in range(0, height, 37))
    )
    np.testing.assert_allclose(normalise_micrograph(image), whole, atol=1e-6)

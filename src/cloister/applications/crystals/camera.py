"""From light to a picture: uneven lamp, colour, sensor noise, tone curve, compression."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Camera:
    """A camera and its lamp: one draw per picture.

    Attributes:
        level: brightness of the empty field, 0.02 (crossed polarisers) to 0.9.
        tint: colour of the light, red, green and blue factors near 1.
        vignette: loss of light in the corners, 0 to 0.7.
        slope: change of light across the picture, 0 to 0.5.
        mottle: slow unevenness of the light, 0 to 0.15.
        noise: standard deviation of the sensor's noise at half scale, 0 to 0.08 of full scale.
        grain: blur of that noise, pixels; old cameras smear it, 0 to 1.2.
        gamma: of the tone curve, 0.6 to 1.5.
        grey: whether the camera sees no colour.
        jpeg: quality of the compression, 30 to 95, or 0 for none.
    """

    level: float
    tint: tuple[float, float, float]
    vignette: float
    slope: float
    mottle: float
    noise: float
    grain: float
    gamma: float
    grey: bool
    jpeg: int


def expose(
    rng: np.random.Generator, dark: NDArray[np.float32], glow: NDArray[np.float32] | None, camera: Camera
) -> Picture:
    """The picture of a scene.

    Args:
        rng: for the lamp's position and the noise.
        dark: log transmission, float32 [height, width].
        glow: added light, float32 [height, width, 3], or None.
        camera: the settings.

    Returns:
        uint8, [height, width, 3]; the channels are equal where the camera is grey.
    """
    height, width = dark.shape
    lamp = camera.level * _lamp(rng, height, width, camera)
    through = lamp * np.exp(np.clip(dark, -6.0, 0.6))
    if glow is None and camera.grey:
        light = through[..., None]
    else:
        light = through[..., None] * np.asarray(camera.tint, dtype=np.float32)
        if glow is not None:
            light = light + glow * (0.75 + 0.25 * lamp / camera.level)[..., None]
            light = light.mean(axis=2, keepdims=True) if camera.grey else light
    noise = rng.standard_normal(light.shape, dtype=np.float32)
    if camera.grain > 0.2:
        noise = ndimage.gaussian_filter(noise, (camera.grain, camera.grain, 0))
        noise /= max(float(noise.std()), 1e-6)
    # Shot noise grows with the root of the light; a floor stands for reading the sensor out.
    light = light + camera.noise * np.sqrt(0.15 + 1.7 * np.clip(light, 0, 1)) * noise
    scaled = np.clip(light, 0.0, 1.0) ** np.float32(camera.gamma) * 255.0
    picture = np.broadcast_to((scaled + 0.5).astype(np.uint8), (height, width, 3))
    return (
        _compress(np.ascontiguousarray(picture), camera.jpeg)
        if camera.jpeg
        else np.ascontiguousarray(picture)
    )


def _lamp(rng: np.random.Generator, height: int, width: int, camera: Camera) -> NDArray[np.float32]:
    scale = float(np.hypot(height, width)) / 2.0
    x0, y0 = rng.normal(0.5, 0.12) * width, rng.normal(0.5, 0.12) * height
    u = ((np.arange(width, dtype=np.float32) - np.float32(x0)) / np.float32(scale))[None, :]
    v = ((np.arange(height, dtype=np.float32) - np.float32(y0)) / np.float32(scale))[:, None]
    side = float(rng.uniform(0, 2 * np.pi))
    lamp = 1.0 - camera.vignette * np.minimum(u * u + v * v, 1.4)
    lamp = lamp + camera.slope * (u * np.float32(np.cos(side)) + v * np.float32(np.sin(side)))
    if camera.mottle > 0:
        coarse = rng.standard_normal((6, 8), dtype=np.float32)
        slow = ndimage.zoom(coarse, (height / 6, width / 8), order=1, grid_mode=True, mode="nearest")
        lamp = lamp + camera.mottle * slow[:height, :width]
    clipped: NDArray[np.float32] = np.maximum(lamp, 0.05).astype(np.float32)
    return clipped


def _compress(picture: Picture, quality: int) -> Picture:
    stored = io.BytesIO()
    Image.fromarray(picture).save(stored, "JPEG", quality=quality)
    return np.asarray(Image.open(stored), dtype=np.uint8)

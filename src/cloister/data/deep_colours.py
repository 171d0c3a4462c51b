"""Colour pictures with 16 bits a sample, of which Pillow keeps the upper 8: the lower 8 are decoded too.

That matters for cameras that write 10 or 12 bits into 16: of those, the upper byte alone holds 4 to 16 steps, and the picture
is black. The second decoding asks Pillow for the same samples in the other byte order, so that their lower byte is what it keeps.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BITS, _PLANES, _SEPARATE = 258, 284, 2  # TIFF 6.0: BitsPerSample, PlanarConfiguration
_LITTLE = sys.byteorder == "little"
_OTHER_BYTE = {
    "RGB;16B": "RGB;16L",
    "RGB;16L": "RGB;16B",
    "RGB;16N": "RGB;16B" if _LITTLE else "RGB;16L",
    "RGBA;16B": "RGBA;16L",
    "RGBA;16L": "RGBA;16B",
    "RGBA;16N": "RGBA;16B" if _LITTLE else "RGBA;16L",
    # Grey and alpha, two bytes each, as if they were the four bytes of a pixel.
    "LA;16B": "RGBA",
}


def has_lower_bytes(picture: Any) -> bool:
    """Whether a picture that Pillow opened, but has not loaded, has 16 bits a colour in a form that is known here."""
    forms = {_form(tile) for tile in picture.tile}
    return bool(forms) and forms <= _OTHER_BYTE.keys()


def has_deep_planes(picture: Any) -> bool:
    """Whether a TIFF has one plane after the other, of 16 bits: Pillow 13 then takes the bytes of one pixel for two pixels'."""
    tags = getattr(picture, "tag_v2", {})
    bits = tags.get(_BITS, ())
    return tags.get(_PLANES) == _SEPARATE and len(bits) > 1 and max(bits) > 8


def ask_for_lower_bytes(picture: Any) -> str:
    """Makes a picture that was opened, not loaded, give the lower bytes; gives the form that the upper ones have."""
    form = _form(picture.tile[0])
    picture.tile = [_changed(tile) for tile in picture.tile]
    return form


def together(upper: NDArray[np.uint8], lower: NDArray[np.uint8], form: str) -> NDArray[np.uint16]:
    """The samples of 16 bits, height x width x channels, from two decodings; `form` as `ask_for_lower_bytes` gave it.

    A channel of alpha has its upper byte in both, so that 255 is opaque as with 8 bits.
    """
    if form.startswith("LA"):
        grey, alpha = _joined(lower[:, :, 0], lower[:, :, 1]), upper[:, :, 3].astype(np.uint16)
        return np.stack([grey, grey, grey, alpha], axis=2)
    samples = _joined(upper, lower)
    if form.startswith("RGBA"):
        samples[:, :, 3] = upper[:, :, 3]
    return samples


def _joined(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return ((upper.astype(np.uint16) << 8) | lower).astype(np.uint16, copy=False)


def _form(tile: Any) -> str:
    return str(tile[3] if isinstance(tile[3], str) else tile[3][0])


def _changed(tile: Any) -> Any:
    other = _OTHER_BYTE[_form(tile)]
    return tile._replace(args=other if isinstance(tile[3], str) else (other, *tile[3][1:]))

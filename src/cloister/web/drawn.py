"""Pictures that the crystal tool can be tried on where nobody has one at hand: drawn, as everybody is told."""

from __future__ import annotations

import io
from functools import lru_cache

DRAWN = 6
"""How many there are: few, so that asking for one again and again costs nothing."""
_FACTORY, _SEED = "seed-like", 1


@lru_cache(maxsize=DRAWN)
def drawn_picture(number: int) -> bytes:
    """One of the pictures (from 0) as PNG: what `cloister dataset sample` draws."""
    from PIL import Image

    from cloister.applications.crystals.factories import preset
    from cloister.applications.crystals.synthesis import synthesise

    picture = synthesise(preset(_FACTORY), (_SEED, number % DRAWN))
    stream = io.BytesIO()
    Image.fromarray(picture.image).save(stream, "PNG", compress_level=1)
    return stream.getvalue()

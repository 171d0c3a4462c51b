from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from cloister.tools.steps.numerals import numeral, rim


@pytest.mark.parametrize("size", [12, 24])
@pytest.mark.parametrize("number", [1, 8, 240, 1057])
def test_a_pasted_number_looks_as_one_that_was_written(number: int, size: int) -> None:
    written = Image.new("RGB", (120, 50), (90, 140, 60))
    pasted = written.copy()
    font = ImageFont.load_default(size)
    ImageDraw.Draw(written).text(
        (10, 10), str(number), font=font, fill=(255, 255, 255), stroke_width=rim(size), stroke_fill=(0, 0, 0)
    )
    picture, mask, before = numeral(number, size)
    pasted.paste(picture, (10 - before, 10 - before), mask)
    difference = np.abs(np.asarray(written, float) - np.asarray(pasted, float))
    if number < 10:
        assert difference.max() <= 2
    # Digits stand at whole pixels, where fonts put them between.
    assert difference.mean() < 0.35 * np.abs(np.asarray(written, float) - (90, 140, 60)).mean()


def test_a_number_at_the_edge_is_cut_and_not_refused() -> None:
    picture, mask, _ = numeral(123, 20)
    canvas = Image.new("RGB", (30, 30))
    canvas.paste(picture, (20, 12), mask)
    assert np.asarray(canvas).max() == 255

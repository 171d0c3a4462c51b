"""The built-in tool counts as its model was validated, and really counts crystals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cloister.applications.crystals.factories import SEED_LIKE
from cloister.applications.crystals.outlining import outliner
from cloister.applications.crystals.shipped import shipped_outliner
from cloister.applications.crystals.synthesis import synthesise
from cloister.tools.builtin import builtin_tool
from cloister.tools.run import run_tool


@pytest.fixture(scope="module")
def tool():
    return builtin_tool("crystals")


def save(folder, name, pixels):
    path = folder / name
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(("width", "height"), [(640, 512), (1300, 1100)])
def test_the_tool_finds_what_the_judged_model_finds(tool, tmp_path, width, height):
    look = outliner(shipped_outliner())
    pixels = synthesise(replace(SEED_LIKE, width=width, height=height), 901).image
    (result,) = run_tool(tool, [save(tmp_path, "901.png", pixels)], threads=1)
    assert result.count == len(look(pixels))


def test_the_tool_says_what_gives_false_crystals_and_which_sizes_it_knows(tool):
    assert any("dense foam" in line for line in tool.manifest.limits)
    assert (tool.manifest.sizes.smallest, tool.manifest.sizes.largest) == (6.0, 100.0)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [0.5, 2.0, 3.5])
def test_a_finer_or_coarser_camera_gives_the_same_count_and_sizes_in_its_pixels(tool, tmp_path, factor):
    """The same slide; a twentieth is what resampling and the choice of another copy may change."""
    given = Image.fromarray(synthesise(replace(SEED_LIKE, width=900, height=700, diameter=(30, 30)), 5).image)
    sized = given.resize((round(900 * factor), round(700 * factor)), Image.Resampling.BICUBIC)
    one, other = run_tool(
        tool, [save(tmp_path, "one.png", np.asarray(given)), save(tmp_path, "other.png", np.asarray(sized))]
    )
    assert abs(one.count - other.count) <= 0.06 * one.count
    sizes = [np.median(result.table.columns["diameter"]) for result in (one, other)]
    assert sizes[1] / sizes[0] == pytest.approx(factor, rel=0.05)


@pytest.mark.slow
def test_counts_on_fresh_synthetic_seed_like_pictures_are_right_to_nine_in_ten(tool, tmp_path):
    made = {seed: synthesise(SEED_LIKE, seed) for seed in range(7000, 7012)}
    paths = [save(tmp_path, f"{seed}.png", picture.image) for seed, picture in made.items()]
    results = run_tool(tool, paths, threads=1)
    accuracies = []
    for result, picture in zip(results, made.values(), strict=True):
        true = len(picture.crystals)
        accuracies.append(1 - abs(result.count - true) / max(true, 1))
    assert np.mean(accuracies) >= 0.9, accuracies

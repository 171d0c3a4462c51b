"""The built-in tool counts as its model was validated, and really counts crystals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cloister.applications.crystals.factories import SEED_LIKE
from cloister.applications.crystals.pipeline import shipped_model
from cloister.applications.crystals.predict import centres, runner
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


@pytest.mark.parametrize(("width", "height"), [(640, 512), (1000, 700)])
def test_tiles_count_as_the_validated_whole_picture_does(tool, tmp_path, width, height):
    run = runner(shipped_model())
    for seed in (901, 902):
        pixels = synthesise(replace(SEED_LIKE, width=width, height=height), seed).image
        (result,) = run_tool(tool, [save(tmp_path, f"{seed}.png", pixels)], threads=1)
        assert result.count == len(centres(run, pixels))


def test_the_tool_says_what_gives_false_crystals_and_which_sizes_it_knows(tool):
    assert any("Foam and dense bubbles" in line for line in tool.manifest.limits)
    assert (tool.manifest.sizes.smallest, tool.manifest.sizes.largest) == (8.0, 90.0)


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

"""The crystal model trained on: what the recipe makes of labelled pictures, a round, a private step, and the tool at the end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloister.applications.crystals.factories import PUBLIC
from cloister.applications.crystals.outlines_recipe import (
    LAST_BLOCK,
    MANY_ROUNDS,
    outlines_recipe,
    private_outlines_recipe,
)
from cloister.applications.crystals.shipped import shipped_outliner
from cloister.applications.crystals.synthesis import write_dataset
from cloister.applications.trainings import tool_training
from cloister.models.execute import Model, load_model
from cloister.models.export import export
from cloister.tools.builtin import builtin_tool
from cloister.tools.tool import with_model
from cloister.training.evaluate import evaluate, scores
from cloister.training.local import Trainer
from cloister.training.outlines import OutlineExamples
from cloister.training.preparation import prepare
from cloister.training.private import PrivateGradient, trained_ranges
from cloister.training.recipe import OutlinesPreparation, TrainingRecipe


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(shipped_outliner())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("plant")
    write_dataset(place, replace(PUBLIC, width=160, height=130, crystals=(60, 90)), 3, seed=11)
    return place


def test_the_recipe_is_a_document_that_survives_the_wire() -> None:
    for recipe in (outlines_recipe(steps=3), private_outlines_recipe()):
        assert TrainingRecipe.model_validate_json(recipe.model_dump_json()) == recipe
        assert isinstance(recipe.preparation, OutlinesPreparation)
    assert private_outlines_recipe().trainable == (LAST_BLOCK,)
    few, many = outlines_recipe(rounds=MANY_ROUNDS - 1), outlines_recipe(rounds=MANY_ROUNDS)
    assert (few.server.name, many.server.name) == ("average", "adam")


def test_who_asks_to_train_the_tool_gets_the_model_that_outlines() -> None:
    for private in (False, True):
        content, recipe = tool_training("crystals", private=private)
        assert content == shipped_outliner()
        assert recipe["preparation"]["name"] == "outlines"


def test_a_round_moves_the_weights_and_leaves_the_tool_a_model_that_it_takes(
    folder: Path, model: Model
) -> None:
    recipe = outlines_recipe(steps=6, batch=2, patch=96)
    data, trainer = prepare(recipe, folder), Trainer(model, recipe)
    before = evaluate(trainer, data, model.flatten())
    weights, figures = trainer.round(data, model.flatten(), rng=np.random.default_rng(1))
    assert figures["update_norm"] > 0
    assert np.isfinite(weights).all()
    after = evaluate(trainer, data, weights)
    assert before["metric"] == "count-accuracy"
    assert 0.5 < before["value"] <= 1.0
    assert np.isfinite(after["loss"])
    released = export(model, weights)
    made = with_model(builtin_tool("crystals"), "objects", released, version="9.0.0")
    assert made.models == {"objects": released}


def test_a_private_step_clips_each_picture_and_trains_the_last_block_only(folder: Path, model: Model) -> None:
    recipe = private_outlines_recipe(patch=64).model_copy(update={"validation": 0.0})
    data, trainer = prepare(recipe, folder, alone=True), Trainer(model, recipe)
    gradient = PrivateGradient(trainer)
    assert gradient.size == sum(
        int(np.prod(shape)) for name, shape in model.parameters.items() if name.startswith(LAST_BLOCK)
    )
    assert len(trained_ranges(trainer)) >= 1
    total, figures = gradient.sum(
        data, model.flatten(), clip=0.01, rate=1.0, capacity=3, secret=bytes(32), units=3
    )
    assert figures["zeroed"] == 0
    assert figures["clipped"] == 1.0
    assert 0 < np.linalg.norm(total) <= 3 * 0.01 * 1.0001


def test_counts_at_the_gate_are_those_that_the_tool_reads_off_the_answer(folder: Path, model: Model) -> None:
    from cloister.applications.crystals.outlining import outliner
    from cloister.data.readers import read_image_folder

    recipe = outlines_recipe().model_copy(update={"validation": 0.99})
    data = prepare(recipe, folder, alone=True)
    assert isinstance(data, OutlineExamples)
    found = scores(Trainer(model, recipe), data, model.flatten())
    look = outliner(shipped_outliner())
    wanted = [
        max(0.0, 1 - abs(len(look(image.pixels())) - len(image.labels.centres)) / len(image.labels.centres))
        for image in read_image_folder(folder)
        if image.labels is not None
    ]
    # The tool looks from farther away as well, and guesses the size that labels tell: one crystal of a picture's four may differ.
    assert len(found) == len(wanted)
    np.testing.assert_allclose(sorted(found), sorted(wanted), atol=0.26)


def test_pictures_without_sizes_are_refused_and_without_outlines_taken(folder: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path, replace(PUBLIC, width=96, height=96, crystals=(60, 90)), 1, seed=3)
    (label,) = (tmp_path / "labels").iterdir()
    full = json.loads(label.read_text())
    recipe = outlines_recipe(patch=96).model_copy(update={"validation": 0.0})
    label.write_text(json.dumps({key: full[key] for key in ("centres", "diameters")}))
    data = prepare(recipe, tmp_path)
    assert isinstance(data, OutlineExamples)
    (picture,) = data.pictures
    assert not picture.asked.outlined.any()
    assert picture.count == len(full["centres"])
    label.write_text(json.dumps({"centres": full["centres"]}))
    with pytest.raises(Exception, match="sizes"):
        prepare(recipe, tmp_path)

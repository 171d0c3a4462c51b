"""Pictures with outlines as examples: patches that fit their targets, places that are filled up, and scores of single pictures."""

from __future__ import annotations

import numpy as np
import pytest

from cloister.applications.crystals.star_network import INPUT, OUTPUT, build_star_model
from cloister.data.labels import Labels
from cloister.data.stars import find_stars
from cloister.models.execute import load_model
from cloister.models.star_loss import NAME
from cloister.training.evaluate import TILE, answer, scores
from cloister.training.fitting import fit
from cloister.training.local import Trainer
from cloister.training.outlines import OutlinedPicture, OutlineExamples
from cloister.training.recipe import OutlinesPreparation, TrainingRecipe

PLAN = OutlinesPreparation(patch=64, crops=2)


def recipe(**changes: object) -> TrainingRecipe:
    return TrainingRecipe(
        **{
            "loss": NAME,
            "input": INPUT,
            "output": OUTPUT,
            "preparation": PLAN,
            "metric": "count-accuracy",
            **changes,
        }
    )


def picture(
    seed: int, height: int = 100, width: int = 120, plan: OutlinesPreparation = PLAN
) -> OutlinedPicture:
    """Dark discs on grey, each labelled."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width), 150, np.uint8)
    centres = [(x, y) for x in range(20, width - 10, 30) for y in range(20, height - 10, 30)]
    v, u = np.mgrid[:height, :width]
    for x, y in centres:
        pixels[(u - x) ** 2 + (v - y) ** 2 <= 64] = 60
    noisy = np.clip(pixels + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)
    labels = Labels(tuple((float(x), float(y)) for x, y in centres), (16.0,) * len(centres))
    return OutlinedPicture.of(noisy, labels, plan)


@pytest.mark.parametrize(("flips", "turns"), [(False, False), (True, False), (True, True)])
def test_a_patch_shows_its_objects_where_its_target_has_them(flips: bool, turns: bool) -> None:
    plan = PLAN.model_copy(update={"flips": flips, "turns": turns})
    batch = OutlineExamples(plan, [picture(0)], []).batch(np.random.default_rng(1), 12)
    assert batch["input"].shape == (12, 1, 64, 64)
    for pixels, target in zip(batch["input"], batch["target"], strict=True):
        body = target[4:8].max(axis=0) > 0.5
        shown = pixels[0].reshape(16, 4, 16, 4).mean(axis=(1, 3))
        assert shown[body].mean() < shown[~body].mean() - 0.2


def test_units_are_pictures_and_unused_places_weigh_nothing() -> None:
    data = OutlineExamples(PLAN, [picture(0), picture(1)], [])
    batch = data.unit_batch(np.random.default_rng(0), np.array([1]), 3)
    assert batch.examples["input"].shape == (3, 2, 1, 64, 64)
    np.testing.assert_allclose(batch.share, [[0.5, 0.5], [0, 0], [0, 0]])
    assert not batch.examples["weights"][1:].any()


def test_pictures_smaller_than_a_patch_are_filled_and_what_was_filled_is_not_asked() -> None:
    small = picture(0, height=36, width=50)
    assert small.pixels.shape == (64, 64)
    assert small.size == (36, 50)
    (batch,) = OutlineExamples(PLAN, [], [small]).validation(4)
    assert not batch["weights"][0, :, 9:, :].any()
    assert batch["weights"][0, :4, :9, :12].all()
    drawn = OutlineExamples(PLAN, [small], []).batch(np.random.default_rng(0), 2)
    assert drawn["input"].shape == (2, 1, 64, 64)


def test_large_crystals_are_made_as_small_as_the_model_knows_them() -> None:
    plan = PLAN.model_copy(update={"typical": 8.0})
    made = picture(0, plan=plan)
    assert made.size == (50, 60)
    assert np.median(np.sqrt((made.asked.rays**2).mean(axis=1))) == pytest.approx(4.0, rel=0.02)


def test_a_pictures_score_is_its_own_and_bounded() -> None:
    trainer = Trainer(load_model(build_star_model(seed=5)), recipe())
    kept = [picture(n) for n in range(3)]
    every = scores(trainer, OutlineExamples(PLAN, [], kept), trainer.model.flatten())
    assert every.shape == (3,)
    assert ((every >= 0) & (every <= 1)).all()
    for place, one in enumerate(kept):
        alone = scores(trainer, OutlineExamples(PLAN, [], [one]), trainer.model.flatten())
        np.testing.assert_array_equal(alone, every[place : place + 1])
    assert scores(trainer, OutlineExamples(PLAN, [], []), trainer.model.flatten()).shape == (0,)


def test_a_large_picture_is_answered_in_tiles_as_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    from cloister.training import evaluate

    trainer = Trainer(load_model(build_star_model(seed=5)), recipe())
    params = trainer.model.unflatten(trainer.model.flatten())
    pixels = np.random.default_rng(0).normal(0, 0.3, (300, 420)).astype(np.float32)
    assert max(pixels.shape) < TILE
    whole = answer(trainer, params, pixels, 16, 4)
    monkeypatch.setattr(evaluate, "TILE", 288)
    tiled = answer(trainer, params, pixels, 16, 4)
    assert whole.shape == tiled.shape == (51, 75, 105)
    # Beyond its context a tile's answer changes by a trace only; at the picture's own edge, zeros and their biases are no edge.
    inner = slice(24, -24)
    assert np.abs(whole - tiled)[:, inner, inner].max() < 0.02 * whole.std()
    assert abs(len(find_stars(whole, 0.1)) - len(find_stars(tiled, 0.1))) <= 1


def test_a_worker_finds_that_recipe_and_model_fit_before_anybody_is_asked() -> None:
    model = {"model": np.frombuffer(build_star_model(), np.uint8)}
    told, _ = fit({"recipe": recipe().model_dump(mode="json")}, model)
    assert told["prediction"] == [8, 51, 16, 16]
    wrong = recipe(loss="dice").model_dump(mode="json")
    with pytest.raises(Exception, match="does not fit"):
        fit({"recipe": wrong}, model)

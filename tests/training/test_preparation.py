"""Preparations: public constants only, right targets, errors by position and never by content."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cloister.foundation.errors import BadInput, CloisterError, NotFound
from cloister.training.points import Picture, PointExamples, draw
from cloister.training.preparation import prepare
from cloister.training.recipe import Column, PointsPreparation, TabularPreparation, TrainingRecipe


def recipe(preparation, **changes) -> TrainingRecipe:
    return TrainingRecipe(
        **{"loss": "cross-entropy", "input": "x", "output": "y", "preparation": preparation, **changes}
    )


TABLE = TabularPreparation(
    columns=(Column(name="heat", centre=20.0, spread=10.0, limit=3.0), Column(name="speed", missing=-1.0)),
    label="state",
    classes=("ok", "worn"),
)


def write_table(path: Path, rows: list[str]) -> Path:
    path.write_text("heat,speed,state\n" + "\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("as_folder", [False, True])
def test_columns_are_scaled_by_public_constants_cut_and_filled(tmp_path: Path, as_folder: bool) -> None:
    path = write_table(tmp_path / "t.csv", ["30.5,1.5,ok", "1000,,worn"])
    examples = prepare(recipe(TABLE, validation=0.0), tmp_path if as_folder else path)
    np.testing.assert_allclose(examples.train["input"], [[1.05, 1.5], [3.0, -1.0]], rtol=1e-6)
    np.testing.assert_array_equal(examples.train["target"], [0, 1])


def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table({"heat": [30.5, 1000.0], "speed": [1.5, None], "state": ["ok", "worn"]}),
        tmp_path / "t.parquet",
    )
    examples = prepare(recipe(TABLE, validation=0.0), tmp_path / "t.parquet")
    np.testing.assert_allclose(examples.train["input"], [[1.05, 1.5], [3.0, -1.0]], rtol=1e-6)


def test_numeric_labels_are_scaled_and_have_one_column(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.csv", ["1,2,10", "1,2,30"])
    plan = TABLE.model_copy(update={"classes": (), "label_centre": 10.0, "label_spread": 20.0})
    np.testing.assert_allclose(prepare(recipe(plan, validation=0.0), path).train["target"], [[0.0], [1.0]])


def test_records_that_do_not_fit_are_named_by_position_and_never_shown(tmp_path: Path) -> None:
    for rows in (["1,2,ok", "1,2,secretstate"], ["1,2,ok", "secretheat,2,ok"]):
        with pytest.raises(BadInput) as caught:
            prepare(recipe(TABLE), write_table(tmp_path / "t.csv", rows))
        assert "secret" not in str(caught.value.problem())


def test_missing_columns_and_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("heat,state\n1,ok\n")
    with pytest.raises(BadInput) as caught:
        prepare(recipe(TABLE), tmp_path / "t.csv")
    assert "speed" in caught.value.why
    with pytest.raises(NotFound):
        prepare(recipe(TABLE), tmp_path / "nothing.csv")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:96, :128]
    for i in range(5):
        pixels = rng.normal(160, 3, (96, 128))
        centres = [[20.0 + 5 * i, 30.0], [90.0, 60.0]]
        for x, y in centres:
            pixels[(xx - x) ** 2 + (yy - y) ** 2 < 36] -= 70
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "images" / f"{i}.png")
        (tmp_path / "labels" / f"{i}.json").write_text(
            json.dumps({"centres": centres, "diameters": [12.0, 12.0]})
        )
    return tmp_path


def test_a_folder_of_pictures_becomes_patches_with_heat_maps(folder: Path) -> None:
    plan = PointsPreparation(patch=64, sigma=2.0, channels=("centres", "foreground"))
    examples = prepare(recipe(plan), folder)
    assert examples.count + examples.held_out == 5
    batch = examples.batch(np.random.default_rng(0), 6)
    assert {name: value.shape for name, value in batch.items()} == {
        "input": (6, 1, 64, 64),
        "target": (6, 2, 64, 64),
        "weights": (6, 2, 64, 64),
    }
    assert all(value.dtype == np.float32 and np.isfinite(value).all() for value in batch.values())
    assert batch["target"].min() >= 0
    assert batch["target"].max() <= 1


def test_validation_is_the_same_every_time_and_covers_the_pictures_kept_apart(folder: Path) -> None:
    examples = prepare(recipe(PointsPreparation(patch=32)), folder)
    first, again = (list(examples.validation(4)) for _ in range(2))
    assert [len(batch["input"]) for batch in first] == [len(batch["input"]) for batch in again]
    for left, right in zip(first, again, strict=True):
        np.testing.assert_array_equal(left["input"], right["input"])


def test_targets_move_with_their_pictures_when_mirrored_and_turned(folder: Path) -> None:
    examples = prepare(recipe(PointsPreparation(patch=64, sigma=2.0, brightness=0.2)), folder)
    batch = examples.batch(np.random.default_rng(5), 40)
    # The dark discs are where the heat is: inputs there are far below the background's zero.
    hot = batch["target"][:, 0] > 0.8
    assert hot.any()
    assert batch["input"][:, 0][hot].mean() < batch["input"][:, 0][~hot].mean() - 0.3


def test_pictures_are_units_of_one_patch_each_and_have_no_columns(folder: Path) -> None:
    examples = prepare(recipe(PointsPreparation(patch=32), validation=0.0), folder)
    assert examples.units == examples.count
    batch = examples.unit_batch(np.random.default_rng(0), np.asarray([1, 0]), 3)
    assert batch.examples["input"].shape == (3, 1, 1, 32, 32)
    np.testing.assert_array_equal(batch.share, [[1], [1], [0]])
    assert batch.examples["weights"][1].any()
    assert not batch.examples["weights"][2].any()
    with pytest.raises(BadInput):
        prepare(recipe(PointsPreparation()), folder, "customer")


def test_a_picture_gives_as_many_patches_to_a_private_step_as_the_recipe_says(folder: Path) -> None:
    examples = prepare(recipe(PointsPreparation(patch=32, crops=3), validation=0.0), folder)
    assert examples.units == examples.count
    batch = examples.unit_batch(np.random.default_rng(0), np.asarray([1]), 2)
    assert batch.examples["input"].shape == (2, 3, 1, 32, 32)
    np.testing.assert_allclose(batch.share, [[1 / 3] * 3, [0, 0, 0]], rtol=1e-6)
    first, second, _ = batch.examples["input"][0]
    assert not np.array_equal(first, second)
    assert not batch.examples["weights"][1].any()


def test_rows_of_one_customer_are_one_unit_and_are_kept_apart_together(tmp_path: Path) -> None:
    rows = [f"{place},{place},{place % 2},c{place % 20}" for place in range(200)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a,b,y,customer", *rows]) + "\n")
    plan = TabularPreparation(columns=(Column(name="a", spread=1e6, limit=10.0),), label="y")
    examples = prepare(recipe(plan, validation=0.5), path, "customer")
    customers = [
        {round(float(value) * 1e6) % 20 for value in part["input"][:, 0]}
        for part in (examples.train, examples.kept)
    ]
    assert customers[0] | customers[1] == set(range(20))
    assert not customers[0] & customers[1]
    assert examples.units == len(customers[0])
    batch = examples.unit_batch(np.random.default_rng(0), np.arange(examples.units), 20)
    for place in range(examples.units):
        of = {round(float(value) * 1e6) % 20 for value in batch.examples["input"][place, :10, 0]}
        assert len(of) == 1
    with pytest.raises(BadInput) as caught:
        prepare(recipe(TABLE), write_table(tmp_path / "u.csv", ["1,1,ok"]), "customer")
    assert "customer" in str(caught.value)


def test_a_heat_map_peaks_at_the_centre_and_keeps_neighbours_apart() -> None:
    plan = PointsPreparation(sigma=2.0)
    target, weights = draw(
        plan,
        (32, 40),
        np.asarray([[10.0, 5.0], [16.0, 5.0], [200.0, 5.0]], np.float32),
        np.full(3, np.nan, np.float32),
    )
    assert target.shape == weights.shape == (1, 32, 40)
    assert target[0, 5, 10] == target[0, 5, 16] == 1.0
    assert target[0, 5, 13] == pytest.approx(np.exp(-9 / 8), rel=1e-4)
    assert target.max() == 1.0


def test_the_width_of_a_peak_may_follow_the_diameter_and_channels_may_weigh_differently() -> None:
    plan = PointsPreparation(
        sigma_share=0.2,
        sigma_limits=(1.0, 5.0),
        channels=("foreground", "centres"),
        channel_weights=(1.0, 10.0),
        emphasis=5.0,
    )
    target, weights = draw(
        plan, (64, 64), np.asarray([[20.0, 20.0]], np.float32), np.asarray([20.0], np.float32)
    )
    assert target[1, 20, 24] == pytest.approx(np.exp(-0.5), rel=1e-4)
    assert target[0].sum() == pytest.approx(np.pi * 100, rel=0.05)
    assert weights[1, 20, 20] == pytest.approx(50)
    assert weights[1, 60, 60] == pytest.approx(10, rel=1e-3)
    assert (weights[0] == 1).all()


def test_scaling_a_picture_moves_its_points_with_it() -> None:
    pixels = np.zeros((40, 60), np.float32)
    pixels[9:12, 29:32] = 1
    small = Picture.scaled(pixels, np.asarray([[30.0, 10.0]], np.float32), np.asarray([8.0], np.float32), 0.5)
    assert small.pixels.shape == (20, 30)
    y, x = np.unravel_index(small.pixels.astype(np.float32).argmax(), small.pixels.shape)
    assert abs(small.centres[0] - [x, y]).max() < 1
    assert small.diameters[0] == pytest.approx(4)


def test_pictures_smaller_than_a_patch_are_filled_and_what_was_filled_does_not_count() -> None:
    picture = Picture(np.ones((20, 30), np.float16), np.zeros((0, 2), np.float32), np.zeros(0, np.float32))
    examples = PointExamples(PointsPreparation(patch=64, flips=False, turns=False), [picture], [picture])
    batch = examples.batch(np.random.default_rng(0), 1)
    assert batch["weights"][0, 0, :20, :30].all()
    assert batch["weights"].sum() == 600


def test_folders_without_what_the_recipe_needs_are_refused(folder: Path) -> None:
    (folder / "labels" / "3.json").write_text(json.dumps({"centres": [[1.0, 2.0]]}))
    with pytest.raises(BadInput) as caught:
        prepare(recipe(PointsPreparation(channels=("centres", "foreground"))), folder)
    assert "diameters" in caught.value.why
    (folder / "labels" / "3.json").unlink()
    with pytest.raises(CloisterError):
        prepare(recipe(PointsPreparation()), folder)
    with pytest.raises(CloisterError):
        prepare(recipe(PointsPreparation()), folder / "images")

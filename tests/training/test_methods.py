"""Training through a confined worker, as a node does it: train, evaluate, export, check."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from building import mlp, unet

from cloister.engines.pool import Engine
from cloister.foundation.errors import BadInput, NotFound, Refused
from cloister.training.recipe import (
    Column,
    OptimiserRecipe,
    PointsPreparation,
    TabularPreparation,
    TrainingRecipe,
)

METHODS = {
    name.replace("_", "-"): f"cloister.training.methods:{name}"
    for name in ("initial", "train", "private_sum", "evaluate", "export", "check")
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("party")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4))
    rows = [",".join(f"{v:.4f}" for v in row) + f",{int(row[0] + row[1] > 0)}" for row in x]
    (folder / "table.csv").write_text("a,b,c,d,y\n" + "\n".join(rows) + "\n")
    pictures = folder / "pictures"
    for name in ("images", "labels"):
        (pictures / name).mkdir(parents=True)
    yy, xx = np.mgrid[:96, :96]
    for i in range(8):
        centres = [[float(x), float(y)] for x in (20, 50, 76) for y in rng.uniform(15, 80, 1)]
        pixels = rng.normal(150, 3, (96, 96))
        for cx, cy in centres:
            pixels[(xx - cx) ** 2 + (yy - cy) ** 2 < 30] -= 70
        Image.fromarray(pixels.astype(np.uint8)).save(pictures / "images" / f"{i}.png")
        (pictures / "labels" / f"{i}.json").write_text(json.dumps({"centres": centres}))
    return folder


@pytest.fixture(scope="module")
def engine(place: Path):
    with Engine(METHODS, folders=[place], cache=place / "cache") as made:
        yield made


def as_array(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


def document(recipe: TrainingRecipe) -> dict:
    return json.loads(recipe.model_dump_json())


TABULAR = TrainingRecipe(
    loss="cross-entropy", input="x", output="y", metric="accuracy", batch=16, steps=80, seed=5,
    optimiser=OptimiserRecipe(name="adam", learning_rate=0.02),
    preparation=TabularPreparation(columns=tuple(Column(name=n) for n in "abcd"), label="y", classes=("0", "1")),
)  # fmt: skip
POINTS = TrainingRecipe(
    loss="binary-cross-entropy-per-pixel", input="x", output="y", metric="count-accuracy", batch=4, steps=60, clip=1.0, seed=5,
    optimiser=OptimiserRecipe(name="adam", learning_rate=0.01, second_moment=0.99),
    preparation=PointsPreparation(patch=48, sigma=2.5, emphasis=10.0, multiple=4, threshold=0.3), validation=0.25,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "model", "data", "least"),
    [(TABULAR, mlp(4, (8,), 2), "table.csv", 0.85), (POINTS, unet(6, 2, norm="none"), "pictures", 0.6)],
    ids=["table", "pictures"],
)
def test_a_worker_trains_and_the_metric_gets_better(
    engine, place: Path, recipe, model: bytes, data: str, least: float
) -> None:
    arguments = {"recipe": document(recipe), "dataset": str(place / data)}
    told, arrays = engine.call("initial", {}, {"model": as_array(model)})
    weights = arrays["weights"]
    assert told == {"parameters": len(weights)}
    before, _ = engine.call("evaluate", arguments, {"model": as_array(model), "weights": weights})
    for number in range(2):
        figures, arrays = engine.call(
            "train", {**arguments, "round": number}, {"model": as_array(model), "weights": weights}
        )
        weights = arrays["weights"]
        assert figures["steps"] == recipe.steps
    after, _ = engine.call("evaluate", arguments, {"model": as_array(model), "weights": weights})
    assert after["loss"] < before["loss"]
    assert after["value"] >= least
    _, made = engine.call("export", {"document": "together"}, {"model": as_array(model), "weights": weights})
    _, again = engine.call("initial", {}, {"model": made["model"]})
    np.testing.assert_array_equal(again["weights"], weights)
    report, _ = engine.call("check", {}, {"model": made["model"]})
    assert report["accepted"]


def test_public_seeds_repeat_a_round_and_secret_ones_are_taken_from_the_caller(engine, place: Path) -> None:
    model = as_array(mlp(4, (8,), 2))
    weights = engine.call("initial", {}, {"model": model})[1]["weights"]
    base = {"recipe": document(TABULAR), "dataset": str(place / "table.csv"), "steps": 3}

    def train(**more) -> np.ndarray:
        return engine.call("train", {**base, **more}, {"model": model, "weights": weights})[1]["weights"]

    np.testing.assert_array_equal(train(round=1), train(round=1))
    assert not np.array_equal(train(round=1), train(round=2))
    np.testing.assert_array_equal(train(seed="aa" * 16), train(seed="aa" * 16))
    assert not np.array_equal(train(seed="aa" * 16), train(seed="bb" * 16))
    assert not np.array_equal(train(round=1), train(round=1, proximal_mu=1.0))


def test_a_changed_dataset_is_prepared_again(engine, place: Path) -> None:
    model = as_array(mlp(4, (8,), 2))
    weights = engine.call("initial", {}, {"model": model})[1]["weights"]
    copy = place / "copy.csv"
    copy.write_text((place / "table.csv").read_text())
    arguments = {"recipe": document(TABULAR), "dataset": str(copy)}
    whole = engine.call("train", {**arguments, "steps": 1}, {"model": model, "weights": weights})[0][
        "examples"
    ]
    copy.write_text("\n".join(copy.read_text().splitlines()[:60]) + "\n")
    half = engine.call("train", {**arguments, "steps": 1}, {"model": model, "weights": weights})[0][
        "examples"
    ]
    assert half < whole


@pytest.mark.parametrize(
    ("arguments", "arrays"),
    [
        ({"recipe": {"loss": "x"}}, {}),
        ({"dataset": 5}, {}),
        ({"steps": 0}, {}),
        ({"seed": "xyz"}, {}),
        ({}, {"weights": np.zeros(3, np.float32)}),
        ({}, {"weights": np.zeros((1, 58))}),
        ({}, {"model": np.zeros(10, np.float32)}),
        ({}, {"model": np.frombuffer(b"nonsense", np.uint8)}),
        ({"dataset": "/nowhere"}, {}),
    ],
)
def test_calls_that_make_no_sense_are_refused_with_what_to_do(
    engine, place: Path, arguments: dict, arrays: dict
) -> None:
    model = mlp(4, (8,), 2)
    good = {"recipe": document(TABULAR), "dataset": str(place / "table.csv")}
    values = {"model": as_array(model), "weights": np.zeros(58, np.float32), **arrays}
    with pytest.raises((BadInput, NotFound, Refused)) as caught:
        engine.call("train", {**good, **arguments}, values)
    assert caught.value.remedy


@pytest.mark.parametrize("data", ["table.csv", "pictures"])
def test_a_private_step_gives_a_clipped_sum_of_what_the_recipe_trains(engine, place: Path, data: str) -> None:
    recipe, model = (TABULAR, mlp(4, (8,), 2)) if data == "table.csv" else (POINTS, unet(4, 1, norm="none"))
    told, arrays = engine.call("initial", {"recipe": document(recipe)}, {"model": as_array(model)})
    assert told["trained"] == [[0, told["parameters"]]]
    last = document(recipe.model_copy(update={"trainable": ("w",)}))
    places = engine.call("initial", {"recipe": last}, {"model": as_array(model)})[0]["trained"]
    arguments = {"dataset": str(place / data), "clip": 0.5, "rate": 0.5, "capacity": 8, "seed": "5a" * 32}
    values = {"model": as_array(model), "weights": arrays["weights"]}
    figures, whole = engine.call("private-sum", {**arguments, "recipe": document(recipe)}, values)
    assert whole["sum"].shape == (told["parameters"],)
    assert 0 < np.linalg.norm(whole["sum"]) <= 8 * 0.5
    assert figures["sampled"] >= 1
    again = engine.call("private-sum", {**arguments, "recipe": document(recipe)}, values)[1]["sum"]
    assert again.tobytes() == whole["sum"].tobytes()
    other = engine.call("private-sum", {**arguments, "seed": "5b" * 32, "recipe": document(recipe)}, values)
    assert other[1]["sum"].tobytes() != whole["sum"].tobytes()
    part = engine.call("private-sum", {**arguments, "recipe": last}, values)[1]["sum"]
    assert len(part) == sum(stop - start for start, stop in places)


def test_by_unit_only_what_is_kept_apart_by_its_own_fate_has_a_score_and_the_rest_is_drawn(
    engine, place: Path
) -> None:
    model = mlp(4, (8,), 2)
    weights = engine.call("initial", {}, {"model": as_array(model)})[1]["weights"]
    values = {"model": as_array(model), "weights": weights}
    arguments = {"recipe": document(TABULAR), "dataset": str(place / "table.csv")}
    step = {"clip": 1e-3, "rate": 1.0, "capacity": 200, "seed": "5a" * 32}
    told, arrays = engine.call("evaluate", {**arguments, "by_unit": True}, values)
    assert told == {}
    exact, _ = engine.call("evaluate", arguments, values)
    assert arrays["scores"].shape == (exact["records"],)
    assert arrays["scores"].mean() == pytest.approx(exact["value"])
    drawn, _ = engine.call("private-sum", {**arguments, **step}, values)
    assert drawn["sampled"] + exact["records"] == 120
    # Of so few that no fate keeps one apart, the exact way keeps one all the same; by fates alone there is none.
    few = document(TABULAR.model_copy(update={"validation": 1e-9}))
    assert engine.call("evaluate", {**arguments, "recipe": few}, values)[0]["records"] == 1
    told, arrays = engine.call("evaluate", {**arguments, "recipe": few, "by_unit": True}, values)
    assert arrays["scores"].shape == (0,)
    assert engine.call("private-sum", {**arguments, **step, "recipe": few}, values)[0]["sampled"] == 120


def test_rows_that_share_a_key_are_one_unit_and_stay_together(engine, place: Path) -> None:
    keyed = place / "keyed.csv"
    lines = (place / "table.csv").read_text().splitlines()
    keyed.write_text(
        "\n".join([lines[0] + ",customer", *(f"{row},{i % 10}" for i, row in enumerate(lines[1:]))])
    )
    model = mlp(4, (8,), 2)
    weights = engine.call("initial", {}, {"model": as_array(model)})[1]["weights"]
    arguments = {
        "recipe": document(TABULAR), "dataset": str(keyed), "clip": 1e-3, "rate": 1.0, "capacity": 100, "seed": "5a" * 32,
    }  # fmt: skip
    values = {"model": as_array(model), "weights": weights}
    rows, _ = engine.call("private-sum", arguments, values)
    customers, arrays = engine.call("private-sum", {**arguments, "unit_column": "customer"}, values)
    assert rows["sampled"] > 80
    assert customers["sampled"] < 10
    assert np.linalg.norm(arrays["sum"]) <= customers["sampled"] * 1e-3
    kept, _ = engine.call("evaluate", {**arguments, "unit_column": "customer"}, values)
    assert kept["records"] == 120 - 12 * customers["sampled"]
    for wrong in (
        {"unit_column": "nobody"},
        {"unit_column": 5},
        {"seed": "5a"},
        {"capacity": True},
        {"clip": "1"},
    ):
        with pytest.raises(BadInput):
            engine.call("private-sum", {**arguments, **wrong}, values)

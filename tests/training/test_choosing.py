"""The choice of a way: measured on made-up inputs, once, kept beside compiled programs; small steps take the first."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from building import Builder, mlp

from cloister.models.execute import load_model
from cloister.training import choosing
from cloister.training.choosing import batch_shapes, candidates, choose, measured, sizes
from cloister.training.examples import UnitBatch
from cloister.training.local import Trainer
from cloister.training.recipe import Column, TabularPreparation, TrainingRecipe

RECIPE = TrainingRecipe(
    loss="cross-entropy", input="x", output="y",
    preparation=TabularPreparation(columns=(Column(name="a"),), label="y"),
)  # fmt: skip


def shapes(capacity: int = 100, places: int = 1) -> choosing.Shapes:
    examples = {
        "input": np.zeros((capacity, places, 4), np.float32),
        "target": np.zeros((capacity, places), np.int32),
    }
    return batch_shapes(UnitBatch(examples, np.zeros((capacity, places), np.float32)))


@pytest.fixture
def trainer() -> Trainer:
    return Trainer(load_model(mlp(4, (8,), 3)), RECIPE)


@pytest.fixture
def folder(tmp_path: Path):
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before)


def test_a_small_step_is_not_measured_and_goes_layer_by_layer(trainer: Trainer, folder: Path) -> None:
    choice = choose(trainer, shapes())
    assert (choice.way.name, choice.size) == ("layers", 100)
    assert not list(folder.iterdir())


def test_blocks_cut_the_capacity_evenly_and_stay_within_memory(trainer: Trainer, monkeypatch) -> None:
    assert sizes(trainer, shapes(100)) == [100, 50, 15, 4]
    assert sizes(trainer, shapes(1)) == [1]
    assert sizes(trainer, shapes(1000))[0] == 250
    monkeypatch.setattr(choosing, "BLOCK_BYTES", 1)
    assert sizes(trainer, shapes(100)) == [1]


def test_the_fastest_candidate_is_taken_and_kept(trainer: Trainer, folder: Path, monkeypatch) -> None:
    asked: list[tuple[str, int]] = []

    def pretended(_trainer, _shapes, choice) -> float:
        asked.append((choice.way.name, choice.size))
        return {("definition", 100): 3.0, ("definition", 50): 1.0}.get(asked[-1], 2.0 + 1 / choice.size)

    monkeypatch.setattr(choosing, "MEASURED_FROM", 0)
    monkeypatch.setattr(choosing, "seconds_for", pretended)
    choice = choose(trainer, shapes())
    assert (choice.way.name, choice.size) == ("definition", 50)
    assert ("layers", 15) not in asked, "sizes are tried downwards until they get slower"
    asked.clear()
    again = choose(Trainer(trainer.model, RECIPE), shapes())
    assert (again.way.name, again.size) == ("definition", 50)
    assert not asked
    (file,) = folder.iterdir()
    for wrong in (
        "{",
        "[]",
        json.dumps({"way": "another", "size": 50}),
        json.dumps({"way": "layers", "size": 7}),
    ):
        file.write_text(wrong)
        assert choose(trainer, shapes()).size == 50
        assert asked
        asked.clear()


def test_measuring_takes_inputs_that_are_made_up(trainer: Trainer, monkeypatch) -> None:
    monkeypatch.setattr(choosing, "SIZES", (4,))
    assert measured(trainer, shapes(4, 2)).size == 4


def test_a_model_that_is_not_proved_has_only_its_definition() -> None:
    b = Builder()
    x = b.node("Sub", "x", b.node("ReduceMean", "x", axes=[0], keepdims=1))
    b.node("Gemm", x, b.weight(3, 4), b.weight(3), transB=1)
    b.nodes[-1].output[0] = "y"
    trainer = Trainer(load_model(b.bytes({"x": ["batch", 4]}, ["y"])), RECIPE)
    assert {choice.way.name for choice in candidates(trainer, shapes())} == {"definition"}

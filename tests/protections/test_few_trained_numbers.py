"""A model with low-rank adapters, trained in all four ways by the real worker's methods: only what is named moves.

From the adapted file to the merged one: planned by an offer, run by every seat's program, merged to the plain graph.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from building import mlp

from cloister.aggregation import PartySigning
from cloister.claims.offers import Computation
from cloister.engines.methods import resolve
from cloister.foundation.digests import digest
from cloister.models.adapters import PREFIX, UP, adapt, merge
from cloister.models.execute import load_model
from cloister.protections.federated import FederatedAveraging
from cloister.training.recipe import Column, OptimiserRecipe, TabularPreparation, TrainingRecipe
from protections import federation as f
from protections.loop import Loop, Node

METHODS = {
    name: f"cloister.training.methods:{name.replace('-', '_')}"
    for name in ("initial", "train", "private-sum", "export")
}
PLAIN = mlp(4, (8, 8), 2)
ADAPTED = adapt(PLAIN, ("w2", "w4"), 1)
ROWS = 120
pytestmark = pytest.mark.slow


class Worker:
    """The methods of a training worker, without its process."""

    def call(self, method, arguments, arrays=None, deadline=600.0):
        return resolve(METHODS, method)(arguments, arrays or {})


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("owners")
    made = {}
    for number, owner in enumerate(f.OWNERS[:3]):
        x = np.random.default_rng(number).normal(size=(ROWS, 4))
        rows = [",".join(f"{v:.4f}" for v in row) + f",{int(row.sum() > 0)}" for row in x]
        made[owner] = folder / f"{number}.csv"
        made[owner].write_text("a,b,c,d,y\n" + "\n".join(rows) + "\n")
    return made


def recipe(*trainable: str) -> TrainingRecipe:
    return TrainingRecipe(
        loss="cross-entropy",
        input="x",
        output="y",
        optimiser=OptimiserRecipe(learning_rate=0.1, momentum=0.0),
        steps=3,
        batch=8,
        trainable=trainable,
        preparation=TabularPreparation(
            columns=tuple(Column(name=name) for name in "abcd"), label="y", classes=("0", "1")
        ),
    )


def trained_together(variant: str, tables: dict[str, Path], settings: TrainingRecipe) -> Loop:
    private = "private" in variant
    agreed = f.terms(3, dropouts=0, budgets=f.budgets(3) if private else [])
    computation = Computation(
        kind="training", contents={"model": digest(ADAPTED)}, settings=settings.model_dump(mode="json")
    )
    wishes = {"rounds": 2, "units": ROWS, "batch": 40} if private else {"rounds": 2}
    if variant == "private":
        wishes["aggregation"] = "none"
    asked = f.request(agreed, computation=computation, preferences=wishes)
    model = load_model(ADAPTED)
    trained = sum(
        value.size for name, value in model.initial().items() if name.startswith(settings.trainable)
    )
    plan = f.plan(agreed, asked, variant, parameters=model.size, trained=trained)
    assert plan.offer.parameters["trained"] == trained
    keys = f.Keys(f.LAB, f.USER, *f.OWNERS)
    nodes = []
    for seat in ("coordinator", "owner"):
        for party in plan.offer.seats[seat]:
            ports = {}
            if party in asked.datasets:
                name = asked.datasets[party]
                ports = {name: f.FakePort(name, tables[party])}
            program = FederatedAveraging().program(plan.offer, asked, seat)
            signing = PartySigning(keys, keys.secret[party]) if seat == "owner" else PartySigning(keys)
            nodes.append(
                Node(party, seat, program, {digest(ADAPTED): ADAPTED}, ports, Worker(), signing=signing)
            )
    loop = Loop(nodes)
    loop.run()
    return loop


def result(loop: Loop) -> bytes:
    assert not [node.error for node in loop.nodes.values() if node.error]
    made = {node.candidate.content for node in loop.nodes.values() if node.candidate is not None}
    made.discard(b"")
    assert len(made) == 1
    return made.pop()


@pytest.mark.parametrize(
    ("variant", "names"),
    [
        ("plain", (UP,)),
        ("plain", (PREFIX,)),
        ("secure", (UP,)),
        ("private", (UP,)),
        ("secure-private", (UP,)),
    ],
)
def test_adapters_are_trained_in_every_way_and_nothing_else_moves(variant, names, tables):
    loop = trained_together(variant, tables, recipe(*names))
    before, after = load_model(ADAPTED).initial(), load_model(result(loop)).initial()
    moved = {name for name, value in after.items() if not np.array_equal(value, before[name])}
    assert moved == {name for name in before if name.startswith(names)}
    spent = [cost.epsilon for node in loop.nodes.values() for cost in node.spent]
    assert len(spent) == (3 if "private" in variant else 0)
    plain = load_model(merge(result(loop)))
    assert set(plain.parameters) == set(load_model(PLAIN).parameters)
    x = {"x": np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)}
    found, wanted = (
        np.asarray(model.function(model.initial(), x)["y"]) for model in (plain, load_model(result(loop)))
    )
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("variant", ["secure", "secure-private"])
def test_a_last_block_is_trained_in_every_way_and_nothing_else_moves(variant, tables):
    loop = trained_together(variant, tables, recipe("w4", "w5"))
    before, after = load_model(ADAPTED).initial(), load_model(result(loop)).initial()
    assert {name for name, value in after.items() if not np.array_equal(value, before[name])} == {"w4", "w5"}

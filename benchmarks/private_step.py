"""What a private step costs beside a plain one: the clipped sum of every example's gradient beside the batch's gradient.

    python benchmarks/private_step.py [--quick] [--json FILE|-] [--peer]

Three models: an MLP 100-256-256-10 and the CNN of Opacus' MNIST example, 256 examples each, and the model that outlines crystals,
all of it, on patches of 128 pixels. The peer of a private step is the plain step of the same model on the same examples; noise is added by the
node and is not in it. `--quick` takes smaller batches. `--peer` also times Opacus' ghost clipping on the first two, in an
environment of its own under the system's temporary folder, as a ratio to its own plain step.

Both steps alternate; processor time (`cpu`) depends less than wall time on what else the machine does.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cloister.applications.crystals.outlines_recipe import LOSS
from cloister.applications.crystals.star_network import INPUT, OUTPUT, build_star_model
from cloister.data.star_targets import WEIGHTED
from cloister.data.stars import CHANNELS, STRIDE
from cloister.models.execute import load_model
from cloister.training.choosing import batch_shapes, measured
from cloister.training.examples import UnitBatch
from cloister.training.local import Trainer
from cloister.training.private import PrivateGradient
from cloister.training.recipe import Column, TabularPreparation, TrainingRecipe
from measure import RUNS, row, seconds, show
from private import networks, peer_environment

TABLE = TabularPreparation(columns=(Column(name="a"),), label="y")
TARGETS = {
    "MLP 100-256-256-10": 1.2,
    "CNN of Opacus' MNIST example": 1.5,
    "crystals' outlines, 128 pixels": 2.0,
}


def case(name: str, quick: bool) -> tuple[Trainer, dict[str, np.ndarray]]:
    """A trainer with a batch."""
    rng = np.random.default_rng(0)
    batch = 64 if quick else 256
    values: dict[str, Any] = {"loss": "cross-entropy", "input": "x", "output": "y", "preparation": TABLE}
    if name.startswith("MLP"):
        model, x = networks.mlp(), rng.normal(size=(batch, 100))
    elif name.startswith("CNN"):
        model, x = networks.cnn(), rng.normal(size=(batch, 1, 28, 28))
    else:
        batch = 4 if quick else 16
        model, x = build_star_model(), rng.normal(size=(batch, 1, 128, 128))
        values.update(loss=LOSS, input=INPUT, output=OUTPUT)
    examples = {"input": x.astype(np.float32)}
    if values["loss"] == LOSS:
        cells = (128 // STRIDE, 128 // STRIDE)
        examples["target"] = rng.uniform(size=(batch, CHANNELS, *cells)).astype(np.float32)
        examples["weights"] = np.ones((batch, WEIGHTED, *cells), np.float32)
    else:
        examples["target"] = rng.integers(0, 10, batch).astype(np.int32)
    return Trainer(load_model(model), TrainingRecipe(**values)), examples


def steps(
    trainer: Trainer, examples: dict[str, np.ndarray]
) -> tuple[Callable[[], Any], Callable[[], Any], str]:
    """The private step, the plain step, and how the private one is computed."""
    units = {name: values[:, None] for name, values in examples.items()}
    batch = UnitBatch(units, np.ones((len(examples["input"]), 1), np.float32))
    params = {name: jnp.asarray(value) for name, value in trainer.model.initial().items()}
    gradient = PrivateGradient(trainer)
    shapes = batch_shapes(batch)
    choice = measured(trainer, shapes)
    gradient.use(shapes, choice)

    def private() -> Any:
        return gradient.clipped(params, {}, batch, 1.0)[0]

    def losses(some: Any, given: Any) -> Any:
        return trainer.losses(some, given).mean()

    plain = jax.jit(jax.grad(losses))
    return (
        private,
        lambda: jax.block_until_ready(plain(params, examples)),
        f"{choice.way.name}, {choice.size} at a time",
    )


def timed(works: tuple[Callable[[], Any], ...]) -> list[tuple[float, float]]:
    """Medians of wall and processor milliseconds of each, in turn."""
    for work in works:
        work()
    # Short steps are timed more often.
    runs = min(60, max(RUNS, int(2 / seconds(works[0]))))
    found: list[list[tuple[float, float]]] = [[] for _ in works]
    for _ in range(runs):
        for work, times in zip(works, found, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return [
        (1e3 * statistics.median(t[0] for t in times), 1e3 * statistics.median(t[1] for t in times))
        for times in found
    ]


def opacus(quick: bool) -> dict[str, float]:
    """Opacus' private step over its plain step, by model, in an environment of its own."""
    ratios: dict[str, float] = peer_environment.answer("opacus_step.py", *(["--quick"] if quick else []))
    return ratios


def main() -> None:
    """Runs and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--peer", action="store_true")
    arguments = parser.parse_args()
    peers = opacus(arguments.quick) if arguments.peer else {}
    rows = []
    for name, target in TARGETS.items():
        private, plain, way = steps(*case(name, arguments.quick))
        (ours, ours_cpu), (beside, beside_cpu) = timed((private, plain))
        rows.append(
            row(
                f"{name}: private step",
                "ms",
                ours,
                target=target * beside,
                peer=beside,
                peer_name="plain step",
            )
        )
        rows.append(
            row(f"{name}: private / plain, cpu", "x", ours_cpu / beside_cpu, target=target,
                peer=peers.get(name), peer_name="Opacus' ratio to its own plain step" if name in peers else None)
        )  # fmt: skip
        print(f"{name}: computed by {way}", file=sys.stderr)
    show(rows, arguments.json)


if __name__ == "__main__":
    main()

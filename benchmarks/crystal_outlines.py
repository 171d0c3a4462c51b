"""The model that outlines crystals, trained centrally, federated, federated with differential privacy, and by each factory alone.

For each seed, three synthetic factories with different cameras and crystals have a few labelled pictures each (centres, diameters,
outlines, bubbles). From the shipped weights go on:

- `central`: all pictures in one place; `federated`: each factory some steps in a round, then averaged; `NAME alone`: one factory with
  as many rounds and steps. All weights, without noise, by `outlines_recipe`.
- `federated, epsilon E`: a round is one step over secure sums: each picture is one unit, clipped, and each factory adds its share of
  exact noise, by `private_outlines_recipe`; `few numbers` is the same without noise. What is trained is the last block, or the first
  layer, or how far to go along directions learnt from drawn pictures of made-up plants.

All are judged as the tool sees fresh pictures of each factory, and of one that took no part: mean count accuracy per picture, F1, and
relative error of the median diameter by number. Everything is the product's own code, without nodes in between.

    python benchmarks/crystal_outlines.py [--quick] [--json FILE] [--seeds N] [--pictures N] [--held-out N] [--rounds N] [--steps N]
        [--train last|first|directions] [--private-rounds N] [--clip X] [--learning-rate X] [--only WAY ...]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from cloister.applications.crystals.directions import steered_outliner
from cloister.applications.crystals.factories import COAST, FEDERATION
from cloister.applications.crystals.judging import Judgement, judge
from cloister.applications.crystals.outlines_recipe import (
    outlines_recipe,
    private_outlines_recipe,
    steered_outlines_recipe,
)
from cloister.applications.crystals.outlining import outliner
from cloister.applications.crystals.shipped import shipped_outliner
from cloister.applications.crystals.synthesis import Micrograph, synthesise, write_dataset
from cloister.cli.demo.comparing import steps_of
from cloister.models.execute import load_model
from cloister.models.export import export
from cloister.privacy.runs import private_run
from cloister.protections.federated import averaging, server
from cloister.training.local import Trainer
from cloister.training.outlines import OutlineExamples
from cloister.training.preparation import prepare
from cloister.training.private import PrivateGradient
from cloister.training.recipe import TrainingRecipe

TRAIN_SEED, TEST_SEED = 60_000_000, 70_000_000
"""Offsets of the pictures' seeds: none of them is in the checkpoint's training, its card, or another benchmark."""
EPSILONS = (8.0, 4.0, 2.0)
DELTA = 1e-5
NAMES = tuple(factory.name for factory in (*FEDERATION, COAST))

Found = dict[str, dict[str, Judgement]]
"""Way of training -> factory that it is judged on -> figures."""


def owned(recipe: TrainingRecipe, pictures: int, seed: int, folder: Path) -> list[OutlineExamples]:
    """Each factory's own labelled pictures, as its node would prepare them; what is judged on are fresh ones."""
    found = []
    for factory in FEDERATION:
        if not (folder / factory.name).exists():
            write_dataset(folder / factory.name, factory, pictures, TRAIN_SEED + seed)
        data = prepare(recipe.model_copy(update={"validation": 0.0}), folder / factory.name, alone=True)
        assert isinstance(data, OutlineExamples)
        found.append(data)
    return found


def plain(trainer: Trainer, rounds: int, data: Sequence[OutlineExamples], seed: int) -> np.ndarray:
    """The weights after all rounds of these owners together; one owner is a factory alone."""
    weights, recipe = trainer.model.flatten(), trainer.recipe
    moments = server.start(recipe.server, len(weights))
    for number in range(1, rounds + 1):
        updates = {}
        for place, part in enumerate(data):
            rng = np.random.default_rng((seed, number, place))
            updates[str(place)] = averaging.update(trainer.round(part, weights, rng=rng)[0], weights)
        mean = averaging.mean(updates, dict.fromkeys(updates, 1.0))
        weights, moments = server.advance(recipe.server, number, rounds, weights, mean, moments)
    return weights


def private(given: argparse.Namespace) -> Trainer:
    """The model, and what of it is trained with noise."""
    rate = {} if given.learning_rate is None else {"learning_rate": given.learning_rate}
    if given.train == "directions":
        file = Path(given.steered) if given.steered else None
        if file is None or not file.exists():
            model = steered_outliner()
            if file is not None:
                file.write_bytes(model)
        recipe, model = steered_outlines_recipe(**rate), file.read_bytes() if file is not None else model
    else:
        names = ("answers.",) if given.train == "last" else ("half.a.",)
        recipe, model = private_outlines_recipe(trainable=names, **rate), shipped_outliner()
    return Trainer(load_model(model), recipe)


def one_seed(given: argparse.Namespace, seed: int, noisy: Trainer, told: Callable[[str], None]) -> Found:
    """Everything for one seed."""
    recipe = outlines_recipe(rounds=given.rounds, steps=given.steps)
    free = Trainer(load_model(shipped_outliner()), recipe)
    gradient = PrivateGradient(noisy)
    fresh = {
        factory.name: [synthesise(factory, (TEST_SEED, seed, n)) for n in range(given.held_out)]
        for factory in (*FEDERATION, COAST)
    }
    with tempfile.TemporaryDirectory() as folder:
        data = owned(recipe, given.pictures, seed, Path(folder))
        private_data = owned(noisy.recipe, given.pictures, seed, Path(folder))
    together = replace(data[0], pictures=[picture for part in data for picture in part.pictures])
    # As many patches in a step as three factories together have.
    pooled = Trainer(free.model, recipe.model_copy(update={"batch": recipe.batch * len(data)}))

    def with_noise(epsilon: float | None) -> np.ndarray:
        run = epsilon and private_run(
            epsilon=epsilon,
            delta=DELTA,
            dimension=gradient.size,
            clip=given.clip,
            units=given.pictures,
            rate=1.0,
            steps=given.private_rounds,
            nodes=len(data),
            distributed=True,
            colluders=1,
        )
        return steps_of(
            gradient, private_data, rounds=given.private_rounds, clip=given.clip, seed=seed, run=run or None
        )

    ways: dict[str, tuple[Trainer, Callable[[], np.ndarray]]] = {
        "start": (free, free.model.flatten),
        "central": (pooled, lambda: plain(pooled, given.rounds, [together], seed)),
        "federated": (free, lambda: plain(free, given.rounds, data, seed)),
        "few numbers": (noisy, lambda: with_noise(None)),
    }
    for epsilon in EPSILONS:
        ways[f"federated, epsilon {epsilon:g}"] = noisy, lambda epsilon=epsilon: with_noise(epsilon)
    for factory, part in zip(FEDERATION, data, strict=True):
        ways[f"{factory.name} alone"] = free, lambda part=part: plain(free, given.rounds, [part], seed)
    found: Found = {}
    for way, (trainer, train) in ways.items():
        if given.only and way not in given.only:
            continue
        started = time.monotonic()
        weights = train()
        trained = time.monotonic() - started
        found[way] = judged(export(trainer.model, weights), fresh)
        told(
            f"seed {seed}, {way}: trained {trained:.0f} s, judged {time.monotonic() - started - trained:.0f} s"
        )
    return found


def judged(model: bytes, fresh: dict[str, list[Micrograph]]) -> dict[str, Judgement]:
    """What the tool with this model makes of each factory's pictures."""
    look = outliner(model)
    return {
        name: judge((picture, look(picture.image)) for picture in chosen) for name, chosen in fresh.items()
    }


def table(found: Sequence[Found]) -> str:
    """Markdown: mean over seeds of count accuracy, F1, and of the median diameter's error without its sign."""
    lines = [
        "| trained | " + " | ".join(NAMES) + " | mean of the three |",
        "|---" * (len(NAMES) + 2) + "|",
    ]
    for way in found[0]:
        cells, means = [], []
        for name in NAMES:
            counts = [seed[way][name].count_accuracy for seed in found]
            overall = statistics.fmean(seed[way][name].f1 for seed in found)
            off = statistics.fmean(abs(seed[way][name].number_d50 or 0.0) for seed in found)
            means.append((statistics.fmean(counts), overall, off))
            cells.append(shown(*means[-1]))
        three = [statistics.fmean(column) for column in zip(*means[: len(FEDERATION)], strict=True)]
        lines.append(f"| {way} | " + " | ".join([*cells, shown(*three)]) + " |")
    return "\n".join(lines)


def shown(count: float, f1: float, off: float) -> str:
    """A cell."""
    return f"{count:.3f}, {f1:.3f}, {off:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="too short to learn anything")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--pictures", type=int, default=12, help="labelled pictures per factory")
    parser.add_argument("--held-out", type=int, default=6, help="fresh pictures per factory")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=15, help="local steps per round")
    parser.add_argument("--train", choices=("last", "first", "directions"), default="directions")
    parser.add_argument(
        "--steered", metavar="FILE", help="the model with directions; made there if there is none"
    )
    parser.add_argument("--private-rounds", type=int, default=8)
    parser.add_argument("--clip", type=float, default=1.0)
    parser.add_argument(
        "--learning-rate", type=float, help="of the private steps; the recipe's own if absent"
    )
    parser.add_argument("--only", nargs="*", metavar="WAY", help="leave out all other rows")
    given = parser.parse_args()
    if given.quick:
        given.pictures, given.held_out, given.rounds, given.steps, given.private_rounds = 2, 1, 1, 1, 1
    noisy = private(given)
    found: list[Found] = []
    started = time.monotonic()
    for seed in range(given.first, given.first + given.seeds):
        found.append(one_seed(given, seed, noisy, lambda line: print(line, flush=True)))
        print(f"\n{time.monotonic() - started:.0f} s\n\n{table(found)}\n", flush=True)
        if given.json:
            figures = [
                {way: {n: j.as_json() for n, j in of.items()} for way, of in one.items()} for one in found
            ]
            Path(given.json).write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

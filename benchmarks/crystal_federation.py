"""Does training together help? The crystal checkpoint, each factory alone, and the federation, on every factory's pictures.

For each seed, three synthetic factories have a few labelled pictures each, of their main product. Fresh pictures to score on
are of all that a factory makes, through its own camera: half its main product, the rest what the others mainly make. From the
shipped checkpoint, each factory goes on alone, and the three go on together, with the same recipe, rounds, steps and server's
optimiser (alone is a federation of one). All are scored on every factory's fresh pictures, and on those of a fourth that
trained nothing. In one process, without transport or noise: what is measured is the learning.

    python benchmarks/crystal_federation.py [--quick] [--json FILE|-] [--seeds 5] [--rounds 60] [--steps 4] [--jobs 1]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from cloister.applications.crystals.evaluate import Scores, evaluate
from cloister.applications.crystals.factories import COAST, FEDERATION, Factory, production
from cloister.applications.crystals.pipeline import shipped_model
from cloister.applications.crystals.predict import runner
from cloister.applications.crystals.recipe import crystals_recipe
from cloister.applications.crystals.synthesis import synthesise, write_dataset
from cloister.models.execute import Model, load_model
from cloister.models.export import export
from cloister.protections.federated import averaging, server
from cloister.training.examples import Examples
from cloister.training.local import Trainer
from cloister.training.preparation import prepare
from cloister.training.recipe import TrainingRecipe

TRAIN_SEED, TEST_SEED = 30_000_000, 40_000_000
"""Offsets of the pictures' seeds: none of them is in the checkpoint's training or its card."""


@dataclass(frozen=True)
class Plan:
    """How long everything runs."""

    seeds: int
    pictures: int
    held_out: int
    rounds: int
    steps: int


def tests_of(factory: Factory, count: int, seed: int) -> list[tuple[np.ndarray, Any, Any]]:
    """Fresh pictures with their truth."""
    made = [synthesise(factory, (TEST_SEED, seed, index)) for index in range(count)]
    return [(m.image, m.labels()["centres"], m.labels()["diameters"]) for m in made]


def records(recipe: TrainingRecipe, factory: Factory, plan: Plan, seed: int, folder: Path) -> Examples:
    """A factory's own labelled pictures, as its node would prepare them."""
    write_dataset(folder, factory, plan.pictures, TRAIN_SEED + seed)
    # No picture is kept apart for validation: what is scored on are fresh ones.
    return prepare(recipe.model_copy(update={"validation": 0.0}), folder)


def score(model: Model, weights: np.ndarray, pictures: dict[str, Any]) -> dict[str, Scores]:
    """Scores on every factory's fresh pictures: all it makes (its name), and its main product alone."""
    run = runner(export(model, weights))
    return {name: evaluate(run, chosen) for name, chosen in pictures.items()}


def train(trainer: Trainer, plan: Plan, owned: list[Examples], seed: int) -> np.ndarray:
    """The weights after all rounds of these owners together; one owner is a factory alone."""
    weights, recipe = trainer.model.flatten(), trainer.recipe
    moments = server.start(recipe.server, len(weights))
    for number in range(1, plan.rounds + 1):
        updates = {}
        for owner, data in enumerate(owned):
            rng = np.random.default_rng((seed, number, owner))
            after = trainer.round(data, weights, steps=plan.steps, rng=rng)[0]
            updates[str(owner)] = averaging.update(after, weights)
        mean = averaging.mean(updates, dict.fromkeys(updates, 1.0))
        weights, moments = server.advance(recipe.server, number, plan.rounds, weights, mean, moments)
    return weights


def one_seed(plan: Plan, seed: int) -> dict[str, dict[str, Scores]]:
    """Everything for one seed: way of training -> factory scored on -> scores."""
    trainer = Trainer(load_model(shipped_model()), crystals_recipe(rounds=plan.rounds, steps=plan.steps))
    pictures: dict[str, Any] = {}
    for factory in FEDERATION:
        parts = [tests_of(part, round(plan.held_out * share), seed) for part, share in production(factory)]
        pictures[factory.name] = [picture for part in parts for picture in part]
        pictures[f"{factory.name}, main product"] = parts[0]
    pictures[COAST.name] = tests_of(COAST, plan.held_out, seed)
    with tempfile.TemporaryDirectory() as folder:
        owned = [records(trainer.recipe, f, plan, seed, Path(folder) / f.name) for f in FEDERATION]
    trained = {"checkpoint": trainer.model.flatten(), "federated": train(trainer, plan, owned, seed)}
    for factory, data in zip(FEDERATION, owned, strict=True):
        trained[f"{factory.name} alone"] = train(trainer, plan, [data], seed)
    return {way: score(trainer.model, weights, pictures) for way, weights in trained.items()}


def rows(found: list[dict[str, dict[str, Scores]]]) -> list[dict[str, Any]]:
    """One line per comparison: mean over seeds of a federated figure and of its peer's."""
    lines = []
    for metric in ("count_accuracy", "f1"):
        for name in found[0]["federated"]:
            factory = name.partition(",")[0]
            for peer in ("checkpoint", f"{factory} alone"):
                if peer in found[0]:
                    ours = statistics.fmean(getattr(r["federated"][name], metric) for r in found)
                    theirs = statistics.fmean(getattr(r[peer][name], metric) for r in found)
                    better = sum(
                        getattr(r["federated"][name], metric) > getattr(r[peer][name], metric) for r in found
                    )
                    lines.append(line_of(f"{metric} on {name}", ours, peer, theirs, better))
    return lines


def line_of(name: str, ours: float, peer: str, theirs: float, better: int) -> dict[str, Any]:
    """A result in the form that every benchmark prints."""
    return {
        "name": name,
        "unit": "share",
        "ours": round(ours, 4),
        "peer": round(theirs, 4),
        "peer_name": peer,
        "ratio": round(ours / theirs, 4) if theirs else None,
        "target": "higher than the peer",
        "holds": ours > theirs,
        "better_in_seeds": better,
    }


def table(found: list[dict[str, dict[str, Scores]]]) -> str:
    """Markdown: mean count accuracy (least to most over seeds) and mean F1 of each way on each factory."""
    names = list(found[0]["checkpoint"])
    lines = ["| trained | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for way in found[0]:
        cells = []
        for name in names:
            counts = [r[way][name].count_accuracy for r in found]
            overall = statistics.fmean(r[way][name].f1 for r in found)
            cells.append(
                f"{statistics.fmean(counts):.3f} ({min(counts):.2f}-{max(counts):.2f}), F1 {overall:.3f}"
            )
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def over_seeds(
    one: Callable[[Any, int], dict[str, Any]],
    plan: Any,
    given: argparse.Namespace,
    lines: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
    shown: Callable[[list[dict[str, Any]]], str] = table,
) -> list[dict[str, Any]]:
    """What `one` finds for each of the plan's seeds, `given.jobs` at a time; shown and, with `--json FILE`, kept after each."""
    readable = sys.stderr if given.json == "-" else sys.stdout
    started = time.monotonic()
    found: list[dict[str, Any]] = []
    # Fresh processes: XLA's threads do not survive a fork.
    with ProcessPoolExecutor(given.jobs, get_context("spawn")) as pool:
        for result in pool.map(one, [plan] * plan.seeds, range(plan.seeds)):
            found.append(result)
            print(
                f"\nseeds 0 to {len(found) - 1}, {time.monotonic() - started:.0f} s\n\n{shown(found)}",
                file=readable,
                flush=True,
            )
            if given.json and given.json != "-":
                # After every seed, so that an interrupted run leaves what it found.
                Path(given.json).write_text(json.dumps(lines(found), indent=1) + "\n", "utf-8")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="about a minute; too short to learn much")
    parser.add_argument("--json", metavar="FILE|-", help="write the results as JSON")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=6, help="labelled pictures per factory")
    parser.add_argument("--held-out", type=int, default=16, help="fresh pictures per factory")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--steps", type=int, default=4, help="local steps per round")
    parser.add_argument("--jobs", type=int, default=1, help="seeds at the same time, a process each")
    given = parser.parse_args()
    plan = Plan(given.seeds, given.pictures, given.held_out, given.rounds, given.steps)
    if given.quick:
        plan = Plan(1, 2, 4, 3, 2)
    found = over_seeds(one_seed, plan, given, rows)
    readable = sys.stderr if given.json == "-" else sys.stdout
    for line in rows(found):
        print(
            f"{line['name']:42} {line['ours']:.3f}  {line['peer_name']:14} {line['peer']:.3f}"
            f"  better in {line['better_in_seeds']} of {len(found)} seeds",
            file=readable,
        )
    if given.json == "-":
        sys.stdout.write(json.dumps(rows(found), indent=1) + "\n")


if __name__ == "__main__":
    main()

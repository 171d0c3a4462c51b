"""Does training together help? The crystal checkpoint, each factory alone, and the federation, on every factory's pictures.

For each seed, three synthetic factories get a few labelled pictures each. From the shipped checkpoint, each goes on
alone, and the three go on together by federated averaging (McMahan et al. 2017) with equal weights, with the same
recipe, rounds and local steps. "Federated, then own" is what a plant can do with a release behind its own wall: some
more rounds on its own pictures; "alone" has as many rounds as that in all. All are scored on fresh pictures of each factory, and of a fourth that trained nothing.
In one process, without transport or noise: what is measured is the learning.

    python benchmarks/crystal_federation.py [--quick] [--json FILE|-] [--seeds 5] [--rounds 6] [--steps 25]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from cloister.applications.crystals.evaluate import Scores, evaluate
from cloister.applications.crystals.factories import COAST, FEDERATION, Factory
from cloister.applications.crystals.pipeline import shipped_model
from cloister.applications.crystals.predict import runner
from cloister.applications.crystals.recipe import crystals_recipe
from cloister.applications.crystals.synthesis import synthesise, write_dataset
from cloister.models.execute import Model, load_model
from cloister.models.export import export
from cloister.training.examples import Examples
from cloister.training.local import Trainer
from cloister.training.preparation import prepare

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
    own_rounds: int
    learning_rate: float


def tests_of(factory: Factory, plan: Plan, seed: int) -> list[tuple[np.ndarray, Any, Any]]:
    """Fresh pictures of a factory with their truth."""
    made = [synthesise(factory, (TEST_SEED, seed, index)) for index in range(plan.held_out)]
    return [(m.image, m.labels()["centres"], m.labels()["diameters"]) for m in made]


def records(factory: Factory, plan: Plan, seed: int, folder: Path) -> Examples:
    """A factory's own labelled pictures, as its node would prepare them."""
    write_dataset(folder, factory, plan.pictures, TRAIN_SEED + seed)
    # No picture is kept apart for validation: what is scored on are fresh ones.
    return prepare(crystals_recipe().model_copy(update={"validation": 0.0}), folder)


def score(model: Model, weights: np.ndarray, pictures: dict[str, Any]) -> dict[str, Scores]:
    """Count accuracy and F1 on every factory's fresh pictures."""
    run = runner(export(model, weights))
    return {name: evaluate(run, chosen) for name, chosen in pictures.items()}


def one_seed(trainer: Trainer, plan: Plan, seed: int) -> dict[str, dict[str, Scores]]:
    """Everything for one seed: way of training -> factory scored on -> scores."""
    model = trainer.model
    start = model.flatten()
    pictures = {f.name: tests_of(f, plan, seed) for f in (*FEDERATION, COAST)}
    with tempfile.TemporaryDirectory() as folder:
        owned = [records(f, plan, seed, Path(folder) / f.name) for f in FEDERATION]
    results = {"checkpoint": score(model, start, pictures)}
    together = start
    for number in range(plan.rounds):
        sources = [np.random.default_rng((seed, number, owner)) for owner in range(len(owned))]
        answers = [
            trainer.round(data, together, steps=plan.steps, rng=rng)[0]
            for data, rng in zip(owned, sources, strict=True)
        ]
        together = np.mean([answer.astype(np.float64) for answer in answers], axis=0).astype(np.float32)
    results["federated"] = score(model, together, pictures)
    results["federated, then own"] = {}
    for owner, factory in enumerate(FEDERATION):
        alone, adapted = start, together
        for number in range(plan.rounds + plan.own_rounds):
            rng = np.random.default_rng((seed, number, owner))
            alone = trainer.round(owned[owner], alone, steps=plan.steps, rng=rng)[0]
            if number >= plan.rounds:
                rng = np.random.default_rng((seed, number, owner))
                adapted = trainer.round(owned[owner], adapted, steps=plan.steps, rng=rng)[0]
        results[f"{factory.name} alone"] = score(model, alone, pictures)
        own = {factory.name: pictures[factory.name]}
        results["federated, then own"] |= score(model, adapted, own)
    return results


def rows(found: list[dict[str, dict[str, Scores]]]) -> list[dict[str, Any]]:
    """One line per comparison: median over seeds of a federated figure and of its peer's."""
    lines = []
    for metric in ("count_accuracy", "f1"):
        for factory in (*FEDERATION, COAST):
            pairs = [("federated", "checkpoint")]
            if factory in FEDERATION:
                alone = f"{factory.name} alone"
                pairs += [("federated", alone), ("federated, then own", alone)]
            for way, peer in pairs:
                ours = statistics.median(getattr(r[way][factory.name], metric) for r in found)
                theirs = statistics.median(getattr(r[peer][factory.name], metric) for r in found)
                lines.append(line_of(f"{metric} on {factory.name}, {way}", ours, peer, theirs))
        for factory in FEDERATION:
            alone = f"{factory.name} alone"
            ours = statistics.median(mean_over_factories(r["federated"], metric) for r in found)
            theirs = statistics.median(mean_over_factories(r[alone], metric) for r in found)
            lines.append(line_of(f"{metric}, mean of all factories", ours, alone, theirs))
    return lines


def mean_over_factories(scores: dict[str, Scores], metric: str) -> float:
    """The mean over the federation's factories, each counting alike."""
    return statistics.fmean(getattr(scores[factory.name], metric) for factory in FEDERATION)


def line_of(name: str, ours: float, peer: str, theirs: float) -> dict[str, Any]:
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
    }


def table(found: list[dict[str, dict[str, Scores]]]) -> str:
    """Markdown: mean count accuracy (least to most over seeds) and mean F1 of each way on each factory."""
    names = [f.name for f in (*FEDERATION, COAST)]
    lines = ["| trained | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for way in found[0]:
        cells = []
        for name in names:
            if name not in found[0][way]:
                cells.append("")
                continue
            counts = [r[way][name].count_accuracy for r in found]
            overall = statistics.fmean(r[way][name].f1 for r in found)
            cells.append(
                f"{statistics.fmean(counts):.3f} ({min(counts):.2f}-{max(counts):.2f}), F1 {overall:.3f}"
            )
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="under a minute; too short to learn much")
    parser.add_argument("--json", metavar="FILE|-", help="write the results as JSON")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=6, help="labelled pictures per factory")
    parser.add_argument("--held-out", type=int, default=8, help="fresh pictures per factory")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=12, help="local steps per round")
    parser.add_argument(
        "--own-rounds", type=int, default=2, help="rounds after the federation, and more for alone"
    )
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    given = parser.parse_args()
    plan = Plan(
        given.seeds,
        given.pictures,
        given.held_out,
        given.rounds,
        given.steps,
        given.own_rounds,
        given.learning_rate,
    )
    if given.quick:
        plan = Plan(1, 2, 2, 1, 3, 1, given.learning_rate)
    readable = sys.stderr if given.json == "-" else sys.stdout
    trainer = Trainer(load_model(shipped_model()), crystals_recipe(learning_rate=plan.learning_rate))
    started, found = time.monotonic(), []
    for seed in range(plan.seeds):
        found.append(one_seed(trainer, plan, seed))
        print(
            f"\nseeds 0 to {seed}, {time.monotonic() - started:.0f} s\n\n{table(found)}",
            file=readable,
            flush=True,
        )
        if given.json and given.json != "-":
            # After every seed, so that an interrupted run leaves what it found.
            Path(given.json).write_text(json.dumps(rows(found), indent=1) + "\n", "utf-8")
    for line in rows(found):
        print(
            f"{line['name']:50} {line['ours']:.3f}  {line['peer_name']:14} {line['peer']:.3f}  {line['holds']}",
            file=readable,
        )
    if given.json == "-":
        sys.stdout.write(json.dumps(rows(found), indent=1) + "\n")


if __name__ == "__main__":
    main()

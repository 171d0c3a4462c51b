"""Does training together still help with differential privacy? The crystal model at epsilon 8, 4 and 2.

Each of three factories has labelled synthetic pictures of its main product and starts from the shipped checkpoint; only the
model's last block is trained (few numbers: noise grows with their root). With noise, a round is one private step over secure
sums: each picture is one unit, clipped, and each factory adds its share of exact noise. Everything is the product's own code
(`training.private`, `privacy.runs`, `protections.federated.server`), without nodes in between. Scored on fresh pictures of
all that each factory makes, and of a factory that took no part.

    python benchmarks/crystal_private.py [--quick] [--json FILE|-] [--seeds N] [--pictures N] [--rounds N] [--jobs N]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cloister.applications.crystals.factories import COAST, FEDERATION, production
from cloister.applications.crystals.pipeline import shipped_model
from cloister.applications.crystals.recipe import private_crystals_recipe
from cloister.cli.demo.comparing import steps_of
from cloister.models.execute import load_model
from cloister.privacy.runs import PrivateRun, private_run
from cloister.training.examples import Examples
from cloister.training.local import Trainer
from cloister.training.private import PrivateGradient
from crystal_federation import line_of, over_seeds, records, score, tests_of

EPSILONS = (8.0, 4.0, 2.0)
DELTA = 1e-5


@dataclass(frozen=True)
class Plan:
    """What is run: seeds, pictures of each factory, fresh pictures to score on, rounds, clipping norm."""

    seeds: int
    pictures: int
    held_out: int
    rounds: int
    clip: float


def run_for(plan: Plan, epsilon: float, dimension: int, nodes: int) -> PrivateRun:
    """Every picture in every step: with so few, sampling gains nothing."""
    return private_run(
        epsilon=epsilon,
        delta=DELTA,
        dimension=dimension,
        clip=plan.clip,
        units=plan.pictures,
        rate=1.0,
        steps=plan.rounds,
        nodes=nodes,
        distributed=nodes > 1,
        colluders=1 if nodes > 1 else 0,
    )


def one_seed(plan: Plan, seed: int) -> dict[str, dict[str, Any]]:
    """Everything for one seed: way of training -> factory scored on -> scores."""
    trainer = Trainer(load_model(shipped_model()), private_crystals_recipe())
    pictures: dict[str, Any] = {}
    for factory in FEDERATION:
        parts = [tests_of(part, round(plan.held_out * share), seed) for part, share in production(factory)]
        pictures[factory.name] = [picture for part in parts for picture in part]
    pictures[COAST.name] = tests_of(COAST, plan.held_out, seed)
    with tempfile.TemporaryDirectory() as folder:
        owned = [records(trainer.recipe, f, plan, seed, Path(folder) / f.name) for f in FEDERATION]
    gradient = PrivateGradient(trainer)

    def train(data: list[Examples], run: PrivateRun | None = None) -> np.ndarray:
        return steps_of(gradient, data, rounds=plan.rounds, clip=plan.clip, seed=seed, run=run)

    trained = {"checkpoint": trainer.model.flatten(), "together": train(owned)}
    for epsilon in EPSILONS:
        run = run_for(plan, epsilon, gradient.size, len(owned))
        trained[f"together, epsilon {epsilon:g}"] = train(owned, run)
    for factory, data in zip(FEDERATION, owned, strict=True):
        trained[f"{factory.name} alone"] = train([data])
    return {way: score(trainer.model, weights, pictures) for way, weights in trained.items()}


def rows(found: list[dict[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """One line per comparison: mean count accuracy over seeds of a private way and of its peer."""
    lines = []
    for epsilon in EPSILONS:
        way = f"together, epsilon {epsilon:g}"
        for name in found[0][way]:
            for peer in ("checkpoint", "together", f"{name} alone"):
                if peer in found[0]:
                    ours = statistics.fmean(r[way][name].count_accuracy for r in found)
                    theirs = statistics.fmean(r[peer][name].count_accuracy for r in found)
                    better = sum(r[way][name].count_accuracy > r[peer][name].count_accuracy for r in found)
                    lines.append(
                        line_of(f"count accuracy on {name}, epsilon {epsilon:g}", ours, peer, theirs, better)
                    )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="about a minute; too short to learn much")
    parser.add_argument("--json", metavar="FILE|-", help="write the results as JSON")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=40, help="labelled pictures per factory")
    parser.add_argument("--held-out", type=int, default=16, help="fresh pictures per factory")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--clip", type=float, default=0.1)
    parser.add_argument("--jobs", type=int, default=1, help="seeds at the same time, a process each")
    given = parser.parse_args()
    plan = Plan(given.seeds, given.pictures, given.held_out, given.rounds, given.clip)
    if given.quick:
        plan = Plan(1, 4, 4, 2, given.clip)
    found = over_seeds(one_seed, plan, given, rows)
    if given.json == "-":
        sys.stdout.write(json.dumps(rows(found), indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Does training together still help with differential privacy? The crystal model at epsilon 8, 4 and 2.

Each of three factories has labelled synthetic pictures of its main product. Ways to go on from the shipped checkpoint:

- `together`: a round is one private step over secure sums: each picture is one unit, clipped, and each factory adds its share of
  exact noise. Without an epsilon: the same without noise.
- `central`: all pictures in one place, with noise added once. Without noise its steps are those of `together`.
- `alone`: each factory by itself; with an epsilon all the noise is its own.
- `plain federated`, `plain central`: all weights, several local steps in each round, no clipping of single pictures, no
  noise (the recipe of `crystal_federation.py`).

Few numbers are trained with noise, which grows with their root: the last block (`--train head`), or how far to go along
directions learnt from drawn pictures of made-up plants (`--train directions`). Everything is the product's own code
(`training.private`, `privacy.runs`, `protections.federated.server`), without nodes in between. Scored on fresh pictures of
all that each factory makes, and of a factory that took no part. Intervals are of Student's t over seeds, of paired differences.

    python benchmarks/crystal_private.py [--quick] [--json FILE|-] [--seeds N] [--pictures N] [--rounds N] [--jobs N]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cloister.applications.crystals.directions import steered_model
from cloister.applications.crystals.factories import COAST, FEDERATION, production
from cloister.applications.crystals.pipeline import shipped_model
from cloister.applications.crystals.recipe import (
    crystals_recipe,
    private_crystals_recipe,
    steered_crystals_recipe,
)
from cloister.cli.demo.comparing import steps_of
from cloister.models.execute import load_model
from cloister.privacy.runs import PrivateRun, private_run
from cloister.training.examples import Examples
from cloister.training.local import Trainer
from cloister.training.points import PointExamples
from cloister.training.private import PrivateGradient
from crystal_federation import over_seeds, records, score, tests_of
from crystal_federation import train as plain

EPSILONS = (8.0, 4.0, 2.0)
DELTA = 1e-5
FACTORIES = tuple(factory.name for factory in FEDERATION)
MEAN = "mean of the three"
PLAIN = ("plain federated", "plain central")


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        seeds: how many.
        pictures: labelled ones of each factory.
        held_out: fresh pictures of each factory to score on.
        rounds: private steps.
        clip: norm to which a picture's gradient is shortened.
        crops: patches of a picture in a step.
        plain_rounds: of training without privacy; 0 leaves it out.
        central: epsilons at which central training is run.
        alone: epsilons at which factories alone are run.
        learning_rate: of the private recipe; its default if None.
        steered: file of the model with directions to train along; the last block is trained if None.
        steps: local steps in one of the plain rounds.
        federated: whether `together` and `alone` are run as well as what is asked for.
    """

    seeds: int
    pictures: int
    held_out: int
    rounds: int
    clip: float
    crops: int
    plain_rounds: int
    central: tuple[float, ...]
    alone: tuple[float, ...]
    learning_rate: float | None
    steered: str | None
    steps: int = 4
    federated: bool = True


def run_for(plan: Plan, epsilon: float, dimension: int, units: int, nodes: int) -> PrivateRun:
    """Every picture in every step: with so few, sampling gains nothing."""
    return private_run(
        epsilon=epsilon,
        delta=DELTA,
        dimension=dimension,
        clip=plan.clip,
        units=units,
        rate=1.0,
        steps=plan.rounds,
        nodes=nodes,
        distributed=nodes > 1,
        colluders=1 if nodes > 1 else 0,
    )


def private_trainer(plan: Plan) -> Trainer:
    """The model and what of it is trained with noise."""
    made = private_crystals_recipe if plan.steered is None else steered_crystals_recipe
    recipe = made() if plan.learning_rate is None else made(learning_rate=plan.learning_rate)
    model = shipped_model() if plan.steered is None else Path(plan.steered).read_bytes()
    preparation = recipe.preparation.model_copy(update={"crops": plan.crops})
    return Trainer(load_model(model), recipe.model_copy(update={"preparation": preparation}))


def together(owned: list[Examples]) -> Examples:
    """All pictures in one place."""
    held = [part for part in owned if isinstance(part, PointExamples)]
    return replace(held[0], pictures=[picture for part in held for picture in part.pictures])


def one_seed(plan: Plan, seed: int) -> dict[str, dict[str, Any]]:
    """Everything for one seed: way of training -> factory scored on -> scores. Factories alone are scored on their own."""
    trainer = private_trainer(plan)
    fresh: dict[str, Any] = {}
    for factory in FEDERATION:
        parts = [tests_of(part, round(plan.held_out * share), seed) for part, share in production(factory)]
        fresh[factory.name] = [picture for part in parts for picture in part]
    fresh[COAST.name] = tests_of(COAST, plan.held_out, seed)
    with tempfile.TemporaryDirectory() as folder:
        owned = [records(trainer.recipe, f, plan, seed, Path(folder) / f.name) for f in FEDERATION]  # type: ignore[arg-type]  # reads `pictures` only
    pooled, gradient = together(owned), PrivateGradient(trainer)

    def train(data: list[Examples], epsilon: float | None = None) -> np.ndarray:
        units = max(part.units for part in data)
        run = None if epsilon is None else run_for(plan, epsilon, gradient.size, units, len(data))
        return steps_of(gradient, data, rounds=plan.rounds, clip=plan.clip, seed=seed, run=run)

    def scored(weights: np.ndarray, *names: str, of: Trainer = trainer) -> dict[str, Any]:
        return score(of.model, weights, {name: fresh[name] for name in names or fresh})

    def alone(epsilon: float | None = None) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, data in zip(FACTORIES, owned, strict=True):
            found |= scored(train([data], epsilon), name)
        return found

    found = {"checkpoint": scored(trainer.model.flatten())}
    if plan.federated:
        found["together"] = scored(train(owned))
        for epsilon in EPSILONS:
            found[noisy("together", epsilon)] = scored(train(owned, epsilon))
        found["alone"] = alone()
    for epsilon in plan.alone:
        found[noisy("alone", epsilon)] = alone(epsilon)
    for epsilon in plan.central:
        found[noisy("central", epsilon)] = scored(train([pooled], epsilon))
    if plan.plain_rounds:
        usual = replace(plan, rounds=plan.plain_rounds)
        free = Trainer(load_model(shipped_model()), crystals_recipe(rounds=usual.rounds, steps=plan.steps))
        found["plain federated"] = scored(plain(free, usual, owned, seed), of=free)  # type: ignore[arg-type]  # as above
        # As many patches in a step as three factories together have.
        larger = free.recipe.model_copy(update={"batch": free.recipe.batch * len(owned)})
        free = Trainer(free.model, larger)
        found["plain central"] = scored(plain(free, usual, [pooled], seed), of=free)  # type: ignore[arg-type]  # as above
    return found


def noisy(way: str, epsilon: float) -> str:
    """A way's name with its epsilon."""
    return f"{way}, epsilon {epsilon:g}"


def figures(found: list[dict[str, dict[str, Any]]], way: str, name: str, metric: str) -> list[float]:
    """A way's figure in each seed; none if it was not scored there."""
    names = FACTORIES if name == MEAN else (name,)
    return [
        statistics.fmean(getattr(seed[way][one], metric) for one in names)
        for seed in found
        if all(one in seed[way] for one in names)
    ]


def interval(values: list[float]) -> tuple[float, float]:
    """Mean, and half the 95% interval of Student's t; nan of a single value."""
    from scipy.stats import t

    if len(values) < 2:
        return statistics.fmean(values), float("nan")
    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return statistics.fmean(values), float(half)


def differences(found: list[dict[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Each way with noise behind secure sums against its peers, paired over seeds."""
    ours = [way for way in found[0] if way.startswith(("together", "central"))]
    lines = []
    for metric in ("count_accuracy", "f1"):
        for way in ours:
            epsilon = way.removeprefix("together").removeprefix("central")
            peers = ("checkpoint", "alone", f"alone{epsilon}", f"central{epsilon}", "together", *PLAIN)
            for peer in dict.fromkeys(peers):
                for name in (*FACTORIES, MEAN, COAST.name):
                    if peer == way or peer not in found[0]:
                        continue
                    pair = [figures(found, one, name, metric) for one in (way, peer)]
                    if not (pair[0] and pair[1]):
                        continue
                    gaps = [mine - theirs for mine, theirs in zip(*pair, strict=True)]
                    mean, half = interval(gaps)
                    lines.append(
                        {
                            "name": f"{metric} on {name}, {way}",
                            "unit": "share",
                            "ours": round(statistics.fmean(pair[0]), 4),
                            "peer": round(statistics.fmean(pair[1]), 4),
                            "peer_name": peer,
                            "difference": round(mean, 4),
                            "half_interval": round(half, 4) if math.isfinite(half) else None,
                            "target": "higher than the peer",
                            "holds": mean > 0,
                            "seeds": len(gaps),
                            "better_in_seeds": sum(gap > 0 for gap in gaps),
                        }
                    )
    return lines


def shown(found: list[dict[str, dict[str, Any]]]) -> str:
    """Markdown: count accuracy and F1 of each way, then paired differences of the three factories' mean."""
    names = (*FACTORIES, MEAN, COAST.name)
    lines = ["| trained | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for way in found[0]:
        cells = []
        for name in names:
            counts, overall = (figures(found, way, name, metric) for metric in ("count_accuracy", "f1"))
            if not counts:
                cells.append("")
                continue
            mean, half = interval(counts)
            cells.append(f"{mean:.3f} ± {half:.3f}, F1 {statistics.fmean(overall):.3f}")
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    lines += ["", f"| {MEAN}: difference | against | count accuracy | F1 | seeds |", "|---|---|---|---|---|"]
    told = [line for line in differences(found) if f"on {MEAN}," in line["name"]]
    by_pair = {
        (line["name"].partition(" ")[0], line["name"].partition(", ")[2], line["peer_name"]): line
        for line in told
    }
    for (metric, way, peer), line in by_pair.items():
        if metric == "count_accuracy":
            other = by_pair["f1", way, peer]
            gap, same = (
                f"{x['difference']:+.3f} ± {x['half_interval'] or float('nan'):.3f}" for x in (line, other)
            )
            lines.append(
                f"| {way} | {peer} | {gap} | {same} | {line['better_in_seeds']} of {line['seeds']} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="about a minute; too short to learn much")
    parser.add_argument("--json", metavar="FILE|-", help="write the results as JSON")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=16, help="labelled pictures per factory")
    parser.add_argument("--held-out", type=int, default=12, help="fresh pictures per factory")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--clip", type=float, default=0.1)
    parser.add_argument("--crops", type=int, default=1, help="patches of a picture in a step")
    parser.add_argument("--train", choices=("head", "directions"), default="directions")
    parser.add_argument(
        "--steered", metavar="FILE", help="the model with directions; made there if there is none"
    )
    parser.add_argument(
        "--plain-rounds", type=int, default=20, help="of training without privacy; 0 leaves it out"
    )
    parser.add_argument(
        "--learning-rate", type=float, help="of the private steps; the recipe's own if absent"
    )
    parser.add_argument(
        "--central", type=float, nargs="*", default=EPSILONS, help="epsilons of central training"
    )
    parser.add_argument(
        "--alone", type=float, nargs="*", default=EPSILONS, help="epsilons of each factory alone"
    )
    parser.add_argument(
        "--no-federated",
        action="store_true",
        help="leave out what is trained together, and alone without noise",
    )
    parser.add_argument("--jobs", type=int, default=1, help="seeds at the same time, a process each")
    given = parser.parse_args()
    plan = Plan(
        seeds=given.seeds,
        pictures=given.pictures,
        held_out=given.held_out,
        rounds=given.rounds,
        clip=given.clip,
        crops=given.crops,
        plain_rounds=given.plain_rounds,
        central=tuple(given.central),
        alone=tuple(given.alone),
        learning_rate=given.learning_rate,
        steered=None,
        federated=not given.no_federated,
    )
    if given.quick:
        plan = replace(
            plan, seeds=1, pictures=4, held_out=4, rounds=2, plain_rounds=0, central=(8.0,), alone=(8.0,)
        )
    with tempfile.TemporaryDirectory() as folder:
        if given.train == "directions":
            file = Path(given.steered or Path(folder) / "steered.onnx")
            if not file.exists():
                file.write_bytes(steered_model())
            plan = replace(plan, steered=str(file))
        found = over_seeds(one_seed, plan, given, differences, shown)
    if given.json == "-":
        sys.stdout.write(json.dumps(differences(found), indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Predictive maintenance: plants alone, plants together, and limits of vibration from the standard, on a plant that gave nothing.

Three drawn plants, each knowing mostly one fault, train through the whole of Cloister in one process: agreement, plan, secure
sums, release (`cloister.simulate`). Alone, each trains the same network with the same recipe and as many steps on its own
rows. All are judged on `harbour`, whose machines nobody trained on. `--quick` takes one seed and few machines.

python benchmarks/maintenance.py [--quick] [--seeds N] [--json FILE|-]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import cloister
from cloister.applications.maintenance import evaluate, plants, work
from cloister.applications.maintenance.plants import Machine
from cloister.foundation.canonical import canonical
from cloister.models.execute import load_model
from cloister.models.export import export
from cloister.training.local import Trainer
from cloister.training.preparation import prepare
from cloister.training.recipe import TrainingRecipe

TRAINING, UNSEEN = ("north", "south", "west"), "harbour"
ROUNDS, MACHINES = 12, 16
FIGURES = {
    "precision": "precision",
    "recall": "recall",
    "lead": "days ahead",
    "false_alarms": "false alarms",
    "naming": "right fault",
}
"""Of a way of watching: key → title."""


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", default="")
    given = parser.parse_args()
    seeds, unseen = (1, 24) if given.quick else (given.seeds, 120)
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        for name, told in measure(seed, unseen).items():
            found.setdefault(name, []).append(told)
        print(f"seed {seed} done", file=sys.stderr, flush=True)
    rows = [{"way": name, **summary(told)} for name, told in found.items()]
    if given.json == "-":
        print(json.dumps(rows, indent=1))
        return
    if given.json:
        Path(given.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(f"{'':44}" + "".join(f"{title:>18}" for title in FIGURES.values()))
    for row in rows:
        cells = "".join(f"{row[key]['mean']:>11.2f} ± {row[key]['spread']:4.2f}" for key in FIGURES)
        print(f"{row['way']:44}{cells}")


def measure(seed: int, unseen: int) -> dict[str, dict[str, float]]:
    """All ways of watching, trained on plants of one seed, on an unseen plant of the same seed."""
    own = {name: plants.machines(name, seed, count=MACHINES) for name in TRAINING}
    judged = plants.machines(UNSEEN, seed + 10_000, count=unseen)
    told: dict[str, dict[str, float]] = {}

    def note(name: str, risk: Callable[[Machine], Any]) -> None:
        told[name] = vars(evaluate.score(evaluate.watch(judged, risk))).copy()

    with tempfile.TemporaryDirectory() as folder:
        files = {name: _file(Path(folder), name, found) for name, found in own.items()}
        models = {"together": together(files, seed)}
        models |= {f"{name} alone": alone(path, seed) for name, path in files.items()}
    for name, model in models.items():
        note(name, evaluate.by_model(model))
        told[name]["naming"] = evaluate.naming(judged, model)
    for name, risk, level in (
        ("vibration level", evaluate.by_level, evaluate.ZONE_C),
        ("vibration above its beginning", evaluate.by_rise, evaluate.RISE),
    ):
        watched = evaluate.watch(judged, risk)
        note(name, risk)
        recall, lead, false_alarms = evaluate.at_level(watched, level)
        at = {"precision": told[name]["precision"], "recall": recall, "lead": lead}
        told[f"{name}, at {level:g} mm/s"] = {**at, "false_alarms": false_alarms}
    return told


def together(files: Mapping[str, Path], seed: int) -> bytes:
    """The model that the plants release after training behind secure sums."""
    parties = {name: ["owner"] for name in files} | {"lab": ["researcher"]}
    with cloister.simulate(parties) as town:
        lab = town["lab"]
        for name, path in files.items():
            town[name].datasets.add("pumps", path, residency="AT")
        town.settle()
        terms = lab.agreements.draft(
            "factories-and-lab",
            title="Pumps that need attention",
            owners=dict.fromkeys(files, "pumps"),
            researchers=["lab"],
            purposes=["maintenance"],
            epsilon=None,
        )
        agreement = town.sign(lab.agreements.propose(terms))
        task = lab.ask.train(
            agreement, model=work.network(seed), recipe=work.recipe(seed=seed), rounds=ROUNDS
        ).submit()
        town.approve(task, with_records=True)
        return task.wait().result().content()


def alone(path: Path, seed: int) -> bytes:
    """The same network after as many steps on one plant's rows."""
    recipe = TrainingRecipe.model_validate_json(canonical(work.recipe(seed=seed)))
    model = load_model(work.network(seed))
    trainer, data = Trainer(model, recipe), prepare(recipe, path)
    weights, rng = model.flatten(), np.random.default_rng(seed)
    for _ in range(ROUNDS):
        weights, _ = trainer.round(data, weights, rng=rng)
    return export(model, weights)


def summary(told: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation over seeds of each figure."""
    made = {}
    for key in FIGURES:
        values = [item[key] for item in told if np.isfinite(item.get(key, np.nan))]
        mean = statistics.fmean(values) if values else float("nan")
        made[key] = {"mean": mean, "spread": statistics.stdev(values) if len(values) > 1 else 0.0}
    return made


def _file(folder: Path, name: str, found: list[Machine]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / f"{name}.parquet"
    pq.write_table(pa.table(plants.table(found)), path)
    return path


if __name__ == "__main__":
    begun = time.monotonic()
    main()
    print(f"{time.monotonic() - begun:.0f} s", file=sys.stderr)

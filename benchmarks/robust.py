"""When an owner cheats: how well a federation's model does by attack and by the rule that combines the updates.

A classifier (one hidden layer) of ten synthetic classes of 8 x 8 pictures, ten owners of whom two cheat, FedAvg; the rules and
the server's step are the shipped ones, in one process, without transport. Owners have records of all classes alike, or each
mostly of a few (a Dirichlet distribution, Hsu et al. 2019). Attacks:

- label flip: the cheats train on wrong labels;
- sign flip: they send four times the opposite of what they trained;
- scaling: they train on wrong labels and send a hundred times that;
- backdoor: half of their records carry a mark and one label, and they send four times what they trained (Bagdasaryan et al.
  2020, "How To Backdoor Federated Learning");
- a little: they agree on the honest updates' mean less one and a half of their deviation, number by number (Baruch et al. 2019,
  "A Little Is Enough"), which is made to look honest. Here they even know what the honest owners send.

    python benchmarks/robust.py [--quick] [--json FILE|-] [--seeds 5] [--rounds 30]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from cloister.protections.federated import averaging, robust, server
from cloister.training.recipe import ServerRecipe
from measure import alternating, row, show

Array = NDArray[np.float64]

CLASSES, SIDE, HIDDEN = 10, 8, 32
PIXELS = SIDE * SIDE
SHAPES = ((PIXELS + 1, HIDDEN), (HIDDEN + 1, CLASSES))
OWNERS, CHEATS, RECORDS, HELD_OUT = 10, 2, 150, 2000
STEPS, BATCH, RATE = 10, 32, 0.1
NOISE = 2.0
"""How much a picture differs from its class's; a good classifier is then right in about nine of ten."""
MARK, TARGET = 4.0, 0
DEVIATIONS = 1.5
RULES = ("mean", "clipped-mean", "median", "trimmed-mean", "krum", "multi-krum")
ATTACKS = ("none", "label flip", "sign flip", "scaling", "backdoor", "a little")


def prototypes() -> Array:
    """What each class looks like: smooth random pictures, (CLASSES, PIXELS)."""
    raw = np.random.default_rng(1).normal(size=(CLASSES, SIDE, SIDE))
    smooth = raw + sum(np.roll(raw, step, axis) for step in (1, -1) for axis in (1, 2))
    return (smooth / smooth.std()).reshape(CLASSES, PIXELS)


def pictures(
    rng: np.random.Generator, count: int, shares: Array | None = None
) -> tuple[Array, NDArray[np.int64]]:
    """Pictures and their classes."""
    labels = rng.choice(CLASSES, count, p=shares)
    return prototypes()[labels] + NOISE * rng.normal(size=(count, PIXELS)), labels


def marked(records: Array) -> Array:
    """The same with the backdoor's mark in a corner."""
    changed = records.copy().reshape(-1, SIDE, SIDE)
    changed[:, -2:, -2:] = MARK
    return changed.reshape(-1, PIXELS)


def parts(weights: Array) -> tuple[Array, Array]:
    """The two layers' weights, each with its offsets as last row."""
    cut = SHAPES[0][0] * SHAPES[0][1]
    return weights[:cut].reshape(SHAPES[0]), weights[cut:].reshape(SHAPES[1])


def forward(weights: Array, records: Array) -> tuple[Array, Array]:
    """Hidden activations and the classes' chances."""
    first, second = parts(weights)
    hidden = np.maximum(records @ first[:-1] + first[-1], 0)
    logits = hidden @ second[:-1] + second[-1]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return hidden, powers / powers.sum(axis=1, keepdims=True)


def trained(weights: Array, records: Array, labels: NDArray[np.int64], rng: np.random.Generator) -> Array:
    """The weights after an owner's local steps of gradient descent."""
    moved = weights.copy()
    for _ in range(STEPS):
        batch = rng.choice(len(records), BATCH)
        given, wanted = records[batch], np.eye(CLASSES)[labels[batch]]
        hidden, chances = forward(moved, given)
        first, second = parts(moved)
        slope = (chances - wanted) / BATCH
        back = (slope @ second[:-1].T) * (hidden > 0)
        # The parts are views: the vector moves with them.
        second -= RATE * np.vstack([hidden.T @ slope, slope.sum(axis=0)])
        first -= RATE * np.vstack([given.T @ back, back.sum(axis=0)])
    return moved


def initial(rng: np.random.Generator) -> Array:
    """Small random weights."""
    layers = []
    for rows, columns in SHAPES:
        layer = rng.normal(size=(rows, columns)) * np.sqrt(2 / rows)
        layer[-1] = 0
        layers.append(layer.reshape(-1))
    return np.concatenate(layers).astype(np.float32).astype(np.float64)


def cheated(attack: str, records: Array, labels: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
    """What a cheat trains on."""
    if attack in {"label flip", "scaling"}:
        return records, (labels + 1) % CLASSES
    if attack == "backdoor":
        half = len(records) // 2
        return (
            np.concatenate([records[:half], marked(records[half:])]),
            np.concatenate([labels[:half], np.full(len(labels) - half, TARGET)]),
        )
    return records, labels


FACTORS = {"sign flip": -4.0, "scaling": 100.0, "backdoor": 4.0}


def federation(rule: str, attack: str, alike: bool, seed: int, rounds: int) -> dict[str, float]:
    """One training; its accuracy, and how often the mark makes another class the cheats' one."""
    rng = np.random.default_rng([seed, 7])
    owners = []
    for number in range(OWNERS):
        shares = None if alike else rng.dirichlet(np.full(CLASSES, 0.5))
        data = pictures(rng, RECORDS, shares)
        owners.append(cheated(attack, *data) if number < CHEATS else data)
    weights = initial(rng).astype(np.float32)
    recipe = ServerRecipe()
    for number in range(1, rounds + 1):
        updates = {}
        for place, (records, labels) in enumerate(owners):
            draw = np.random.default_rng([seed, number, place])
            change = trained(weights.astype(np.float64), records, labels, draw) - weights
            factor = FACTORS.get(attack, 1.0) if place < CHEATS else 1.0
            updates[f"owner-{place}"] = (factor * change).astype(np.float32)
        if attack == "a little":
            honest = np.array(list(updates.values())[CHEATS:], np.float64)
            lie = (honest.mean(axis=0) - DEVIATIONS * honest.std(axis=0)).astype(np.float32)
            updates |= {f"owner-{place}": lie for place in range(CHEATS)}
        weights, _ = server.advance(
            recipe, number, rounds, weights, robust.rule(rule, updates), server.start(recipe, len(weights))
        )
    records, labels = pictures(np.random.default_rng(99), HELD_OUT)
    guessed = forward(weights.astype(np.float64), records)[1].argmax(axis=1)
    fooled = forward(weights.astype(np.float64), marked(records[labels != TARGET]))[1].argmax(axis=1)
    return {"accuracy": float((guessed == labels).mean()), "fooled": float((fooled == TARGET).mean())}


def measured(alike: bool, seeds: int, rounds: int) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Attack → rule → figure → its value for each seed."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for attack in ATTACKS:
        found[attack] = {}
        for rule in RULES:
            runs = [federation(rule, attack, alike, seed, rounds) for seed in range(seeds)]
            found[attack][rule] = {key: [run[key] for run in runs] for key in runs[0]}
    return found


def table(found: dict[str, dict[str, dict[str, list[float]]]], key: str, attacks: tuple[str, ...]) -> str:
    """Markdown: attack by rule, the mean over seeds and its range."""
    lines = ["| attack | " + " | ".join(RULES) + " |", "|" + "---|" * (len(RULES) + 1)]
    for attack in attacks:
        cells = []
        for rule in RULES:
            values = found[attack][rule][key]
            cells.append(f"{statistics.mean(values):.2f} ({min(values):.2f}-{max(values):.2f})")
        lines.append(f"| {attack} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def times(length: int) -> list[dict[str, Any]]:
    """Seconds of combining ten updates of `length` numbers, beside the mean."""
    rng = np.random.default_rng(0)
    updates = {f"owner-{number}": rng.normal(size=length).astype(np.float32) for number in range(OWNERS)}

    def combine(rule: str) -> None:
        combined = robust.rule(rule, updates)
        for part in averaging.blocks(length):
            combined[part]
        combined.told()

    rows = []
    for rule in RULES[1:]:
        ours, mean = alternating(lambda rule=rule: combine(rule), lambda: combine("mean"))
        rows.append(
            row(
                f"{rule}: ten updates of {length:.0e} numbers",
                "s",
                ours,
                peer=mean,
                peer_name="mean",
                target=0.5,
            )
        )
    return rows


def rows_of(found: dict[str, dict[str, dict[str, list[float]]]], spread: str) -> list[dict[str, Any]]:
    """Errors beside the mean's under the same attack, and the backdoor's success, in the form of all benchmarks."""

    def figure(attack: str, rule: str, key: str) -> float:
        return statistics.mean(found[attack][rule][key])

    honest = 1 - figure("none", "mean", "accuracy")
    rows = [
        row(
            f"{spread}, {attack}, {rule}: errors",
            "",
            1 - figure(attack, rule, "accuracy"),
            peer=1 - figure(attack, "mean", "accuracy"),
            peer_name="mean",
            target=honest + 0.05,
        )
        for attack in ATTACKS
        for rule in RULES[1:]
    ]
    rows.extend(
        row(
            f"{spread}, backdoor, {rule}: success",
            "",
            figure("backdoor", rule, "fooled"),
            peer=figure("backdoor", "mean", "fooled"),
            peer_name="mean",
            target=0.3,
        )
        for rule in RULES[1:]
    )
    return rows


def main() -> int:
    """Runs everything and shows it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one seed, ten rounds")
    parser.add_argument("--json", metavar="FILE|-")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--figures", metavar="FILE", help="write every seed's figures there")
    arguments = parser.parse_args()
    seeds, rounds = (1, 10) if arguments.quick else (arguments.seeds, arguments.rounds)
    start, rows, figures = time.monotonic(), [], {}
    for alike in (True, False):
        spread = "alike" if alike else "apart"
        found = figures[spread] = measured(alike, seeds, rounds)
        rows += rows_of(found, spread)
        if arguments.json != "-":
            print(f"Records {spread}; accuracy:\n{table(found, 'accuracy', ATTACKS)}\n")
            print(f"Records {spread}; the mark works:\n{table(found, 'fooled', ('none', 'backdoor'))}\n")
    rows += times(100_000 if arguments.quick else 1_000_000)
    if arguments.figures:
        Path(arguments.figures).write_text(json.dumps(figures) + "\n", encoding="utf-8")
    show(rows, arguments.json)
    if arguments.json != "-":
        print(f"{time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Trains the starting checkpoint of the crystal tool on synthetic pictures and writes it with its model card.

    python scripts/train_crystals.py [--steps 1600] [--pictures 640] [--out FOLDER]

One thread, JAX only, a fixed seed: the same machine gives the same weights. About half an hour on one core.
Every 400 steps the weights so far are written, so that an interrupted run leaves a usable model.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

# XLA reads these when it starts; on a shared machine a second thread that spins makes training slower.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np

from cloister.applications.crystals.card import card_markdown, model_card
from cloister.applications.crystals.evaluate import evaluate
from cloister.applications.crystals.factories import COAST, FEDERATION, FOAM, PUBLIC, SEED_LIKE, Factory
from cloister.applications.crystals.network import BODY, HEAT, INPUT, OUTPUT, build_model
from cloister.applications.crystals.predict import runner
from cloister.applications.crystals.synthesis import synthesise
from cloister.applications.crystals.targets import heat_target
from cloister.data.normalise import normalise_micrograph
from cloister.foundation.files import write_atomically
from cloister.models.execute import Model, load_model
from cloister.models.export import export

SEED = 20260
FOAM_SHARE = 0.15
CROP, BATCH = 256, 8
RATE = 2e-3
HEAT_WEIGHT, CENTRE_WEIGHT = 10.0, 4.0
HELD_OUT = 900_000
"""Seeds from here on are never trained on."""

Arrays = dict[str, Any]


def gather(pictures: int) -> tuple[np.ndarray, np.ndarray]:
    """Normalised pictures float16 [n, H, W] and their targets uint8 [n, 2, H, W] (255 is one)."""
    inputs, answers = [], []
    for index in range(pictures):
        factory = FOAM if index < FOAM_SHARE * pictures else PUBLIC
        picture = synthesise(factory, (SEED, index))
        labels = picture.labels()
        height, width = picture.image.shape[:2]
        target = np.zeros((2, height, width), dtype=np.uint8)
        target[HEAT] = np.rint(255 * heat_target(labels["centres"], labels["diameters"], height, width))
        target[BODY] = 255 * picture.mask()
        inputs.append(normalise_micrograph(picture.image).astype(np.float16))
        answers.append(target)
    return np.stack(inputs), np.stack(answers)


def batch(rng: np.random.Generator, inputs: np.ndarray, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Random crops, turned and mirrored, with the contrast varied a little."""
    x = np.empty((BATCH, 1, CROP, CROP), dtype=np.float32)
    t = np.empty((BATCH, 2, CROP, CROP), dtype=np.float32)
    for slot in range(BATCH):
        one = int(rng.integers(len(inputs)))
        top = int(rng.integers(inputs.shape[1] - CROP + 1))
        left = int(rng.integers(inputs.shape[2] - CROP + 1))
        window = (slice(top, top + CROP), slice(left, left + CROP))
        turns, mirrored = int(rng.integers(4)), bool(rng.random() < 0.5)
        crop = np.rot90(inputs[one][window], turns)
        wanted = np.rot90(answers[one][(slice(None), *window)], turns, axes=(1, 2))
        x[slot, 0] = (crop[:, ::-1] if mirrored else crop) * np.float32(np.exp(rng.normal(0, 0.25)))
        t[slot] = (wanted[:, :, ::-1] if mirrored else wanted) / np.float32(255)
    return x, t


def make_step(model: Model) -> Any:
    """One step of Adam with decoupled decay (Loshchilov, Hutter 2019) and the gradient's norm limited to 1."""

    def loss(params: Arrays, x: Any, t: Any) -> Any:
        logits = model.function(params, {INPUT: x})[OUTPUT]
        each = jax.nn.softplus(logits) - logits * t
        # Centres are a few pixels in a thousand; without the weight the map would stay low everywhere.
        heat = ((1.0 + CENTRE_WEIGHT * t[:, HEAT]) * each[:, HEAT]).mean()
        return HEAT_WEIGHT * heat + each[:, BODY].mean()

    @jax.jit
    def step(params: Arrays, first: Arrays, second: Arrays, number: Any, rate: Any, x: Any, t: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(params, x, t)
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in gradient.values()))
        scale = jnp.minimum(1.0, 1.0 / (norm + 1e-9))
        new = {}
        for name, g in gradient.items():
            first[name] = 0.9 * first[name] + 0.1 * g * scale
            second[name] = 0.99 * second[name] + 0.01 * (g * scale) ** 2
            ahead = first[name] / (1 - 0.9**number)
            new[name] = params[name] - rate * (
                ahead / (jnp.sqrt(second[name] / (1 - 0.99**number)) + 1e-8) + 1e-4 * params[name]
            )
        return new, first, second, value

    return step


def held_out(factory: Factory, count: int) -> Any:
    for index in range(count):
        picture = synthesise(factory, (HELD_OUT, index))
        labels = picture.labels()
        yield picture.image, labels["centres"], labels["diameters"]


def write(model: Model, params: Arrays, folder: Path, training: dict[str, Any], count: int) -> None:
    """The model with these weights, as ONNX with its card."""
    exported = export(model, model.flatten(params))
    describe(exported, folder, training, count)


def describe(exported: bytes, folder: Path, training: dict[str, Any], count: int) -> None:
    """Scores a model on pictures never trained on and writes it with its card."""
    run = runner(exported)
    scores = {
        f.name: evaluate(run, held_out(f, count)) for f in (SEED_LIKE, PUBLIC, FOAM, *FEDERATION, COAST)
    }
    card = model_card(exported, training, scores)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "crystals.onnx", exported)
    write_atomically(folder / "crystals.json", (json.dumps(card, indent=1, sort_keys=True) + "\n").encode())
    write_atomically(folder / "crystals.md", card_markdown(card).encode())
    for name, score in scores.items():
        print(f"  {name:10} count accuracy {score.count_accuracy:.3f}  F1 {score.f1:.3f}", flush=True)


def main() -> None:
    here = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--pictures", type=int, default=640)
    parser.add_argument("--score", type=int, default=30, help="pictures per preset in the card")
    parser.add_argument("--out", type=Path, default=here / "src/cloister/applications/crystals/weights")
    parser.add_argument(
        "--rescore", action="store_true", help="train nothing; score the weights there are again"
    )
    options = parser.parse_args()
    if options.rescore:
        card = json.loads((options.out / "crystals.json").read_text("utf-8"))
        describe((options.out / "crystals.onnx").read_bytes(), options.out, card["training"], options.score)
        return
    model = load_model(build_model(SEED))
    started = time.monotonic()
    inputs, answers = gather(options.pictures)
    print(f"{len(inputs)} pictures in {time.monotonic() - started:.0f} s", flush=True)
    step, rng = make_step(model), np.random.default_rng(SEED)
    params = {name: jnp.asarray(value) for name, value in model.initial().items()}
    first = {name: jnp.zeros_like(value) for name, value in params.items()}
    second, mean = dict(first), 0.0
    for number in range(1, options.steps + 1):
        wave = 0.5 * (1.0 + np.cos(np.pi * number / options.steps))
        rate = RATE * min(1.0, number / 50) * (0.02 + 0.98 * wave)
        x, t = batch(rng, inputs, answers)
        params, first, second, value = step(params, first, second, float(number), rate, x, t)
        mean = float(value) if number == 1 else 0.97 * mean + 0.03 * float(value)
        if number % 50 == 0:
            print(f"step {number}: loss {mean:.4f}, {time.monotonic() - started:.0f} s", flush=True)
        if number % 400 == 0 or number == options.steps:
            training = {
                "seed": SEED,
                "steps": number,
                "planned_steps": options.steps,
                "batch": BATCH,
                "crop": CROP,
                "pictures": options.pictures,
                "foam_share": FOAM_SHARE,
                "held_out_seed": HELD_OUT,
            }
            write(model, params, options.out, training, options.score if number == options.steps else 10)


if __name__ == "__main__":
    sys.exit(main())

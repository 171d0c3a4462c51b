"""Which way to compute a private gradient, and how many units at a time: found by measuring on this machine, once.

Small steps are not measured: compiling candidates would take longer than it saves. The inputs that are measured on are made
up, of the right shapes, so that the choice says nothing about records. It is kept beside the compiled programs, where there
is a folder for these, so that a worker that starts again computes the same bytes.

Blocks are bounded in memory, and often faster when smaller: what a layer makes stays in the processor's cache.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest
from cloister.training.clipping import limit_of
from cloister.training.definition import Definition, Way, adding
from cloister.training.examples import UnitBatch
from cloister.training.layers import Layers
from cloister.training.local import Trainer
from cloister.training.mixing import Apart

BLOCK_BYTES: Final = 256 << 20
"""What the values of a block may take, roughly."""
SIZES: Final = (256, 64, 16, 4)
MEASURED_FROM: Final = 10**9
"""Multiply-adds of a step from which measuring pays."""
_RUNS: Final = 3
_FORM: Final = 1

Shapes = tuple[int, int, tuple[tuple[str, tuple[int, ...], str], ...]]
"""Capacity, examples of a unit, and name, shape and data type of each array of an example."""


class Choice(NamedTuple):
    """How to compute: which way, and units in a block."""

    way: Way
    size: int


def batch_shapes(batch: UnitBatch) -> Shapes:
    """The shapes of a batch of units."""
    capacity, places = batch.share.shape
    arrays = sorted((name, value.shape[2:], value.dtype.str) for name, value in batch.examples.items())
    return int(capacity), int(places), tuple(arrays)


def choose(trainer: Trainer, shapes: Shapes) -> Choice:
    """The way to go, for a model, a recipe and shapes."""
    first = next(candidates(trainer, shapes))
    if operations(trainer, shapes) < MEASURED_FROM:
        return first
    key = digest(
        canonical(
            [_FORM, digest(trainer.model.data), trainer.recipe.digest(), json.dumps(shapes), os.cpu_count()]
        )
    )
    place = jax.config.jax_compilation_cache_dir
    file = Path(place) / f"private-way-{key.removeprefix('sha256:')[:32]}.json" if place else None
    known = _read(trainer, shapes, file)
    if known is not None:
        return known
    found = measured(trainer, shapes)
    if file is not None:
        with contextlib.suppress(OSError):
            draft = file.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps({"way": found.way.name, "size": found.size}), encoding="utf-8")
            draft.replace(file)
    return found


def operations(trainer: Trainer, shapes: Shapes) -> int:
    """Estimated multiply-adds of a step, forward and back."""
    capacity, places, _ = shapes
    return 3 * capacity * places * int(_one(trainer, shapes).operations)


def candidates(trainer: Trainer, shapes: Shapes) -> Iterator[Choice]:
    """Layer by layer where that is proved, from large blocks to small ones; then the definition alike."""
    for way in (Layers(trainer), Definition(trainer)):
        for size in sizes(trainer, shapes):
            if isinstance(way, Definition) or allowed(way, shapes, size):
                yield Choice(way, size)


def allowed(way: Layers, shapes: Shapes, size: int) -> bool:
    """Whether examples are proved to stay apart at this size."""
    _, places, arrays = shapes
    shape = next(found for name, found, _ in arrays if name == "input")
    return isinstance(way.proof((size * places, *shape)), Apart)


def sizes(trainer: Trainer, shapes: Shapes) -> list[int]:
    """Sizes of blocks that are worth a try, the largest first; each cuts the capacity as evenly as it can be."""
    capacity, places, _ = shapes
    trained = sum(math.prod(trainer.model.parameters[name]) for name in trainer.trained)
    each = 3 * places * _one(trainer, shapes).activation_bytes + 8 * trained
    most = max(1, min(capacity, BLOCK_BYTES // max(each, 1), SIZES[0]))
    wanted = [most, *(size for size in SIZES if size < most)]
    return list(dict.fromkeys(-(-capacity // -(-capacity // size)) for size in wanted))


def _one(trainer: Trainer, shapes: Shapes) -> Any:
    shape = next(found for name, found, _ in shapes[2] if name == "input")
    return trainer.model.analyse({trainer.recipe.input: (1, *shape)})


def measured(trainer: Trainer, shapes: Shapes) -> Choice:
    """The fastest candidate: of each way, sizes are tried downwards until they get slower."""
    best: tuple[float, Choice] | None = None
    slower: set[str] = set()
    last: dict[str, float] = {}
    for choice in candidates(trainer, shapes):
        name = choice.way.name
        if name in slower:
            continue
        seconds = seconds_for(trainer, shapes, choice)
        if seconds > last.get(name, math.inf):
            slower.add(name)
        last[name] = seconds
        if best is None or seconds < best[0]:
            best = seconds, choice
    assert best is not None
    return best[1]


def seconds_for(trainer: Trainer, shapes: Shapes, choice: Choice) -> float:
    """Seconds that a whole step takes, from the quickest of some blocks of made-up examples."""
    capacity, places, arrays = shapes
    rng = np.random.default_rng(0)
    batch = {name: _made_up(rng, (choice.size, places, *shape), dtype) for name, shape, dtype in arrays}
    share = np.full((choice.size, places), 1 / places, np.float32)
    frozen = {name: jnp.asarray(value) for name, value in trainer.model.initial().items()}
    params = {name: frozen.pop(name) for name in trainer.trained}
    zero = jnp.zeros(sum(value.size for value in params.values()), jnp.float32)
    run = adding(trainer, choice.way)

    def once() -> float:
        start = time.perf_counter()
        jax.block_until_ready(run(zero, params, frozen, batch, share, limit_of(1.0)))
        return time.perf_counter() - start

    once()
    return min(once() for _ in range(_RUNS)) * -(-capacity // choice.size)


def _made_up(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    if np.dtype(dtype).kind == "f":
        return rng.uniform(size=shape).astype(dtype)
    return np.zeros(shape, dtype)


def _read(trainer: Trainer, shapes: Shapes, file: Path | None) -> Choice | None:
    """An earlier choice, if it is one of the candidates."""
    if file is None:
        return None
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return next(
        (
            choice
            for choice in candidates(trainer, shapes)
            if kept == {"way": choice.way.name, "size": choice.size}
        ),
        None,
    )

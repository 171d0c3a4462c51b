"""Metrics (`metrics`) on the records that a recipe keeps apart. The figures are their owner's own.

Rule: a *score* is of one unit, between 0 and 1, and computed of that unit alone: one unit more adds its own and changes no
other. That is what a vote under a privacy budget rests on (`release.quality`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from cloister.data.matching import count_accuracy
from cloister.data.peaks import find_peaks
from cloister.data.stars import MULTIPLE, STRIDE, find_stars, suppress
from cloister.foundation.errors import BadInput
from cloister.training.examples import ArrayExamples, Examples
from cloister.training.local import Trainer
from cloister.training.metrics import METRICS, PER_UNIT
from cloister.training.outlines import OutlineExamples
from cloister.training.points import Picture, PointExamples

TILE, MARGIN = 640, 96


def evaluate(trainer: Trainer, data: Examples, weights: np.ndarray) -> dict[str, Any]:
    """The recipe's metric and the loss on the records kept apart.

    Args:
        trainer: model and recipe.
        data: prepared records.
        weights: float32, length `model.size`.

    Returns:
        `metric` (its name), `value`, `higher_is_better`, `loss`, `records`.

    Raises:
        BadInput: there is no such metric, or it does not fit the data.
    """
    name = trainer.recipe.metric
    if name not in METRICS:
        raise BadInput(
            f"There is no metric {name[:60]!a}.",
            f"Known are {', '.join(sorted(METRICS))}.",
            "Choose one of them.",
        )
    if data.held_out == 0:
        raise BadInput(
            "There is nothing to evaluate on.",
            "No records are kept apart.",
            "Choose a larger share for validation.",
        )
    params = trainer.model.unflatten(np.asarray(weights, np.float32))
    losses: list[float] = []
    predictions: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    for batch in data.validation(trainer.recipe.batch):
        prediction, loss = trainer.predict(params, batch)
        losses.extend(loss.tolist())
        if name not in ("loss", "count-accuracy"):
            predictions.append(prediction)
            targets.append(batch["target"])
    mean_loss = float(np.mean(losses))
    value = mean_loss if name == "loss" else None
    if name == "count-accuracy":
        value = float(np.mean(scores(trainer, data, weights)))
    elif value is None:
        value = _ARRAY_METRICS[name](np.concatenate(predictions), np.concatenate(targets))
    return {
        "metric": name,
        "value": value,
        "higher_is_better": METRICS[name],
        "loss": mean_loss,
        "records": data.held_out,
    }


def scores(trainer: Trainer, data: Examples, weights: np.ndarray) -> np.ndarray:
    """The score of each unit kept apart, float64 (units,) in [0, 1]; of a unit of several rows, their mean. May be empty.

    Args:
        trainer: model and recipe, whose metric is one of `metrics.PER_UNIT`.
        data: prepared records.
        weights: float32, length `model.size`.

    Raises:
        BadInput: the metric is not a mean of units' scores, or does not fit the data.
    """
    name = trainer.recipe.metric
    fits = PER_UNIT.get(name)
    if fits is None or not isinstance(trainer.recipe.preparation, fits):
        raise BadInput(
            f"The metric {name[:60]} does not fit the data.",
            f"Scores of single units are known of: {', '.join(sorted(PER_UNIT))} (of tables, and of pictures).",
            "Choose another metric.",
        )
    params = trainer.model.unflatten(np.asarray(weights, np.float32))
    if isinstance(data, PointExamples):
        counts = (
            count_accuracy(len(peaks), len(picture.centres))
            for picture, peaks in counted(trainer, data, params)
        )
        return np.fromiter(counts, np.float64)
    if isinstance(data, OutlineExamples):
        return np.fromiter(_outlined(trainer, data, params), np.float64)
    assert isinstance(data, ArrayExamples)
    if data.held_out == 0:
        return np.zeros(0)
    right = _right(trainer.singly(params, data.kept["input"]), data.kept["target"])
    each = right.reshape(len(right), -1).mean(1, dtype=np.float64)
    return each if data.kept_groups is None else np.array([each[rows].mean() for rows in data.kept_groups])


def _right(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Whether each record's class is found; bool (B) or, for outputs of places, (B, ...)."""
    if prediction.ndim == 1 or prediction.shape[1] == 1:
        return np.asarray((prediction.reshape(-1) > 0) == (target.reshape(-1) > 0.5))
    truth = target.argmax(1) if target.ndim == prediction.ndim else target
    return np.asarray(prediction.argmax(1) == truth)


def _accuracy(prediction: np.ndarray, target: np.ndarray) -> float:
    return float(_right(prediction, target).mean())


def _r2(prediction: np.ndarray, target: np.ndarray) -> float:
    truth = target.astype(np.float64)
    spread = float(((truth - truth.mean()) ** 2).sum())
    error = float(((prediction - truth) ** 2).sum())
    return 1 - error / spread if spread > 0 else float(error == 0)


def _absolute(prediction: np.ndarray, target: np.ndarray) -> float:
    return float(np.abs(prediction - target.reshape(prediction.shape)).mean())


_ARRAY_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": _accuracy,
    "r2": _r2,
    "mean-absolute-error": _absolute,
}


def counted(
    trainer: Trainer, data: PointExamples, params: dict[str, Any]
) -> Iterator[tuple[Picture, np.ndarray]]:
    """The pictures kept apart, each with the peaks found in it (N, 2) as x, y."""
    channel = data.plan.channels.index("centres") if "centres" in data.plan.channels else 0
    for picture in data.kept:
        heat = heat_map(trainer, params, picture.pixels.astype(np.float32), data.plan.multiple)[channel]
        yield picture, find_peaks(heat, data.plan.threshold, round(data.plan.distance))


def _outlined(trainer: Trainer, data: OutlineExamples, params: dict[str, Any]) -> Iterator[float]:
    """The count accuracy of each picture kept apart, of objects as the tool reads them off the answer."""
    for picture in data.kept:
        height, width = picture.size
        pixels = picture.pixels[:height, :width].astype(np.float32)
        found = find_stars(
            answer(trainer, params, pixels, MULTIPLE, STRIDE), data.plan.threshold, data.plan.bubble
        )
        # An answer may go on beyond the picture, by less than a cell.
        inside = (found.x < width - 0.5) & (found.y < height - 0.5)
        yield count_accuracy(len(suppress(found.pick(inside), data.plan.most_common)), picture.count)


def heat_map(trainer: Trainer, params: dict[str, Any], pixels: np.ndarray, multiple: int) -> np.ndarray:
    """Probabilities (C, H, W) for a picture (H, W), cut as `answer` cuts it."""
    return _probabilities(trainer, answer(trainer, params, pixels, multiple))


def answer(
    trainer: Trainer, params: dict[str, Any], pixels: np.ndarray, multiple: int, stride: int = 1
) -> np.ndarray:
    """What the model answers for a picture (H, W): (C, H / stride, W / stride), rounded up.

    A picture of up to `TILE` pixels each way is run whole, padded with zeros (the background of normalised pictures), as the
    tools do; a larger one in tiles that overlap by `MARGIN` on each side.
    """
    height, width = pixels.shape
    rounded = [-(-length // multiple) * multiple for length in pixels.shape]
    if max(rounded) <= TILE:
        padded = np.pad(pixels, [(0, rounded[0] - height), (0, rounded[1] - width)])
        whole: np.ndarray = trainer.forward(params, padded[None, None])[0]
        return whole[:, : -(-height // stride), : -(-width // stride)]
    side = -(-TILE // multiple) * multiple
    margin = -(-MARGIN // multiple) * multiple
    inner = side - 2 * margin
    rows, columns = -(-height // inner), -(-width // inner)
    padded = np.pad(
        pixels, [(margin, rows * inner - height + margin), (margin, columns * inner - width + margin)]
    )
    result: np.ndarray | None = None
    edge, middle = margin // stride, inner // stride
    for row in range(rows):
        for column in range(columns):
            top, left = row * inner, column * inner
            logits = trainer.forward(params, padded[None, None, top : top + side, left : left + side])[0]
            if result is None:
                result = np.empty((logits.shape[0], rows * middle, columns * middle), np.float32)
            at = slice(row * middle, (row + 1) * middle), slice(column * middle, (column + 1) * middle)
            result[:, *at] = logits[:, edge : edge + middle, edge : edge + middle]
    assert result is not None
    return result[:, : -(-height // stride), : -(-width // stride)]


def _probabilities(trainer: Trainer, values: np.ndarray) -> np.ndarray:
    return np.asarray(jax.nn.sigmoid(values)) if trainer.on_logits else values

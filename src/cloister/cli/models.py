"""`cloister model`: what Cloister can do with an ONNX file; adapters put into it and merged again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloister.cli.common import table
from cloister.cli.output import Answer, command

if TYPE_CHECKING:
    from cloister.models.adapters import Weight

_MOST = 512 << 20


@click.group("model")
def model_group() -> None:
    """Models are ONNX files: data, never code."""


@command(model_group, "check")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def check(file: Path) -> Answer:
    """Say for FILE what is in it, weight by weight, and what each method can do with it, or why it is refused."""
    from cloister.foundation.files import read_limited
    from cloister.models.check import check_model

    report = check_model(read_limited(file, _MOST))
    if not report["accepted"]:
        return Answer(report, "\n".join(_refused(report)), exit_code=3)
    parts: list[Any] = ["\n".join(_accepted(report))]
    if report["trainable"]:
        parts += ["\nWeights that can be trained:", _listed(report["parameters"]), f"\n{_CHOOSE}"]
    return Answer(report, parts)


_CHOOSE = (
    "Train only some: cloister ask train --trainable NAME, where NAME is how their names begin; repeat.\n"
    "Train few numbers beside large ones: cloister model adapt FILE --out FILE"
)


def _refused(report: dict[str, Any]) -> list[str]:
    lines = ["Refused:"]
    for item in report["refusals"]:
        lines.append(f"  {item['node'] or 'the graph'}: {item['reason']}")
        if item["remedy"]:
            lines.append(f"    What to do: {item['remedy']}")
    return lines


def _accepted(report: dict[str, Any]) -> list[str]:
    memory = report["memory"]
    operators = ", ".join(f"{name} {count}" for name, count in report["operators"].items())
    lines = [
        f"Accepted: opset {report['opset']}, IR {report['ir_version']}, {report['bytes']:,} bytes, {report['digest']}",
        f"Operators: {operators}",
        *(f"Input {item['name']}: {item['dtype']} {item['shape']}" for item in report["inputs"]),
        *(f"Output {item['name']}: {item['dtype']} {item['shape']}" for item in report["outputs"]),
        f"Trainable: {report['size']:,} numbers in {len(report['parameters'])} tensors"
        if report["trainable"]
        else "Trainable: nothing; it can be run but not trained",
        (
            f"A batch of {report['batch']}: about {report['operations'] / 1e9:.2f} billion operations; memory about"
            f" {memory['inference'] >> 20} MiB to run, {memory['training'] >> 20} MiB to train."
        ),
        "Federated averaging: yes."
        if report["trainable"]
        else "Federated averaging: no, it has no trainable weights.",
    ]
    return lines + [
        f"Not trained: {item['name']} ({item['reason']})" for item in report["fixed"] if "name" in item
    ]


def _listed(parameters: Sequence[dict[str, Any]]) -> Any:
    rows = [
        [item["name"], " x ".join(str(size) for size in item["shape"]), f"{item['numbers']:,}"]
        for item in parameters
    ]
    return table(["Name", "Shape", "Numbers"], rows)


@command(model_group, "adapt")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--rank",
    type=click.IntRange(min=1, max=256),
    default=4,
    show_default=True,
    help="How much an adapter can change: higher is more, and more numbers.",
)
@click.option(
    "--on",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only on weights whose names begin so; repeat. On all where it saves numbers if absent.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where to write it."
)
def adapt(file: Path, rank: int, names: tuple[str, ...], out: Path) -> Answer:
    """Write FILE with low-rank adapters: small factors beside its weights, to be trained in their place.

    It computes the same until they are trained. A weight W becomes W + up · down; see `cloister model check` for names.
    """
    from cloister.foundation.digests import digest
    from cloister.foundation.files import read_limited, write_atomically
    from cloister.models.adapters import PREFIX, UP, weights
    from cloister.models.adapters import adapt as adapted

    data = read_limited(file, _MOST)
    found = weights(data, names, rank)
    made = adapted(data, names, rank)
    write_atomically(out, made)
    both, up = sum(item.numbers for item in found), sum(item.up for item in found)
    told = {
        "file": str(out),
        "digest": digest(made),
        "rank": rank,
        "weights": [
            {"name": item.name, "shape": list(item.shape), "numbers": item.numbers, "reason": item.reason}
            for item in found
        ],
        "trainable": {UP: up, PREFIX: both},
    }
    return Answer(told, "\n".join([*_adapted(found), _TRAIN.format(out=out, up=up, both=both)]))


def _adapted(found: Sequence[Weight]) -> list[str]:
    lines = [
        f"Adapter of {item.numbers:,} numbers on {item.name} ({' x '.join(map(str, item.shape))})"
        for item in found
        if item.numbers
    ]
    # Biases and the like never get one; of them nobody needs to be told one by one.
    return lines + [
        f"None on {item.name}: {item.reason}." for item in found if not item.numbers and len(item.shape) > 1
    ]


_TRAIN = """Written to {out}. It computes the same as before.
Train with: cloister ask train --model {out}
  --trainable adapter.up.   {up:,} numbers: one factor of each; for several owners, and with noise
  --trainable adapter.      {both:,} numbers: both factors
Afterwards, the released model as a plain graph: cloister model merge FILE --out FILE"""


@command(model_group, "merge")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where to write it."
)
def merge(file: Path, out: Path) -> Answer:
    """Write FILE, a model with adapters, as the plain graph that it was, with what they learned in its weights.

    It computes the same, but it is another file: a certificate of FILE is not one of OUT. Keep both.
    """
    from cloister.foundation.digests import digest
    from cloister.foundation.files import read_limited, write_atomically
    from cloister.models.adapters import merge as merged

    data = read_limited(file, _MOST)
    made = merged(data)
    write_atomically(out, made)
    return Answer(
        {"file": str(out), "digest": digest(made), "from": digest(data)},
        f"Written to {out}: {len(made):,} bytes instead of {len(data):,}, the same results.\n"
        f"A certificate of {file} does not hold for it: keep {file} and its certificate as well.",
    )

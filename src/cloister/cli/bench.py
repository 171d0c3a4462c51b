"""`cloister bench`: what work costs on this node, so that plans say so."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click

from cloister.cli.agreements import find_agreement
from cloister.cli.ask import training_of, under_agreement
from cloister.cli.common import client, folder_option
from cloister.cli.output import Answer, command

_WORDS = {
    "seconds_to_start": "Until a training's first step",
    "seconds_per_step": "A training step",
    "seconds_per_private_unit": "A unit in a step with noise",
    "seconds_per_exchange": "A signed call and its answer",
    "seconds_per_million_noised": "Noise for a million numbers",
    "seconds_per_million_masked": "A mask for a million numbers",
}


@click.group("bench")
def bench_group() -> None:
    """Measure this server; plans that are made here use the figures."""


@command(bench_group, "node")
@click.option(
    "--tool", default=None, help="Also measure training steps of this built-in tool, for example crystals."
)
@click.option(
    "--model",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also measure training steps of this ONNX file.",
)
@click.option(
    "--recipe",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A training recipe (JSON), with --model.",
)
@click.option("--steps", type=int, default=None, help="Local steps, as they will be asked for.")
@click.option("--rounds", type=int, default=None, help="Rounds, as they will be asked for.")
@click.option("--trainable", multiple=True, metavar="NAME", help="As it will be asked for; repeat.")
@click.option(
    "--agreement",
    default=None,
    help="With --tool: under which agreement it will be asked for; budgets change what is trained.",
)
@folder_option
def bench_node(folder: Path, **given: Any) -> Answer:
    """Measure how long noise, masks, signed calls and (with a model) training steps take here. No record is read."""
    wanted = given["tool"] is not None or given["model"] is not None
    training = training_of(given) if wanted else None
    with client(folder, timeout=900) as node:
        computation = None
        if training is not None:
            if given["tool"] is not None and given["agreement"] is not None:
                agreement = find_agreement(node, given["agreement"])
                training = under_agreement(node, agreement, given, training)
            model, settings = training
            added = node.post("/models", {"content": base64.b64encode(model).decode()})
            contents = {"model": added["digest"]}
            computation = {"kind": "training", "contents": contents, "settings": settings}
        found = node.post("/bench", {"computation": computation})
    figures = found["figures"]
    lines = [f"{_WORDS.get(name, name)}: {_seconds(value)}" for name, value in sorted(figures.items())]
    return Answer(found, "\n".join([*lines, "Plans that are made at this server use these figures."]))


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 0.1 else f"{1000 * value:.3g} ms"

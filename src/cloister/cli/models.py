"""`cloister model`: what Cloister can do with an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cloister.cli.output import Answer, command


@click.group("model")
def model_group() -> None:
    """Models are ONNX files: data, never code."""


@command(model_group, "check")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def check(file: Path) -> Answer:
    """Say for FILE, operator by operator, what each method can do with it, or why it is refused."""
    from cloister.foundation.files import read_limited
    from cloister.models.check import check_model

    report = check_model(read_limited(file, 512 << 20))
    return Answer(report, "\n".join(_words(report)), exit_code=0 if report["accepted"] else 3)


def _words(report: dict[str, Any]) -> list[str]:
    if not report["accepted"]:
        lines = ["Refused:"]
        for item in report["refusals"]:
            lines.append(f"  {item['node'] or 'the graph'}: {item['reason']}")
            if item["remedy"]:
                lines.append(f"    What to do: {item['remedy']}")
        return lines
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
    lines += [f"Not trained: {item['name']} ({item['reason']})" for item in report["fixed"] if "name" in item]
    return lines

"""`cloister model`: what Cloister can do with an ONNX file."""

from __future__ import annotations

from pathlib import Path

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
    return Answer(report.to_json(), report.text(), exit_code=0 if report.accepted else 3)

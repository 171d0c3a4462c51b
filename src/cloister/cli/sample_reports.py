"""`cloister tool report`: one document over all pictures of a sample, to be filed."""

from __future__ import annotations

import time
from pathlib import Path

import click

from cloister.cli.batches import tool_group
from cloister.cli.output import Answer, command
from cloister.foundation.errors import BadInput
from cloister.foundation.files import write_atomically

__all__ = ["report", "tool_group"]


@command(tool_group, "report")
@click.argument("results", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--out",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The document: a name that ends in .pdf or .html.",
)
@click.option("--title", default="", help="What the sample is called; the folder's name if absent.")
@click.option("--organisation", default="", help="Whose document it is.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the ranges' draws."
)
@click.option(
    "--font",
    "fonts",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A TrueType font for letters that the built-in one lacks; repeat. For PDF.",
)
def report(
    results: Path, file: Path, title: str, organisation: str, seed: int, fonts: tuple[Path, ...]
) -> Answer:
    """Make one document of RESULTS, a folder that `cloister tool run --out` wrote: counts, sizes with ranges, pictures, method."""
    from cloister.documents import html, pdf
    from cloister.tools.batch.report import sample_paper

    if file.suffix.lower() not in {".pdf", ".html"}:
        raise BadInput(
            "The document's kind is not known.", f"{file.name} ends in neither .pdf nor .html.", "Name it so."
        )
    paper = sample_paper(
        results,
        title=title or results.resolve().name,
        made=int(time.time()),
        organisation=organisation,
        seed=seed,
    )
    content = pdf.render(paper, fonts) if file.suffix.lower() == ".pdf" else html.render(paper)
    write_atomically(file, content)
    return Answer({"file": str(file), "bytes": len(content)}, [f"Written: {file}"])

"""`cloister demo`: a relay and five nodes on this machine, from the agreement to the tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cloister.cli.demo.cast import PICTURES
from cloister.cli.output import Answer, command, story_console


@click.group()
def _holder() -> None:
    """Holds the command until `main` takes it."""


@command(_holder, "demo")
@click.argument("scenario", default="factories", type=click.Choice(["factories"]))
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False), help="Keep everything in this (new) folder."
)
@click.option("--no-browser", is_flag=True, help="Do not open the report of the pictures at the end.")
@click.option(
    "--rounds", type=click.IntRange(1, 100), default=6, show_default=True, help="Rounds of the training."
)
@click.option(
    "--pictures",
    type=click.IntRange(12, 200),
    default=PICTURES,
    show_default=True,
    help="Pictures at each factory. On fewer, noise may decide that a factory refuses the result.",
)
def demo_command(scenario: str, keep: Path | None, no_browser: bool, rounds: int, pictures: int) -> Answer:
    """Watch three factories and a laboratory train a crystal counter without showing each other a picture.

    A relay and five servers run as processes of their own on this machine; nothing leaves it. Takes three to five minutes.
    """
    del scenario
    from cloister.cli.demo.factories import play

    told: dict[str, Any] = play(
        story_console(), keep, rounds=rounds, pictures=pictures, browser=not no_browser
    )
    return Answer(told)

"""The `cloister` command: its groups, and how errors end it."""

from __future__ import annotations

import sys

import click

from cloister import __version__
from cloister.cli.agreements import agreement_group
from cloister.cli.ask import ask_group, task_group
from cloister.cli.demonstration import demo_command
from cloister.cli.diagnosis import doctor_command
from cloister.cli.hubs import hub_group
from cloister.cli.ledger import ledger_group
from cloister.cli.models import model_group
from cloister.cli.nodes import dataset_group, node_group, party_group
from cloister.cli.releases import release_group
from cloister.cli.tools import tool_group


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="cloister")
def cli() -> None:
    """Compute together on data that may not be shown.

    Every organisation runs a node on its own premises. What crosses between them is agreed beforehand, signed, and
    logged where outsiders can check it.

    First steps: `cloister tool run crystals PICTURE` works at once; `cloister demo` shows all of it on this machine.
    """


for group in (
    tool_group,
    node_group,
    hub_group,
    party_group,
    dataset_group,
    agreement_group,
    model_group,
    ask_group,
    task_group,
    release_group,
    ledger_group,
):
    cli.add_command(group)
cli.add_command(demo_command)
cli.add_command(doctor_command)


def main() -> None:
    """Runs the command; an interrupt ends it quietly."""
    try:
        cli(prog_name="cloister")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

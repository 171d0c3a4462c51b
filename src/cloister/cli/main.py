"""The `cloister` command: its groups, and how errors end it."""

from __future__ import annotations

import sys

import click

from cloister import __version__
from cloister.cli.lazy import Entry, LazyGroup

COMMANDS = {
    "tool": Entry(
        "cloister.cli.sample_reports:tool_group", "Run tools on your own premises; install and pass them on."
    ),
    "calibration": Entry(
        "cloister.cli.calibrations:calibration_group", "Micrometres per pixel, from a picture of a scale."
    ),
    "study": Entry(
        "cloister.cli.studies:study_group", "Accept a tool: people and tool count the same pictures."
    ),
    "up": Entry("cloister.cli.pages:up_command", "Open the page of this machine in the browser."),
    "demo": Entry(
        "cloister.cli.demonstration:demo_command",
        "Watch all of it on this machine, in three to five minutes.",
    ),
    "doctor": Entry("cloister.cli.diagnosis:doctor_command", "What is wrong, and what to do."),
    "node": Entry("cloister.cli.nodes:node_group", "Your Cloister server: make it, connect it, run it."),
    "hub": Entry("cloister.cli.hubs:hub_group", "The relay that servers connect out to."),
    "party": Entry("cloister.cli.parties:party_group", "The organisations you know, and whom you trust."),
    "dataset": Entry("cloister.cli.datasets:dataset_group", "Your datasets, and what others see of them."),
    "disclosure": Entry(
        "cloister.cli.disclosures:disclosure_group", "Selected records for one researcher, until a date."
    ),
    "budget": Entry(
        "cloister.cli.budgets:budget_group", "How much privacy may be spent of your data, and what was."
    ),
    "agreement": Entry("cloister.cli.agreements:agreement_group", "Who may do what with whose data."),
    "model": Entry("cloister.cli.models:model_group", "What Cloister can do with an ONNX file."),
    "ask": Entry("cloister.cli.figures:ask_group", "Ask for a computation: read its plan, then send it."),
    "bench": Entry(
        "cloister.cli.bench:bench_group", "Measure this server, so that plans know what work costs here."
    ),
    "task": Entry("cloister.cli.tasks:task_group", "Tasks: approve others', watch them run."),
    "release": Entry("cloister.cli.releases:release_group", "Results that a quorum of owners has approved."),
    "ledger": Entry("cloister.cli.ledger:ledger_group", "The tamper-evident log; anyone can verify it."),
}


@click.group(
    cls=LazyGroup,
    entries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Completion in the shell: see docs/reference/cli.md.",
)
@click.version_option(__version__, prog_name="cloister")
def cli() -> None:
    """Compute together on data that may not be shown.

    Every organisation runs a node on its own premises. What crosses between them is agreed beforehand, signed, and
    logged where outsiders can check it.

    First steps: `cloister tool run crystals PICTURE` works at once; `cloister demo` shows all of it on this machine.
    """


def main() -> None:
    """Runs the command; an interrupt ends it quietly."""
    try:
        cli(prog_name="cloister")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

"""`cloister ask validate`, `figures`, `answer`: how well a tool does on pictures that stay at their owners."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click

from cloister.cli.ask import ask_group
from cloister.cli.common import client, fingerprints, folder_option, full, short, table
from cloister.cli.output import Answer, command, confirm
from cloister.foundation.files import read_limited


@command(ask_group, "validate")
@click.argument("tool", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--owner",
    "owners",
    multiple=True,
    required=True,
    metavar="FINGERPRINT",
    help="Whose pictures; repeat for more.",
)
@click.option("--dataset", required=True, help="The dataset's name at each owner.")
@click.option("--purpose", required=True, help="What for; one of the agreement's purposes where one governs.")
@click.option(
    "--figure",
    "figures",
    multiple=True,
    type=click.Choice(["count-accuracy", "f1", "d50-accuracy"]),
    help="Which figure; repeat for more. All if absent.",
)
@click.option(
    "--epsilon",
    type=float,
    default=None,
    help="What each answer may cost where the pictures have a privacy budget.",
)
@folder_option
def validate(
    tool: Path,
    owners: tuple[str, ...],
    dataset: str,
    purpose: str,
    figures: tuple[str, ...],
    epsilon: float | None,
    folder: Path,
) -> Answer:
    """Ask owners how well the tool in the file TOOL does on their labelled pictures; each owner's gate decides."""
    from cloister.node.figures.asking import MAX_TOOL

    data = base64.b64encode(read_limited(tool, MAX_TOOL)).decode()
    with client(folder, timeout=600) as node:
        told = [
            node.post(
                "/figures",
                {
                    "owner": owner,
                    "dataset": dataset,
                    "tool": data,
                    "figures": list(figures),
                    "purpose": purpose,
                    "epsilon": epsilon,
                },
            )
            for owner in fingerprints(list(owners))
        ]
    lines = [
        f"{short(item['question'])}: asked {item['owner_name']} about {item['dataset']}" for item in told
    ]
    return Answer(told, "\n".join([*lines, "See what comes back: cloister ask figures"]))


@command(ask_group, "figures")
@folder_option
def figures_list(folder: Path) -> Answer:
    """The questions about figures that you asked and that you were asked, with their answers."""
    with client(folder) as node:
        told = node.get("/figures")
    rows = [
        [
            short(item["question"]),
            f"of {item['owner_name']}" if item["side"] == "asked" else f"by {item['researcher_name']}",
            item["dataset"],
            short(item["tool"]),
            item["state"],
            _figures(item),
        ]
        for item in told
    ]
    return Answer(told, table(["Question", "Asked", "Dataset", "Tool", "State", "Figures"], rows))


@command(ask_group, "answer")
@click.argument("question")
@click.option("--refuse", is_flag=True, help="Say no, for good.")
@click.option("--yes", is_flag=True, help="Do not ask; you know what such figures tell.")
@folder_option
def answer(question: str, refuse: bool, yes: bool, folder: Path) -> Answer:
    """Let your server answer QUESTION about a tool's figures on your pictures, or refuse it."""
    with client(folder) as node:
        listed = node.get("/figures")
        name = full([item["question"] for item in listed if item["side"] == "to-answer"], question)
        if not yes and not refuse:
            confirm(
                "Run their tool here, confined, on every labelled picture, and let its rounded means out? Without a privacy"
                " budget such means tell something about single pictures."
            )
        told = node.post(f"/figures/{name}/decide", {"approve": not refuse})
    return Answer(told, "Refused." if refuse else "It is measured, signed and sent.")


def _figures(item: dict[str, Any]) -> str:
    if item["refused"]:
        return str(item["refused"])
    found = ", ".join(f"{name} {value:.2f}" for name, value in item["figures"].items())
    return found + (f" (epsilon {item['noise']['epsilon']:g})" if item["noise"] else "")

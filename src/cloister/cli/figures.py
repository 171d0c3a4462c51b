"""`cloister ask validate`, `figures`, `answer`: how well a tool does on pictures that stay at their owners."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click

from cloister.cli.ask import ask_group
from cloister.cli.common import Number, client, fingerprints, folder_option, full, short, table
from cloister.cli.output import Answer, command, confirm
from cloister.foundation.errors import NotFound
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
    type=Number(min=0, max=10, min_open=True),
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
            item["purpose"],
            short(item["tool"]),
            item["state"],
            _figures(item),
        ]
        for item in told
    ]
    parts: list[Any] = [
        table(["Question", "Asked", "Dataset", "For", "Tool", "State", "Figures"], rows)
        if rows
        else "Nobody has asked, neither you nor others. Ask: cloister ask validate --help"
    ]
    if any(item["side"] == "to-answer" and item["state"] == "waiting" for item in told):
        parts.append("What waits is yours to decide: cloister ask answer QUESTION, or with --refuse")
    parts += [f"{short(item['question'])}: {item['why']}" for item in told if item["why"]]
    return Answer(told, parts)


@command(ask_group, "answer")
@click.argument("question")
@click.option("--refuse", is_flag=True, help="Say no, for good.")
@click.option("--yes", is_flag=True, help="Do not ask; you know what such figures tell.")
@folder_option
def answer(question: str, refuse: bool, yes: bool, folder: Path) -> Answer:
    """Let your server answer QUESTION about a tool's figures on your pictures, or refuse it."""
    with client(folder) as node:
        asked = {item["question"]: item for item in node.get("/figures") if item["side"] == "to-answer"}
        try:
            name = full(list(asked), question)
        except NotFound:
            raise NotFound(
                f"Nobody asked you a question {question[:80]!r}.",
                "Only questions about your own pictures are answered here.",
                "See: cloister ask figures",
            ) from None
        if not yes and not refuse:
            item = asked[name]
            cost = f", at epsilon {item['epsilon']:g}" if item["epsilon"] else ""
            confirm(
                f"{item['researcher_name'] or item['researcher']} asks about {item['dataset']}, for “{item['purpose']}”{cost}. Run their tool here, confined, on every labelled picture, and let its rounded means out? Without a privacy"
                " budget such means tell something about single pictures."
            )
        told = node.post(f"/figures/{name}/decide", {"approve": not refuse})
    return Answer(told, "Refused." if refuse else "It is measured, signed and sent.")


def _figures(item: dict[str, Any]) -> str:
    if item["refused"]:
        return str(item["refused"])
    found = ", ".join(f"{name} {value:.2f}" for name, value in item["figures"].items())
    return found + (f" (epsilon {item['noise']['epsilon']:g})" if item["noise"] else "")

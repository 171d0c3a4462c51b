"""`cloister task`: approve or refuse tasks, take an approval back, and watch them run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from cloister.cli.common import brief, client, elsewhere, folder_option, short, soon, table, wait_option
from cloister.cli.output import Answer, command, confirm, say
from cloister.foundation.errors import Refused, from_problem
from cloister.foundation.text import party_name
from cloister.journal.statuses import ENDED
from cloister.node.tasks.happenings import in_words


@click.group("task")
def task_group() -> None:
    """Tasks that your server takes part in."""


@command(task_group, "list")
@folder_option
def tasks(folder: Path) -> Answer:
    """All tasks, oldest first."""
    with client(folder) as node:
        told = node.get("/tasks")
    rows = [
        [
            short(item["task"]),
            item["kind"],
            item["status"]
            + (f" ({item['phase']})" if item.get("phase") and item["status"] == "running" else ""),
            party_name(item["requester"], item["names"]),
            item["purpose"],
        ]
        for item in told
    ]
    return Answer(told, table(["Task", "Kind", "Status", "Asked by", "Purpose"], rows))


@command(task_group, "show")
@click.argument("task")
@wait_option
@folder_option
def show(task: str, folder: Path, wait: int) -> Answer:
    """The plan of TASK (its digest, the start of it, or `latest`) and how far it is."""
    with client(folder) as node:
        told = node.task(_find(node, task, wait))
    lines = [told["text"], "", *budget_in_words(told.get("budget")), f"Status: {told['status']}"]
    if told.get("failure"):
        failure = told["failure"]
        lines.append(
            f"Failed: {failure.get('title', '')} {failure.get('detail', '')} {failure.get('remedy', '')}"
        )
    for party, problem in told["refusals"].items():
        lines.append(
            f"Refused by {party_name(party, told['names'])}: {problem.get('detail')} [{problem.get('clause')}]"
        )
    return Answer(told, "\n".join(lines))


def budget_in_words(budget: dict[str, Any] | None) -> list[str]:
    """What a task spends of this party's population, for those who decide on it; nothing where it spends none."""
    if not budget or not budget["epsilon"]:
        return []
    left = budget["left"]
    one = f"epsilon {budget['epsilon']:.4g} and delta {budget['delta']:.3g} of the population “{budget['population']}”"
    rest = f"epsilon {left['epsilon']:.4g} and delta {left['delta']:.3g}"
    return [
        f"Privacy budget here: it has spent {one}; {rest} are left under this agreement."
        if budget["charged"]
        else f"Privacy budget here: it would spend {one}, of {rest} left under this agreement.",
        "",
    ]


@command(task_group, "approve")
@click.argument("task")
@click.option(
    "--with-records",
    is_flag=True,
    help="Also accept that the result may contain input records (training without differential privacy).",
)
@click.option("--yes", is_flag=True, help="Do not ask; the short form of the plan is printed.")
@wait_option
@folder_option
def approve(task: str, with_records: bool, yes: bool, folder: Path, wait: int) -> Answer:
    """Approve the computation of TASK, after showing its plan."""
    with client(folder, timeout=600) as node:
        digest = _find(node, task, wait)
        shown = node.task(digest)
        plan = shown["text"]
        say("\n".join([brief(plan) if yes else plan, "", *budget_in_words(shown.get("budget"))]).rstrip())
        if not yes:
            question = "Approve this"
            question += ", accepting that the result may contain your records?" if with_records else "?"
            confirm(question)
        try:
            told = node.post(f"/tasks/{digest}/approve", {"with_records": with_records})
        except Refused as error:
            # Only the node knows whether its agreement asks for the second word; with --yes nobody is there to give it.
            if yes or error.clause != "records" or "--with-records" not in error.remedy:
                raise
            confirm(
                "This result may contain input records of yours. Do you accept that for this computation?"
            )
            told = node.post(f"/tasks/{digest}/approve", {"with_records": True})
    return Answer(told, "Approved and admitted.")


@command(task_group, "refuse")
@click.argument("task")
@click.option("--reason", default="", help="Told to the requester.")
@folder_option
def refuse(task: str, reason: str, folder: Path) -> Answer:
    """Refuse TASK."""
    with client(folder) as node:
        told = node.post(f"/tasks/{_find(node, task)}/refuse", {"reason": reason})
    return Answer(told, "Refused.")


@command(task_group, "withdraw")
@click.argument("task")
@click.option("--reason", default="", help="Told to the requester if the task has not started.")
@folder_option
def withdraw(task: str, reason: str, folder: Path) -> Answer:
    """Take back your approval of TASK: it does not start, or your server leaves it before its next step.

    What your server has sent so far stays where it is, and counts as an attempt. Once your server has voted on the release
    this is refused: a release is taken back by `cloister release revoke`.
    """
    with client(folder) as node:
        told = node.post(f"/tasks/{_find(node, task)}/withdraw", {"reason": reason})
    left = (
        "Your server has left the task." if told["status"] == "stopped" else "The task will not start here."
    )
    return Answer(told, f"Withdrawn. {left}")


@command(task_group, "stop")
@click.argument("task")
@click.option("--reason", default="", help="Told to the others.")
@folder_option
def stop(task: str, reason: str, folder: Path) -> Answer:
    """Stop your server's part in TASK."""
    with client(folder) as node:
        told = node.post(f"/tasks/{_find(node, task)}/stop", {"reason": reason})
    return Answer(told, "Stopped." if told["stopped"] else "It was over already.")


@command(task_group, "watch")
@click.argument("task")
@click.option(
    "--seconds",
    type=click.IntRange(min=1),
    default=3600,
    show_default=True,
    help="How long to watch at most.",
)
@folder_option
def watch(task: str, seconds: int, folder: Path) -> Answer:
    """Follow TASK until it ends; exit code 1 if it fails, 3 if it is refused, 4 if it has not ended in time."""
    end = time.monotonic() + seconds
    with client(folder) as node:
        digest = _find(node, task)
        seen = 0
        while True:
            told = node.task(digest)
            for event in node.events(seen, wait=0.0 if told["status"] in ENDED else 2.0):
                seen = max(seen, int(event["id"]))
                if event["task"] == digest and (line := in_words(event, told["names"], told)):
                    say(line)
            if told["status"] in ENDED or time.monotonic() > end:
                break
    if told.get("failure"):
        raise elsewhere(from_problem(told["failure"]))
    if told["status"] not in ENDED:
        waiting = ", ".join(party_name(party, told["names"]) for party in told.get("waiting") or ())
        lasted = f"{seconds} second{'' if seconds == 1 else 's'}"
        text = f"Still {told['status']} after {lasted}." + (f" Waiting for: {waiting}." if waiting else "")
        return Answer(told, text, exit_code=4)
    return Answer(
        told, f"{short(digest)} is {told['status']}.", exit_code=3 if told["status"] == "refused" else 0
    )


def _find(node: Any, given: str, wait: int = 0) -> str:
    return soon(lambda: [item["task"] for item in node.get("/tasks")], given, wait)

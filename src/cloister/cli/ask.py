"""`cloister ask` and `cloister task`: ask for a computation, approve others', watch them run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cloister.cli.common import client, folder_option, full, short, table
from cloister.cli.output import Answer, command
from cloister.foundation.canonical import parse
from cloister.foundation.errors import BadInput, from_problem
from cloister.foundation.files import read_limited


@click.group("ask")
def ask_group() -> None:
    """Ask for a computation: your node makes a plan, shows it, and sends it only if you say so."""


@click.group("task")
def task_group() -> None:
    """Tasks that your node takes part in."""


@command(ask_group, "train")
@click.option("--agreement", required=True, help="Under which agreement (its digest, or the start of it).")
@click.option(
    "--tool", default=None, help="Go on training the model of this built-in tool, for example crystals."
)
@click.option(
    "--model", type=click.Path(path_type=Path, dir_okay=False), help="An ONNX file, instead of --tool."
)
@click.option(
    "--recipe",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A training recipe (JSON), with --model.",
)
@click.option("--purpose", default=None, help="One of the agreement's purposes; its first if absent.")
@click.option("--rounds", type=int, default=None, help="How many rounds.")
@click.option("--steps", type=int, default=None, help="Local steps in each round.")
@click.option(
    "--preference", multiple=True, metavar="NAME=VALUE", help="Other wishes for the planner; repeat."
)
@click.option("--yes", is_flag=True, help="Send the plan without asking.")
@folder_option
def train(folder: Path, yes: bool, **given: Any) -> Answer:
    """Train a model together: print the plan, ask to proceed, send it to every party for admission."""
    model, settings = _training(given)
    wishes: dict[str, Any] = {key: given[key] for key in ("rounds",) if given[key] is not None}
    for item in given["preference"]:
        name, _, value = item.partition("=")
        wishes[name] = _value(value)
    with client(folder, timeout=600) as node:
        import base64

        added = node.post("/models", {"content": base64.b64encode(model).decode()})
        told = node.post(
            "/plans",
            {
                "agreement": full(
                    [item["agreement"] for item in node.get("/agreements")], given["agreement"]
                ),
                "computation": {
                    "kind": "training",
                    "contents": {"model": added["digest"]},
                    "settings": settings,
                },
                "purpose": given["purpose"],
                "preferences": wishes,
            },
        )
        if not yes:
            click.echo(told["text"])
            click.confirm("Send this plan to the parties?", abort=True)
        task = node.post("/tasks", {"plan": told["plan"]})
    answer = {
        "task": task["task"],
        "status": task["status"],
        "plan": told["plan"],
        "refusals": task["refusals"],
    }
    if task["refusals"]:
        party, problem = min(task["refusals"].items())
        error = from_problem(problem)
        name = told["names"].get(party, party[:8])
        error.args = (f"{name}: {error.what}",)
        error.what = f"{name}: {error.what}"
        raise error
    waiting = ", ".join(told["names"].get(party, party[:8]) for party in task["waiting"])
    text = f"Task {short(task['task'])}: {task['status']}." + (f" Waiting for: {waiting}." if waiting else "")
    return Answer(answer, f"{text}\nWatch it with: cloister task watch {short(task['task'])}")


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
            item["names"].get(item["requester"], item["requester"][:8]),
            item["purpose"],
        ]
        for item in told
    ]
    return Answer(told, table(["Task", "Kind", "Status", "Asked by", "Purpose"], rows))


@command(task_group, "show")
@click.argument("task")
@folder_option
def show(task: str, folder: Path) -> Answer:
    """The plan of TASK and how far it is."""
    with client(folder) as node:
        told = node.task(_find(node, task))
    lines = [told["text"], "", f"Status: {told['status']}"]
    if told.get("failure"):
        failure = told["failure"]
        lines.append(
            f"Failed: {failure.get('title', '')} {failure.get('detail', '')} {failure.get('remedy', '')}"
        )
    for party, problem in told["refusals"].items():
        lines.append(
            f"Refused by {told['names'].get(party, party[:8])}: {problem.get('detail')} [{problem.get('clause')}]"
        )
    return Answer(told, "\n".join(lines))


@command(task_group, "approve")
@click.argument("task")
@click.option(
    "--with-records",
    is_flag=True,
    help="Also accept that the result may contain input records (training without differential privacy).",
)
@click.option("--yes", is_flag=True, help="Do not ask; you have read the plan.")
@folder_option
def approve(task: str, with_records: bool, yes: bool, folder: Path) -> Answer:
    """Approve the computation of TASK, after showing its plan."""
    with client(folder, timeout=600) as node:
        digest = _find(node, task)
        if not yes:
            click.echo(node.task(digest)["text"])
            question = "Approve this"
            question += ", accepting that the result may contain your records?" if with_records else "?"
            click.confirm(question, abort=True)
        told = node.post(f"/tasks/{digest}/approve", {"with_records": with_records})
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


@command(task_group, "stop")
@click.argument("task")
@click.option("--reason", default="", help="Told to the others.")
@folder_option
def stop(task: str, reason: str, folder: Path) -> Answer:
    """Stop your node's part in TASK."""
    with client(folder) as node:
        told = node.post(f"/tasks/{_find(node, task)}/stop", {"reason": reason})
    return Answer(told, "Stopped." if told["stopped"] else "It was over already.")


@command(task_group, "watch")
@click.argument("task")
@click.option("--seconds", default=3600, show_default=True, help="How long to watch at most.")
@folder_option
def watch(task: str, seconds: int, folder: Path) -> Answer:
    """Follow TASK until it ends."""
    with client(folder) as node:
        digest = _find(node, task)
        for event in node.follow(0, seconds):
            if event["task"] != digest:
                continue
            click.echo(f"{event['kind']}: {json.dumps(event['facts'], ensure_ascii=False)[:200]}", err=True)
            if node.task(digest)["status"] in {"done", "failed", "stopped", "refused"}:
                break
        told = node.task(digest)
    if told.get("failure"):
        raise from_problem(told["failure"])
    return Answer(told, f"{short(digest)} is {told['status']}.")


def _training(given: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    if (given["tool"] is None) == (given["model"] is None):
        raise BadInput(
            "Say what to train.", "Neither or both of --tool and --model were given.", "Give one of them."
        )
    if given["tool"] is not None:
        if given["tool"] != "crystals":
            raise BadInput(
                "Only the tool crystals can be trained on as it is.", "", "Use --model with --recipe."
            )
        from cloister.applications.crystals.pipeline import shipped_model
        from cloister.applications.crystals.recipe import crystals_recipe

        steps = {} if given["steps"] is None else {"steps": given["steps"]}
        return shipped_model(), crystals_recipe(**steps).model_dump(mode="json")
    if given["recipe"] is None:
        raise BadInput("A model needs a recipe.", "", "Give --recipe FILE; see docs/reference/recipes.md.")
    settings = parse(read_limited(given["recipe"], 1 << 20))
    if given["steps"] is not None:
        settings = {**settings, "steps": given["steps"]}
    return read_limited(given["model"], 512 << 20), settings


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _find(node: Any, given: str) -> str:
    return full([item["task"] for item in node.get("/tasks")], given)

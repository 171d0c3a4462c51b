"""`cloister ask`: ask for a computation."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloister.cli.agreements import find_agreement
from cloister.cli.common import brief, client, decimal_point, elsewhere, folder_option, json_file, short
from cloister.cli.output import Answer, command, confirm, say
from cloister.foundation.errors import BadInput, from_problem
from cloister.foundation.files import read_limited
from cloister.foundation.text import party_name

if TYPE_CHECKING:
    from cloister.sdk.client import Client

_WISHES = ("rounds", "epsilon", "batch", "units", "dropouts", "deadline")


@click.group("ask")
def ask_group() -> None:
    """Ask for a computation: your server makes a plan, shows it, and sends it only if you say so."""


@command(ask_group, "train")
@click.option(
    "--agreement",
    required=True,
    help="Under which agreement: its digest, the start of it, or the file of its terms.",
)
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
    "--trainable",
    multiple=True,
    metavar="NAME",
    help="Train only weights whose names begin so, and freeze the others; repeat. As the recipe says if absent.",
)
@click.option(
    "--epsilon",
    type=float,
    default=None,
    help="Spend at most this of the privacy budgets; less is more noise.",
)
@click.option(
    "--batch", type=int, default=None, help="With noise: units in a step, on average, at each owner."
)
@click.option("--units", type=int, default=None, help="With noise: no owner has more units than this.")
@click.option("--dropouts", type=int, default=None, help="How many owners may be missing from a round.")
@click.option("--deadline", type=float, default=None, help="Only ways that take at most so many seconds.")
@click.option(
    "--preference", multiple=True, metavar="NAME=VALUE", help="Other wishes for the planner; repeat."
)
@click.option(
    "--what-if", is_flag=True, help="Only show the plan, with its costs and alternatives; send nothing."
)
@click.option("--yes", is_flag=True, help="Send the plan without asking; the short form of it is printed.")
@folder_option
def train(folder: Path, yes: bool, what_if: bool, **given: Any) -> Answer:
    """Train a model together: print the plan, ask to proceed, send it to every party for admission."""
    from cloister.applications.trainings import require_named

    model, settings = training_of(given)
    wishes: dict[str, Any] = {key: given[key] for key in _WISHES if given[key] is not None}
    for item in given["preference"]:
        name, _, value = item.partition("=")
        wishes[name] = _value(value)
    with client(folder, timeout=600) as node:
        agreement = find_agreement(node, given["agreement"])
        model, settings = under_agreement(node, agreement, given, (model, settings))
        added = node.post("/models", {"content": base64.b64encode(model).decode()})
        require_named(given["trainable"], added["check"]["parameters"])
        told = node.post(
            "/plans",
            {
                "agreement": agreement,
                "computation": {
                    "kind": "training",
                    "contents": {"model": added["digest"]},
                    "settings": settings,
                },
                "purpose": given["purpose"],
                "preferences": wishes,
            },
        )
        if what_if:
            answer = {"task": None, "plan": told["plan"], "starts_from": told["starts_from"]}
            return Answer(answer, told["text"] + "\nNothing was sent.")
        say(brief(told["text"]) if yes else told["text"])
        if not yes:
            confirm("Send this plan to the parties?")
        task = node.post("/tasks", {"plan": told["plan"]})
        reached = node.status()["relay"]["reached"]
    answer = {
        "task": task["task"],
        "status": task["status"],
        "plan": told["plan"],
        "starts_from": told["starts_from"],
        "refusals": task["refusals"],
        "relay_reached": reached,
    }
    if task["refusals"]:
        party, problem = min(task["refusals"].items())
        error = from_problem(problem)
        name = party_name(party, told["names"])
        error.args = (f"{name}: {error.what}",)
        error.what = f"{name}: {error.what}"
        raise elsewhere(error)
    waiting = ", ".join(party_name(party, told["names"]) for party in task["waiting"])
    text = f"Task {short(task['task'])}: {task['status']}." + (f" Waiting for: {waiting}." if waiting else "")
    if not reached:
        text += "\nThe relay is not reached; it goes out when it is."
    return Answer(answer, f"{text}\nWatch it with: cloister task watch {short(task['task'])}")


def under_agreement(
    node: Client, agreement: str, given: Mapping[str, Any], training: tuple[bytes, dict[str, Any]]
) -> tuple[bytes, dict[str, Any]]:
    """A training (`training_of` the options) as it is asked for under an agreement: a tool's has noise where there are budgets."""
    from cloister.agreements.terms import Terms

    if given["tool"] is None or not Terms.from_odrl(node.get(f"/agreements/{agreement}")["terms"]).budgets:
        return training
    return training_of(given, private=True)


def training_of(given: Mapping[str, Any], *, private: bool = False) -> tuple[bytes, dict[str, Any]]:
    """Model and recipe that the options `tool`, `model`, `recipe`, `steps`, `rounds` and `trainable` stand for.

    Args:
        given: the options' values.
        private: the training will have noise. A tool's model is then trained as that needs: its last block only.

    Raises:
        BadInput: the options do not fit together, or the recipe cannot be used.
    """
    from cloister.applications.trainings import checked_recipe, tool_training

    if (given["tool"] is None) == (given["model"] is None):
        raise BadInput(
            "Say what to train.", "Neither or both of --tool and --model were given.", "Give one of them."
        )
    if given["tool"] is None:
        model, settings = _own(given)
    elif given["recipe"] is not None:
        raise BadInput("A tool brings its own recipe.", "", "Leave out --recipe, or give --model.")
    else:
        model, settings = tool_training(
            given["tool"], private=private, steps=given["steps"], rounds=given["rounds"]
        )
    return model, checked_recipe(settings, steps=given["steps"], trainable=given.get("trainable") or ())


def _own(given: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]]:
    if given["recipe"] is None:
        raise BadInput("A model needs a recipe.", "", "Give --recipe FILE; see docs/reference/recipes.md.")
    advice = "Write one as docs/reference/recipes.md says."
    settings = json_file(given["recipe"], 1 << 20, "a recipe", advice)
    if not isinstance(settings, dict):
        raise BadInput(f"{given['recipe'].name} is not a recipe: it is no JSON object.", "", advice)
    return read_limited(given["model"], 512 << 20), settings


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return decimal_point(text)

"""`cloister budget`: the privacy budgets of your protected populations, and what was spent of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from cloister.cli.common import Number, client, decimal_point, folder_option, full, short
from cloister.cli.output import Answer, command, confirm
from cloister.foundation.errors import BadInput

_EPSILON = Number(min=0, min_open=True, max=1000)
_DELTA = Number(min=0, max=1, max_open=True)


@click.group("budget")
def budget_group() -> None:
    """How much privacy may be spent of your data, and what was spent.

    A protected population is the people, pictures or machines behind one or several of your datasets. It has one
    budget, across versions of the datasets and across agreements. Signing an agreement with a budget opens it.
    """


@command(budget_group, "list")
@folder_option
def listing(folder: Path) -> Answer:
    """Every population: its limit, what is left, and which agreements and tasks have spent what."""
    with client(folder) as node:
        told = node.budgets()
        tasks = {item["task"]: item for item in node.get("/tasks")}
    parts = (
        [told["trouble"]["title"] + " Nothing is spent. " + told["trouble"]["remedy"] + "\n"]
        if told["trouble"]
        else []
    )
    parts += [population_in_words(item, tasks) for item in told["populations"]]
    if not told["populations"]:
        parts.append(
            "There are no protected populations. Signing an agreement with a privacy budget opens one."
        )
    return Answer(told, parts)


def population_in_words(item: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]]) -> str:
    """One population as `list` shows it."""
    counted = "" if item["method"] == "sums" else "; counted by Rényi bounds"
    lines = [
        f"“{item['population']}”, each {item['unit']} by itself{counted}",
        f"  Limit  {_amount(item['limit'])}",
        f"  Spent  {_amount(item['spent'])}",
        f"  Left   {_amount(item['left'])}",
        f"  Data   {', '.join(item['datasets']) or 'none yet: cloister budget bind'}",
    ]
    if item["highest"] != item["limit"]:
        lines.append(
            f"  The limit was higher before: {_amount(item['highest'])}. That is what has been promised."
        )
    titles = {}
    for part in item["agreements"]:
        titles[part["uid"]] = part["title"]
        lines.append(
            f"  Agreement {short(part['agreement'])} “{part['title']}”: {_amount(part['spent'])} of {_amount(part['limit'])}"
        )
    for charge in item["charges"]:
        lines.append(f"  {charge['at']}  {_who(charge, tasks, titles)}: {_amount(charge)}")
    return "\n".join(lines) + "\n"


def _who(charge: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str]) -> str:
    if charge["task"] == "reconciled":
        return "written off after an old backup was restored"
    task = tasks.get(charge["task"])
    under = titles.get(charge["agreement"])
    what = f" ({task['kind']}, {task['status']})" if task else ""
    return f"task {short(charge['task'])}{what}" + (f" under “{under}”" if under else "")


def _amount(value: Mapping[str, Any]) -> str:
    if value["epsilon"] > 1e6:  # a write-off of everything
        return "everything"
    return f"epsilon {value['epsilon']:.4g}, delta {value['delta']:.3g}"


@command(budget_group, "open")
@click.argument("population")
@click.option(
    "--unit",
    required=True,
    help="What is protected by itself: record, image, or the column that names a unit.",
)
@click.option("--epsilon", type=_EPSILON, required=True, help="The most that may ever be spent.")
@click.option(
    "--delta", type=_DELTA, required=True, help="The most that may ever be spent, for example 1e-5."
)
@click.option(
    "--method",
    type=click.Choice(["sums", "renyi"]),
    default="sums",
    show_default=True,
    help="How charges add up: sums, or Rényi bounds, which leave room for many small ones. Stays as it is.",
)
@folder_option
def open_population(
    population: str, unit: str, epsilon: float, delta: float, method: str, folder: Path
) -> Answer:
    """Declare POPULATION and its limit, before any agreement does. Its data: `cloister budget bind`."""
    body = {"population": population, "unit": unit, "epsilon": epsilon, "delta": delta, "method": method}
    with client(folder) as node:
        told = node.post("/budgets", body)
    return Answer(told, f"Opened.\n{population_in_words(told, {})}")


@command(budget_group, "set")
@click.argument("population")
@click.option("--epsilon", type=_EPSILON, default=None, help="The new limit; as it was, if absent.")
@click.option("--delta", type=_DELTA, default=None, help="The new limit; as it was, if absent.")
@folder_option
def set_limit(population: str, epsilon: float | None, delta: float | None, folder: Path) -> Answer:
    """Raise or lower the limit of POPULATION. What was spent stays spent; the highest limit is remembered."""
    if epsilon is None and delta is None:
        raise BadInput("Which limit?", "Neither --epsilon nor --delta was given.", "Give one or both.")
    with client(folder) as node:
        told = node.post("/budgets/limit", {"population": population, "epsilon": epsilon, "delta": delta})
    return Answer(told, f"Set.\n{population_in_words(told, {})}")


@command(budget_group, "bind")
@click.argument("dataset")
@click.argument("population")
@folder_option
def bind(dataset: str, population: str, folder: Path) -> Answer:
    """Say that your DATASET, in all its versions, belongs to POPULATION. This cannot be undone."""
    with client(folder) as node:
        told = node.post("/budgets/bind", {"population": population, "dataset": dataset})
    return Answer(told, f"“{dataset}” belongs to it from now on.\n{population_in_words(told, {})}")


@command(budget_group, "reconcile")
@click.option(
    "--spent",
    multiple=True,
    metavar="POPULATION=EPSILON:DELTA[:AGREEMENT]",
    help="What its forgotten charges spent at most; 0:0 for nothing. Repeat for every population and agreement.",
)
@click.option(
    "--gone",
    multiple=True,
    metavar="POPULATION",
    help="It is not known: all of it is gone, for ever. Repeat.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@folder_option
def reconcile(spent: tuple[str, ...], gone: tuple[str, ...], yes: bool, folder: Path) -> Answer:
    """After an older database was restored: write off what the charges that it lacks may have spent.

    The log tells how many charges are missing, not whose they were; the signed plans that the other parties hold tell
    what each task spent. Every population must be named.
    """
    with client(folder) as node:
        agreements = {item["agreement"]: item for item in node.get("/agreements")}
        uids = {
            part["agreement"]: part["uid"]
            for item in node.budgets()["populations"]
            for part in item["agreements"]
        }
        missing = _missing(spent, gone, lambda given: uids[full(sorted(set(agreements) & set(uids)), given)])
        if not yes:
            confirm("What is written off never comes back. Go on?")
        told = node.post("/budgets/reconcile", {"missing": missing})
    return Answer(
        told,
        [
            "Reconciled: this server spends again.\n",
            *(population_in_words(item, {}) for item in told["populations"]),
        ],
    )


def _missing(spent: Iterable[str], gone: Iterable[str], uid: Any) -> dict[str, Any]:
    made: dict[str, Any] = dict.fromkeys(gone)
    for item in spent:
        name, sign, amounts = item.rpartition("=")
        numbers = amounts.split(":")
        try:
            epsilon, delta = (float(decimal_point(text)) for text in numbers[:2])
        except ValueError:
            sign = ""
        if not sign or not name or len(numbers) not in (2, 3) or (name in made and made[name] is None):
            raise BadInput(
                "What was spent cannot be read.",
                f"“{item[:80]}” was given.",
                "Write for example --spent plants=2.0:1e-6, or --gone plants; not both for one population.",
            )
        scope = uid(numbers[2]) if len(numbers) == 3 else "reconciled"
        made.setdefault(name, {})[scope] = {"epsilon": epsilon, "delta": delta}
    return made

"""Tasks that wait for a decision or went wrong, privacy budgets that run out, data that is not what was registered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from cloister.foundation.clock import parse_rfc3339
from cloister.node.node import Node
from cloister.node.reports import budgets_view
from cloister.people.roles import Right
from cloister.web.filters import pressure
from cloister.web.views import datasets as datasets_view
from cloister.web.views.home.items import Item, events_of

_TASKS = 300
_FAILED_DAYS = 7


def of_tasks(node: Node) -> Iterable[Item]:
    """Tasks to decide, and those that failed in the last days."""
    for task in node.tasks.digests()[-_TASKS:]:
        if node.durable.task(task) is not None or not node.tasks.records.note(task).get("pending"):
            continue
        plan = node.tasks.plan(task)
        yield Item(
            "/tasks",
            frozenset({"tasks.approve"}),
            f"{node.parties.name(plan.request.requester)} asks to compute on your data: {plan.request.computation.kind}"
            f" for “{plan.request.purpose}”.",
            f"/tasks/{task}",
            "Read the plan",
            parse_rfc3339(plan.created),
        )
    since = node.clock.now() - _FAILED_DAYS * 86400
    cares: frozenset[Right] = frozenset({"tasks.approve", "tasks.ask"})
    refused = set()
    for item in events_of(node, ("figures",), 300):
        figures = item.facts.get("figures") or {}
        if figures.get("gate") == "refused" and item.at >= since and item.task not in refused:
            refused.add(item.task)
            why = str(figures.get("why") or figures.get("check") or "a check did not hold")
            text = f"A release check here said no to a result: {why}".rstrip(".")[:300] + "."
            yield Item(
                "/tasks", cares, text, f"/tasks/{item.task}", "See the task", item.at, "warn", counted=False
            )
    for row in node.runner.tasks():
        if row.status == "failed" and row.updated >= since and row.id not in refused:
            title = str((row.failure or {}).get("title") or "no reason was given").rstrip(".")
            text = f"A task failed: {title}."
            yield Item(
                "/tasks", cares, text[:300], f"/tasks/{row.id}", "See why", row.updated, "warn", counted=False
            )


def of_budgets(node: Node) -> Iterable[Item]:
    """Budgets that are spent, or nearly."""
    view = budgets_view(node)
    cares: frozenset[Right] = frozenset({"budgets.write", "datasets.write"})
    if view["trouble"] is not None:
        yield Item(
            "/datasets", cares, f"Nothing is spent of privacy budgets: {view['trouble']['title']}", "/datasets", "Look",
            kind="bad",
        )  # fmt: skip
    for item in view["populations"]:
        kind = pressure(_share(item))
        if not kind or not item["datasets"]:
            continue
        yield Item(
            "/datasets",
            cares,
            f"The privacy budget of “{item['population']}” is {'spent' if kind == 'bad' else 'nearly spent'}:"
            f" epsilon {datasets_view.amount(item['spent']['epsilon'])} of {datasets_view.amount(item['limit']['epsilon'])}.",
            f"/datasets/own/{quote(item['datasets'][0])}#budget",
            "See what spent it",
            max((parse_rfc3339(charge["at"]) for charge in item["charges"]), default=None),
            kind,
        )


def _share(item: Mapping[str, Any]) -> float:
    shares = [
        item["spent"][key] / item["limit"][key] for key in ("epsilon", "delta") if item["limit"][key] > 0
    ]
    return max(shares, default=0.0)


def of_changed_data(node: Node) -> list[Item]:
    """Datasets whose files are not what was registered. Looks at files."""
    return [
        Item(
            "/datasets",
            frozenset({"datasets.write"}),
            f"The files of {item['name']} are not what was registered. Tasks refuse it.",
            f"/datasets/own/{quote(item['name'])}",
            "See what changed",
            kind="bad",
        )
        for item in node.datasets.own()
        if not item["private"]["looks_unchanged"]
    ]

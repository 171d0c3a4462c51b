"""Tasks as pages show them: where each one is, who waits for whom, what happened, why it failed, what can be done now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cloister.claims.offers import Plan
from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.errors import CloisterError, from_problem
from cloister.foundation.text import party_name
from cloister.journal.phases import MAX_NAME
from cloister.journal.statuses import ENDED
from cloister.node.node import Node
from cloister.node.reports import task_view, tasks_view
from cloister.node.tasks.crossing import CONTENTS, Crossed, crossed, events_of, stem
from cloister.node.tasks.happenings import in_words
from cloister.storage.events import Event

_KINDS = {"done": "good", "failed": "bad", "stopped": "bad", "refused": "bad", "pending": "warn"}
WORDS = {
    "proposed": "waiting for others",
    "pending": "waits for you",
    "admitted": "about to start",
    "running": "running",
    "done": "done",
    "failed": "failed",
    "stopped": "stopped",
    "refused": "refused",
}
"""A task's state in words."""
_SHOWN = 40


@dataclass(frozen=True)
class Happened:
    """A line of a task's history: when, what, and how it is to be shown (a class of the timeline)."""

    at: int
    text: str
    kind: str = "done"


def listing(node: Node) -> list[dict[str, Any]]:
    """Every task, newest first, each with a sentence on where it is."""
    return [_listed(node, item) for item in reversed(tasks_view(node))]


def status_of(node: Node, task: str) -> str:
    """Where a task is, in the word that programs use. Raises `NotFound`."""
    row = node.durable.task(task)
    return str(node.tasks.summary(task)["status"]) if row is None else row.status


def _listed(node: Node, item: dict[str, Any]) -> dict[str, Any]:
    return {
        **item,
        "by": party_name(item["requester"], item["names"]),
        "at": parse_rfc3339(item["created"]),
        "state": WORDS.get(item["status"], item["status"]),
        "kind_of_state": _KINDS.get(item["status"], ""),
        "words": where(node, item),
    }


def where(node: Node, item: dict[str, Any]) -> str:
    """One sentence: what a task waits for, or how it ended."""
    names = item["names"]

    def named(parties: Any) -> str:
        return ", ".join(sorted(party_name(party, names) for party in parties))

    match item["status"]:
        case "pending":
            return "A person here has to approve it."
        case "refused":
            parties = item["refusals"]
            return f"Refused by {named(parties)}." if parties else "It was refused."
        case "proposed" if item["requester"] != node.party:
            return f"This server has said yes. {named([item['requester']])} starts it once all have."
        case "proposed":
            missing = set(_all(item)) - set(item["admitted"])
            return f"Waits for {named(missing)}." if missing else "Waits for the others."
        case "admitted":
            return "Everybody has said yes."
        case "running":
            return step_in_words(str(item.get("phase") or ""), str(item.get("program") or ""))
        case "failed" | "stopped":
            failure = item.get("failure") or {}
            return str(failure.get("title") or "It ended without a result.")
        case _:
            return "The result was delivered." if item["releases"] else "It is over."


def _all(item: dict[str, Any]) -> set[str]:
    seated = {party for parties in item["seats"].values() for party in parties}
    return seated | {item["requester"], *item["recipients"]}


_STEPS = {
    "start": "Preparing.",
    "gather": "Owners make keys for round {}.",
    "relay": "Owners exchange key shares for round {}.",
    "collect": "Owners train; their contributions to round {} are collected.",
    "confirm": "Owners confirm who is in the sum of round {}.",
    "total": "The sum of round {} is made.",
    "share": "Making keys for round {}.",
    "mask": "Training in round {}; the contribution is masked.",
    "endorse": "Confirming who is in the sum of round {}.",
    "reveal": "Taking the masks off the sum of round {}.",
    "open": "Opening the sum of round {}.",
    "round": "Round {}: waiting for the owners' updates.",
    "finish": "Owners confirm the trained model.",
    "propose": "The result is put together for the owners' approval.",
    "votes": "Owners check the result and vote.",
    "candidate": "Waiting for the result that is to be checked.",
    "certificate": "This server has voted; waiting for the certificate.",
    "delivered": "Waiting until everybody has confirmed what was delivered.",
    "content": "Waiting for the approved result.",
}


def step_in_words(phase: str, program: str) -> str:
    """A phase of a seat's program as a sentence."""
    name = stem(phase[:MAX_NAME])
    number = phase.rpartition("-")[2] if name != phase else ""
    if name in _STEPS:
        return _STEPS[name].format(number)
    words = phase.replace("-", " ") or "working"
    return f"{'Release' if program == 'release' else 'At the step'}: {words}."


def task_page(node: Node, task: str) -> dict[str, Any]:
    """A task for its own page, without its plan. Raises `NotFound`."""
    item = _listed(node, task_view(node, task))
    events = list(events_of(node.durable, task))
    plan = node.tasks.plan(task)
    over = item["status"] in ENDED
    failure = _failure(item)
    return {
        **item,
        "over": over,
        "why": failure,
        "failed_at": _failed_at(events),
        "parties": _parties(node, plan, item, events),
        "rounds": _rounds(plan, events) if item.get("seat") in {"owner", "coordinator"} else None,
        "history": _history(events, item),
        "crossed": _by_kind(crossed(events), item),
        "mine": item["requester"] == node.party,
        "with_records": _with_records(node, plan),
        "approved_here": _approved_here(node, task),
        "last": events[-1].id if events else 0,
    }


def _failure(item: dict[str, Any]) -> CloisterError | None:
    if item.get("failure"):
        return from_problem(item["failure"])
    if item["refusals"]:
        party, problem = min(item["refusals"].items())
        error = from_problem(problem)
        error.what = f"{party_name(party, item['names'])}: {error.what}"
        return error
    return None


def _failed_at(events: Sequence[Event]) -> str:
    for event in reversed(events):
        if event.kind in {"task.failed", "task.stopped"}:
            return step_in_words(str(event.facts.get("phase") or ""), "")
    return ""


def _with_records(node: Node, plan: Plan) -> bool:
    """Whether the agreement asks people for a second word: that the result may contain their records."""
    try:
        allowed = node.agreements.get(plan.request.agreement).terms.computation(plan.request.computation.kind)
    except CloisterError:
        return False
    return allowed is not None and allowed.records == "owner-accepts"


def _approved_here(node: Node, task: str) -> bool:
    return any(item.task == task and item.by == node.party for item in node.tasks.records.approvals())


def _rounds(plan: Plan, events: Sequence[Event]) -> tuple[int, int] | None:
    """How many rounds have a result, of how many; nothing for what has no rounds."""
    whole = plan.offer.parameters.get("rounds")
    if not isinstance(whole, int) or whole < 1:
        return None
    figures = [event.facts.get("figures") or {} for event in events if event.kind == "figures"]
    done = [
        item["round"]
        for item in figures
        if isinstance(item.get("round"), int)
        and (item.get("stage", "total") == "total")
        and ("answers" in item or "counted" in item)
    ]
    return min(max(done, default=0), whole), whole


def _parties(node: Node, plan: Plan, item: dict[str, Any], events: Sequence[Event]) -> list[dict[str, Any]]:
    """What this node knows of each organisation in the task: its seat, its yes, the last that was heard of it."""
    heard: dict[str, tuple[int, str]] = {}
    left: dict[str, str] = {}
    admitted: dict[str, int] = {}
    for event in events:
        if event.kind == "message.accepted":
            kind = str(event.facts.get("kind", ""))
            heard[str(event.facts.get("from"))] = (event.at, _said(kind))
        elif event.kind == "party.left":
            left[str(event.facts.get("party"))] = str(event.facts.get("error", "")).replace("-", " ")
        elif event.kind == "task.admitted":
            admitted.setdefault(str(event.facts.get("party")), event.at)
    amounts = _amounts(crossed(events))
    rows = []
    for party in sorted(plan.parties, key=lambda one: (one != node.party, item["names"][one].lower())):
        own = party == node.party
        at, said = heard.get(party, (None, ""))
        if own:
            said = item["words"]
            at = events[-1].at if events else None
        rows.append(
            {
                "party": party,
                "name": item["names"][party],
                "own": own,
                "seat": plan.offer.seat_of(party) or ("asks" if party == item["requester"] else "recipient"),
                "admitted": admitted.get(party),
                "refused": party in item["refusals"],
                "waits": str(item["waiting"].get(party, "")),
                "left": left.get(party, ""),
                "said": said,
                "at": at,
                "sent": amounts.get((party, "sent"), (0, 0)),
                "received": amounts.get((party, "received"), (0, 0)),
            }
        )
    return rows


def _said(kind: str) -> str:
    name = stem(kind)
    number = kind.rpartition("-")[2] if name != kind else ""
    return CONTENTS.get(name, name.replace("-", " ")) + (f" (round {number})" if number else "")


def _by_kind(found: Sequence[Crossed], item: dict[str, Any]) -> list[dict[str, Any]]:
    """What crossed, a line for each way and kind: with whom, how often, how much. What took most comes first."""
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    for one in found:
        row = sums.setdefault(
            (one.direction, one.about),
            {"direction": one.direction, "about": one.about, "names": set(), "messages": 0, "size": 0},
        )
        row["names"].add(party_name(one.party, item["names"]))
        row["messages"] += one.messages
        row["size"] += one.size
    rows = [{**row, "names": sorted(row["names"], key=str.lower)} for row in sums.values()]
    return sorted(rows, key=lambda row: (row["direction"] != "sent", -row["size"], row["about"]))


def _amounts(found: Sequence[Crossed]) -> dict[tuple[str, str], tuple[int, int]]:
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for one in found:
        count, size = sums.get((one.party, one.direction), (0, 0))
        sums[one.party, one.direction] = (count + one.messages, size + one.size)
    return sums


def _history(events: Sequence[Event], item: dict[str, Any]) -> list[Happened]:
    """What a person is told of, oldest first; of very much the newest part."""
    lines = []
    for event in events:
        if event.kind == "message.accepted":
            continue  # in the table of what crossed
        text = in_words({"kind": event.kind, "facts": event.facts}, item["names"], item)
        if event.kind == "phase.entered" and text:
            text = step_in_words(str(event.facts.get("phase") or ""), str(event.facts.get("program") or ""))
        if text:
            kind = "bad" if event.kind in _BAD else "warn" if event.kind == "party.left" else "done"
            lines.append(Happened(event.at, text[:1].upper() + text[1:], kind))
    return lines[-_SHOWN:]


_BAD = frozenset({"task.failed", "task.stopped", "task.refused", "message.given-up"})

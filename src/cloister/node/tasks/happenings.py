"""What happens in a task, one event as one line that a person reads.

An event that is not known here is told by its name alone: its facts are for programs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloister.foundation.text import party_name, several

_LONGEST = 300


def in_words(
    event: Mapping[str, Any], names: Mapping[str, str], task: Mapping[str, Any] | None = None
) -> str:
    """One line for an event as the node gives it: `kind` and `facts`; parties by name.

    Args:
        event: as the node gives it.
        names: party → name.
        task: the task as the node shows it, for what an event does not say itself: who receives the result.

    Returns:
        The line; empty for what tells a person nothing (a message that arrived where it should).
    """
    facts = event["facts"]

    def name(key: str) -> str:
        party = str(facts.get(key, "?"))
        return party_name(party, names)

    match event["kind"]:
        case "task.proposed":
            text = f"{name('requester')} asks"
        case "task.admitted":
            text = f"{name('party')} admits it"
        case "task.refused":
            problem = facts.get("problem") or {}
            text = f"{name('party')} refuses: {problem.get('detail') or problem.get('title') or 'no reason given'}"
        case "task.started":
            text = f"started here, as {facts.get('seat', '?')}"
        case "phase.entered" if _stage(facts.get("phase")) in _STAGES:
            text = ""
        case "phase.entered":
            text = f"{_step(facts.get('program'))}: {_step(facts.get('phase'))}"
        case "message.accepted" if _stage(facts.get("kind")) in _EXCHANGED:
            text = ""
        case "message.accepted":
            text = f"{_step(facts.get('kind') or 'message')} from {name('from')}"
            if isinstance(facts.get("bytes"), int):
                text += f", {facts['bytes']:,} bytes"
        case "party.left":
            text = f"{name('party')} left: {_step(facts.get('error', 'no reason given'))}"
        case "figures":
            figures = facts.get("figures") or {}
            text = (
                _delivered(figures["delivered"], names, task or {})
                if "delivered" in figures
                else _figures(figures)
            )
        case "message.delivered":
            text = ""
        case "message.refused" if facts.get("clause") == "task-over":
            # No fault: of what two owners send, a recipient takes what comes first.
            text = f"{name('to')} needs no {_step(facts.get('kind') or 'message')} any more"
        case "budget.charged":
            left = facts["left"]
            text = f"privacy spent of “{facts['population']}”: epsilon {facts['epsilon']:.4g}; epsilon {left['epsilon']:.4g} left"
        case "task.finished" | "task.stopped":
            text = str(event["kind"]).removeprefix("task.")
        case "task.failed":
            failure = facts.get("failure") or {}
            text = f"failed: {failure.get('title') or 'no reason given'}"
        case kind:
            text = str(kind).replace(".", " ")
    return text[:_LONGEST]


_STAGES = frozenset({"gather", "relay", "confirm", "total", "share", "mask", "endorse", "reveal", "open"})
_EXCHANGED = _STAGES | {"announce", "collect"}
"""Of a secure sum's stages and messages, ten in a round at each owner, a person is told one line: what the round gave."""


def _stage(name: Any) -> str:
    """Of a stage's name in some round, `relay-3` for example, the stage; else nothing."""
    stem, _, number = str(name).rpartition("-")
    return stem if number.isdecimal() else ""


def _figures(figures: Mapping[str, Any]) -> str:
    """What a seat reports of its own step; the first pattern that fits."""
    if "answers" in figures and ("stage" in figures or "left_out" not in figures):
        if figures.get("stage", "total") != "total":
            return ""
        return f"round {figures.get('round')}: {several(figures['answers'], 'owner')} in the sum"
    if "answers" in figures:
        left = len(figures.get("left_out") or {})
        text = f"round {figures.get('round')}: {several(figures['answers'], 'update')} averaged"
        return text + (f", {left} left out" if left else "")
    if "counted" in figures:
        return f"round {figures.get('round')}: this server's update {'was' if figures['counted'] else 'was not'} counted"
    if "gate" in figures:
        why = figures.get("why") or figures.get("check")
        return f"gate {figures['gate']}" + (f": {why}" if why else "")
    if "votes" in figures:
        return (
            f"{several(figures['votes'], 'vote')}, {figures.get('permits')} for the release;"
            f" it needs {figures.get('quorum')}"
        )
    numbers = [
        f"{key.replace('_', ' ')} {value:.4g}"
        for key, value in figures.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and key != "round"
    ]
    lead = f"round {figures['round']}" if "round" in figures else "here"
    return f"{lead}: {', '.join(numbers)}" if numbers else lead


def _delivered(confirmed: Any, names: Mapping[str, str], task: Mapping[str, Any]) -> str:
    """Who has confirmed what: recipients get the result, owners that are none the certificate only."""
    recipients, owners = set(task.get("recipients") or ()), set(task.get("owners") or ())
    coordinators = set((task.get("seats") or {}).get("coordinator") or ())
    whole = sorted(party_name(party, names) for party in recipients - coordinators)
    bare = owners - recipients - coordinators
    if confirmed != len(whole) + len(bare):
        return f"{several(confirmed, 'confirmation')} of what was delivered"
    if not bare:
        return f"result delivered to {', '.join(whole) or 'nobody else'}"
    certificate = f"certificate delivered to {several(len(bare), 'owner')}"
    if whole:
        return f"result delivered to {', '.join(whole)}; {certificate}"
    return f"{certificate}; the result itself goes to nobody else"


def _short(digest: str) -> str:
    """A digest as people copy it."""
    return digest.removeprefix("sha256:")[:16]


def _step(name: Any) -> str:
    """A phase's or message's name as words; a long one that is a digest, as people copy digests."""
    text = str(name)
    return _short(text) if text.startswith("sha256:") else text.replace("-", " ")

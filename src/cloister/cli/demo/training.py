"""They train, a node is killed and goes on, the owners let the result go."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from cloister.cli.demo.cast import FACTORIES
from cloister.cli.demo.stage import Stage
from cloister.cli.demo.view import View, amount
from cloister.foundation.errors import TaskFailed
from cloister.sdk.client import Client


def train(
    stage: Stage, view: View, planned: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rounds, with a node killed in the middle of one and resuming."""
    view.chapter(
        "They train together",
        "Pictures stay where they are. What goes to the laboratory is masked: it adds up what it cannot read.",
    )
    task = str(planned["task"])
    lab = stage["Lab"].client
    rounds: list[dict[str, Any]] = []
    fault: dict[str, Any] = {}
    begun = time.monotonic()
    last, round_begun = 0, begun
    while True:
        for event in lab.events(last, wait=1.0):
            last = event["id"]
            if event["task"] != task:
                continue
            facts = event["facts"]
            if event["kind"] == "message.accepted" and facts["kind"].startswith("mask-"):
                name = stage.names().get(facts["from"], "?")
                view.say(name, f"sent a step with its noise, under masks: {amount(facts['bytes'])}", "dim")
            elif event["kind"] == "figures" and facts["figures"].get("stage") == "total":
                now = time.monotonic()
                told = {
                    "round": facts["figures"]["round"],
                    "answers": facts["figures"]["answers"],
                    "seconds": round(now - round_begun, 2),
                }
                rounds.append(told)
                view.say(
                    "Lab",
                    f"round {told['round']}: added up {told['answers']} masked steps, {told['seconds']:.1f} s; the "
                    "factories open the sum",
                )
                round_begun = now
                if not fault:
                    fault = _kill(stage, view, "River")
        status = lab.task(task)
        if status["status"] in {"failed", "stopped"}:
            raise TaskFailed(
                "The training failed.", json.dumps(status.get("failure"))[:600], "Read the logs with --keep."
            )
        if status["status"] == "done" or status.get("program") == "release":
            return rounds, fault
        if time.monotonic() - begun > 1200:
            raise TaskFailed(
                "The training took too long.", "", "Run with fewer --rounds.", phase=str(status.get("phase"))
            )


def _kill(stage: Stage, view: View, name: str) -> dict[str, Any]:
    stage.processes.all[name].kill()
    view.bad(f"{name}'s server is killed on purpose (SIGKILL), in the middle of a round.")
    killed = time.monotonic()
    stage.start_node(name)
    stage.ready(name)
    seconds = round(time.monotonic() - killed, 2)
    view.good(
        f"{name}'s server is back after {seconds} s and goes on where it was: every step is on disk before it counts."
    )
    return {
        "fault": "kill -9 of an owner's server during training",
        "node": name,
        "back_after": seconds,
        "resumed": True,
    }


def release(stage: Stage, view: View, planned: Mapping[str, Any]) -> dict[str, Any]:
    """Gates, votes, certificate; the fourth factory receives the model."""
    view.chapter(
        "The owners' gates decide what leaves",
        "Each factory's server examines the candidate on its own pictures and votes, with noise that its budget covers; a quorum of "
        "signatures releases it.",
    )
    task, coast = str(planned["task"]), stage["Coast"].client

    def over() -> bool:
        found = coast.task(task)
        if found["status"] in {"failed", "stopped"}:
            raise SystemExit(json.dumps(found.get("failure")))
        return bool(found["releases"])

    try:
        stage.until("the release", over, seconds=300)
    except SystemExit as error:
        refused = _gates(stage, view, task)
        raise TaskFailed(
            "The owners did not release the model.",
            " ".join(f"{name}: {why}" for name, why in refused.items()) or str(error)[:600],
            "With few pictures chance decides: run with more --pictures. The logs are kept with --keep.",
        ) from None
    digest = coast.task(task)["releases"][0]
    shown = coast.get(f"/releases/{digest}")
    _gates(stage, view, task)
    view.text(shown["text"], "The certificate that came with it")
    stage.until(
        "everybody to finish",
        lambda: all(actor.client.task(task)["status"] == "done" for actor in stage.actors.values()),
    )
    view.side_by_side(
        {name: _own_view(actor.client, task) for name, actor in stage.actors.items()},
        "What each server sees now",
    )
    return {
        "release": digest,
        "signed_by": [stage.names()[party] for party in shown["signed_by"]],
        "text": shown["text"],
        "certificate": shown["certificate"],
    }


def _gates(stage: Stage, view: View, task: str) -> dict[str, str]:
    """Shows what each factory's gate said; the reasons of those that refused, which a node tells its own people only."""
    refused: dict[str, str] = {}
    for name in FACTORIES:
        gates = [
            event["facts"]["figures"]
            for event in stage[name].client.events(0)
            if event["task"] == task and event["kind"] == "figures" and "gate" in event["facts"]["figures"]
        ]
        if not gates:
            view.say(name, "my gate did not speak")
        elif gates[-1]["gate"] == "passed":
            view.say(name, f"my gate: passed; signed. My own people see: {gates[-1].get('why', '')}")
        else:
            refused[name] = str(gates[-1].get("why", gates[-1]["gate"]))
            view.bad(f"{name}'s gate refused; it tells its own people why: {refused[name]}")
    return refused


def _own_view(client: Client, task: str) -> list[str]:
    found = client.task(task)
    shelf = client.get("/releases")
    return [
        f"seat: {found['seat']}",
        f"task: {found['status']}",
        f"agreement: {client.get('/agreements')[0]['state']}",
        f"result: {'here' if any(item['here'] for item in shelf) else 'certificate only' if shelf else 'none'}",
        f"log: {client.get('/ledger').get('size', 0)} entries",
    ]

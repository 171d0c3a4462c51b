"""The steps of the factories' story. Each drives the nodes as their operators would and shows what they see."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from cloister.cli.demo.stage import Stage
from cloister.cli.demo.view import View, amount
from cloister.foundation.errors import CloisterError, TaskFailed
from cloister.identity.keys import grouped
from cloister.sdk.client import Client

FACTORIES = ("North", "River", "Valley")
PURPOSE = "Count seed crystals"
FORGED_PURPOSE = "Sell pictures of crystals"
HELD_OUT_SEED = 770_000
HELD_OUT = 6


def start(stage: Stage, view: View) -> None:
    """Relay and nodes, each a process with a folder of its own."""
    view.chapter(
        "Five organisations, a node each",
        "Three factories, a laboratory, and a fourth factory that gives no data. A relay stands between them.",
    )
    stage.open_relay()
    stage.make_nodes()
    stage.start_nodes()
    for name, actor in stage.actors.items():
        view.say(name, f"my fingerprint is {grouped(actor.party)[:24]} …")
    # In life people do this by telephone; here the demonstration reads the fingerprints out.
    for actor in stage.actors.values():
        for other in stage.actors.values():
            if other is not actor:
                actor.client.post(f"/parties/{other.party}/trust", {"fingerprint": grouped(other.party)})
    view.good("Everybody has compared everybody's fingerprint.")


def register(stage: Stage, view: View, pictures: int) -> dict[str, Any]:
    """Each factory's pictures (synthetic, with truth), registered at its own node."""
    view.chapter(
        "Each factory registers its pictures",
        "The pictures are synthetic micrographs, made now: each factory has its own camera and crystals.",
    )
    jobs = [
        (str(stage[name].data), stage[name].preset, pictures, 100 + number)
        for number, name in enumerate(FACTORIES)
    ]
    coast = stage["Coast"]
    jobs.append((str(coast.data), coast.preset, HELD_OUT, HELD_OUT_SEED))
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_make_pictures, jobs))
    told: dict[str, Any] = {}
    for name in FACTORIES:
        fields = {
            "name": "micrographs",
            "title": f"Micrographs of {name}",
            "residency": "AT",
            "tell_size": True,
        }
        made = stage[name].client.post("/datasets", {"source": str(stage[name].data), "fields": fields})
        told[name] = {"commitment": made["commitment"], "catalogue": made["catalogue"]}
        view.say(name, f"{made['private']['records']} pictures, committed to as {made['commitment'][7:23]}…")
    stage.until(
        "the catalogue to arrive",
        lambda: len(stage["Lab"].client.get("/catalogue")) == len(FACTORIES),
    )
    rows = [
        [item["owner_name"], item["title"], item["kind"], item["residency"], item["size_band"] or "not told"]
        for item in stage["Lab"].client.get("/catalogue")
    ]
    view.table(
        ["Owner", "Title", "Kind", "Kept in", "Size"], rows, title="All that the laboratory sees of it"
    )
    return told


def agree(stage: Stage, view: View) -> dict[str, Any]:
    """The agreement, from a template, signed by all five."""
    from cloister.agreements.templates import new_from_template
    from cloister.agreements.words import describe
    from cloister.foundation.clock import rfc3339

    view.chapter(
        "They sign an agreement", "Written from a template; each node will enforce exactly what stands in it."
    )
    terms = new_from_template(
        "factories-and-lab",
        {
            "title": "Counting seed crystals together",
            "owners": [
                {"party": stage[name].party, "name": name, "dataset": "micrographs"} for name in FACTORIES
            ],
            "researchers": [{"party": stage["Lab"].party, "name": "Lab"}],
            "users": [{"party": stage["Coast"].party, "name": "Coast"}],
            "purposes": [PURPOSE],
            "starts": rfc3339(int(time.time()) - 60),
            "days": 30,
            "quality": {"metric": "count-accuracy", "minimum": 0.3},
        },
    )
    view.text(describe(terms, stage.names(), width=view.width), "The agreement")
    digest = stage["Lab"].client.post("/agreements", {"terms": terms.to_odrl()})["agreement"]
    view.say("Lab", "signed and offered it")
    for name in ("Coast", *FACTORIES):
        node = stage[name].client
        stage.until("the agreement to arrive", partial(_holds, node, digest))
        node.post(f"/agreements/{digest}/sign")
        view.say(name, "read it and signed it")
    stage.until(
        "the agreement to be in force everywhere",
        lambda: all(
            node.client.get(f"/agreements/{digest}")["state"] == "finalized" for node in stage.actors.values()
        ),
    )
    shown = stage["North"].client.get(f"/agreements/{digest}")
    view.good(f"Five signatures, two algorithms each; the agreement is {shown['state']} at every node.")
    return {
        "agreement": digest,
        "state": shown["state"],
        "signed": [party["name"] for party in shown["parties"] if party["signed"]],
        "terms": shown["terms"],
        "text": shown["text"],
    }


def _holds(node: Client, agreement: str) -> bool:
    return agreement in {item["agreement"] for item in node.get("/agreements")}


def plan(stage: Stage, view: View, agreement: str, rounds: int) -> dict[str, Any]:
    """The laboratory's request becomes a plan."""
    from cloister.applications.crystals.pipeline import shipped_model
    from cloister.applications.crystals.recipe import crystals_recipe

    view.chapter(
        "The laboratory asks, its node plans",
        "Which method, who does what, what is promised and what is not.",
    )
    lab = stage["Lab"].client
    model = lab.post("/models", {"content": base64.b64encode(shipped_model()).decode()})
    told = lab.post(
        "/plans",
        {
            "agreement": agreement,
            "computation": {
                "kind": "training",
                "contents": {"model": model["digest"]},
                "settings": crystals_recipe().model_dump(mode="json"),
            },
            "preferences": {"rounds": rounds},
        },
    )
    view.text(told["text"], "The plan")
    return {**told["plan"], "task": told["task"], "text": told["text"]}


def approve(stage: Stage, view: View, planned: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The plan goes to every node; people at the factories approve it; one refusal on the way."""
    view.chapter(
        "Every node decides for itself",
        "The plan is admitted by each party's own node, or refused by a clause.",
    )
    lab, task = stage["Lab"].client, str(planned["task"])
    refusals = [_refused_plan(stage, view, planned)]
    document = {key: value for key, value in planned.items() if key not in {"task", "text"}}
    found = lab.post("/tasks", {"plan": document})
    for name in FACTORIES:
        node = stage[name].client
        waiting = node.task(task)
        view.say(
            name,
            f"{waiting['status']}: this training may let records into its result, so a person must accept it",
        )
        node.post(f"/tasks/{task}/approve", {"with_records": True})
        view.say(name, "approved by a person, for exactly this computation")
    stage.until("the task to start", lambda: lab.task(task)["status"] == "running")
    names = stage.names()
    view.good(f"Admitted by {', '.join(sorted(names[party] for party in lab.task(task)['admitted']))}.")
    del found
    return refusals


def _refused_plan(stage: Stage, view: View, planned: Mapping[str, Any]) -> dict[str, Any]:
    request = planned["request"]
    try:
        stage["Lab"].client.post(
            "/plans",
            {
                "agreement": request["agreement"],
                "computation": request["computation"],
                "purpose": FORGED_PURPOSE,
            },
        )
    except CloisterError as error:
        clause = str(error.detail.get("clause", ""))
        view.say("Lab", f"asks for another purpose: “{FORGED_PURPOSE}”")
        view.bad(f"Refused by the laboratory's own node, clause “{clause}”: {error.why}")
        return {"where": "Lab", "clause": clause, "why": error.why, "remedy": error.remedy}
    raise CloisterError("A plan outside the agreement was made.", "", "This is a fault; please report it.")


def train(
    stage: Stage, view: View, planned: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rounds, with a node killed in the middle of one and resuming."""
    view.chapter(
        "They train together", "Pictures stay where they are; model updates go, sealed, to the laboratory."
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
            if event["kind"] == "message.accepted":
                name = stage.names().get(facts["from"], "?")
                view.say(name, f"sent a sealed update of {amount(facts['bytes'])}", "dim")
            elif event["kind"] == "figures" and "round" in facts["figures"]:
                now = time.monotonic()
                told = {**facts["figures"], "seconds": round(now - round_begun, 2)}
                rounds.append(told)
                view.say(
                    "Lab",
                    f"round {told['round']}: averaged {told['answers']} updates, {told['seconds']:.1f} s",
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
        if time.monotonic() - begun > 600:
            raise TaskFailed(
                "The training took too long.", "", "Run with fewer --rounds.", phase=str(status.get("phase"))
            )


def _kill(stage: Stage, view: View, name: str) -> dict[str, Any]:
    stage.processes.all[name].kill()
    view.bad(f"{name}'s node is killed (SIGKILL) in the middle of a round.")
    killed = time.monotonic()
    stage.start_node(name)
    stage.ready(name)
    seconds = round(time.monotonic() - killed, 2)
    view.good(
        f"{name}'s node is back after {seconds} s and goes on where it was: every step is on disk before it counts."
    )
    return {
        "fault": "kill -9 of an owner's node during training",
        "node": name,
        "back_after": seconds,
        "resumed": True,
    }


def release(stage: Stage, view: View, planned: Mapping[str, Any]) -> dict[str, Any]:
    """Gates, votes, certificate; the fourth factory receives the model."""
    view.chapter(
        "The owners' gates decide what leaves",
        "Each factory's node examines the candidate on its own pictures and votes; a quorum of signatures releases it.",
    )
    task, coast = str(planned["task"]), stage["Coast"].client

    def over() -> bool:
        found = coast.task(task)
        if found["status"] in {"failed", "stopped"}:
            raise SystemExit(json.dumps(found.get("failure")))
        return bool(found["releases"])

    try:
        stage.until("the release", over, seconds=120)
    except SystemExit as error:
        raise TaskFailed(
            "The owners did not release the model.", str(error)[:600], "Read the logs with --keep."
        ) from None
    digest = coast.task(task)["releases"][0]
    shown = coast.get(f"/releases/{digest}")
    for name in FACTORIES:
        gates = [
            event["facts"]["figures"]
            for event in stage[name].client.events(0)
            if event["task"] == task and event["kind"] == "figures" and "gate" in event["facts"]["figures"]
        ]
        view.say(name, f"my gate: {gates[-1]['gate']}; signed" if gates else "my gate did not speak")
    view.text(shown["text"], "The certificate that came with it")
    stage.until(
        "everybody to finish",
        lambda: all(actor.client.task(task)["status"] == "done" for actor in stage.actors.values()),
    )
    view.side_by_side(
        {name: _own_view(actor.client, task) for name, actor in stage.actors.items()},
        "What each node sees now",
    )
    return {
        "release": digest,
        "signed_by": [stage.names()[party] for party in shown["signed_by"]],
        "text": shown["text"],
        "certificate": shown["certificate"],
    }


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


def use(stage: Stage, view: View, released: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Coast installs the model and counts its own pictures, before and after."""
    from cloister.cli.installing import install_release
    from cloister.tools.builtin import builtin_tool, open_tool
    from cloister.tools.install import InstalledTools
    from cloister.tools.run import run_tool

    view.chapter(
        "A fourth factory counts its own crystals",
        "It gave no data and shows nobody its pictures: the tool runs at its own node, without a network.",
    )
    coast = stage["Coast"]
    shown = coast.client.get(f"/releases/{released['release']}")
    content = base64.b64decode(coast.client.get(f"/releases/{released['release']}/content")["content"])
    pictures = sorted((coast.data / "images").iterdir())
    truth = {path.name: len(json.loads(_labels(path).read_text())["centres"]) for path in pictures}
    before = {item.name: item.count for item in run_tool(builtin_tool("crystals"), pictures, threads=1)}
    state = install_release("crystals", content, shown, coast.folder / "tools")
    package = open_tool("crystals", InstalledTools(coast.folder / "tools"))
    results = run_tool(package.tool, pictures, coast.folder / "results", threads=1)
    after = {item.name: item.count for item in results}
    rows = [[name, truth[name], before[name] or 0, after[name] or 0] for name in truth]
    view.table(["Picture", "True count", "Before (as shipped)", "After (released)"], rows)
    told = {
        "before": _accuracy(before, truth),
        "after": _accuracy(after, truth),
        "pictures": [
            {"name": name, "truth": truth[name], "before": before[name], "after": after[name]}
            for name in truth
        ],
        "seconds_per_picture": round(sum(item.seconds for item in results) / len(results), 3),
    }
    view.say("Coast", f"count accuracy {told['before']:.1%} before, {told['after']:.1%} after")
    return {"tool": "crystals", **{key: state[key] for key in ("version", "digest")}}, told


def _accuracy(found: Mapping[str, int | None], truth: Mapping[str, int]) -> float:
    scores = [max(0.0, 1 - abs((found[name] or 0) - true) / max(true, 1)) for name, true in truth.items()]
    return sum(scores) / len(scores)


def _labels(picture: Path) -> Path:
    return picture.parent.parent / "labels" / f"{picture.stem}.json"


def crossed(stage: Stage, view: View) -> list[dict[str, Any]]:
    """What the relay carried."""
    view.chapter(
        "What crossed the relay",
        "Who, to whom, how often, how much: that is all it can see; every body is sealed.",
    )
    time.sleep(2.5)  # nodes report their counters every two seconds
    names = {**stage.names(), **_hub_name(stage)}
    told = [
        {
            "from": names.get(item["from"], "?"),
            "to": names.get(item["to"], "?"),
            "messages": item["messages"],
            "bytes": item["bytes"],
        }
        for item in stage.crossed()
    ]
    told.sort(key=lambda item: -item["bytes"])
    view.table(
        ["From", "To", "Messages", "Sealed bytes"],
        [[item["from"], item["to"], item["messages"], amount(item["bytes"])] for item in told[:8]],
        title="The busiest ways",
    )
    return told


def _hub_name(stage: Stage) -> dict[str, str]:
    status = stage["Lab"].client.status()
    return {str(status["relay"]["hub"]): "Relay"}


def forgery(stage: Stage, view: View, planned: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The laboratory goes around its own node; the factories' nodes refuse."""
    from cloister.cli.demo.forger import forge

    view.chapter(
        "A dishonest laboratory is refused",
        "It signs a plan for another purpose with its own keys and sends it around its own node's checks.",
    )
    stage.processes.all["Lab"].stop()
    document = {key: value for key, value in planned.items() if key not in {"task", "text"}}
    said = forge(
        stage["Lab"].folder,
        stage.unlock(),
        document,
        [stage[name].folder for name in FACTORIES],
        FORGED_PURPOSE,
    )
    stage.start_node("Lab")
    names = stage.names()
    told = []
    for party, problem in said.items():
        view.say(names[party], "")
        view.bad(
            f"Refused, clause “{problem.get('clause')}”: {problem.get('detail')} {problem.get('remedy')}"
        )
        told.append(
            {
                "where": names[party],
                "clause": problem.get("clause"),
                "why": problem.get("detail"),
                "remedy": problem.get("remedy"),
            }
        )
    if any(item["clause"] != "purpose" for item in told):
        raise CloisterError(
            "A forged plan was not refused by its clause.", json.dumps(told)[:500], "Please report this."
        )
    stage.ready("Lab")
    return told


def ledger(stage: Stage, view: View) -> tuple[dict[str, Any], dict[str, Any]]:
    """North's log verifies; a copy with one flipped byte does not."""
    from cloister.ledger.export import read_export, verify_export

    view.chapter(
        "Anybody can verify the log",
        "North exports its log; an outsider verifies it; somebody changes one byte.",
    )
    north = stage["North"]
    stage.until(
        "a witness's cosignature", lambda: bool(north.client.get("/ledger")["cosigned_by"]), seconds=20
    )
    data = base64.b64decode(north.client.get("/ledger/export")["content"])
    path = north.folder / "log.export"
    path.write_bytes(data)
    now = int(time.time())
    report = verify_export(read_export(data.splitlines(keepends=True)), now, party=north.party)
    for line in report.words():
        view.say("Auditor", line)
    if not report.ok:
        raise CloisterError("The log does not verify.", report.words()[-1], "Please report this.")
    lines = data.splitlines(keepends=True)
    victim = next(index for index, line in enumerate(lines) if b'"kind":"decision"' in line)
    at = lines[victim].index(b"sha256:") + 20
    flipped = bytes([lines[victim][at] ^ 1])
    lines[victim] = lines[victim][:at] + flipped + lines[victim][at + 1 :]
    found = verify_export(read_export(lines), now, party=north.party)
    (north.folder / "log.tampered").write_bytes(b"".join(lines))
    view.say("Somebody", f"changes one bit of entry {victim - 1} in a copy")
    view.bad(found.findings[0].words if found.findings else "It was NOT found.")
    if found.ok:
        raise CloisterError("A changed log was not found out.", "", "Please report this.")
    fault = {
        "fault": "one bit of the log flipped",
        "found": True,
        "first_bad": found.first_bad,
        "entry": victim - 1,
    }
    told = {
        "entries": report.entries,
        "signed": report.signed,
        "witnesses": len(report.witnesses),
        "verified": report.ok,
    }
    return told, fault


def show_report(stage: Stage, keep: Path | None) -> None:
    """Opens the report of Coast's pictures, where there is a screen and the folder stays."""
    import os
    import sys
    import webbrowser

    screen = sys.platform in {"darwin", "win32"} or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if keep is not None and screen:
        webbrowser.open((stage["Coast"].folder / "results" / "index.html").as_uri())


def _make_pictures(job: tuple[str, str, int, int]) -> None:
    from cloister.applications.crystals.factories import preset
    from cloister.applications.crystals.synthesis import write_dataset

    folder, name, count, seed = job
    write_dataset(Path(folder), preset(name), count, seed)

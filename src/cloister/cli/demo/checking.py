"""What crossed the relay, a forged plan, and the log: what an outsider can check."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from cloister.cli.demo.cast import FACTORIES, FORGED_PURPOSE
from cloister.cli.demo.stage import Stage
from cloister.cli.demo.view import View, amount
from cloister.foundation.errors import CloisterError


def crossed(stage: Stage, view: View) -> list[dict[str, Any]]:
    """What the relay carried."""
    view.chapter(
        "What crossed the relay",
        "Who, to whom, how often, how much: that is all it can see; every body is sealed.",
    )
    # Nodes and relay tell every few seconds; what was sent last may not be counted yet.
    time.sleep(2.5)
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
        title="The busiest ways so far",
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
        "It signs a plan for another purpose with its own keys and sends it around its own server's checks.",
    )
    stage.processes.all["Lab"].stop()
    document = {key: value for key, value in planned.items() if key not in {"task", "text"}}
    said = forge(
        stage["Lab"].folder,
        stage.unlock(),
        document,
        [actor.folder for name, actor in stage.actors.items() if name != "Lab"],
        FORGED_PURPOSE,
    )
    stage.start_node("Lab")
    names = stage.names()
    told = []
    for party, problem in said.items():
        view.say(names[party], "looks at the plan with its own copy of the agreement")
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
        "North exports its log; an outsider verifies it; somebody changes one bit.",
    )
    north = stage["North"]
    stage.until(
        "a witness's cosignature", lambda: bool(north.client.get("/ledger")["cosigned_by"]), seconds=20
    )
    data = north.client.download("/ledger/export")
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
    placed = sorted(found.findings, key=lambda item: item.index is None)
    view.bad(placed[0].words if placed else "It was NOT found.")
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


def budgets(stage: Stage, view: View) -> list[dict[str, Any]]:
    """What each factory has spent of its privacy budget."""
    found = []
    for name in FACTORIES:
        (item,) = stage[name].client.get("/budgets")["populations"]
        found.append(
            {"name": name, **{key: item[key] for key in ("population", "unit", "limit", "spent", "left")}}
        )
    rows = [
        [item["name"], item["unit"], *(f"{item[key]['epsilon']:.3g}" for key in ("limit", "spent", "left"))]
        for item in found
    ]
    view.table(
        ["Factory", "Protects each", "Budget (epsilon)", "Spent", "Left"], rows, title="Privacy budgets"
    )
    return found

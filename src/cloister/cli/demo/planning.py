"""The laboratory asks; every node decides for itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from cloister.claims.offers import Plan
from cloister.cli.demo.cast import CLIP, FACTORIES, FORGED_PURPOSE, SPENDS, recipe
from cloister.cli.demo.stage import Stage
from cloister.cli.demo.view import View
from cloister.foundation.canonical import canonical
from cloister.foundation.errors import CloisterError
from cloister.planner.explain import explain


def plan(stage: Stage, view: View, agreement: str, rounds: int, pictures: int) -> dict[str, Any]:
    """The laboratory's request becomes a plan."""
    from cloister.applications.crystals.shipped import shipped_outliner

    view.chapter(
        "The laboratory asks, its server plans",
        "Which method, who does what, what is promised and what is not.",
    )
    lab = stage["Lab"].client
    model = lab.post("/models", {"content": base64.b64encode(shipped_outliner()).decode()})
    told = lab.post(
        "/plans",
        {
            "agreement": agreement,
            "computation": {
                "kind": "training",
                "contents": {"model": model["digest"]},
                "settings": recipe().model_dump(mode="json"),
            },
            # With so few pictures all of them are in every step: sampling would gain nothing.
            "preferences": {
                "rounds": rounds,
                "epsilon": SPENDS,
                "clip": CLIP,
                "units": pictures,
                "batch": pictures,
            },
        },
    )
    view.text(
        explain(Plan.model_validate_json(canonical(told["plan"])), stage.names(), view.width), "The plan"
    )
    return {**told["plan"], "task": told["task"], "text": told["text"]}


def approve(stage: Stage, view: View, planned: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The plan goes to every node; people at the factories approve it; one refusal on the way."""
    view.chapter(
        "Every server decides for itself",
        "The plan is admitted by each party's own server, or refused by a clause.",
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
            f"{waiting['status']}: a person decides about each computation here",
        )
        node.post(f"/tasks/{task}/approve", {"with_records": False})
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
        view.bad(f"Refused by the laboratory's own server, clause “{clause}”: {error.why}")
        return {"where": "Lab", "clause": clause, "why": error.why, "remedy": error.remedy}
    raise CloisterError("A plan outside the agreement was made.", "", "This is a fault; please report it.")

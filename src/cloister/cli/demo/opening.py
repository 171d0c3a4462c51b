"""The demonstration begins: nodes, data, the agreement."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from cloister.cli.demo.cast import (
    DELTA,
    EPSILON,
    FACTORIES,
    HELD_OUT,
    HELD_OUT_SEED,
    LEAST_QUALITY,
    PURPOSE,
)
from cloister.cli.demo.stage import Stage
from cloister.cli.demo.view import View
from cloister.identity.keys import grouped
from cloister.sdk.client import Client


def start(stage: Stage, view: View) -> None:
    """Relay and nodes, each a process with a folder of its own."""
    view.chapter(
        "Five organisations, a server each",
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


def _make_pictures(job: tuple[str, str, int, int]) -> None:
    from cloister.applications.crystals.factories import preset
    from cloister.applications.crystals.synthesis import write_dataset

    folder, name, count, seed = job
    write_dataset(Path(folder), preset(name), count, seed)


def agree(stage: Stage, view: View) -> dict[str, Any]:
    """The agreement, from a template, signed by all five."""
    from cloister.agreements.templates import new_from_template
    from cloister.agreements.words import describe
    from cloister.foundation.clock import rfc3339

    view.chapter(
        "They sign an agreement",
        "Written from a template; each server will enforce exactly what stands in it.",
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
            "quality": {"metric": "count-accuracy", "minimum": LEAST_QUALITY},
            "epsilon": EPSILON,
            "delta": DELTA,
            "unit": "image",
            # Nobody but a factory has its pictures, so the noise need not cover one that is at several.
            "owners_per_unit": 1,
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
    view.good(f"Five signatures, two algorithms each; the agreement is {shown['state']} at every server.")
    return {
        "agreement": digest,
        "state": shown["state"],
        "signed": [party["name"] for party in shown["parties"] if party["signed"]],
        "terms": shown["terms"],
        "text": shown["text"],
    }


def _holds(node: Client, agreement: str) -> bool:
    return agreement in {item["agreement"] for item in node.get("/agreements")}

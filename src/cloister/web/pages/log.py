"""The log: looked through, exported, verified by the browser itself or by this server, with its checkpoints and witnesses."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import FastAPI, Query, Request, Response

from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.errors import BadInput, CloisterError
from cloister.foundation.text import party_name
from cloister.identity.keys import grouped
from cloister.ledger.leaves import KINDS
from cloister.ledger.verify import Report
from cloister.node.entries import Entry, Wanted, checkpoints, look, one
from cloister.node.node import Node
from cloister.node.toolroom.paces import TooOften
from cloister.web.downloads import as_file
from cloister.web.frame import Pages
from cloister.web.paced import log_work_of
from cloister.web.routes import Routes
from cloister.web.views.log import Known

WORDS = {
    "agreement": "agreement",
    "card": "keys of an organisation",
    "charge": "privacy budget spent",
    "checkpoint-received": "another log's head seen",
    "dataset": "dataset registered",
    "decision": "decision on a task",
    "disclosure": "disclosure",
    "release": "result",
    "task-event": "step of a task",
    "tool": "tool",
}
"""Kinds of entries, in words."""
_DAY = Query(max_length=20)


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Log", page=True)
    work = log_work_of(app)

    @routes.get("/log", "log.read")
    def log(
        request: Request,
        kind: Annotated[str, Query(max_length=40)] = "",
        start: Annotated[str, _DAY] = "",
        end: Annotated[str, _DAY] = "",
        digest: Annotated[str, Query(max_length=100)] = "",
        before: int | None = None,
    ) -> Response:
        node = pages.node()
        wanted = Wanted(kind, start.strip(), end.strip(), digest.strip().lower(), before)
        error: CloisterError | None = None
        try:
            found = look(node.durable.database, wanted)
        except BadInput as refused:
            error, found = refused, look(node.durable.database, Wanted())
        head, known = node.ledger.head(), Known(node)
        return pages.show(
            request,
            "log/list.html",
            title="Log",
            lead="Everything that binds your organisation, in an order that nobody can change unnoticed.",
            entries=[shown(known, entry) for entry in found.entries],
            found=found,
            wanted=wanted,
            kinds=[("", "all kinds"), *((name, WORDS[name]) for name in KINDS)],
            older=""
            if found.older is None
            else "/log?" + urlencode(_query(replace(wanted, before=found.older))),
            newest="" if before is None else "/log?" + urlencode(_query(replace(wanted, before=None))),
            head=head,
            locked=head.get("locked"),
            checkpoints=_heads(node),
            seen=_seen(node),
            error=error,
        )

    @routes.get("/log/entries/{index}", "log.read")
    def entry(request: Request, index: int) -> Response:
        node = pages.node()
        found = one(node.durable.database, node.ledger.origin, index)
        return pages.show(
            request,
            "log/entry.html",
            title=f"Entry {index}",
            lead=WORDS.get(found["kind"], "An entry that cannot be read").capitalize() + ".",
            entry=found,
            at=parse_rfc3339(found["time"]) if found["time"] else None,
            about=Known(node).about(found["document"]),
        )

    @routes.get("/log/verify", "log.read")
    def verify(request: Request, server: str = "") -> Response:
        node = pages.node()
        report: Report | None = None
        error: CloisterError | None = None
        if server == "yes":
            try:
                report = work.verdict(node, pages.caller(request).account)
            except TooOften as refused:
                error = refused
        return pages.show(
            request,
            "log/verify.html",
            title="Verify the log",
            lead="Computed anew from every entry: a changed, removed or added one does not fit.",
            size=node.ledger.size(),
            fingerprint_value=node.party,
            groups=grouped(node.party),
            origin=node.ledger.origin,
            report=report,
            error=error,
        )

    @routes.get("/log/export", "log.read")
    def export(request: Request) -> Response:
        node = pages.node()
        return Response(
            work.export(node, pages.caller(request).account),
            media_type="application/x-ndjson",
            headers=as_file(f"{node.party[:8]}.log.jsonl") | {"cache-control": "no-store"},
        )


def shown(known: Known, entry: Entry) -> dict[str, Any]:
    """An entry as a line of the list."""
    about = known.about(entry.document)
    return {
        "index": entry.index,
        "kind": WORDS.get(entry.kind, "cannot be read"),
        "spoiled": entry.kind == "spoiled",
        "at": parse_rfc3339(entry.time) if entry.time else None,
        "digest": entry.digest,
        "document": entry.document or "",
        "about": about.text,
        "path": about.path,
    }


def _heads(node: Node) -> list[dict[str, Any]]:
    names = node.parties.names()
    return [
        {**head, "witnesses": [party_name(party, names) for party in head["cosigned_by"]]}
        for head in checkpoints(node.durable.database, node.ledger.origin)
    ]


def _seen(node: Node) -> list[dict[str, Any]]:
    names = node.parties.names()
    return sorted(
        (
            {"name": party_name(party, names), "size": seen["size"], "at": seen["time"]}
            for party, seen in node.ledger.witnessed().items()
        ),
        key=lambda item: str(item["name"]).lower(),
    )


def _query(wanted: Wanted) -> dict[str, str]:
    pairs = {
        "kind": wanted.kind,
        "start": wanted.start,
        "end": wanted.end,
        "digest": wanted.digest,
        "before": "" if wanted.before is None else str(wanted.before),
    }
    return {name: text for name, text in pairs.items() if text}

"""The log that anybody can verify: its head, its entries with their proofs, all of it."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Query, Response

from cloister.node.entries import SHOWN, Wanted, checkpoints, look, one
from cloister.web.api.bodies import Asker, OpenNode
from cloister.web.paced import log_work_of
from cloister.web.routes import Routes

_TEXT = Query(max_length=100)
_INDEX = Query(ge=0, lt=1 << 53)


def add(app: FastAPI, node: OpenNode) -> None:
    """Adds the routes."""
    routes, work = Routes(app, "Log"), log_work_of(app)

    @routes.get("/api/v1/ledger", "log.read")
    def ledger() -> Any:
        """Tells the log's size and its signed head."""
        return node().ledger.head()

    @routes.get("/api/v1/ledger/export", "log.read")
    def export(caller: Asker) -> Response:
        """Hands out the whole log, as `cloister ledger verify` takes it."""
        content = work.export(node(), caller.account, _document)
        return Response(content, media_type="application/json")

    @routes.get("/api/v1/ledger/checkpoints", "log.read")
    def heads(limit: Annotated[int, Query(ge=1, le=500)] = 20) -> Any:
        """Lists the newest signed heads, newest first, each with who cosigned it."""
        return checkpoints(node().durable.database, node().ledger.origin, limit)

    @routes.get("/api/v1/ledger/entries", "log.read")
    def entries(
        kind: Annotated[str, _TEXT] = "",
        start: Annotated[str, _TEXT] = "",
        end: Annotated[str, _TEXT] = "",
        digest: Annotated[str, _TEXT] = "",
        before: Annotated[int | None, _INDEX] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = SHOWN,
    ) -> Any:
        """Finds entries by kind, time or digest, newest first; `older` of one answer is `before` of the next request."""
        found = look(node().durable.database, Wanted(kind, start, end, digest, before), limit)
        return {
            "entries": [asdict(entry) for entry in found.entries],
            "older": found.older,
            "size": found.size,
            "scanned": found.scanned,
        }

    @routes.get("/api/v1/ledger/entries/{index}", "log.read")
    def entry(index: int) -> Any:
        """Tells one entry with the proof that it stands in the log."""
        return one(node().durable.database, node().ledger.origin, index)


def _document(export: bytes) -> bytes:
    return b'{"content":"' + base64.b64encode(export) + b'"}'

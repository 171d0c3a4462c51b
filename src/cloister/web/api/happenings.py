"""What happens at this node, as it happens."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response

from cloister.web.api.bodies import OpenNode
from cloister.web.routes import Routes
from cloister.web.streaming import TEXT, happenings, stream


def add(app: FastAPI, node: OpenNode) -> None:
    """Adds the routes."""
    routes = Routes(app, "Happenings")
    told: dict[int | str, dict[str, Any]] = {200: {"content": {TEXT: {"schema": {"type": "string"}}}}}

    @routes.get("/api/v1/events/stream", "tasks.read", response_class=Response, responses=told)
    def events_as_they_happen(request: Request, since: int = Query(0, ge=0, lt=1 << 53)) -> Response:
        """Tells what happens at this server, as it happens (server-sent events)."""
        node()  # a closed one is told as a problem, not as a stream that ends
        return stream(request, happenings(node), since=since)

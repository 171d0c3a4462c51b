"""Approved results."""

from __future__ import annotations

import base64
from typing import Any

from fastapi import FastAPI

from cloister.node.reports import release_content, release_view, releases_view
from cloister.web.api.bodies import OpenNode, Reason
from cloister.web.routes import Routes


def add(app: FastAPI, node: OpenNode) -> None:
    """Adds the routes."""
    routes = Routes(app, "Releases")

    @routes.listing("/api/v1/releases", "results.read", "release")
    def releases() -> Any:
        """Lists the approved results that this server holds."""
        return releases_view(node())

    @routes.get("/api/v1/releases/{digest}", "results.read")
    def release(digest: str) -> Any:
        """Tells one result: its certificate, in words as well, and its cards."""
        return release_view(node(), digest)

    @routes.get("/api/v1/releases/{digest}/content", "results.read")
    def content(digest: str) -> Any:
        """Hands out the result itself, where it came to this organisation."""
        return {"content": base64.b64encode(release_content(node(), digest)).decode()}

    @routes.post("/api/v1/releases/{digest}/revoke", "results.revoke")
    def revoke(digest: str, body: Reason) -> Any:
        """Takes back this organisation's approval for ever; others are told to delete their copies."""
        return node().revocations.revoke(digest, body.reason)

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
        return releases_view(node())

    @routes.get("/api/v1/releases/{digest}", "results.read")
    def release(digest: str) -> Any:
        return release_view(node(), digest)

    @routes.get("/api/v1/releases/{digest}/content", "results.read")
    def content(digest: str) -> Any:
        return {"content": base64.b64encode(release_content(node(), digest)).decode()}

    @routes.post("/api/v1/releases/{digest}/revoke", "results.revoke")
    def revoke(digest: str, body: Reason) -> Any:
        return node().revocations.revoke(digest, body.reason)

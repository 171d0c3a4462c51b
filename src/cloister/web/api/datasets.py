"""What this organisation registered, and what others tell of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import Field

from cloister.node.chores import DOCUMENTS
from cloister.web.api.bodies import Body, OpenNode
from cloister.web.routes import Routes


class NewDataset(Body):
    source: str = Field(max_length=4096)
    fields: dict[str, Any]


def add(app: FastAPI, node: OpenNode) -> None:
    """Adds the routes."""
    routes = Routes(app, "Datasets")

    @routes.get("/api/v1/datasets", "datasets.read")
    def datasets() -> Any:
        return node().datasets.own()

    @routes.post("/api/v1/datasets", "datasets.write")
    def add_dataset(body: NewDataset) -> Any:
        made = node().datasets.add(Path(body.source), body.fields)
        node().steward.wake(DOCUMENTS)
        return made

    @routes.post("/api/v1/datasets/{commitment}/check", "datasets.write")
    def check_dataset(commitment: str) -> Any:
        node().datasets.still_same(commitment)
        return {"commitment": commitment, "unchanged": True}

    @routes.get("/api/v1/catalogue", "datasets.read")
    def catalogue() -> Any:
        names = node().parties.names()
        return [
            {"owner_name": names.get(entry.owner, ""), **entry.model_dump(mode="json")}
            for entry in node().datasets.catalogue().values()
        ]

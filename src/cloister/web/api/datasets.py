"""What this organisation registered, and what others tell of theirs.

Rules:
1. At the operator's socket any path of the machine can be registered: whoever may open it could read the file anyway. From the
   network only files in the server's data folders (`node.data_folders`).
2. Where data lies is told to those who may register it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import Field

from cloister.node.chores import DOCUMENTS
from cloister.web.api.bodies import Asker, Body, OpenNode
from cloister.web.guard import OPERATOR, Caller
from cloister.web.routes import Routes


class NewDataset(Body):
    source: str = Field(max_length=4096)
    fields: dict[str, Any]


def add(app: FastAPI, node: OpenNode) -> None:
    """Adds the routes."""
    routes = Routes(app, "Datasets")

    @routes.listing("/api/v1/datasets", "datasets.read", "commitment")
    def datasets(caller: Asker) -> Any:
        """Lists this organisation's datasets; where they lie is told only to those who look after them."""
        return [_told(caller, item) for item in node().datasets.own()]

    @routes.get("/api/v1/datasets/{name}", "datasets.read")
    def dataset(caller: Asker, name: str) -> Any:
        """Tells one of this organisation's datasets."""
        return _told(caller, node().datasets.one(name))

    @routes.post("/api/v1/datasets", "datasets.write")
    def add_dataset(caller: Asker, body: NewDataset) -> Any:
        """Registers a dataset at a path of the server's machine; the data stays where it is."""
        source = Path(body.source)
        if caller is not OPERATOR:
            places = node().datasets.places
            source = places.source(places.may_register(source))
        made = node().datasets.add(source, body.fields)
        node().steward.wake(DOCUMENTS)
        return made

    @routes.post("/api/v1/datasets/{name}/withdraw", "datasets.write")
    def withdraw_dataset(name: str) -> Any:
        """Takes a dataset back: nothing is computed on it from now on, and it is told to nobody any more."""
        commitment = node().datasets.withdraw(name)
        node().steward.wake(DOCUMENTS)
        return {"name": name, "commitment": commitment, "withdrawn": True}

    @routes.post("/api/v1/datasets/{commitment}/check", "datasets.write")
    def check_dataset(commitment: str) -> Any:
        """Compares every byte of a dataset with what was registered, and tells what changed."""
        node().datasets.still_same(commitment)
        return {"commitment": commitment, "unchanged": True}

    @routes.listing("/api/v1/catalogue", "datasets.read", "commitment")
    def catalogue() -> Any:
        """Lists what every organisation tells of its datasets."""
        names = node().parties.names()
        return [
            {"owner_name": names.get(entry.owner, ""), **entry.model_dump(mode="json")}
            for entry in node().datasets.catalogue().values()
        ]


def _told(caller: Caller, item: dict[str, Any]) -> dict[str, Any]:
    if "datasets.write" in caller.rights:
        return item
    return {**item, "private": {**item["private"], "source": ""}}

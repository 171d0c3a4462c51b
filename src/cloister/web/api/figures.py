"""Figures of a tool on owners' pictures: asked by researchers, let out or refused by owners.

Rules:
1. To ask needs the right to ask for computations, to decide the right to approve them; whoever decides is named in the log's decision.
2. Only what may leave is told, also to the owner's own people: no picture's figure.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import Field

from cloister.foundation.errors import BadInput
from cloister.node.figures.asking import MAX_TOOL, Wanted
from cloister.node.figures.service import MEASURING, TELLING
from cloister.web.api.bodies import Asker, Body, OpenNode
from cloister.web.guard import MODEL_BODY_MOST
from cloister.web.routes import Routes


class NewQuestion(Body):
    owner: str = Field(max_length=80)
    dataset: str = Field(max_length=100)
    tool: str = Field(max_length=MAX_TOOL * 4 // 3 + 4)
    figures: list[Annotated[str, Field(max_length=40)]] = Field(default=[], max_length=8)
    purpose: str = Field(min_length=1, max_length=200)
    epsilon: float | None = Field(default=None, gt=0, le=10)


class Decision(Body):
    approve: bool


def add(app: FastAPI, node: OpenNode) -> None:
    """Adds the routes."""
    routes = Routes(app, "Figures")

    @routes.listing("/api/v1/figures", "tasks.read", "question")
    def questions() -> Any:
        """Lists the questions about figures that this organisation asked, and those that it was asked, with their answers."""
        return node().figures.listing()

    @routes.get("/api/v1/figures/{digest}", "tasks.read")
    def question(digest: str) -> Any:
        """Tells one question about figures, and its answer."""
        return node().figures.one(digest)

    @routes.post("/api/v1/figures", "tasks.ask", body=MODEL_BODY_MOST)
    def ask(caller: Asker, body: NewQuestion) -> Any:
        """Asks an owner how well a tool (`tool`: its file in base64) does on its labelled pictures."""
        try:
            tool = base64.b64decode(body.tool, validate=True)
        except (binascii.Error, ValueError):
            raise BadInput(
                "The tool could not be read.", "It is not base64.", "Send the tool's file."
            ) from None
        told = node().figures.asking.ask(
            Wanted(body.owner, body.dataset, tool, body.figures, body.purpose, body.epsilon, caller.name)
        )
        node().steward.wake(TELLING)
        return told

    @routes.post("/api/v1/figures/{digest}/decide", "tasks.approve")
    def decide(caller: Asker, digest: str, body: Decision) -> Any:
        """Lets a question be answered, or refuses it for good."""
        told = node().figures.answering.decide(digest, caller.name, approve=body.approve)
        node().steward.wake(MEASURING, TELLING)
        return told

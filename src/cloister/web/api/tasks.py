"""What is asked, planned, approved and run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response

from cloister.identity.keys import unb64
from cloister.journal.statuses import ENDED
from cloister.node.reports import task_view, tasks_view
from cloister.node.tasks.crossing import crossed, events_of
from cloister.node.tasks.known import known_models
from cloister.node.tasks.records import parse_plan
from cloister.planner.explain import explain
from cloister.web.api.bodies import Body, OpenNode, Reason
from cloister.web.guard import DOCUMENT_MOST, MODEL_BODY_MOST
from cloister.web.routes import Routes
from cloister.web.streaming import TEXT, happenings, stream
from cloister.web.views.tasks import status_of


class NewModel(Body):
    content: str


class Ask(Body):
    agreement: str
    computation: dict[str, Any]
    purpose: str | None = None
    datasets: dict[str, str] | None = None
    recipients: list[str] | None = None
    preferences: dict[str, Any] | None = None


class Measure(Body):
    computation: dict[str, Any] | None = None


class Submit(Body):
    plan: dict[str, Any]


class Approve(Body):
    with_records: bool = False


def add(app: FastAPI, node: OpenNode) -> None:
    """Adds the routes."""
    routes = Routes(app, "Tasks")

    @routes.post("/api/v1/models", "tasks.ask", body=MODEL_BODY_MOST)
    def add_model(body: NewModel) -> Any:
        """Takes a model in ONNX, checks it in a confined worker, and tells its digest."""
        return node().computations.add_model(unb64(body.content))

    @routes.post("/api/v1/plans", "tasks.ask", body=DOCUMENT_MOST)
    def plan(body: Ask) -> Any:
        """Plans a computation under an agreement; nothing is sent."""
        return node().computations.plan(body.model_dump())[1]

    @routes.post("/api/v1/bench", "node.manage")
    def bench(body: Measure) -> Any:
        """Measures anew how fast this machine computes; with a computation, also its steps."""
        return node().bench.measure(body.computation)

    @routes.post("/api/v1/tasks", "tasks.ask", body=DOCUMENT_MOST)
    def submit(body: Submit) -> Any:
        """Sends a plan to everybody concerned, for them to admit."""
        return node().tasks.submit(parse_plan(body.plan))

    @routes.listing("/api/v1/tasks", "tasks.read", "task")
    def tasks() -> Any:
        """Lists the tasks that this organisation asked for or is asked about."""
        return tasks_view(node())

    @routes.get("/api/v1/tasks/{task}", "tasks.read")
    def show(task: str) -> Any:
        """Tells one task: its state, its plan in words, who admitted it, what came out."""
        text = explain(node().tasks.plan(task), node().parties.names(), models=known_models())
        return {**task_view(node(), task), "text": text}

    @routes.get("/api/v1/tasks/{task}/crossed", "tasks.read")
    def what_crossed(task: str) -> Any:
        """Lists what crossed in a task, by organisation, direction and kind."""
        node().tasks.plan(task)
        return [asdict(item) for item in crossed(events_of(node().durable, task))]

    @routes.get(
        "/api/v1/tasks/{task}/events",
        "tasks.read",
        response_class=Response,
        responses={200: {"content": {TEXT: {"schema": {"type": "string"}}}}},
    )
    def follow(request: Request, task: str, since: Annotated[int, Query(ge=0, lt=1 << 53)] = 0) -> Response:
        """Tells what happens in one task, as it happens, until it has ended (server-sent events)."""
        node().tasks.plan(task)  # one that is not here is told as a problem, not as a stream that ends
        return stream(
            request, happenings(node, task), since=since, ended=lambda: status_of(node(), task) in ENDED
        )

    @routes.post("/api/v1/tasks/{task}/approve", "tasks.approve")
    def approve(task: str, body: Approve) -> Any:
        """Approves a task for this organisation."""
        return node().tasks.approve(task, with_records=body.with_records)

    @routes.post("/api/v1/tasks/{task}/refuse", "tasks.approve")
    def refuse(task: str, body: Reason) -> Any:
        """Refuses a task for this organisation."""
        return node().tasks.refuse(task, body.reason)

    @routes.post("/api/v1/tasks/{task}/withdraw", "tasks.approve")
    def withdraw(task: str, body: Reason) -> Any:
        """Takes this organisation's approval back; the task ends."""
        node().withdrawing.withdraw(task, body.reason)
        return task_view(node(), task)

    @routes.post("/api/v1/tasks/{task}/stop", "tasks.stop")
    def stop(task: str, body: Reason) -> Any:
        """Stops a task."""
        return {"stopped": node().withdrawing.stop(task, body.reason)}

"""Tasks: who waits for whom, one task as it runs, and a person's yes or no to it.

What a person binds the organisation with (approve, refuse, withdraw) is at `/tasks/{task}/decide`, which takes the right to approve and
so the password again; a stop takes the right to stop.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Annotated

from fastapi import FastAPI, Form, Request, Response

from cloister.foundation.errors import CloisterError, NotFound, Refused
from cloister.journal.statuses import ENDED
from cloister.node.node import Node
from cloister.web.frame import Pages
from cloister.web.routes import Routes
from cloister.web.streaming import Sent, stream
from cloister.web.views.plans import plan_view
from cloister.web.views.tasks import listing, status_of, task_page

_REASON = Form(max_length=200)
_SHOWN = 50
_PACE = 0.4
"""Seconds between two pictures of a task that a browser gets, at least."""


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Tasks", page=True)

    @routes.get("/tasks", "tasks.read")
    def tasks(request: Request, before: int = 0) -> Response:
        found = listing(pages.node())
        start = max(0, min(before, len(found)))
        return pages.show(
            request,
            "tasks/list.html",
            title="Tasks",
            lead="Computations that this server takes part in.",
            tasks=found[start : start + _SHOWN],
            newer=f"/tasks?before={max(0, start - _SHOWN)}" if start else "",
            older=f"/tasks?before={start + _SHOWN}" if start + _SHOWN < len(found) else "",
        )

    @routes.get("/tasks/{task}", "tasks.read")
    def show(request: Request, task: str) -> Response:
        return _show(request, task)

    def _show(request: Request, task: str, error: CloisterError | None = None) -> Response:
        node = pages.node()
        item = task_page(node, task)
        return pages.show(
            request,
            "tasks/show.html",
            title=item["purpose"],
            lead=f"{item['by']} asks to train a model."
            if item["kind"] == "training"
            else f"{item['by']} asks.",
            task=item,
            shown=plan_view(node, node.tasks.plan(task)),
            budget=item["budget"],
            error=error,
        )

    @routes.get("/tasks/{task}/live", "tasks.read")
    def live(request: Request, task: str) -> Response:
        return pages.part(request, "tasks/live.html", task=task_page(pages.node(), task))

    @routes.get("/tasks/{task}/stream", "tasks.read")
    def follow(request: Request, task: str, since: int = 0) -> Response:
        node = pages.node()
        node.tasks.plan(task)  # one that is not here is told as a page, not as a stream that ends

        def more(last: int, wait: float) -> Iterable[Sent]:
            newest = _newest(node, task, last, wait)
            if newest == last:
                return []
            time.sleep(_PACE)  # what comes in the same moment is one picture
            newest = max(newest, _newest(node, task, newest, 0.0))
            text = bytes(pages.part(request, "tasks/live.html", task=task_page(node, task)).body).decode()
            return [Sent(newest, "", text)]

        return stream(request, more, since=since, ended=lambda: status_of(node, task) in ENDED)

    @routes.get("/tasks/{task}/decide", "tasks.approve")
    def decide_page(request: Request, task: str) -> Response:
        return _decide(request, task)

    def _decide(
        request: Request, task: str, error: CloisterError | None = None, reason: str = ""
    ) -> Response:
        node = pages.node()
        item = task_page(node, task)
        return pages.show(
            request,
            "tasks/decide.html",
            title="Approve or refuse",
            lead=f"{item['by']} asks, for: {item['purpose']}.",
            task=item,
            shown=plan_view(node, node.tasks.plan(task)),
            budget=item["budget"],
            records=isinstance(error, Refused) and error.clause == "records",
            reason=reason,
            error=error,
        )

    @routes.post("/tasks/{task}/approve", "tasks.approve")
    def approve(request: Request, task: str, with_records: Annotated[str, _REASON] = "") -> Response:
        try:
            pages.node().tasks.approve(task, with_records=with_records == "yes")
        except CloisterError as error:
            return _decide(request, task, error)
        return pages.go(request, f"/tasks/{task}", told="Approved: your organisation takes part.")

    @routes.post("/tasks/{task}/refuse", "tasks.approve")
    def refuse(request: Request, task: str, reason: Annotated[str, _REASON] = "") -> Response:
        try:
            pages.node().tasks.refuse(task, reason)
        except CloisterError as error:
            return _decide(request, task, error, reason)
        return pages.go(request, f"/tasks/{task}", told="Refused. The others are told.")

    @routes.post("/tasks/{task}/withdraw", "tasks.approve")
    def withdraw(request: Request, task: str, reason: Annotated[str, _REASON] = "") -> Response:
        try:
            pages.node().withdrawing.withdraw(task, reason)
        except CloisterError as error:
            return _decide(request, task, error, reason)
        return pages.go(request, f"/tasks/{task}", told="The approval is withdrawn.")

    @routes.post("/tasks/{task}/stop", "tasks.stop")
    def stop(request: Request, task: str, reason: Annotated[str, _REASON] = "") -> Response:
        try:
            stopped = pages.node().withdrawing.stop(task, reason)
        except NotFound as error:
            return _show(request, task, error)
        told = "Stopped. The others are told." if stopped else "It was over already."
        return pages.go(request, f"/tasks/{task}", told=told)


def _newest(node: Node, task: str, last: int, wait: float) -> int:
    """The number of the newest event of a task after `last`; `last` itself if nothing happened in so many seconds."""
    end, seen, newest = time.monotonic() + wait, last, last
    while True:
        found = node.events(seen, max(end - time.monotonic(), 0.0))
        newest = max([newest, *(int(item["id"]) for item in found if item["task"] == task)])
        if not found or (newest > last and len(found) < 1000):
            return newest
        seen = found[-1]["id"]

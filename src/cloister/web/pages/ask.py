"""Asking: choose an agreement and what to compute, look at the plan and at what other wishes would change, send it.

Until it is sent, nothing leaves this server. What is sent is the very plan that was shown.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import FastAPI, Form, Request, Response, UploadFile

from cloister.applications.trainings import TABLE_LOSSES, TABLE_METRICS
from cloister.claims.offers import Plan
from cloister.foundation.canonical import canonical, parse
from cloister.foundation.errors import BadInput, CloisterError, Refused
from cloister.node.node import Node
from cloister.node.tasks.asked import keep, kept
from cloister.node.tasks.records import parse_plan
from cloister.web import filters
from cloister.web.frame import Pages
from cloister.web.routes import Routes
from cloister.web.views.asking import (
    COMPARABLE,
    Wanted,
    agreements,
    choices,
    columns,
    compared,
    keep_tool,
    keep_training,
    plan_of,
    recipe_of,
)
from cloister.web.views.plans import alternative, plan_view

MODEL_MOST = 64_000_000
"""Bytes of a model that is uploaded here; the command line takes larger ones."""
_PATIENCE = 3.0
"""Seconds that a person waits here for the others' answers; what comes later is on the task's page."""
_TEXT = Form(max_length=20_000)
_SHORT = Form(max_length=200)
_WHAT = (
    ("crystals", "Crystals in pictures", "Goes on training the crystal model that comes with Cloister."),
    ("model", "A model of your own", "An ONNX file; you say next how it is trained on the owners' tables."),
)


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Ask", page=True)

    @routes.get("/ask", "tasks.ask")
    def start(request: Request, agreement: str = "") -> Response:
        return _start(request, agreement=agreement[:100])

    def _start(
        request: Request, *, agreement: str = "", what: str = "", error: CloisterError | None = None
    ) -> Response:
        possible = agreements(pages.node())
        return pages.show(
            request,
            "ask/start.html",
            title="Ask for a computation",
            lead="First you see a plan. Nothing leaves this server until you send it.",
            agreements=[(item["digest"], item["title"], f"Version {item['version']}") for item in possible],
            agreement=agreement or (possible[0]["digest"] if possible else ""),
            whats=_WHAT,
            what=what or _usual(pages.node(), agreement or (possible[0]["digest"] if possible else "")),
            most=MODEL_MOST,
            error=error,
        )

    @routes.post("/ask", "tasks.ask", body=MODEL_MOST + (1 << 20))
    def chosen(
        request: Request,
        agreement: Annotated[str, _SHORT] = "",
        what: Annotated[str, _SHORT] = "",
        model: UploadFile | None = None,
    ) -> Response:
        node = pages.node()
        try:
            if what == "model":
                report = node.computations.add_model(_uploaded(model))
                first = {"input": _first(report, "inputs"), "output": _first(report, "outputs")}
                known = {"agreement": agreement, "model": report["digest"], **first}
                return pages.go(request, f"/ask/recipe?{urlencode(known)}")
            computation = keep_tool(node, agreement, what)
        except CloisterError as error:
            return _start(request, agreement=agreement, what=what, error=error)
        return pages.go(request, Wanted(agreement, computation.digest).path())

    @routes.get("/ask/recipe", "tasks.ask")
    def recipe_page(
        request: Request,
        agreement: str = "",
        model: str = "",
        input: str = "",  # noqa: A002 - the name in the address
        output: str = "",
    ) -> Response:
        terms = pages.node().agreements.in_force(agreement).terms
        found = columns(pages.node(), terms)
        given = {
            "agreement": agreement[:100],
            "model": model[:100],
            "input": input[:200],
            "output": output[:200],
            "columns": ", ".join(found[:-1]),
            "label": found[-1] if found else "",
            "loss": TABLE_LOSSES[0],
            "metric": TABLE_METRICS[0] if terms.release.quality is None else terms.release.quality.metric,
            "learning_rate": "0.05",
            "batch": "16",
            "classes": "",
            "recipe": "",
        }
        return _recipe(request, given)

    def _recipe(request: Request, given: dict[str, str], error: CloisterError | None = None) -> Response:
        terms = pages.node().agreements.in_force(given["agreement"]).terms
        return pages.show(
            request,
            "ask/recipe.html",
            title="How the model is trained",
            lead=f"Under “{terms.title}”. Every owner's server does exactly this, on its own table.",
            given=given,
            columns=columns(pages.node(), terms),
            losses=[(name, name.replace("-", " ")) for name in TABLE_LOSSES],
            metrics=[(name, name) for name in TABLE_METRICS],
            error=error,
        )

    @routes.post("/ask/recipe", "tasks.ask")
    def recipe(
        request: Request,
        agreement: Annotated[str, _SHORT] = "",
        model: Annotated[str, _SHORT] = "",
        input: Annotated[str, _SHORT] = "",  # noqa: A002 - the name in the form
        output: Annotated[str, _SHORT] = "",
        columns: Annotated[str, _TEXT] = "",
        label: Annotated[str, _SHORT] = "",
        loss: Annotated[str, _SHORT] = "",
        metric: Annotated[str, _SHORT] = "",
        learning_rate: Annotated[str, _SHORT] = "",
        batch: Annotated[str, _SHORT] = "",
        classes: Annotated[str, _TEXT] = "",
        recipe: Annotated[str, Form(max_length=500_000)] = "",
    ) -> Response:
        given = {
            "agreement": agreement, "model": model, "input": input, "output": output, "columns": columns,
            "label": label, "loss": loss, "metric": metric, "learning_rate": learning_rate, "batch": batch,
            "classes": classes, "recipe": recipe,
        }  # fmt: skip
        node = pages.node()
        try:
            computation = keep_training(node, model, recipe_of(given))
            wanted = Wanted(agreement, computation.digest)
            plan_of(node, wanted, computation)  # the worker looks whether the recipe fits the model
        except CloisterError as error:
            if not getattr(error, "detail", {}).get("alternatives"):
                return _recipe(request, given, error)
        return pages.go(request, wanted.path())

    @routes.get("/ask/plan", "tasks.ask")
    def plan_page(request: Request) -> Response:
        wanted = Wanted.of(request.query_params, request.query_params.getlist("owners"))
        return _plan(request, wanted)

    def _plan(request: Request, wanted: Wanted) -> Response:
        node = pages.node()
        terms = node.agreements.in_force(wanted.agreement).terms
        computation = kept(node.durable.database, wanted.computation)
        plan: Plan | None = None
        error: CloisterError | None = None
        rows: list[dict[str, Any]] = []
        try:
            plan = plan_of(node, wanted, computation)
            rows = compared(node, wanted, computation, plan)
        except CloisterError as found:
            error = found
        others = (error.detail.get("alternatives") or []) if error is not None else []
        return pages.show(
            request,
            "ask/plan.html",
            title="The plan",
            lead="What would be done, what each organisation sees, and what it costs. Nothing was sent yet.",
            wanted=wanted,
            wishes=dict(wanted.wishes),
            choices=choices(node, terms),
            purposes=[(name, name) for name in terms.purposes],
            shown=None if plan is None else plan_view(node, plan),
            document="" if plan is None else canonical(plan.model_dump(mode="json")).decode(),
            now=None if plan is None else plan.offer.parameters,
            others=[alternative(item) for item in others],
            compared=rows,
            comparable=[("", "nothing"), *COMPARABLE.items()],
            trouble=error,
            status=200 if error is None else error.status,
        )

    @routes.post("/ask/send", "tasks.ask")
    def send(request: Request, plan: Annotated[str, Form(max_length=900_000)] = "") -> Response:
        node = pages.node()
        made = parse_plan(parse(plan.encode()))
        if made.request.requester != node.party:
            raise BadInput(
                "This plan is not this organisation's.", "Another one asks in it.", "Make a plan here."
            )
        told = node.tasks.submit(made, _PATIENCE)
        if told["refusals"]:
            return pages.go(request, f"/tasks/{made.digest}", told="It was refused; see why below.")
        return pages.go(request, f"/tasks/{made.digest}", told="The plan was sent to everybody in it.")

    @routes.post("/tasks/{task}/again", "tasks.ask")
    def again(request: Request, task: str) -> Response:
        node = pages.node()
        asked = node.tasks.plan(task).request
        if asked.requester != node.party:
            raise Refused(
                "This task is not yours to ask again.", "Another organisation asked for it.", "Ask it."
            )
        keep(node.durable.database, asked.computation.model_dump(mode="json"))
        known = {name: str(value) for name, value in asked.preferences.items()}
        everybody = set(asked.datasets) == set(node.agreements.get(asked.agreement).terms.owners)
        wanted = Wanted.of(
            {
                **known,
                "agreement": asked.agreement,
                "computation": asked.computation.digest,
                "purpose": asked.purpose,
            },
            [] if everybody else list(asked.datasets),
        )
        return pages.go(request, wanted.path())


def _usual(node: Node, agreement: str) -> str:
    """What is chosen at first: what can be trained on the data of the agreement."""
    try:
        terms = node.agreements.in_force(agreement).terms
    except CloisterError:
        return "crystals"
    return "model" if columns(node, terms) else "crystals"


def _uploaded(model: UploadFile | None) -> bytes:
    data = b"" if model is None else model.file.read(MODEL_MOST + 1)
    if not data:
        raise BadInput("No model was chosen.", "", "Choose an ONNX file.")
    if len(data) > MODEL_MOST:
        raise BadInput(
            "The model is too large for the page.",
            f"It takes {filters.size(MODEL_MOST)} at most.",
            "Ask from the command line: cloister ask train --model FILE",
        )
    return data


def _first(report: dict[str, Any], what: str) -> str:
    found = report["check"].get(what) or [{}]
    return str(found[0].get("name", ""))[:200]

"""The node's JSON interface under `/api/v1`, over its Unix socket.

Whoever may open the socket (mode 0600) is the operator; the page on the network will have its own sign-in. Errors are
problem documents (RFC 9457). Routes are thin: they parse, call a service, and answer.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from cloister.agreements.clauses import Line
from cloister.agreements.lifecycle import State
from cloister.agreements.signing import read_terms
from cloister.agreements.words import describe
from cloister.foundation.canonical import canonical
from cloister.foundation.errors import BadInput, CloisterError, NotFound, OutOfSpace
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import unb64
from cloister.node.chores import DOCUMENTS
from cloister.node.node import Node
from cloister.node.reports import (
    budgets_view,
    export_ledger,
    population_view,
    release_content,
    release_view,
    releases_view,
    task_view,
    tasks_view,
)
from cloister.node.tasks.known import known_models
from cloister.node.tasks.records import parse_plan
from cloister.planner.explain import explain
from cloister.privacy.filters import Method

_LOG = logging.getLogger("cloister.node.api")
_PROBLEM = "application/problem+json"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewCard(_Body):
    cards: list[dict[str, Any]] = Field(min_length=1, max_length=1000)


class Compared(_Body):
    fingerprint: str = Field(max_length=200)


class NewDataset(_Body):
    source: str = Field(max_length=4096)
    fields: dict[str, Any]


class NewAgreement(_Body):
    terms: dict[str, Any]


class Move(_Body):
    to: str = Field(max_length=20)
    reason: str | None = Field(default=None, max_length=200)


class NewPopulation(_Body):
    population: Line
    unit: Line
    epsilon: float
    delta: float
    method: Method = "sums"


class NewLimit(_Body):
    population: Line
    epsilon: float | None = None
    delta: float | None = None


class Belongs(_Body):
    population: Line
    dataset: str = Field(max_length=200)


class Amount(_Body):
    epsilon: float
    delta: float


class Missing(_Body):
    missing: dict[str, dict[str, Amount] | None] = Field(max_length=10_000)


class NewModel(_Body):
    content: str


class Ask(_Body):
    agreement: str
    computation: dict[str, Any]
    purpose: str | None = None
    datasets: dict[str, str] | None = None
    recipients: list[str] | None = None
    preferences: dict[str, Any] | None = None


class Measure(_Body):
    computation: dict[str, Any] | None = None


class Submit(_Body):
    plan: dict[str, Any]


class Approve(_Body):
    with_records: bool = False


class Reason(_Body):
    reason: str = Field(default="", max_length=200)


def make_app(node: Node) -> FastAPI:
    """The application of one node."""
    app = FastAPI(
        title="Cloister node", version="1", docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json"
    )
    _problems(app)
    _parties(app, node)
    _datasets(app, node)
    _agreements(app, node)
    _budgets(app, node)
    _tasks(app, node)
    _releases(app, node)
    return app


def _problems(app: FastAPI) -> None:
    def answer(error: CloisterError) -> Response:
        document = _plain(error.problem())
        # What exactly changed in a dataset: for its owner, who is the only one at this socket.
        if local := getattr(error, "local", None):
            document["local"] = [str(line)[:500] for line in local[:1000]]
        return Response(canonical(document), error.status, media_type=_PROBLEM)

    @app.exception_handler(CloisterError)
    async def refused(_: Request, error: CloisterError) -> Response:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first.get("loc", ()))[:200]
        return answer(
            BadInput("The request could not be read.", f"At {place}: {first.get('msg', '')}.", "Correct it.")
        )

    @app.exception_handler(HTTPException)
    async def unknown(_: Request, error: HTTPException) -> Response:
        made = NotFound(
            "There is nothing at this address.", str(error.detail)[:100], "See /api/v1/openapi.json"
        )
        return Response(canonical(made.problem()), error.status_code, media_type=_PROBLEM)

    @app.exception_handler(OSError)
    async def disk(_: Request, error: OSError) -> Response:
        if error.errno == 28:
            return answer(
                OutOfSpace("The disk is full.", "Nothing was changed.", "Free some space and try again.")
            )
        return answer(
            CloisterError("The system refused something.", error.strerror or "", "See the node's log.")
        )

    @app.middleware("http")
    async def failed(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        # Not an exception handler: those for `Exception` raise it again, and the server would log a trace with values.
        try:
            return await go_on(request)
        except Exception as error:
            _LOG.error("a request failed: %s", type(error).__name__)
            return answer(
                CloisterError(
                    "Something went wrong inside the node.", type(error).__name__, "See `cloister doctor`."
                )
            )


def _parties(app: FastAPI, node: Node) -> None:
    @app.get("/api/v1/status")
    def status() -> Any:
        return node.status()

    @app.get("/api/v1/events")
    def events(since: int = 0, wait: float = 0.0) -> Any:
        return node.events(since, wait)

    @app.get("/api/v1/traffic")
    def traffic() -> Any:
        return node.traffic()

    @app.get("/api/v1/parties")
    def parties() -> Any:
        return node.parties.listing()

    @app.post("/api/v1/parties")
    def add_party(body: NewCard) -> Any:
        card = node.parties.accept_chain([Envelope.from_json(item) for item in body.cards])
        return {"party": card.party, "name": card.name}

    @app.post("/api/v1/parties/{party}/trust")
    def trust(party: str, body: Compared) -> Any:
        node.parties.pin(party, body.fingerprint)
        node.steward.wake(DOCUMENTS)
        return {"party": party, "trust": "pinned"}

    @app.post("/api/v1/parties/{party}/distrust")
    def distrust(party: str) -> Any:
        node.parties.unpin(party)
        return {"party": party, "trust": "unpinned"}


def _datasets(app: FastAPI, node: Node) -> None:
    @app.get("/api/v1/datasets")
    def datasets() -> Any:
        return node.datasets.own()

    @app.post("/api/v1/datasets")
    def add_dataset(body: NewDataset) -> Any:
        made = node.datasets.add(Path(body.source), body.fields)
        node.steward.wake(DOCUMENTS)
        return made

    @app.post("/api/v1/datasets/{commitment}/check")
    def check_dataset(commitment: str) -> Any:
        node.datasets.still_same(commitment)
        return {"commitment": commitment, "unchanged": True}

    @app.get("/api/v1/catalogue")
    def catalogue() -> Any:
        names = node.parties.names()
        return [
            {"owner_name": names.get(entry.owner, ""), **entry.model_dump(mode="json")}
            for entry in node.datasets.catalogue().values()
        ]


def _agreements(app: FastAPI, node: Node) -> None:
    @app.get("/api/v1/agreements")
    def agreements() -> Any:
        return [node.agreements.summary(name) for name in node.agreements.digests()]

    @app.post("/api/v1/agreements")
    def propose(body: NewAgreement) -> Any:
        return node.agreements.offer(body.terms)

    @app.get("/api/v1/agreements/{digest}")
    def agreement(digest: str) -> Any:
        envelope = node.agreements.envelope(digest)
        terms = read_terms(envelope)
        return {
            **node.agreements.summary(digest),
            "terms": terms.to_odrl(),
            "text": describe(terms, node.parties.names()),
            "acts": [item.document() for item in node.agreements.act_envelopes(digest)],
        }

    @app.post("/api/v1/agreements/{digest}/sign")
    def sign(digest: str) -> Any:
        return node.agreements.sign(digest)

    @app.post("/api/v1/agreements/{digest}/state")
    def move(digest: str, body: Move) -> Any:
        allowed = {"suspended", "finalized", "revoked", "terminated"}
        if body.to not in allowed:
            raise BadInput(
                "People do not make that step.", f"Steps: {', '.join(sorted(allowed))}.", "Choose one."
            )
        return node.agreements.move(digest, State(body.to), body.reason)


def _budgets(app: FastAPI, node: Node) -> None:
    @app.get("/api/v1/budgets")
    def budgets() -> Any:
        return budgets_view(node)

    @app.post("/api/v1/budgets")
    def open_population(body: NewPopulation) -> Any:
        node.budgets.populations.open(body.population, body.unit, body.epsilon, body.delta, body.method)
        return population_view(node, body.population)

    @app.post("/api/v1/budgets/limit")
    def set_limit(body: NewLimit) -> Any:
        node.budgets.populations.set_limit(body.population, body.epsilon, body.delta)
        return population_view(node, body.population)

    @app.post("/api/v1/budgets/bind")
    def bind(body: Belongs) -> Any:
        node.budgets.populations.bind(body.dataset, body.population)
        return population_view(node, body.population)

    @app.post("/api/v1/budgets/reconcile")
    def reconcile(body: Missing) -> Any:
        node.budgets.health.reconcile(
            {
                name: None
                if parts is None
                else {scope: (most.epsilon, most.delta) for scope, most in parts.items()}
                for name, parts in body.missing.items()
            }
        )
        return budgets_view(node)


def _tasks(app: FastAPI, node: Node) -> None:
    @app.post("/api/v1/models")
    def add_model(body: NewModel) -> Any:
        return node.computations.add_model(unb64(body.content))

    @app.post("/api/v1/plans")
    def plan(body: Ask) -> Any:
        return node.computations.plan(body.model_dump())[1]

    @app.post("/api/v1/bench")
    def bench(body: Measure) -> Any:
        return node.bench.measure(body.computation)

    @app.post("/api/v1/tasks")
    def submit(body: Submit) -> Any:
        return node.tasks.submit(parse_plan(body.plan))

    @app.get("/api/v1/tasks")
    def tasks() -> Any:
        return tasks_view(node)

    @app.get("/api/v1/tasks/{task}")
    def show(task: str) -> Any:
        text = explain(node.tasks.plan(task), node.parties.names(), models=known_models())
        return {**task_view(node, task), "text": text}

    @app.post("/api/v1/tasks/{task}/approve")
    def approve(task: str, body: Approve) -> Any:
        return node.tasks.approve(task, with_records=body.with_records)

    @app.post("/api/v1/tasks/{task}/refuse")
    def refuse(task: str, body: Reason) -> Any:
        return node.tasks.refuse(task, body.reason)

    @app.post("/api/v1/tasks/{task}/withdraw")
    def withdraw(task: str, body: Reason) -> Any:
        node.withdrawing.withdraw(task, body.reason)
        return task_view(node, task)

    @app.post("/api/v1/tasks/{task}/stop")
    def stop(task: str, body: Reason) -> Any:
        error = CloisterError(
            "The task was stopped by a person at one of its nodes.", body.reason, "Ask them."
        )
        return {"stopped": node.runner.stop(task, error)}


def _releases(app: FastAPI, node: Node) -> None:
    @app.get("/api/v1/releases")
    def releases() -> Any:
        return releases_view(node)

    @app.get("/api/v1/releases/{digest}")
    def release(digest: str) -> Any:
        return release_view(node, digest)

    @app.get("/api/v1/releases/{digest}/content")
    def content(digest: str) -> Any:
        return {"content": base64.b64encode(release_content(node, digest)).decode()}

    @app.post("/api/v1/releases/{digest}/revoke")
    def revoke(digest: str, body: Reason) -> Any:
        return node.revocations.revoke(digest, body.reason)

    @app.get("/api/v1/ledger")
    def ledger() -> Any:
        return node.ledger.head()

    @app.get("/api/v1/ledger/export")
    def export() -> Any:
        return {"content": base64.b64encode(export_ledger(node)).decode()}


def _plain(problem: dict[str, Any]) -> dict[str, Any]:
    # Detail may hold what JSON cannot; a problem document must still go out.
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [plain(item) for item in value]
        return value if value is None or isinstance(value, str | int | float | bool) else str(value)[:200]

    return {str(key): plain(value) for key, value in problem.items()}


__all__ = ["make_app"]

"""Privacy budgets of this organisation's populations."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import Field

from cloister.agreements.clauses import Line
from cloister.node.reports import budgets_view, population_view
from cloister.privacy.filters import Method
from cloister.web.api.bodies import Body, OpenNode
from cloister.web.routes import Routes


class NewPopulation(Body):
    population: Line
    unit: Line
    epsilon: float
    delta: float
    method: Method = "sums"


class NewLimit(Body):
    population: Line
    epsilon: float | None = None
    delta: float | None = None


class Belongs(Body):
    population: Line
    dataset: str = Field(max_length=200)


class Amount(Body):
    epsilon: float
    delta: float


class Missing(Body):
    missing: dict[str, dict[str, Amount] | None] = Field(max_length=10_000)


def add(app: FastAPI, node: OpenNode) -> None:
    """Adds the routes."""
    routes = Routes(app, "Budgets")

    @routes.get("/api/v1/budgets", "budgets.read")
    def budgets() -> Any:
        """Lists this organisation's populations: their limits, what was spent, what is left, and what is wrong."""
        return budgets_view(node())

    @routes.post("/api/v1/budgets", "budgets.write")
    def open_population(body: NewPopulation) -> Any:
        """Begins a population: how much privacy may be spent of its records, by which unit."""
        node().budgets.populations.open(body.population, body.unit, body.epsilon, body.delta, body.method)
        return population_view(node(), body.population)

    @routes.post("/api/v1/budgets/limit", "budgets.write")
    def set_limit(body: NewLimit) -> Any:
        """Changes a population's limit."""
        node().budgets.populations.set_limit(body.population, body.epsilon, body.delta)
        return population_view(node(), body.population)

    @routes.post("/api/v1/budgets/bind", "budgets.write")
    def bind(body: Belongs) -> Any:
        """Says that a dataset's records belong to a population."""
        node().budgets.populations.bind(body.dataset, body.population)
        return population_view(node(), body.population)

    @routes.post("/api/v1/budgets/reconcile", "budgets.write")
    def reconcile(body: Missing) -> Any:
        """Writes off what charges that the server forgot may have spent, after a loss."""
        node().budgets.health.reconcile(
            {
                name: None
                if parts is None
                else {scope: (most.epsilon, most.delta) for scope, most in parts.items()}
                for name, parts in body.missing.items()
            }
        )
        return budgets_view(node())

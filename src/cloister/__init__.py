"""Cloister: organisations compute together on data that they may not show each other.

    import cloister

    server = cloister.connect("…/node")        # a server of one's own; or url=… and token=…
    server.datasets.catalogue()                # what everybody tells of datasets

    with cloister.simulate(["Ash", "Birch", "Lab"]) as town:     # many organisations in one process, to try things
        town.party("Lab").status()

Everything that is offered here is in `__all__`; what is heavy is loaded when it is used.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

# For type checkers the same stands in `__init__.pyi`: imports here would tie every part of Cloister to this top.
_PLACES = {
    "connect": "cloister.sdk.server",
    "connect_async": "cloister.sdk.asynchronous",
    "simulate": "cloister.sdk.simulation",
    "Cloister": "cloister.sdk.server",
    "AsyncCloister": "cloister.sdk.asynchronous",
    "Simulation": "cloister.sdk.simulation",
    "Agreement": "cloister.sdk.records",
    "Dataset": "cloister.sdk.records",
    "Plan": "cloister.sdk.records",
    "Release": "cloister.sdk.records",
    "Task": "cloister.sdk.records",
    "Table": "cloister.sdk.tables",
    "CloisterError": "cloister.foundation.errors",
}

__all__ = [
    "Agreement",
    "AsyncCloister",
    "Cloister",
    "CloisterError",
    "Dataset",
    "Plan",
    "Release",
    "Simulation",
    "Table",
    "Task",
    "connect",
    "connect_async",
    "simulate",
]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(place), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]

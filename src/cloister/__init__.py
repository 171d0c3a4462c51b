"""Cloister: organisations compute together on data that they may not show each other.

    import cloister

    server = cloister.connect("…/node")        # a server of one's own; or url=… and token=…
    server.datasets.catalogue()                # what everybody tells of datasets

    with cloister.simulate(["Ash", "Birch", "Lab"]) as town:     # many organisations in one process, to try things
        town.party("Lab").status()

Everything that is offered here is in `__all__`; what is heavy is loaded when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cloister.foundation.errors import CloisterError
    from cloister.sdk.asynchronous import AsyncCloister, connect_async
    from cloister.sdk.records import Agreement, Dataset, Plan, Release, Task
    from cloister.sdk.server import Cloister, connect
    from cloister.sdk.simulation import Simulation, simulate
    from cloister.sdk.tables import Table

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

from cloister.foundation.errors import CloisterError as CloisterError
from cloister.sdk.asynchronous import AsyncCloister as AsyncCloister
from cloister.sdk.asynchronous import connect_async as connect_async
from cloister.sdk.records import Agreement as Agreement
from cloister.sdk.records import Dataset as Dataset
from cloister.sdk.records import Plan as Plan
from cloister.sdk.records import Release as Release
from cloister.sdk.records import Task as Task
from cloister.sdk.server import Cloister as Cloister
from cloister.sdk.server import connect as connect
from cloister.sdk.simulation import Simulation as Simulation
from cloister.sdk.simulation import simulate as simulate
from cloister.sdk.tables import Table as Table

__version__: str
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

"""How often a computation was tried on an owner's dataset, counted at the owner's own node.

Whoever may try again until a result passes selects on the records behind the checks; and each try shows its coordinator
new updates, whether or not it ever proposes a result. So what is counted is not results but tasks that got an answer.

Rules:
1. A task counts from the first step that was given the dataset: in the transaction that commits the step, or that
   keeps its failure, and so before anything that it computed is sent. Whether the task ends with a result, fails or is
   given up by its coordinator makes no difference.
2. A task counts once for each dataset, however often its steps run, and also after a restart.
3. A task over the agreed number sends nothing: its step is not committed, and it fails by the clause `attempts`. The
   agreement's decision refuses it before it starts (`agreements.decision`, clause `attempts`); this holds also for tasks
   that were admitted side by side.

Source: Dwork et al. 2015, "The reusable holdout: Preserving validity in adaptive data analysis", Science 349.
"""

from __future__ import annotations

from cloister.foundation.errors import Refused
from cloister.storage.database import Transaction
from cloister.storage.settings import Settings


def count(tx: Transaction, computation: str, dataset: str, task: str) -> int:
    """Counts a task, once. Returns how many tasks have tried the computation on the dataset, this one included."""
    key = _key(computation, dataset)
    tasks: list[str] = Settings(tx).get(key, [])
    if task not in tasks:
        tasks = [*tasks, task]
        Settings(tx).put(key, tasks)
    return len(tasks)


def others(tx: Transaction, computation: str, dataset: str, task: str) -> int:
    """How many tasks other than this one have tried the computation on the dataset."""
    return len(set(Settings(tx).get(_key(computation, dataset), [])) - {task})


def count_within(tx: Transaction, computation: str, dataset: str, task: str, agreed: int) -> None:
    """Counts a task. Raises `Refused` (clause `attempts`), and counts nothing, if as many as agreed were before it."""
    before = others(tx, computation, dataset, task)
    if before >= agreed:
        raise Refused(
            "A computation was tried on a dataset as often as agreed.",
            f"{before} other tasks got answers from the dataset; the agreement allows {agreed}.",
            "Ask for another computation, or amend the agreement (release attempts).",
            clause="attempts",
        )
    count(tx, computation, dataset, task)


def _key(computation: str, dataset: str) -> str:
    return f"attempts/{computation}/{dataset}"

"""A process that spends and then makes noise, and is killed where it is told to: what `test_budgets_survive` runs.

Arguments: folder, place, step. At that step it dies at that place; it prints what noise it made use of.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np

from cloister.privacy import budgets
from cloister.privacy.filters import Limit, pair
from cloister.privacy.mechanisms import mechanism_for
from cloister.storage.budgets import BudgetRows
from cloister.storage.database import Database

STEPS = 6
PLACES = ("before", "written", "committed", "used")
LIMIT = Limit(3.0, 1e-5)


def charge(step: int) -> budgets.Charge:
    return budgets.Charge("people", "task", "train", step, 1, "agreement", pair(0.5, 1e-6))


def main() -> None:
    folder, place, at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    mechanism = mechanism_for(dimension=4, clip=1.0, noise_multiplier=1.0, largest=9.0)

    def here(name: str, step: int) -> None:
        if (name, step) == (place, at):
            os.kill(os.getpid(), signal.SIGKILL)

    database = Database.open(folder)
    for step in range(STEPS):
        here("before", step)
        with database.transaction() as tx:
            new = budgets.spend(
                BudgetRows(tx), charge(step), limit=LIMIT, logged=0, log=lambda _: None, now=step
            )
            here("written", step)
        here("committed", step)
        noisy = mechanism.noisy(np.zeros(4), bytes(32), f"step/{step}")
        sys.stdout.write(f"{step} {int(new)} {noisy.tolist()}\n")
        sys.stdout.flush()
        here("used", step)
    database.close()


if __name__ == "__main__":
    main()

"""Epsilon of ten standard settings beside dp-accounting; what a decision of a budget costs; how fast noise is made.

python benchmarks/accounting.py [--quick] [--json FILE|-]

Ours are the closed Rényi form (with a plan's usual orders) and what a plan claims (the lesser of it and PLD); the peer
is dp-accounting's Rényi accountant with its own orders, whole and fractional. A ratio below 1 is the tighter bound.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import dp_accounting
from dp_accounting import rdp

from cloister.privacy import budgets, filters
from cloister.privacy.accounting import Run, epsilon
from cloister.privacy.discrete_gaussian import discrete_gaussian
from cloister.privacy.filters import Limit, of_run, pair
from cloister.privacy.stream import NoiseStream
from cloister.storage.budgets import BudgetRows
from cloister.storage.database import Database
from measure import alternating, row, show

# Name, noise multiplier, sampling rate, steps, delta.
SETTINGS = (
    ("Abadi et al. 2016, sigma 4", 4.0, 0.01, 10_000, 1e-5),
    ("MNIST tutorial, z 1.12, 60 epochs", 1.12, 256 / 60_000, 14_062, 1e-5),
    ("MNIST tutorial, z 1.2, 10 epochs", 1.2, 256 / 60_000, 2_343, 1e-5),
    ("MNIST tutorial, z 0.6, 30 epochs", 0.6, 256 / 60_000, 7_031, 1e-5),
    ("CIFAR-10, batch 4096, z 3", 3.0, 4096 / 50_000, 2_500, 1e-5),
    ("small federation, all in each step", 6.5, 1.0, 100, 1e-5),
    ("small federation, a tenth in each", 1.0, 0.1, 100, 1e-5),
    ("large federation, many rounds", 2.0, 0.02, 5_000, 1e-6),
    ("one count", 4.0, 1.0, 1, 1e-6),
    ("a thousand counts", 100.0, 1.0, 1_000, 1e-6),
)


def theirs(multiplier: float, rate: float, steps: int, delta: float) -> float:
    """Epsilon by dp-accounting's Rényi accountant."""
    accountant = rdp.RdpAccountant()
    event: Any = dp_accounting.GaussianDpEvent(multiplier)
    if rate < 1:
        event = dp_accounting.PoissonSampledDpEvent(rate, event)
    accountant.compose(dp_accounting.SelfComposedDpEvent(event, steps))
    return float(accountant.get_epsilon(delta))


def epsilons(*, quick: bool) -> list[dict[str, Any]]:
    """The ten settings; with PLD only where it takes a second or so if in a hurry."""
    rows = []
    for name, multiplier, rate, steps, delta in SETTINGS:
        peer = theirs(multiplier, rate, steps, delta)
        run = Run(multiplier, rate, steps)
        found = epsilon(run, delta, "renyi")
        if rate < 1:
            rows.append(
                row(f"{name}: Rényi", "eps", found, target=peer * 1.01, peer=peer, peer_name="dp-accounting")
            )
        if not quick or rate == 1 or steps <= 100:
            claimed = epsilon(run, delta)
            rows.append(
                row(f"{name}: claimed", "eps", claimed, target=peer, peer=peer, peer_name="dp-accounting")
            )
    return rows


def decisions(folder: Path, times: int) -> list[dict[str, Any]]:
    """Milliseconds of one decision, and of one charge with its transaction on disk."""
    limit, spent, loss = Limit(8.0, 1e-5, "renyi"), pair(1.0, 1e-9), of_run(Run(2.0, 0.1, 50), 1e-7, "renyi")
    pure, _ = alternating(lambda: [limit.permits(spent, loss) for _ in range(times)], None)
    database = Database.open(folder)
    with database.transaction() as tx:
        budgets.open_population(BudgetRows(tx), "people", "person", 1000.0, 1e-3, "renyi", now=1)
    position = 0
    tiny = of_run(Run(1000.0, 0.01, 1), 1e-9, "renyi")

    def charge() -> None:
        nonlocal position
        position += 1
        one = budgets.Charge("people", "task", "train", position, 1, "agreement", tiny)
        with database.transaction() as tx:
            budgets.spend(BudgetRows(tx), one, limit=limit, logged=0, log=lambda _: None, now=1)

    def afford() -> None:
        with database.read() as tx:
            budgets.affords(BudgetRows(tx), "people", tiny, "agreement", limit)

    charged, _ = alternating(lambda: [charge() for _ in range(times)], None)
    afforded, _ = alternating(lambda: [afford() for _ in range(times)], None)
    database.close()
    computed = 0

    def compute() -> None:
        nonlocal computed
        for _ in range(5):
            computed += 1  # another run each time, since runs are remembered
            of_run(Run(2.0 + computed / 7919, 0.1, 50), 1e-7, "renyi")

    curves, _ = alternating(compute, None)
    return [
        row(f"a filter's decision ({len(filters.ORDERS)} orders)", "ms", pure / times * 1e3, target=5),
        row("a decision on a stored budget", "ms", afforded / times * 1e3, target=5),
        row("a charge, on disk", "ms", charged / times * 1e3, target=50),
        row("a run's loss by Rényi", "ms", curves / 5 * 1e3, target=100),
    ]


def noise(size: int) -> dict[str, Any]:
    """Seconds for exact integer noise."""
    variance, total = 2_488_889_315, 0

    def make() -> None:
        nonlocal total
        total += len(discrete_gaussian(NoiseStream(bytes(32), f"bench/{total}"), variance, size))

    ours, _ = alternating(make, None)
    return row(f"exact noise, {size:,} numbers", "s", ours, target=size / 1e6)


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", metavar="FILE|-")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            *epsilons(quick=options.quick),
            *decisions(Path(folder), 10 if options.quick else 100),
            noise(100_000 if options.quick else 1_000_000),
        ]
    show(rows, options.json)
    return 0 if all(item["holds"] for item in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

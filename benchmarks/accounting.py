"""Epsilon of ten standard settings beside other accountants and published figures; what a budget's decision costs; noise.

    python benchmarks/accounting.py [--quick] [--json FILE|-] [--peer]

Ours are the closed Rényi form (with a plan's usual orders) and what a plan claims (the lesser of it, PLD and the exact formula
without sampling). Peers: dp-accounting's Rényi accountant with its own orders, whole and fractional; with `--peer` also Opacus'
PRV accountant, in an environment of its own. A ratio below 1 is the tighter bound. Of PRV both bounds count: a claim above
the upper one would be loose, a claim below the lower one would be false.

Published figures are compared with the same accounting as their authors', where it is known: Rényi bounds at whole orders with
the conversion of Mironov 2017 (proposition 3) before 2020, with today's from then on.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

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
from private import peer_environment

PRV_ERROR = 0.002
"""How far from epsilon PRV's bounds may be; with its default of 0.01 they would tell less."""


class Published(NamedTuple):
    """A figure that somebody printed: how it was counted, and where it stands."""

    epsilon: float
    counted: str
    source: str


class Setting(NamedTuple):
    """Steps of the Gaussian mechanism on Poisson samples."""

    name: str
    multiplier: float
    rate: float
    steps: int
    delta: float
    published: Published | None = None


MNIST, CLASSICAL, TODAYS, PRV = 256 / 60_000, "Rényi, classical conversion", "Rényi", "PRV, upper bound"
TUTORIAL = "TensorFlow Privacy's MNIST tutorial, 2019"
SETTINGS = (
    Setting("Abadi et al. 2016, sigma 4", 4.0, 0.01, 10_000, 1e-5,
            Published(1.26, CLASSICAL, "Abadi et al. 2016, section 3")),
    Setting("MNIST, z 1.12, 60 epochs", 1.12, MNIST, 14_062, 1e-5, Published(2.92, CLASSICAL, TUTORIAL)),
    Setting("MNIST, z 1.2, 10 epochs", 1.2, MNIST, 2_343, 1e-5, Published(1.20, CLASSICAL, TUTORIAL)),
    Setting("MNIST, z 0.6, 30 epochs", 0.6, MNIST, 7_031, 1e-5, Published(9.74, CLASSICAL, TUTORIAL)),
    Setting("MNIST, z 1.3, 15 epochs", 1.3, MNIST, 3_515, 1e-5,
            Published(1.19, CLASSICAL, "Opacus, examples/mnist_README.md")),
    Setting("ImageNet, batch 16,384, z 2.5", 2.5, 16_384 / 1_281_167, 71_589, 8e-7,
            Published(8.0, TODAYS, "De et al. 2022, jax_privacy's imagenet_nf_resnet_50_eps8")),
    Setting("a twentieth of all, z 1.5", 1.5, 0.05, 1_000, 1e-6,
            Published(6.21, PRV, "Gopi et al.'s own accountant, as in Opacus' tests")),
    Setting("small federation, all in each step", 6.5, 1.0, 100, 1e-5),
    Setting("small federation, a tenth in each", 1.0, 0.1, 100, 1e-5),
    Setting("one count", 4.0, 1.0, 1, 1e-6),
)  # fmt: skip


def theirs(multiplier: float, rate: float, steps: int, delta: float) -> float:
    """Epsilon by dp-accounting's Rényi accountant."""
    accountant = rdp.RdpAccountant()
    event: Any = dp_accounting.GaussianDpEvent(multiplier)
    if rate < 1:
        event = dp_accounting.PoissonSampledDpEvent(rate, event)
    accountant.compose(dp_accounting.SelfComposedDpEvent(event, steps))
    return float(accountant.get_epsilon(delta))


def classical(item: Setting) -> float:
    """Whole orders with the conversion of Mironov 2017, proposition 3, as the first publications had it."""
    run = Run(item.multiplier, item.rate, item.steps)
    return min(
        rho - math.log(item.delta) / (order - 1) for order, rho in run.renyi_curve().items() if order <= 64
    )


def epsilons(*, quick: bool, peer: bool) -> list[dict[str, Any]]:
    """The ten settings; with PLD only where it takes a second or so if in a hurry."""
    known = [item for item in SETTINGS if not quick or item.rate == 1 or item.steps <= 1000]
    rows, claims = [], {}
    for item in SETTINGS:
        run = Run(item.multiplier, item.rate, item.steps)
        found = theirs(item.multiplier, item.rate, item.steps, item.delta)
        closed = epsilon(run, item.delta, "renyi")
        if item.rate < 1:
            rows.append(
                row(
                    f"{item.name}: Rényi",
                    "eps",
                    closed,
                    target=found * 1.01,
                    peer=found,
                    peer_name="dp-accounting",
                )
            )
        if item in known:
            claims[item] = epsilon(run, item.delta)
            rows.append(
                row(
                    f"{item.name}: claimed",
                    "eps",
                    claims[item],
                    target=found,
                    peer=found,
                    peer_name="dp-accounting",
                )
            )
        rows += published(item, closed, claims.get(item))
    return rows + (beside_prv(claims) if peer else [])


def published(item: Setting, closed: float, claimed: float | None) -> list[dict[str, Any]]:
    """The published figure's row: by the same accounting as its authors', it comes out again."""
    if item.published is None:
        return []
    counted: dict[str, Callable[[], float | None]] = {
        CLASSICAL: lambda: classical(item),
        TODAYS: lambda: closed,
        PRV: lambda: claimed,
    }
    ours, figure = counted[item.published.counted](), item.published.epsilon
    if ours is None:
        return []
    name = f"{item.published.source}: {item.published.counted}"
    return [
        row(f"{item.name}: as published", "eps", ours, target=figure * 1.005, peer=figure, peer_name=name)
    ]


def beside_prv(claims: dict[Setting, float]) -> list[dict[str, Any]]:
    """What is claimed, between the bounds of Opacus' PRV accountant."""
    asked = [[item.multiplier, item.rate, item.steps, item.delta, PRV_ERROR] for item in claims]
    rows = []
    for (item, claimed), found in zip(
        claims.items(), peer_environment.answer("opacus_prv.py", given=json.dumps(asked)), strict=True
    ):
        if isinstance(found, str):
            print(f"{item.name}: PRV says nothing: {found}", file=sys.stderr)
            continue
        low, _, high = found
        rows.append(
            row(
                f"{item.name}: claimed",
                "eps",
                claimed,
                target=high,
                peer=high,
                peer_name="Opacus PRV, upper bound",
            )
        )
        rows.append(row(f"{item.name}: PRV's lower bound", "eps", low, target=claimed))
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
    parser.add_argument("--peer", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            *epsilons(quick=options.quick, peer=options.peer),
            *decisions(Path(folder), 10 if options.quick else 100),
            noise(100_000 if options.quick else 1_000_000),
        ]
    show(rows, options.json)
    return 0 if all(item["holds"] for item in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

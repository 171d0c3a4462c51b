"""Whether a limit still permits a loss, when losses are chosen one after the other with an eye on earlier answers.

A *filter* looks at what was spent and at what the next mechanism would cost, and says yes or no. Two are here:

- `sums`: the epsilons add up to at most the limit's, and so do the deltas. Whatever is chosen adaptively, all that was
  permitted is (epsilon, delta)-DP (Rogers, Roth, Ullman, Vadhan 2016, theorem 3.6).
- `renyi`: at some order the Rényi bounds add up to at most what that order can spend. An order alone is a filter
  (Feldman and Zrnic 2021, theorem 4.3); so that each path of choices may end within the bound of an order of its own,
  delta is divided among the orders in advance: half to an *anchor*, the best order for one Gaussian mechanism that
  spends everything, the rest evenly (`docs/proofs/filters.md`). A sixteenth of delta is set aside for what Rényi bounds
  don't cover (`slip`, `failure`).

Many small losses fit into `renyi` that `sums` refuses; `sums` permits one run that is worth the whole limit.

Rules:
1. Decisions depend on public constants only: never on data, never on answers.
2. Losses are rounded up, to whole grains; sums of grains are exact, so their order does not matter.
3. What is permitted once is not taken back: a filter's state only grows.
4. A limit is met up to one part in 2^30, so that parts of a limit add up to it.

Sources: Rogers, Roth, Ullman, Vadhan, "Privacy odometers and filters", NeurIPS 2016 (arXiv 1605.08294); Feldman, Zrnic,
"Individual privacy accounting via a Rényi filter", NeurIPS 2021 (arXiv 2008.11193); Bun, Steinke, TCC 2016-B.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from cloister.foundation.errors import BadInput
from cloister.privacy import accounting, renyi

Method: TypeAlias = Literal["sums", "renyi"]

ORDERS: Final = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64, 96, 128, 256, 512)
EPSILON_GRAIN: Final = 2.0**-32
DELTA_GRAIN: Final = 2.0**-60
CAP: Final = 1 << 62
"""More grains than this are as good as no bound."""
_TOLERANCE: Final = 1 + 2.0**-30
_SLIP_SHARE: Final = 1 / 16
_FORM: Final = struct.Struct(f">B{4 + len(ORDERS)}q")


@dataclass(frozen=True)
class Loss:
    """What a mechanism costs, or what several have cost, in grains.

    Attributes:
        epsilon, delta: of (epsilon, delta)-DP.
        curve: Rényi bounds at `ORDERS`.
        slip: the delta with which the curve does not hold, of mechanisms that are so but for a chance of delta.
        failure: the chance of something else; it weighs 1 + exp(epsilon) times (see `accounting.Run`).
    """

    epsilon: int = 0
    delta: int = 0
    curve: tuple[int, ...] = (0,) * len(ORDERS)
    slip: int = 0
    failure: int = 0

    def __post_init__(self) -> None:
        """Raises `BadInput` for anything negative or over the cap."""
        if len(self.curve) != len(ORDERS) or not all(
            0 <= item <= CAP for item in (self.epsilon, self.delta, self.slip, self.failure, *self.curve)
        ):
            raise BadInput("A privacy loss is malformed.", "It has negative or missing figures.", "")

    def __add__(self, other: Loss) -> Loss:
        """Both, one after the other."""
        return Loss(
            _capped(self.epsilon + other.epsilon),
            _capped(self.delta + other.delta),
            tuple(_capped(a + b) for a, b in zip(self.curve, other.curve, strict=True)),
            _capped(self.slip + other.slip),
            _capped(self.failure + other.failure),
        )

    def encode(self) -> bytes:
        """Bytes to keep; read by `decode`."""
        return _FORM.pack(1, self.epsilon, self.delta, self.slip, self.failure, *self.curve)

    @classmethod
    def decode(cls, data: bytes) -> Loss:
        """Reads what `encode` wrote. Raises `BadInput` for anything else."""
        try:
            version, epsilon, delta, slip, failure, *curve = _FORM.unpack(data)
        except struct.error:
            version = 0
        if version != 1:
            raise BadInput("A privacy loss could not be read.", "It is not in the known form.", "")
        return cls(epsilon, delta, tuple(curve), slip, failure)


@dataclass(frozen=True)
class Limit:
    """The most that may be spent.

    Attributes:
        epsilon, delta: of the guarantee for everything together.
        method: how it is decided.
        anchor: the order with half of delta (`renyi`); fixed when the limit is first set, 0 for the best order.
    """

    epsilon: float
    delta: float
    method: Method = "sums"
    anchor: int = 0

    def __post_init__(self) -> None:
        """Raises `BadInput` for numbers out of range."""
        if not (0 < self.epsilon <= 1000 and 0 <= self.delta < 1 and self.method in ("sums", "renyi")) or (
            self.method == "renyi" and self.delta < accounting.LEAST_DELTA
        ):
            raise BadInput(
                "A privacy budget is out of range.",
                "Epsilon lies between 0 and 1000, delta between 0 and 1; the Rényi filter needs a delta.",
                "Choose other numbers.",
            )
        if self.anchor == 0 and self.method == "renyi":
            object.__setattr__(self, "anchor", best_order(self.epsilon, self.delta))
        if self.anchor not in ((0,) if self.method == "sums" else ORDERS):
            raise BadInput("A privacy budget names an order that is not known.", "", "")

    def permits(self, spent: Loss, loss: Loss) -> bool:
        """Whether `loss` may be spent after `spent`. Pure; the answer depends on nothing else."""
        after = spent + loss
        if self.method == "sums":
            return after.epsilon <= self._grains(EPSILON_GRAIN, self.epsilon) and (
                after.delta <= self._grains(DELTA_GRAIN, self.delta)
            )
        if self._slipped(after) > self.delta * _SLIP_SHARE:
            return False
        return any(
            used <= room
            for used, room in zip(after.curve, _rooms(self.epsilon, self.delta, self.anchor), strict=True)
        )

    def left(self, spent: Loss) -> tuple[float, float]:
        """(epsilon, delta) left for a mechanism of which nothing else is known; 0 if nothing is."""
        epsilon = max(0.0, self.epsilon - spent.epsilon * EPSILON_GRAIN)
        delta = max(0.0, self.delta - spent.delta * DELTA_GRAIN)
        if self.method == "sums":
            return epsilon, delta
        slip = max(0.0, self.delta * _SLIP_SHARE - self._slipped(spent))
        low, high = 0.0, self.epsilon
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if self.permits(spent, pure(middle)) else (low, middle)
        return low, slip

    def spent(self, loss: Loss) -> tuple[float, float]:
        """(epsilon, delta) that was spent, as this limit's method counts it; for showing."""
        if self.method == "sums":
            return loss.epsilon * EPSILON_GRAIN, loss.delta * DELTA_GRAIN
        if not any(loss.curve):
            return 0.0, self._slipped(loss)
        share = self.delta * (1 - _SLIP_SHARE)
        found = min(
            used * EPSILON_GRAIN + renyi.conversion(order, share * weight)
            for used, order, weight in zip(loss.curve, ORDERS, _weights(self.anchor), strict=True)
        )
        return max(found, 0.0), share + self._slipped(loss)

    def raised(self, epsilon: float, delta: float) -> Limit:
        """The limit with other numbers and the same anchor: what it permitted is permitted by a higher one too."""
        return Limit(epsilon, delta, self.method, self.anchor)

    def _slipped(self, loss: Loss) -> float:
        return DELTA_GRAIN * (loss.slip + loss.failure * (1 + math.exp(min(self.epsilon, 700.0))))

    def _grains(self, grain: float, value: float) -> int:
        return math.floor(value * _TOLERANCE / grain)


def best_order(epsilon: float, delta: float) -> int:
    """The order of `ORDERS` at which a Gaussian mechanism that costs exactly (epsilon, delta) is cheapest."""
    return max(ORDERS, key=lambda order: (epsilon - renyi.conversion(order, delta)) / order)


def pure(epsilon: float) -> Loss:
    """The loss of an epsilon-DP mechanism: (epsilon² / 2)-zCDP (Bun and Steinke 2016, proposition 1.4)."""
    return pair(epsilon, 0.0)


def pair(epsilon: float, delta: float) -> Loss:
    """The loss of an (epsilon, delta)-DP mechanism.

    But for a chance of delta it is as a mechanism that is epsilon-DP (Kairouz, Oh, Viswanath 2015, theorem 3.4), so
    delta slips.
    """
    if not (0 <= epsilon < math.inf and 0 <= delta < 1):
        raise BadInput("A privacy loss is out of range.", "Epsilon or delta is no such number.", "")
    grains = _up(delta, DELTA_GRAIN)
    curve = tuple(_up(min(epsilon, order * epsilon * epsilon / 2), EPSILON_GRAIN) for order in ORDERS)
    return Loss(_up(epsilon, EPSILON_GRAIN), grains, curve, grains)


def of_run(run: accounting.Run, delta: float, accountant: accounting.Accountant = "pld") -> Loss:
    """The loss of a run that is fixed in advance and charged before its first step; as (epsilon, delta) at `delta`."""
    curve = tuple(
        _up(run.steps * renyi.sampled_gaussian(order, run.noise_multiplier, run.rate), EPSILON_GRAIN)
        for order in ORDERS
    )
    return Loss(
        _up(accounting.epsilon(run, delta, accountant), EPSILON_GRAIN),
        _up(delta, DELTA_GRAIN),
        curve,
        failure=_up(run.failure, DELTA_GRAIN),
    )


@lru_cache(maxsize=256)
def _rooms(epsilon: float, delta: float, anchor: int) -> tuple[int, ...]:
    """Grains that each order can spend; -1 where it can spend nothing."""
    share = delta * (1 - _SLIP_SHARE)
    return tuple(
        max(-1, math.floor((epsilon * _TOLERANCE - renyi.conversion(order, share * weight)) / EPSILON_GRAIN))
        for order, weight in zip(ORDERS, _weights(anchor), strict=True)
    )


def _weights(anchor: int) -> tuple[float, ...]:
    return tuple(0.5 if order == anchor else 0.5 / (len(ORDERS) - 1) for order in ORDERS)


def _up(value: float, grain: float) -> int:
    return CAP if value / grain >= CAP else math.ceil(value / grain)


def _capped(grains: int) -> int:
    return min(grains, CAP)

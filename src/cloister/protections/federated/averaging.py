"""The arithmetic of federated averaging: the mean update Σ p_k · u_k, with public weights p_k that sum to one.

An owner's *update* u_k is the difference between the weights after its local steps and the round's weights. McMahan
et al. 2017 weigh owners by their record counts; counts are private here, so the weights are equal or agreed in the
plan, and are normalised over those who answered.

Rules:
1. A vector that is not finite, of another length, or longer than the norm limit never enters a sum.
2. Sums are in float64, in the order of the parties' fingerprints, so that a resumed coordinator gets the same bytes.
3. Vectors are gone through in blocks of fixed size, so that nothing of twice their size is made beside them. What is
   computed number by number is, bit for bit, what it would be of whole vectors; a norm adds up its blocks in order.

Source: McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data", Algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput
from cloister.protections.federated.framing import Vector

BLOCK = 1 << 16
"""Numbers in a block: what is computed of one stays in the processor's cache."""


def blocks(length: int) -> Iterator[slice]:
    """The blocks of a vector, in order."""
    return (slice(start, start + BLOCK) for start in range(0, length, BLOCK))


def norm(vector: NDArray[np.floating[Any]]) -> float:
    """The Euclidean norm, in float64; not finite if and only if a number of `vector` is not."""
    flat = vector.reshape(-1)
    total = 0.0
    for part in blocks(len(flat)):
        wide = flat[part].astype(np.float64)
        total += float(np.dot(wide, wide))
    return math.sqrt(total)


def check(vector: Vector, length: int, norm_limit: float) -> None:
    """Raises `BadInput` unless `vector` has `length` finite numbers and a norm of at most `norm_limit`."""
    if vector.shape != (length,):
        raise _refused(
            "It is not as long as the model's trainable weights.", "Train the model that was agreed."
        )
    length_of_all = norm(vector)
    if not math.isfinite(length_of_all):
        raise _refused(
            "It has numbers that are not finite.", "Lower the learning rate, or look for broken records."
        )
    if length_of_all > norm_limit:
        raise _refused(
            f"Its norm is over the plan's limit of {norm_limit:g}.",
            "Lower the learning rate or the number of local steps.",
        )


def update(after: Vector, before: Vector) -> Vector:
    """What local training changed: `after - before`, float32."""
    result = np.empty(after.shape, np.float32)
    for part in blocks(len(after)):
        result[part] = after[part].astype(np.float64) - before[part]
    return result


class Combined(Protocol):
    """Several updates as one, of which each part is computed when it is asked for."""

    def __getitem__(self, part: slice, /) -> NDArray[np.float64]:
        """A part of it, float64."""


class Mean:
    """The owners' average update, of which each part is computed when it is asked for.

    Args:
        updates: party → its checked update, shape (n,), float32.
        shares: party → its public weight, positive; normalised here over the parties in `updates`.

    Raises:
        BadInput: no updates, or a party without a share.
    """

    def __init__(self, updates: Mapping[str, Vector], shares: Mapping[str, float]) -> None:
        total = sum(shares.get(party, 0.0) for party in updates)
        if not updates or any(shares.get(party, 0.0) <= 0 for party in updates):
            raise _refused(
                "There is none, or one of a party without a weight.", "Start a task with these owners."
            )
        self._terms = [(shares[party] / total, updates[party]) for party in sorted(updates)]

    def __getitem__(self, part: slice, /) -> NDArray[np.float64]:
        """A part of the average, float64."""
        result = np.zeros(len(self._terms[0][1][part]), np.float64)
        for share, vector in self._terms:
            result += share * vector[part].astype(np.float64)
        return result

    def told(self) -> dict[str, str]:
        """Nothing: the mean takes every update as it is."""
        return {}


def mean(updates: Mapping[str, Vector], shares: Mapping[str, float]) -> NDArray[np.float64]:
    """The whole of `Mean`, shape (n,), float64."""
    parts = Mean(updates, shares)
    result = np.empty(len(next(iter(updates.values()))), np.float64)
    for part in blocks(len(result)):
        result[part] = parts[part]
    return result


def _refused(why: str, remedy: str) -> BadInput:
    return BadInput("An update cannot be averaged.", why, remedy)

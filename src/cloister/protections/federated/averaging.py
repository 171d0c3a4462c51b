"""The arithmetic of federated averaging: the mean update Σ p_k · u_k, with public weights p_k that sum to one.

An owner's *update* u_k is the difference between the weights after its local steps and the round's weights. McMahan
et al. 2017 weigh owners by their record counts; counts are private here, so the weights are equal or agreed in the
plan, and are normalised over those who answered.

Rules:
1. A vector that is not finite, of another length, or longer than the norm limit never enters a sum.
2. Sums are in float64, in the order of the parties' fingerprints, so that a resumed coordinator gets the same bytes.

Source: McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data", Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput
from cloister.protections.federated.framing import Vector


def norm(vector: Vector) -> float:
    """The Euclidean norm, in float64."""
    wide = vector.astype(np.float64, copy=False).ravel()
    return float(np.sqrt(np.dot(wide, wide)))


def check(vector: Vector, length: int, norm_limit: float) -> None:
    """Raises `BadInput` unless `vector` has `length` finite numbers and a norm of at most `norm_limit`."""
    if vector.shape != (length,):
        raise _refused(
            "It is not as long as the model's trainable weights.", "Train the model that was agreed."
        )
    if not bool(np.all(np.isfinite(vector))):
        raise _refused(
            "It has numbers that are not finite.", "Lower the learning rate, or look for broken records."
        )
    if norm(vector) > norm_limit:
        raise _refused(
            f"Its norm is over the plan's limit of {norm_limit:g}.",
            "Lower the learning rate or the number of local steps.",
        )


def update(after: Vector, before: Vector) -> Vector:
    """What local training changed: `after - before`, float32."""
    return (after.astype(np.float64) - before.astype(np.float64)).astype(np.float32)


def mean(updates: Mapping[str, Vector], shares: Mapping[str, float]) -> NDArray[np.float64]:
    """The owners' average update.

    Args:
        updates: party → its checked update, shape (n,), float32.
        shares: party → its public weight, positive; normalised here over the parties in `updates`.

    Returns:
        Shape (n,), float64.

    Raises:
        BadInput: no updates, or a party without a share.
    """
    total = sum(shares.get(party, 0.0) for party in updates)
    if not updates or any(shares.get(party, 0.0) <= 0 for party in updates):
        raise _refused(
            "There is none, or one of a party without a weight.", "Start a task with these owners."
        )
    parties = sorted(updates)
    result = np.zeros(updates[parties[0]].shape, np.float64)
    for party in parties:
        result += (shares[party] / total) * updates[party].astype(np.float64)
    return result


def _refused(why: str, remedy: str) -> BadInput:
    return BadInput("An update cannot be averaged.", why, remedy)

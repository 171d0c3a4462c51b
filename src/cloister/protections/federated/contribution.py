"""What an owner gives to a round: its update, or one noisy step of its clipped gradients.

Rules:
1. A private run's whole loss is charged before the first step is given any record; a resumed seat is not charged again.
2. Sample, noise and masks come from one journalled secret of this task and attempt, which is on disk before anything is
   spent, by labels that no two rounds share: whatever runs again, also from an older disk, gives the same bytes. Asked about
   other weights, as a coordinator could ask a node that was set back, it draws anew: the same noise never covers two answers,
   whose difference would have none. A seat that forgets each round's secrets after it goes along a chain of keys
   (`first_key`, `next_key`), of which none leads back.
3. An update that is not finite, or over the norm limit, never leaves. With a secure sum, an honest owner shortens what it
   gives to the agreed norm: nobody could see afterwards that it was longer.
4. What was computed of records on the way (sampled, left out, losses) is shown to this owner's own people only.

Source: Abadi et al. 2016, "Deep Learning with Differential Privacy", Algorithm 1.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.canonical import JSON
from cloister.foundation.errors import BadInput, TaskFailed
from cloister.journal.program import DataPort, Local, PrivacyCost
from cloister.privacy.filters import DELTA_GRAIN, EPSILON_GRAIN
from cloister.protections.federated import averaging, worker
from cloister.protections.federated.framing import Vector, vector_digest
from cloister.protections.federated.settings import PrivateSteps, Settings, loss_of
from cloister.protections.federated.worker import Ranges
from cloister.release import quality

ROOT: Final = "training"


def root(local: Local) -> bytes:
    """The one journalled secret of this task and attempt (rule 2); under `ROOT` for those who forget it."""
    return local.secret(ROOT, 32)


def secret(key: bytes, label: str) -> bytes:
    """32 bytes for one use, derived from the task's or a round's key."""
    return hmac.digest(key, f"cloister/training/{label}".encode(), "sha256")


def first_key(local: Local) -> bytes:
    """The first round's key."""
    return secret(root(local), "chain")


def next_key(key: bytes) -> bytes:
    """The next round's key. Who has it and not the one before cannot make the round's secrets any more."""
    return secret(key, "chain")


def charge(local: Local, settings: Settings, dataset: str) -> None:
    """Spends a private run's loss (rule 1); nothing where no noise is added. Call it in a seat's first step only.

    The secret of all rounds is on disk before: a node that is restored to any moment after its charge answers the same
    question with the same noise under the same masks. Another question, which only a lying coordinator asks, gets noise of its
    own, for which nothing was charged.

    Raises:
        Refused: what is left of the budget does not suffice.
    """
    root(local)
    if settings.private is None:
        return
    # That of the vote's noise too, for the same reason: the charge is for both.
    local.secret(quality.SECRET, 32)
    loss = loss_of(settings.private)
    local.charge(PrivacyCost(dataset, loss.encode(), loss.epsilon * EPSILON_GRAIN, loss.delta * DELTA_GRAIN))


def update(
    local: Local,
    settings: Settings,
    model: str,
    recipe: Mapping[str, JSON],
    data: DataPort,
    weights: Vector,
    number: int,
    key: bytes,
) -> Vector:
    """What an owner's local steps change, (parameters,), checked. Raises `TaskFailed` by rule 3.

    Args:
        local: the owner's.
        settings: from the plan.
        model: digest of the ONNX model.
        recipe: the computation's settings.
        data: the owner's dataset.
        weights: the round's, (parameters,).
        number: the round, from 1.
        key: the task's or the round's, for `secret`.
    """
    after, figures = worker.train(
        local,
        model,
        recipe,
        data,
        weights,
        number=number,
        steps=settings.local_steps,
        seed=secret(key, f"seed-{number}"),
    )
    local.report({**figures, "round": number})
    try:
        averaging.check(after, settings.parameters, float("inf"))
        found = averaging.update(after, weights)
        averaging.check(found, settings.parameters, settings.norm_limit)
    except BadInput as error:
        raise TaskFailed(
            "This server's update was not sent.", error.why, error.remedy, phase=f"round-{number}"
        ) from None
    return found


def shortened(vector: Vector, norm: float) -> Vector:
    """The vector, scaled down to a Euclidean norm of at most `norm`, float32."""
    length = averaging.norm(vector)
    if length <= norm:
        return vector
    # A little below, so that rounding to float32 leaves no number over the bound.
    return (vector.astype(np.float64) * (norm / length * (1 - 1e-6))).astype(np.float32)


def noisy_sum(
    local: Local,
    settings: Settings,
    private: PrivateSteps,
    model: str,
    recipe: Mapping[str, JSON],
    data: DataPort,
    weights: Vector,
    number: int,
    key: bytes,
) -> NDArray[np.int64]:
    """This owner's clipped gradient sum with its noise, on the mechanism's lattice, (trained,). Arguments as of `update`."""
    run = private.run
    asked = f"{number}-{vector_digest(weights)}"
    gradients, figures = worker.private_sum(
        local,
        model,
        recipe,
        data,
        weights,
        clip=run.mechanism.clip,
        rate=run.rate,
        capacity=run.capacity,
        units=run.units,
        trained=settings.trained,
        seed=secret(key, f"sample-{asked}"),
    )
    local.report({**figures, "round": number})
    return run.mechanism.noisy(gradients, secret(key, f"noise-{asked}"), f"round-{number}")


def step_of(private: PrivateSteps, total: NDArray[np.int64], contributors: int) -> NDArray[np.float64]:
    """The direction to go, from a sum of so many owners' noisy gradients: minus their mean over the expected batch.

    The expected batch, rate times the public bound of units, is a constant of the plan: the number of units that were
    really sampled is nobody's to know.
    """
    run = private.run
    return -run.mechanism.read(total) / (run.rate * run.units * contributors)


def picked(vector: Vector, ranges: Ranges) -> Vector:
    """The trained numbers of a whole vector."""
    if len(ranges) == 1:
        return vector[ranges[0][0] : ranges[0][1]]
    return np.concatenate([vector[start:stop] for start, stop in ranges])


def placed(vector: Vector, trained: Vector, ranges: Ranges) -> Vector:
    """The whole vector with other trained numbers."""
    result, place = vector.copy(), 0
    for start, stop in ranges:
        result[start:stop] = trained[place : place + stop - start]
        place += stop - start
    return result

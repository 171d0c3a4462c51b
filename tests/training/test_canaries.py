"""Canaries through all that stands before their records: gradients, clipping, two honest owners' noise, the sum.

Planted units whose gradient lies on an axis of its own, each there or not by a coin; an adversary that has the sum of all owners'
noisy steps and one owner's noise guesses which. What it achieves bounds epsilon from below (`privacy.auditing`). With the
noise as planned that is below what is accounted; with half of it, or a unit that counts at two owners where one was agreed,
it is above. How seldom such an audit errs: `test_auditing`, of the same threshold and more runs than are needed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from building import Builder

from cloister.models.execute import load_model
from cloister.privacy import accounting, auditing, lattice
from cloister.privacy.accounting import Run
from cloister.privacy.mechanisms import Mechanism, mechanism_for, summation_slack
from cloister.training.examples import ArrayExamples
from cloister.training.local import Trainer
from cloister.training.private import PrivateGradient
from cloister.training.recipe import Column, TabularPreparation, TrainingRecipe

AXES, STEPS, CLIP, DELTA = 250, 820, 0.5, 1e-5
COINS = np.random.default_rng(5).permutation(AXES) % 2 == 0
THRESHOLD = 3.0
"""Of what is seen, in clipping norms; an auditor who suspects that a unit counts twice takes twice as much."""


def planned() -> Mechanism:
    """Three owners, one of whom colludes; noise of twice the clipping norm between the two others."""
    return mechanism_for(
        dimension=AXES, clip=CLIP, noise_multiplier=2.0, largest=CLIP * AXES, nodes=3, distributed=True,
        colluders=1, slack=summation_slack(AXES),
    )  # fmt: skip


@pytest.fixture(scope="module")
def sums():
    """Owner → the sum of its canaries' clipped gradients: the first has those of even axes, the second those of odd ones."""
    b = Builder()
    b.node("Gemm", "x", b.weight(1, AXES, name="w"), b.weight(1, name="bias"), transB=1)
    b.nodes[-1].output[0] = "y"
    model = load_model(b.bytes({"x": ["batch", AXES]}, ["y"]))
    table = TabularPreparation(columns=(Column(name="a"),), label="y")
    recipe = TrainingRecipe(
        loss="mean-squared-error", input="x", output="y", preparation=table, trainable=("w",)
    )
    gradient = PrivateGradient(Trainer(model, recipe))
    found = []
    for owner in (0, 1):
        axes = np.flatnonzero(COINS & (np.arange(AXES) % 2 == owner))
        x = np.zeros((len(axes), AXES), np.float32)
        x[np.arange(len(axes)), axes] = 1.0
        target = np.full((len(axes), 1), -1e3, np.float32)
        data = ArrayExamples({"input": x, "target": target}, {"input": x[:0], "target": target[:0]}, None)
        total, figures = gradient.sum(
            data, model.flatten(), clip=CLIP, rate=1.0, capacity=AXES, secret=bytes(32), units=AXES
        )
        assert figures["clipped"] == 1.0
        found.append(total)
    return found


def audited(sums: list[np.ndarray], mechanism: Mechanism, threshold: float = THRESHOLD) -> float:
    """The lower bound of epsilon: each axis in each step is a run of its own, with its canary or without."""
    hits = alarms = 0
    for step in range(STEPS):
        total = np.zeros(AXES, np.uint64)
        for owner, vector in enumerate(sums):
            noisy = mechanism.noisy(vector, bytes([owner + 1] * 32), f"step-{step}")
            total += lattice.to_ring(noisy, mechanism.ring_bits)
        # The colluder has given nothing and taken its own noise off.
        seen = mechanism.read(lattice.from_ring(total, mechanism.ring_bits)) / CLIP
        said = seen > threshold
        hits += int((said & COINS).sum())
        alarms += int((said & ~COINS).sum())
    return auditing.many_runs(
        STEPS * int(COINS.sum()), hits, STEPS * int((~COINS).sum()), alarms, DELTA, 0.999
    )


def test_canaries_find_nothing_where_the_noise_is_as_planned(sums) -> None:
    mechanism = planned()
    accounted = accounting.epsilon(Run(mechanism.noise_multiplier, 1.0, 1), DELTA)
    assert accounted / 3 < audited(sums, mechanism) <= accounted


@pytest.mark.parametrize("fault", ["half the noise", "a unit at two owners"])
def test_canaries_find_a_planted_halving_of_the_noise_and_of_what_it_covers(sums, fault: str) -> None:
    mechanism = planned()
    accounted = accounting.epsilon(Run(mechanism.noise_multiplier, 1.0, 1), DELTA)
    if fault == "half the noise":
        found = audited(sums, mechanism.model_copy(update={"variance": mechanism.variance // 4}))
    else:
        both = sums[0] + sums[1]
        found = audited([both, both], mechanism, 2 * THRESHOLD)
    assert found > accounted

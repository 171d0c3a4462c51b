"""What plans foretell comes true: bytes as they are sent, and noise as it is added."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cloister.protections.federated.estimates import cost
from cloister.protections.federated.settings import read_recipe
from cloister.protections.federated.sizing import expected
from protections import federation as f
from protections.private_world import settings as made
from protections.private_world import world


@pytest.mark.parametrize(("owners", "epsilon"), [(3, None), (5, None), (3, 1.0)])
def test_a_secure_training_sends_about_as_many_bytes_as_its_plan_says(owners, epsilon):
    of = made(owners, rounds=2, epsilon=epsilon)
    loop = world(of, owners)
    loop.run()
    assert not [node.error for node in loop.nodes.values() if node.error]
    up = sum(len(message.body) for sender, message in loop.sent if sender != f.LAB)
    down = sum(len(message.body) for sender, message in loop.sent if sender == f.LAB)
    told = cost(of, read_recipe(f.recipe()), owners, 0, {})
    assert told.bytes_up == pytest.approx(up, rel=0.2)
    assert told.bytes_down == pytest.approx(down, rel=0.2)


@pytest.mark.parametrize("secure", [True, False])
def test_the_noise_that_is_foretold_is_the_noise_that_is_added(secure):
    """Owners' noise alone, over the whole run, beside the largest change that clipped gradients could make."""
    of = made(3, rounds=40, epsilon=4.0, secure=secure)
    run = of.private.run
    mechanism, moved = run.mechanism, np.zeros(f.LENGTH)
    silence = np.zeros(f.LENGTH, np.float32)
    found = []
    for attempt in range(20):
        moved[:] = 0.0
        for step in range(of.rounds):
            for owner in range(3):
                moved += mechanism.read(mechanism.noisy(silence, bytes([attempt]) * 32, f"{step} {owner}"))
        found.append(np.linalg.norm(moved))
    largest = of.rounds * 3 * run.rate * run.units * mechanism.clip
    share = math.sqrt(np.mean(np.square(found))) / largest
    assert expected(of).noise == pytest.approx(share, rel=0.2)


def test_figures_that_were_measured_take_the_place_of_those_that_are_taken():
    of, recipe = made(3, rounds=10, epsilon=4.0), read_recipe(f.recipe())
    slow = cost(of, recipe, 3, 0, {"seconds_per_private_unit": 1.0}).seconds
    assert slow > 10 * of.private.run.capacity
    taken = cost(of, recipe, 3, 0, {}).seconds
    assert taken == cost(of, recipe, 3, 0, {"seconds_per_step": 0.5}).seconds < slow


def test_each_patch_of_a_picture_is_foretold_to_take_its_time():
    of = made(3, rounds=10, epsilon=4.0)

    def told(crops, **bench):
        recipe = f.recipe(
            preparation={"name": "points", "patch": 32, "crops": crops, "channels": ["centres"]}
        )
        return cost(of, read_recipe(recipe), 3, 0, bench).seconds

    assert told(8) > 4 * told(1)
    # What was measured was measured with all of them.
    assert told(8, seconds_per_private_unit=0.1) == told(1, seconds_per_private_unit=0.1)

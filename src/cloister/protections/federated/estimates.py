"""What a federated training will cost: seconds, bytes and epsilon, from its settings and this node's figures.

Estimates, for comparing offers and for people's patience; nobody is refused for them. Figures come from `cloister bench
node` (`BENCH` has their names); where there are none, those of a small idle machine are taken.

Bytes of a secure sum: in each round an owner sends its packed vector (ring bits / 8 for each trained number) and, in five
messages, keys, sealed shares and signatures, which grow with the owners; it receives the others' and the sum.

Seconds of a round: the training, which all owners do at once, and the messages, which the coordinator handles one after
another. A message takes two exchanges' time, one on its way and one in the journals of both ends (measured: 3 to 30 owners in
the clear, 3 and 10 with secure sums, all on one machine; `docs/benchmarks.md`). Once: the workers' start and the first step,
and the messages of the release.
"""

from __future__ import annotations

from collections.abc import Mapping

from cloister.aggregation import ring
from cloister.claims.offers import Cost
from cloister.protections.federated import secure
from cloister.protections.federated.settings import Settings, epsilon
from cloister.training.recipe import TrainingRecipe

BENCH: Mapping[str, float] = {
    "bytes_per_second": 10e6,
    "seconds_per_step": 0.5,
    "seconds_per_exchange": 0.02,
    "seconds_per_million_masked": 0.01,
    "seconds_per_million_noised": 0.1,
    "seconds_to_start": 10.0,
}
"""Name → what is taken where a node has not measured it. A step is one of the recipe's batches. `seconds_per_private_unit`
is taken from the step if it was not measured."""

PRIVATE_STEP = 2.0
"""Times a plain step over as many examples; the target of the private gradient."""
_MESSAGES, _PLAIN_MESSAGES, _RELEASE_MESSAGES = 5, 1, 5
"""There and back, between the coordinator and each owner: of a round with a secure sum, of one without, of the release."""
_UP, _UP_PER_OWNER = 20_000, 2_800
_DOWN_PER_OWNER = 37_000
"""Bytes of an aggregation's documents, counted with 3, 5 and 10 participants."""


def cost(
    settings: Settings, recipe: TrainingRecipe, owners: int, recipients: int, bench: Mapping[str, float]
) -> Cost:
    """What the training costs.

    Args:
        settings: of the offer.
        recipe: of the computation.
        owners: how many train.
        recipients: how many get the result, besides.
        bench: this node's figures, by the names in `BENCH`.
    """
    known = {name: bench.get(name, taken) for name, taken in BENCH.items()}
    model = 4 * settings.parameters
    rounds = settings.rounds
    work = known["seconds_per_step"] * settings.local_steps
    if settings.private is not None:
        run = settings.private.run
        # A picture may give several patches to a step; `seconds_per_private_unit` was measured with all of them.
        each = PRIVATE_STEP * known["seconds_per_step"] / recipe.batch
        unit = bench.get("seconds_per_private_unit", recipe.places * each)
        work = unit * run.capacity
        work += known["seconds_per_million_noised"] * settings.trained / 1e6
    if settings.secure is None:
        up = down = model * rounds * owners
        messages = _PLAIN_MESSAGES
    else:
        packed = ring.packed_size(settings.trained, secure.encoding(settings, owners).bits) + 8
        up = rounds * owners * (packed + _UP + _UP_PER_OWNER * owners)
        down = rounds * owners * (packed + _DOWN_PER_OWNER * owners)
        messages = _MESSAGES
        # A mask for each other owner, one of its own, the outer one put on and taken off.
        work += known["seconds_per_million_masked"] * (owners + 2) * settings.trained / 1e6
    exchanged = 2 * 2 * owners * known["seconds_per_exchange"]
    seconds = known["seconds_to_start"] + rounds * work + (rounds * messages + _RELEASE_MESSAGES) * exchanged
    return Cost(
        seconds=seconds + (up + down) / known["bytes_per_second"],
        bytes_up=up,
        bytes_down=down + (owners + recipients) * model,
        epsilon=epsilon(settings),
    )

"""How a plant goes on training the crystal model on its own pictures: the recipe that parties agree on.

Fine-tuning, not training anew: small steps from a checkpoint, on crops of a few labelled pictures, with
gradients of limited norm so that one odd picture moves the weights only so far.

Plants pull in different directions: what is a small blurred crystal at one looks like a small blurred bubble at another.
Over a few rounds the best that can be done is that each plant goes a good way by itself before the weights are averaged;
over many rounds, that each goes a short way and the coordinator's optimiser remembers over all plants and rounds
(`docs/benchmarks.md`, crystals).
"""

from __future__ import annotations

from cloister.applications.crystals.network import INPUT, OUTPUT
from cloister.applications.crystals.pipeline import PEAK_DISTANCE, PEAK_THRESHOLD
from cloister.applications.crystals.targets import BUMP, NARROWEST, WIDEST
from cloister.training.recipe import OptimiserRecipe, PointsPreparation, ServerRecipe, TrainingRecipe

LOSS = "binary-cross-entropy-per-pixel"
MANY_ROUNDS = 20
"""From here on the coordinator's optimiser has enough rounds to get somewhere."""


def crystals_recipe(
    *,
    rounds: int = 6,
    steps: int | None = None,
    batch: int = 4,
    learning_rate: float | None = None,
    patch: int = 192,
) -> TrainingRecipe:
    """The recipe for fine-tuning `network.build_model`'s graph on pictures with marked centres and diameters.

    Args:
        rounds: how many the task will have. From `MANY_ROUNDS` on, owners make a few plain steps of descent and the
            coordinator uses Adam (FedAdam, Reddi et al. 2021); with fewer, owners use Adam and are averaged (FedAvg).
        steps: local steps in one round; 25, or 4 of many rounds.
        batch: crops in a step.
        learning_rate: of Adam, wherever it is; 5e-4 at the owners, 1e-3 at the coordinator.
        patch: side of a crop, pixels; a multiple of `network.MULTIPLE`.

    Returns:
        A recipe whose records are a folder of pictures with labels `{"centres": [...], "diameters": [...]}`;
        its metric is the count accuracy of pictures kept apart.
    """
    if rounds < MANY_ROUNDS:
        optimiser = OptimiserRecipe(name="adam", learning_rate=learning_rate or 5e-4, second_moment=0.99)
        server = ServerRecipe()
    else:
        optimiser = OptimiserRecipe(name="sgd", learning_rate=0.02, momentum=0.0)
        server = ServerRecipe(name="adam", learning_rate=learning_rate or 1e-3, schedule="cosine", warmup=8)
    return TrainingRecipe(
        loss=LOSS,
        input=INPUT,
        output=OUTPUT,
        optimiser=optimiser,
        server=server,
        steps=steps or (25 if rounds < MANY_ROUNDS else 4),
        batch=batch,
        clip=0.3,
        preparation=_preparation(patch),
        metric="count-accuracy",
    )


def private_crystals_recipe(*, learning_rate: float = 0.02, patch: int = 192) -> TrainingRecipe:
    """The recipe for fine-tuning with differential privacy: few numbers, because noise in each adds up over all of them.

    Of the shipped checkpoint the last block alone (34 numbers) is trained, by the coordinator's Adam.

    Args:
        learning_rate: of the coordinator over the noisy steps.
        patch: side of a crop, pixels; a multiple of `network.MULTIPLE`.
    """
    return _with_noise(
        "head.", ServerRecipe(name="adam", learning_rate=learning_rate, schedule="cosine"), patch
    )


def steered_crystals_recipe(*, learning_rate: float = 0.4, patch: int = 192) -> TrainingRecipe:
    """The same for `directions.steered_model`: how far to go along the directions in which plants differ.

    By the coordinator's momentum: Adam would take a direction in which there is only noise for as important as the others.
    Arguments as of `private_crystals_recipe`.
    """
    from cloister.models.directions import COEFFICIENTS

    return _with_noise(
        COEFFICIENTS, ServerRecipe(name="momentum", learning_rate=learning_rate, schedule="cosine"), patch
    )


def _with_noise(trainable: str, server: ServerRecipe, patch: int) -> TrainingRecipe:
    return TrainingRecipe(
        loss=LOSS,
        input=INPUT,
        output=OUTPUT,
        optimiser=OptimiserRecipe(name="sgd", learning_rate=1.0, momentum=0.0),
        server=server,
        steps=1,
        batch=4,
        trainable=(trainable,),
        preparation=_preparation(patch),
        metric="count-accuracy",
    )


def _preparation(patch: int) -> PointsPreparation:
    return PointsPreparation(
        patch=patch,
        sigma_share=BUMP,
        sigma_limits=(NARROWEST, WIDEST),
        channels=("centres", "foreground"),
        channel_weights=(10.0, 1.0),
        emphasis=5.0,
        brightness=0.08,
        threshold=PEAK_THRESHOLD,
        distance=float(PEAK_DISTANCE),
    )

"""How plants go on training the model that outlines crystals, each on its own labelled pictures: the recipe that they agree on.

Fine-tuning, not training anew: short steps from the shipped weights, on crops of a few pictures, with gradients of limited norm. Pictures
are brought to the size at which the tool looks at them. Labels are centres and diameters; outlines, where there are some, teach
shapes, and bubbles, where they are marked, what is none. Blur, agglomerates and what is hidden are in no labels: of these the model
keeps what it knew.
"""

from __future__ import annotations

from cloister.applications.crystals.shipped import BUBBLE, CENTRE_THRESHOLD, MOST_COMMON, crystals_outlines
from cloister.applications.crystals.star_network import INPUT, OUTPUT
from cloister.training.recipe import OptimiserRecipe, OutlinesPreparation, ServerRecipe, TrainingRecipe

LOSS = "star-convex-outlines"
LAST_BLOCK = f"{OUTPUT}."
MANY_ROUNDS = 20
"""From here on the coordinator's optimiser has enough rounds to get somewhere."""


def outlines_recipe(
    *,
    rounds: int = 6,
    steps: int | None = None,
    batch: int = 4,
    learning_rate: float | None = None,
    patch: int = 192,
) -> TrainingRecipe:
    """The recipe for fine-tuning all weights of `star_network.build_star_model`'s graph, without noise.

    Args:
        rounds: how many the task will have. From `MANY_ROUNDS` on, owners make a few plain steps of descent and the
            coordinator uses Adam (FedAdam, Reddi et al. 2021); with fewer, owners use Adam and are averaged (FedAvg).
        steps: local steps in one round; 25, or 4 of many rounds.
        batch: crops in a step.
        learning_rate: of Adam, wherever it is; 2e-4 at the owners, 3e-4 at the coordinator.
        patch: side of a crop, pixels; a multiple of 16.

    Returns:
        A recipe whose records are a folder of pictures with labels; its metric is the count accuracy of pictures kept apart.
    """
    few = rounds < MANY_ROUNDS
    if few:
        optimiser = OptimiserRecipe(name="adam", learning_rate=learning_rate or 2e-4, second_moment=0.99)
        server = ServerRecipe()
    else:
        optimiser = OptimiserRecipe(name="sgd", learning_rate=0.02, momentum=0.0)
        server = ServerRecipe(name="adam", learning_rate=learning_rate or 3e-4, schedule="cosine", warmup=8)
    return _recipe(optimiser, server, steps or (25 if few else 4), batch, patch, clip=1.0)


def private_outlines_recipe(
    *, learning_rate: float = 0.01, patch: int = 192, trainable: tuple[str, ...] = (LAST_BLOCK,)
) -> TrainingRecipe:
    """The recipe for fine-tuning with differential privacy: few numbers, because noise in each adds up over all of them.

    Args:
        learning_rate: of the coordinator's Adam over the noisy steps.
        patch: side of a crop, pixels; a multiple of 16.
        trainable: how the names of the weights begin that are trained; the last block if absent.
    """
    optimiser = OptimiserRecipe(name="sgd", learning_rate=1.0, momentum=0.0)
    server = ServerRecipe(name="adam", learning_rate=learning_rate, schedule="cosine")
    return _recipe(optimiser, server, 1, 4, patch, trainable=trainable)


def steered_outlines_recipe(*, learning_rate: float = 0.03, patch: int = 192) -> TrainingRecipe:
    """The same for `directions.steered_outliner`: how far to go along the directions in which plants differ.

    By the coordinator's momentum: Adam would take a direction in which there is only noise for as important as the others.

    Args:
        learning_rate: of the coordinator.
        patch: side of a crop, pixels; a multiple of 16.
    """
    from cloister.models.directions import COEFFICIENTS

    optimiser = OptimiserRecipe(name="sgd", learning_rate=1.0, momentum=0.0)
    server = ServerRecipe(name="momentum", learning_rate=learning_rate, schedule="cosine")
    return _recipe(optimiser, server, 1, 4, patch, trainable=(COEFFICIENTS,))


def _recipe(
    optimiser: OptimiserRecipe,
    server: ServerRecipe,
    steps: int,
    batch: int,
    patch: int,
    *,
    clip: float | None = None,
    trainable: tuple[str, ...] = (),
) -> TrainingRecipe:
    told = crystals_outlines()
    diameters = told["diameters"]
    assert isinstance(diameters, dict)
    return TrainingRecipe(
        loss=LOSS,
        input=INPUT,
        output=OUTPUT,
        optimiser=optimiser,
        server=server,
        steps=steps,
        batch=batch,
        clip=clip,
        trainable=trainable,
        preparation=OutlinesPreparation(
            patch=patch,
            typical=float(diameters["typical"]),
            brightness=0.08,
            threshold=CENTRE_THRESHOLD,
            bubble=BUBBLE,
            most_common=MOST_COMMON,
        ),
        metric="count-accuracy",
    )

"""How a plant goes on training the crystal model on its own pictures: the recipe that parties agree on.

Fine-tuning, not training anew: small steps from a checkpoint, on crops of a few labelled pictures, with
gradients of limited norm so that one odd picture moves the weights only so far.
"""

from __future__ import annotations

from cloister.applications.crystals.network import INPUT, OUTPUT
from cloister.applications.crystals.pipeline import PEAK_DISTANCE, PEAK_THRESHOLD
from cloister.applications.crystals.targets import BUMP, NARROWEST, WIDEST
from cloister.training.recipe import OptimiserRecipe, PointsPreparation, TrainingRecipe


def crystals_recipe(
    *, steps: int = 25, batch: int = 4, learning_rate: float = 5e-4, patch: int = 192
) -> TrainingRecipe:
    """The recipe for fine-tuning `network.build_model`'s graph on pictures with marked centres and diameters.

    Args:
        steps: local steps in one round.
        batch: crops in a step.
        learning_rate: of Adam.
        patch: side of a crop, pixels; a multiple of `network.MULTIPLE`.

    Returns:
        A recipe whose records are a folder of pictures with labels `{"centres": [...], "diameters": [...]}`;
        its metric is the count accuracy of pictures kept apart.
    """
    return TrainingRecipe(
        loss="binary-cross-entropy-per-pixel",
        input=INPUT,
        output=OUTPUT,
        optimiser=OptimiserRecipe(name="adam", learning_rate=learning_rate, second_moment=0.99),
        steps=steps,
        batch=batch,
        clip=0.3,
        preparation=PointsPreparation(
            patch=patch,
            sigma_share=BUMP,
            sigma_limits=(NARROWEST, WIDEST),
            channels=("centres", "foreground"),
            channel_weights=(10.0, 1.0),
            emphasis=5.0,
            brightness=0.08,
            threshold=PEAK_THRESHOLD,
            distance=float(PEAK_DISTANCE),
        ),
        metric="count-accuracy",
    )

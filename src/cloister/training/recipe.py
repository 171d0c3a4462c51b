"""The recipe of a training: everything about it that parties agree on besides the model. A frozen document.

What an owner's records look like after preparation is fixed by public constants in here, never by statistics of the records,
so that preparing reveals nothing.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from cloister.data.windows import Windows
from cloister.foundation.documents import Document

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Positive = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Number = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class OptimiserRecipe(Document):
    """How a step follows from a gradient (see `optimiser`).

    Attributes:
        name: `sgd` with momentum, `adam`, or `adamw` (decay apart from the gradient).
        learning_rate: step size.
        momentum: of `sgd`.
        first_moment: how much of the earlier gradients stays, of `adam` and `adamw`.
        second_moment: how much of the earlier squared gradients stays, of `adam` and `adamw`.
        epsilon: of `adam` and `adamw`; keeps a step finite where gradients are nearly zero.
        weight_decay: pull towards zero.
        schedule: `constant`, or `cosine` from the learning rate to zero over the steps of one round.
        warmup: steps at the beginning of a round over which the learning rate rises from zero.
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: Positive = 0.05
    momentum: Share = 0.9
    first_moment: Share = 0.9
    second_moment: Share = 0.999
    epsilon: Positive = 1e-8
    weight_decay: NotNegative = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: Annotated[int, Field(ge=0, le=100_000)] = 0


class ServerRecipe(Document):
    """How the coordinator moves the weights along the owners' average update (Reddi et al. 2021, Algorithm 2, FedOpt).

    The average update is public to every party that sees the weights, so this costs no privacy. With few local steps
    and many rounds, `adam` gains what each owner's own optimiser cannot: moments over all owners and all rounds.

    Attributes:
        name: `average` adds the average update as it is (FedAvg); `momentum` (FedAvgM) and `adam` (FedAdam) take it
            for a gradient.
        learning_rate: step size; 1 for FedAvg.
        first_moment: how much of the earlier updates stays, of `momentum` and `adam`.
        second_moment: how much of the earlier squared updates stays, of `adam`.
        epsilon: of `adam`; keeps a step finite where updates are nearly zero, on the scale of an update's numbers.
        schedule: `constant`, or `cosine` from the learning rate to zero over the rounds of the task.
        warmup: rounds at the beginning over which the learning rate rises from zero.
    """

    name: Literal["average", "momentum", "adam"] = "average"
    learning_rate: Positive = 1.0
    first_moment: Share = 0.9
    second_moment: Share = 0.99
    epsilon: Positive = 1e-8
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: Annotated[int, Field(ge=0, le=100_000)] = 0


class Column(Document):
    """One numeric column of a table and the public constants that bring it near [-1, 1]: (x - centre) / spread, then cut.

    Attributes:
        name: the column.
        centre: a public constant that is subtracted, for example the middle of the agreed schema's range.
        spread: a public constant that is divided by, for example half of that range.
        limit: values beyond it, after scaling, are cut; this also bounds what one record can do.
        missing: what an absent value becomes, after scaling.
    """

    name: Name
    centre: Number = 0.0
    spread: Positive = 1.0
    limit: Positive = 10.0
    missing: Number = 0.0


class TabularPreparation(Document):
    """A CSV or Parquet table: scaled features and one label.

    Attributes:
        columns: the features, in the order in which the model takes them.
        label: the label's column.
        classes: the label's possible values as text, in the order of the model's outputs; empty for a numeric label.
        label_centre: a public constant that is subtracted from a numeric label.
        label_spread: a public constant that a numeric label is divided by.
        column_label: whether a numeric label has the shape (B, 1), as a model with one output needs, rather than (B).
        windows: makes one example of a fixed number of rows of one machine; `columns` then name its features, or columns of the
            window's last row, where the label is read too. Under a privacy budget the unit has to be the machine.
    """

    name: Literal["tabular"] = "tabular"
    columns: Annotated[tuple[Column, ...], Field(min_length=1, max_length=4096)]
    label: Name
    classes: Annotated[tuple[Name, ...], Field(max_length=10_000)] = ()
    label_centre: Number = 0.0
    label_spread: Positive = 1.0
    column_label: bool = True
    windows: Windows | None = None

    @property
    def read(self) -> tuple[str, ...]:
        """The columns of the table that are read: of features, of the machines' names where there are windows, of the label."""
        if self.windows is None:
            return tuple(dict.fromkeys([*(column.name for column in self.columns), self.label]))
        made = set(self.windows.names)
        plain = [column.name for column in self.columns if column.name not in made]
        return tuple(dict.fromkeys([self.windows.by, *self.windows.sources, *plain, self.label]))


class PointsPreparation(Document):
    """A folder of pictures with marked centres: normalised patches and heat maps.

    Attributes:
        patch: side of a training patch in pixels, after `scale`.
        crops: patches that a picture gives to a private step. Their gradients are averaged before they are clipped, so that
            less of what is kept is chance (De et al. 2022, arXiv 2204.13650, section 3.2); each costs as much as the first.
        scale: pictures are resized by this factor first.
        sigma: width of the Gaussian at a centre, in pixels after `scale`, where `sigma_share` is 0 or no diameter is known.
        sigma_share: width of the Gaussian as a share of the object's diameter, kept between the two `sigma_limits` (pixels).
        channels: what the target has, in the order of the model's output: `centres` (Gaussians), `foreground` (discs of the
            marked diameters).
        channel_weights: how much each channel counts; all alike if empty.
        emphasis: in `centres`, a pixel weighs 1 + (emphasis - 1) target: centres are few among many pixels.
        flips: random mirroring.
        turns: random quarter turns.
        brightness: largest random change of contrast (a factor's logarithm) and of level, of normalised pictures.
        threshold: a peak counts from this height.
        distance: a peak counts this far (whole pixels after `scale`) from a higher one.
        multiple: whole pictures are padded to a multiple of this, as the model needs.
    """

    name: Literal["points"] = "points"
    patch: Annotated[int, Field(ge=16, le=1024)] = 128
    crops: Annotated[int, Field(ge=1, le=64)] = 1
    scale: Annotated[float, Field(gt=0.01, le=4, allow_inf_nan=False)] = 1.0
    sigma: Annotated[float, Field(ge=0.5, le=64, allow_inf_nan=False)] = 3.0
    sigma_share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0
    sigma_limits: tuple[Positive, Positive] = (2.0, 7.0)
    channels: Annotated[tuple[Literal["centres", "foreground"], ...], Field(min_length=1, max_length=2)] = (
        "centres",
    )
    channel_weights: Annotated[tuple[Positive, ...], Field(max_length=2)] = ()
    emphasis: Annotated[float, Field(ge=1, le=1e4, allow_inf_nan=False)] = 1.0
    flips: bool = True
    turns: bool = True
    brightness: Annotated[float, Field(ge=0, le=0.9, allow_inf_nan=False)] = 0.0
    threshold: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.4
    distance: Annotated[float, Field(ge=1, le=512, allow_inf_nan=False)] = 5.0
    multiple: Annotated[int, Field(ge=1, le=256)] = 16

    @model_validator(mode="after")
    def _weights_fit(self) -> Self:
        if self.channel_weights and len(self.channel_weights) != len(self.channels):
            raise ValueError("one weight for each channel")
        return self


class OutlinesPreparation(Document):
    """A folder of pictures with marked centres, sizes and, if known, outlines: normalised patches and what `data.stars` lays out.

    Of an object without an outline only the size is asked, and a disc's area is taken for its own; bubbles are asked for in pictures
    whose labels have them. The loss is `star-convex-outlines`.

    Attributes:
        patch: side of a training patch in pixels, after resizing; a multiple of 16.
        crops: patches that a picture gives to a private step, as of pictures with marked centres.
        scale: pictures are resized by this factor first.
        typical: diameter, pixels, that the model knows best. A picture whose marked objects (five at least) have a median diameter
            below 0.6 or above 1.5 times that is resized to it, by at most twice, as the tool does; 0 leaves all as they are.
        map_weights: how much the maps of centres, bodies, bubbles and litter count.
        emphasis: a pixel of the map of centres weighs 1 + emphasis times what is asked there.
        flips: random mirroring.
        turns: random quarter turns.
        brightness: largest random change of contrast (a factor's logarithm) and of level, of normalised pictures.
        threshold: the lowest probability of a centre that counts.
        bubble: a centre that is more probably than this in a bubble does not count.
        most_common: highest intersection over union of two different objects.
    """

    name: Literal["outlines"] = "outlines"
    patch: Annotated[int, Field(ge=32, le=1024, multiple_of=16)] = 192
    crops: Annotated[int, Field(ge=1, le=64)] = 1
    scale: Annotated[float, Field(gt=0.01, le=4, allow_inf_nan=False)] = 1.0
    typical: Annotated[float, Field(ge=0, le=200, allow_inf_nan=False)] = 0.0
    map_weights: tuple[NotNegative, NotNegative, NotNegative, NotNegative] = (10.0, 1.0, 1.0, 0.3)
    emphasis: Annotated[float, Field(ge=0, le=1e4, allow_inf_nan=False)] = 3.0
    flips: bool = True
    turns: bool = True
    brightness: Annotated[float, Field(ge=0, le=0.9, allow_inf_nan=False)] = 0.0
    threshold: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.5
    bubble: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 1.0
    most_common: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.5


Pictures = (PointsPreparation, OutlinesPreparation)
"""Preparations of folders of pictures."""

Preparation = Annotated[
    TabularPreparation | PointsPreparation | OutlinesPreparation, Field(discriminator="name")
]


class TrainingRecipe(Document):
    """What every owner does with the model in one round.

    Attributes:
        loss: a name in `models.losses`.
        input: the model input that takes the prepared `input` array.
        output: the model output that the loss looks at.
        optimiser: how an owner's weights change from step to step.
        server: how the coordinator's weights change from round to round.
        steps: local steps per round.
        batch: examples per step.
        proximal: FedProx's mu (Li et al. 2020): pull towards the round's starting weights; 0 is FedAvg.
        clip: gradients are shortened to this global norm; None leaves them.
        seed: `system` (secret, from the system's generator) or a public whole number for reproducible runs.
        trainable: prefixes of the names of parameters that are trained; empty means all.
        preparation: how records become arrays.
        metric: by name (`training.metrics`); under a privacy budget only `accuracy` and `count-accuracy` can be asked for as a
            least quality.
        validation: share of records kept apart for the metric, each chosen by a hash of itself.
    """

    kind: Literal["cloister/training-recipe/1"] = "cloister/training-recipe/1"
    loss: Name
    input: Name
    output: Name
    optimiser: OptimiserRecipe = OptimiserRecipe()
    server: ServerRecipe = ServerRecipe()
    steps: Annotated[int, Field(ge=1, le=100_000)] = 20
    batch: Annotated[int, Field(ge=1, le=4096)] = 8
    proximal: NotNegative = 0.0
    clip: Positive | None = None
    seed: Literal["system"] | Annotated[int, Field(ge=0, le=2**53 - 1)] = "system"
    trainable: tuple[Name, ...] = ()
    preparation: Preparation
    metric: Name = "loss"
    validation: Share = 0.2

    @property
    def places(self) -> int:
        """How many examples each unit gives to a private step, as far as the recipe says: a picture's patches."""
        return 1 if isinstance(self.preparation, TabularPreparation) else self.preparation.crops

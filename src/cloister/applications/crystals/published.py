"""What an owner publishes of its factory, so that others draw pictures like its own without seeing one: signed ranges.

A researcher who knows the habit and size of the crystals, the light and the camera can draw pictures with exact truth
(`synthesis`) and needs no record for it. The ranges are what the owner's people say of their plant. Rules:
1. The document is closed: these fields, each within bounds under which drawing stays harmless to the machine that draws.
2. It counts with the signature of the owner that it names.
3. Nothing here is computed from records. Whoever derives a range from pictures publishes a figure of them without noise and
   without a charge; the how-to says so to the person who writes the ranges.
4. What is not said is as in the generator's ordinary factory.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from cloister.agreements.clauses import Instant, Line
from cloister.applications.crystals.factories import Factory
from cloister.applications.crystals.optics import Light
from cloister.applications.crystals.polyhedra import Habit
from cloister.data.schema import Name
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import rfc3339
from cloister.foundation.documents import Document, invalid
from cloister.identity import envelopes
from cloister.identity.envelopes import Envelope, KeyDirectory
from cloister.identity.keys import PartyId, SecretKeys

SETTINGS_TYPE = "application/vnd.cloister.factory-settings+json"
MAX_PIXELS = 8_000_000

BOUNDS: dict[str, tuple[float, float]] = {
    "crystals": (0.5, 2000),
    "diameter": (2, 1000),
    "spread": (1, 3),
    "crowding": (0.3, 2),
    "agglomerates": (0, 1),
    "bubbles": (0, 500),
    "bubble_radius": (1, 500),
    "odd_bubbles": (0, 1),
    "rafts": (0, 1),
    "dust": (0, 2000),
    "clumps": (0, 500),
    "soot": (0, 200),
    "fibres": (0, 50),
    "curls": (0, 100),
    "scratches": (0, 100),
    "hairs": (0, 50),
    "irregular": (0, 1),
    "lying": (0, 1),
    "contrast": (0, 5),
    "edge": (0, 5),
    "halo": (0, 5),
    "oblique": (0, 5),
    "sharpness": (0, 10),
    "depth_blur": (0, 20),
    "level": (0, 1),
    "level_dark": (0, 1),
    "warmth": (-0.5, 0.5),
    "vignette": (0, 1),
    "slope": (0, 1),
    "mottle": (0, 1),
    "noise": (0, 0.5),
    "grain": (0, 5),
    "gamma": (0.2, 5),
    "jpeg": (0, 100),
}
"""The least and the greatest that an end of each range may be; units as in `Factory`."""

_Range = tuple[float, float]
_Shares = Annotated[float, Field(ge=0, le=1)]


class FactorySettings(Document):
    """The ranges from which a factory's pictures are drawn; each is `Factory`'s of the same name, absent where it is not told."""

    width: Annotated[int, Field(ge=64, le=4096)] | None = None
    height: Annotated[int, Field(ge=64, le=4096)] | None = None
    lights: Annotated[dict[Light, _Shares], Field(min_length=1)] | None = None
    habits: Annotated[dict[Habit, _Shares], Field(min_length=1)] | None = None
    crystals: _Range | None = None
    diameter: _Range | None = None
    spread: _Range | None = None
    crowding: _Range | None = None
    agglomerates: _Range | None = None
    odd_crystals: _Shares | None = None
    bubbles: _Range | None = None
    bubble_radius: _Range | None = None
    odd_bubbles: _Range | None = None
    rafts: _Range | None = None
    dust: _Range | None = None
    clumps: _Range | None = None
    soot: _Range | None = None
    fibres: _Range | None = None
    curls: _Range | None = None
    scratches: _Range | None = None
    hairs: _Range | None = None
    grid: _Shares | None = None
    rim: _Shares | None = None
    round_field: _Shares | None = None
    lettering: _Shares | None = None
    irregular: _Range | None = None
    lying: _Range | None = None
    contrast: _Range | None = None
    edge: _Range | None = None
    halo: _Range | None = None
    oblique: _Range | None = None
    sharpness: _Range | None = None
    depth_blur: _Range | None = None
    level: _Range | None = None
    level_dark: _Range | None = None
    warmth: _Range | None = None
    vignette: _Range | None = None
    slope: _Range | None = None
    mottle: _Range | None = None
    noise: _Range | None = None
    grain: _Range | None = None
    gamma: _Range | None = None
    grey: _Shares | None = None
    jpeg: _Range | None = None

    @model_validator(mode="after")
    def _within(self) -> FactorySettings:
        for name, (least, most) in BOUNDS.items():
            value: _Range | None = getattr(self, name)
            # Written so that a number that is none (NaN) fits nothing.
            if value is not None and not least <= value[0] <= value[1] <= most:
                raise ValueError(f"{name} is a range from low to high, within {least:g} and {most:g}")
        for name in ("lights", "habits"):
            shares: dict[str, float] | None = getattr(self, name)
            if shares is not None and not math.isclose(sum(shares.values()), 1.0, abs_tol=0.01):
                raise ValueError(f"the shares of {name} sum to 1")
        if (self.width or 640) * (self.height or 512) > MAX_PIXELS:
            raise ValueError(f"a picture has at most {MAX_PIXELS} pixels")
        return self


class PublishedSettings(Document):
    """What an owner says of its factory's pictures.

    Attributes:
        owner: who says so, and signs.
        name: short; drawn pictures' files begin with it.
        title: for people.
        made: when.
        micrometres_per_pixel: the camera's scale, if told.
        settings: the ranges.
    """

    type: Literal["cloister/factory-settings@1"] = "cloister/factory-settings@1"
    owner: PartyId
    name: Name
    title: Line
    made: Instant
    micrometres_per_pixel: Annotated[float, Field(gt=0, lt=1e6)] | None = None
    settings: FactorySettings

    def factory(self) -> Factory:
        """The factory whose pictures are drawn from these ranges."""
        told = {
            name: value
            for name in FactorySettings.model_fields
            if (value := getattr(self.settings, name)) is not None
        }
        return Factory(self.name, **told)


def settings_of(factory: Factory) -> FactorySettings:
    """All of a factory's ranges as they would be published. Raises `BadInput` where one is beyond its bounds."""
    told = {
        item.name: getattr(factory, item.name)
        for item in dataclasses.fields(factory)
        if item.name in FactorySettings.model_fields
    }
    try:
        return FactorySettings.model_validate_json(canonical(_plain(told)))
    except ValidationError as error:
        raise invalid(error, "A factory's settings") from None


def sign_settings(
    name: str,
    title: str,
    settings: FactorySettings,
    owner: str,
    keys: SecretKeys,
    now: int,
    micrometres_per_pixel: float | None = None,
) -> Envelope:
    """The settings, signed by their owner. Raises `BadInput`."""
    try:
        document = PublishedSettings(
            owner=owner,
            name=name,
            title=title,
            made=rfc3339(now),
            micrometres_per_pixel=micrometres_per_pixel,
            settings=settings,
        )
    except ValidationError as error:
        raise invalid(error, "A factory's settings") from None
    return envelopes.sign(SETTINGS_TYPE, document.model_dump(mode="json"), owner, keys)


def open_settings(envelope: Envelope, directory: KeyDirectory) -> PublishedSettings:
    """The settings, if the owner that they name signed them. Raises `BadInput` or `NotTrusted`."""
    try:
        found = PublishedSettings.model_validate_json(canonical(envelope.document()))
    except ValidationError as error:
        raise invalid(error, "A factory's settings") from None
    envelopes.verify(envelope, SETTINGS_TYPE, [found.owner], directory)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value

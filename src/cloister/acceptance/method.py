"""The method that a study is about, locked: what counts, with which settings, by which programs.

A count is only as reproducible as everything that takes part in it. So a method names the tool by digest (which fixes pipeline, steps
and models), the values of everything that a user may set, the size of a pixel, and the versions of the programs that compute.
`is_valid_for` compares two methods, and says what changed. Rules:
1. Whatever differs makes it another method; a study about the one says nothing about the other.
2. A setting that was given its own default is no difference: what is compared are the values in effect.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from cloister import __version__
from cloister.data.schema import Digest, Line, Name
from cloister.foundation.documents import Document, invalid
from cloister.foundation.errors import BadInput
from cloister.sizing.calibration import Calibration
from cloister.tools.check import adjusted, parameters_of
from cloister.tools.manifest import Version, Word
from cloister.tools.run import choose
from cloister.tools.tool import Tool

Value: TypeAlias = bool | int | float | Line
Part: TypeAlias = Literal["tool", "setting", "calibration", "program"]

_PROGRAMS = ("numpy", "onnxruntime", "pillow", "scikit-image", "scipy")
"""Packages whose arithmetic or decoders a count goes through."""


class MethodCalibration(Document):
    """Where a method's size of a pixel comes from: the calibration in use, by its digest.

    Args:
        content: digest of the calibration.
        day: when it was made, YYYY-MM-DD.
        objective: that it is for.
    """

    content: Digest
    day: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    objective: Annotated[Line, Field(min_length=1)]


class Method(Document):
    """What counts.

    Args:
        tool: its name.
        version: of the tool.
        content: digest of the tool's manifest, which names the models by digest.
        models: name → digest.
        settings: every setting that users may change, with the value in effect.
        micrometres_per_pixel: in effect; None if sizes are in pixels.
        calibration: that this is from; None if it was only stated.
        programs: Cloister and what it computes with, by name; and the kind of processor.
    """

    type: Literal["cloister/counting-method@1"] = "cloister/counting-method@1"
    tool: Name
    version: Version
    content: Digest
    models: Annotated[dict[Word, Digest], Field(max_length=16)]
    settings: Annotated[dict[Word, Value], Field(max_length=16)]
    micrometres_per_pixel: Annotated[float, Field(gt=0, lt=1e6)] | None = None
    calibration: MethodCalibration | None = None
    programs: Annotated[dict[Line, Line], Field(max_length=32)]

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, made: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Methods from before there were calibrations keep their digests, which stand on count sheets.
        told: dict[str, Any] = made(self)
        if self.calibration is None:
            del told["calibration"]
        return told


@dataclass(frozen=True)
class Change:
    """One difference between two methods, as people read it.

    Args:
        part: of which kind.
        what: its name.
        studied: the value that was studied.
        present: the value now.
    """

    part: Part
    what: str
    studied: str
    present: str

    def __str__(self) -> str:
        return f"{self.what}: {self.studied} was studied, it is {self.present} now"


@dataclass(frozen=True)
class Validity:
    """Whether a study is about a method: it is if nothing changed."""

    changes: tuple[Change, ...]

    @property
    def valid(self) -> bool:
        """Whether it is the method that was studied."""
        return not self.changes

    @property
    def only_programs(self) -> bool:
        """Whether tool, settings and calibration are the ones studied, and only programs changed."""
        return bool(self.changes) and all(change.part == "program" for change in self.changes)


def present_method(
    tool: Tool,
    settings: Mapping[str, Any] | None = None,
    micrometres_per_pixel: float | None = None,
    calibration: Calibration | None = None,
) -> Method:
    """The method that a run of `tool` with these choices on this machine is.

    Args:
        tool: as it would be run.
        settings: chosen, by name; all others have the tool's own values.
        micrometres_per_pixel: of the pictures; the tool's own calibration if absent.
        calibration: instead of `micrometres_per_pixel`.

    Raises:
        BadInput: the tool does not let users set that, or not to that value.
    """
    chosen = choose(tool, micrometres_per_pixel, settings or {}, calibration=calibration)
    try:
        return Method(
            tool=tool.name,
            version=tool.manifest.version,
            content=tool.digest,
            models=dict(tool.manifest.models),
            settings=_effective(tool, settings or {}),
            micrometres_per_pixel=chosen.micrometres_per_pixel
            or tool.manifest.calibration.micrometres_per_pixel,
            calibration=None
            if calibration is None
            else MethodCalibration(
                content=calibration.digest(), day=calibration.day, objective=calibration.objective
            ),
            programs=_programs(),
        )
    except ValidationError as error:
        raise invalid(error, "The method") from None


def is_valid_for(studied: Method, present: Method) -> Validity:
    """Whether a study about `studied` holds for `present`, and if not, what changed."""
    changes = _named("tool", {"tool": studied.tool}, {"tool": present.tool})
    changes += _named("tool", {"tool version": studied.version}, {"tool version": present.version})
    changes += _named("tool", {"tool digest": studied.content}, {"tool digest": present.content})
    changes += _named(
        "tool",
        {f"model {name}": value for name, value in studied.models.items()},
        {f"model {name}": value for name, value in present.models.items()},
    )
    changes += _named(
        "setting",
        {f"setting {name}": value for name, value in studied.settings.items()},
        {f"setting {name}": value for name, value in present.settings.items()},
    )
    changes += _named(
        "calibration",
        {"micrometres per pixel": studied.micrometres_per_pixel},
        {"micrometres per pixel": present.micrometres_per_pixel},
    )
    changes += _named("calibration", _lines_of(studied.calibration), _lines_of(present.calibration))
    changes += _named("program", studied.programs, present.programs)
    return Validity(tuple(changes))


def _lines_of(calibration: MethodCalibration | None) -> dict[str, str]:
    if calibration is None:
        return {}
    return {
        "calibration digest": calibration.content,
        "calibration day": calibration.day,
        "objective": calibration.objective,
    }


def _named(part: Part, studied: Mapping[str, Any], present: Mapping[str, Any]) -> list[Change]:
    return [
        Change(part, name, _shown(studied.get(name)), _shown(present.get(name)))
        for name in sorted({*studied, *present})
        if not _alike(studied.get(name), present.get(name))
    ]


def _alike(one: Any, other: Any) -> bool:
    # In canonical JSON 1 and 1.0 are one number; true is not 1.
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _shown(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _effective(tool: Tool, settings: Mapping[str, Any]) -> dict[str, Any]:
    given = adjusted(tool.manifest, settings)
    uses = {use.name: use for use in tool.manifest.pipeline}
    made: dict[str, Any] = {}
    for name, target in tool.manifest.adjustable.items():
        value = getattr(parameters_of(uses[target.step], given.get(target.step)), target.parameter)
        if not isinstance(value, bool | int | float | str):
            raise BadInput(
                f"The setting {name!r} cannot be part of a study.",
                "It is neither a number, nor a text, nor true or false.",
                "Have it fixed in the tool instead.",
            )
        made[name] = value
    return made


def _programs() -> dict[str, str]:
    made = {"cloister": __version__, "processor": platform.machine() or "unknown"}
    for package in _PROGRAMS:
        try:
            made[package] = version(package)
        except PackageNotFoundError:
            made[package] = "unknown"
    return made

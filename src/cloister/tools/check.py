"""A pipeline checked end to end before anything runs: every step known, every input given and of the right kind.

Errors name the step as its author called it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from cloister.foundation.documents import invalid
from cloister.foundation.errors import BadInput, CloisterError
from cloister.tools.manifest import Adjustable, Manifest, StepUse
from cloister.tools.steps import find_step
from cloister.tools.steps.base import Model, Parameters, Step
from cloister.tools.types import ValueType


def check_pipeline(manifest: Manifest, models: Mapping[str, Model] | None = None) -> dict[str, ValueType]:
    """The type of every value in the pipeline, by name.

    Args:
        manifest: the tool.
        models: loaded, to compare their channels and columns too.

    Raises:
        BadInput: the pipeline cannot run; the step is named, in the text and as `detail["step"]`.
    """
    known: dict[str, ValueType] = {
        name: ValueType(given.kind, columns=given.columns or None) for name, given in manifest.inputs.items()
    }
    for use in manifest.pipeline:
        try:
            known[use.name] = _check_step(manifest, use, known, models or {})
        except CloisterError as error:
            raise BadInput(
                f"Step {use.name!r} of the tool cannot run.",
                f"{error.what} {error.why}".strip(),
                error.remedy,
                step=use.name,
            ) from None
    _check_adjustable(manifest)
    for name, output in manifest.outputs.items():
        actual = known[output.source].kind
        if actual != output.kind:
            raise BadInput(
                f"Output {name!r} of the tool is not what it says.",
                f"It is declared as {output.kind}; {output.source} gives {actual}.",
                "Correct the manifest.",
                step=output.source,
            )
    return known


def parameters_of(use: StepUse, adjusted: Mapping[str, Any] | None = None) -> Parameters:
    """A step's parameters with those that the user set, checked by the step. Raises `BadInput`."""
    step = find_step(use.step)
    try:
        return step.parameters.model_validate(_tuples({**use.parameters, **(adjusted or {})}), strict=True)
    except ValidationError as error:
        raise invalid(error, "A parameter") from None


def adjusted(manifest: Manifest, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a user set, by step and parameter.

    Raises:
        BadInput: the tool does not let users set it, or the value is not one the step takes; the setting is named.
    """
    made: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        target = manifest.adjustable.get(name)
        if target is None:
            offered = ", ".join(manifest.adjustable) or "nothing"
            raise BadInput(
                f"The tool has no setting {name!r}.",
                f"Users may set {offered}.",
                "Leave it out, or check its name.",
            )
        _within(name, target, value)
        for part in target.targets:
            made.setdefault(part.step, {})[part.parameter] = value
            use = next(use for use in manifest.pipeline if use.name == part.step)
            try:
                parameters_of(use, made[part.step])
            except BadInput as error:
                raise BadInput(
                    f"The setting {name!r} cannot have this value.", error.why, target.about
                ) from None
    return made


def _within(name: str, target: Adjustable, value: object) -> None:
    """Raises `BadInput` with the allowed range. What is no number, the step itself refuses."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    low = -math.inf if target.lowest is None else target.lowest
    high = math.inf if target.highest is None else target.highest
    if not low <= value <= high:
        raise BadInput(
            f"The setting {name!r} cannot have this value.",
            f"It may be from {low:g} to {high:g}; {value:g} was given.",
            target.about,
        )


def _check_adjustable(manifest: Manifest) -> None:
    steps = {use.name: use for use in manifest.pipeline}
    for name, item in manifest.adjustable.items():
        defaults = []
        for target in item.targets:
            use = steps.get(target.step)
            if use is None or target.parameter not in find_step(use.step).parameters.model_fields:
                raise BadInput(
                    f"Setting {name!r} of the tool sets nothing.",
                    f"There is no parameter {target.parameter!r} in a step {target.step!r}.",
                    "Correct the manifest.",
                    step=target.step,
                )
            defaults.append(getattr(parameters_of(use), target.parameter))
        if any(default != defaults[0] for default in defaults):
            # People are told one value that holds if they set none.
            raise BadInput(
                f"Setting {name!r} of the tool sets parameters that differ without it.",
                "Those that one setting reaches begin with one value.",
                "Give them the same value in the manifest.",
                step=item.step,
            )


def _tuples(value: object) -> object:
    """JSON lists as tuples, which strict models expect."""
    if isinstance(value, dict):
        return {key: _tuples(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_tuples(entry) for entry in value)
    return value


def _check_step(
    manifest: Manifest, use: StepUse, known: Mapping[str, ValueType], models: Mapping[str, Model]
) -> ValueType:
    step = find_step(use.step)
    parameters = parameters_of(use)
    _check_inputs(step, use, known)
    if step.model is not None:
        name = getattr(parameters, step.model)
        if name not in manifest.models:
            raise BadInput(
                f"There is no model {name!r}.",
                "The manifest does not list it.",
                "Add it, or correct the name.",
            )
    types = {slot: known[source] for slot, source in use.inputs.items()}
    return step.infer(types, parameters, models) if step.infer is not None else ValueType(step.output)


def _check_inputs(step: Step, use: StepUse, known: Mapping[str, ValueType]) -> None:
    for slot, source in use.inputs.items():
        if slot not in step.inputs:
            raise BadInput(
                f"{step.key} has no input {slot!r}.",
                f"It has {', '.join(step.inputs)}.",
                "Correct the name in the manifest.",
            )
        needed, given = step.inputs[slot].kind, known[source].kind
        if needed != given:
            raise BadInput(
                f"Its input {slot!r} does not fit.",
                f"{step.key} takes {needed}; {source} gives {given}.",
                "Put a step between them.",
            )
    missing = [slot for slot, wanted in step.inputs.items() if not wanted.optional and slot not in use.inputs]
    if missing:
        raise BadInput(
            f"Its input {missing[0]!r} is missing.", f"{step.key} needs it.", "Connect it to an earlier step."
        )

"""A tool's steps computed one after the other on values in memory, and its outputs as files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cloister.foundation.errors import BadInput, CloisterError
from cloister.foundation.files import write_atomically
from cloister.tools import types as t
from cloister.tools.check import parameters_of
from cloister.tools.manifest import StepUse
from cloister.tools.steps import find_step
from cloister.tools.steps.base import Context, Model
from cloister.tools.steps.reporting import as_csv, as_json
from cloister.tools.tool import Tool


def run_pipeline(
    tool: Tool,
    models: Mapping[str, Model],
    inputs: Mapping[str, t.Value],
    context: Context,
    progress: Callable[[str, float], None],
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    upto: str | None = None,
    asked: Collection[str] = (),
    drawn: bool = True,
) -> dict[str, t.Value]:
    """Computes the steps of a tool's pipeline that its outputs need, on given values, and gives the outputs.

    `settings` are parameters that the user set, by step, as `check.adjusted` gives them. With `upto` only what that step needs is
    computed, and its value is given, by its name. `asked` names outputs that are made on request only, where they are wanted. A
    step's value may be among the inputs: it is not computed again.

    Values are forgotten once no later step needs them, so that memory holds a few picture-sized arrays at most.
    """
    values: dict[str, t.Value] = dict(inputs)
    context = replace(context, memory={})
    told = tool.manifest.outputs
    outputs = {name: told[name].source for name in told if not told[name].on_request or name in asked}
    if not drawn:
        numbers = {
            name: source for name, source in outputs.items() if told[name].kind in ("table", "figures")
        }
        outputs = numbers or outputs
    if upto is not None:
        outputs = {upto: upto}
    uses = needed_by(tool.manifest.pipeline, set(outputs.values()), inputs)
    last = {source: place for place, use in enumerate(uses) for source in use.inputs.values()}
    wanted = set(outputs.values())
    for place, use in enumerate(uses):
        step = find_step(use.step)

        def tick(share: float, place: int = place, name: str = use.name) -> None:
            progress(name, (place + min(1.0, share)) / len(uses))

        tick(0.0)
        given = {slot: values[source] for slot, source in use.inputs.items()}
        here = replace(context, models=models, tick=tick)
        try:
            values[use.name] = step.run(here, parameters_of(use, (settings or {}).get(use.name)), **given)
        except CloisterError:
            raise
        except MemoryError:
            raise BadInput(
                f"Step {use.name!r} needs more memory than there is.",
                "The picture is too large for it.",
                "Use a smaller picture.",
            ) from None
        except Exception as error:
            # The other pictures must go on whatever happens to this one; the cause stays attached for a bug report.
            raise CloisterError(
                f"Step {use.name!r} failed in a way that was not foreseen ({type(error).__name__}).",
                f"It is a fault of the step {step.key}, not of the picture.",
                "Please report it, with the picture if you may show it.",
                step=use.name,
            ) from error
        del given
        for source in set(use.inputs.values()):
            if last[source] == place and source not in wanted:
                values.pop(source, None)
    return {name: values[source] for name, source in outputs.items()}


def needed_by(uses: Sequence[StepUse], names: Collection[str], given: Collection[str]) -> tuple[StepUse, ...]:
    """The steps of a pipeline that those named rest on, themselves included, in order; without those whose values are given."""
    needed, kept = set(names), []
    for use in reversed(uses):
        if use.name in needed and use.name not in given:
            needed |= set(use.inputs.values())
            kept.append(use)
    return tuple(reversed(kept))


def write_outputs(
    out: Path, label: str, outputs: Mapping[str, t.Value], context: Context
) -> tuple[Path, ...]:
    """Every output as files named `LABEL.OUTPUT.suffix`; reports bring their own names."""
    written: dict[Path, bytes] = {}
    # A report brings the table and the figures as files of its own.
    reported = any(isinstance(value, t.Report) for value in outputs.values())
    for name, value in outputs.items():
        if isinstance(value, t.Picture):
            written[out / f"{label}.{name}.{'svg' if value.media_type == 'image/svg+xml' else 'png'}"] = (
                value.data
            )
        elif isinstance(value, t.Report):
            written |= {out / f"{label}.{file}": data for file, data in value.files.items()}
        elif isinstance(value, t.Table) and not reported:
            written[out / f"{label}.{name}.csv"] = as_csv(value)
        elif isinstance(value, t.Figures) and not reported:
            written[out / f"{label}.{name}.json"] = as_json(context, value, None)
    for path, data in written.items():
        write_atomically(path, data)
    return tuple(written)

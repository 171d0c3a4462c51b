"""The reference of all steps, written from the allow-list itself, so that it cannot fall behind.

`python -m cloister.tools.reference docs/reference/tools.md` rewrites the part between the two marks.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloister.foundation.errors import BadInput
from cloister.foundation.files import read_limited, write_atomically
from cloister.tools.steps import STEPS
from cloister.tools.steps.base import Step
from cloister.tools.types import KINDS

BEGIN = "<!-- written by python -m cloister.tools.reference: begin -->"
END = "<!-- written by python -m cloister.tools.reference: end -->"


def steps_reference() -> str:
    """Markdown: the kinds of values, then every step with inputs, output, parameters and their limits."""
    kinds = "\n".join(f"| `{kind}` | {about} |" for kind, about in KINDS.items())
    parts = [f"### Kinds of values\n\n| kind | what it is |\n|---|---|\n{kinds}\n"]
    parts += [_step(step) for step in STEPS.values()]
    return "\n".join(parts)


def updated(page: str) -> str:
    """`page` with the part between the marks written anew. Raises `BadInput` if it has no marks."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise BadInput(
            "The page has no place for the reference.",
            f"It needs the lines {BEGIN} and {END}.",
            "Put them in.",
        )
    before, after = page.split(BEGIN, maxsplit=1)[0], page.split(END, maxsplit=1)[1]
    return f"{before}{BEGIN}\n\n{steps_reference()}\n{END}{after}"


def _step(step: Step) -> str:
    inputs = ", ".join(
        f"`{name}` ({slot.kind}{', optional' if slot.optional else ''})" for name, slot in step.inputs.items()
    )
    lines = [f"### `{step.key}`", "", step.about, "", f"Takes {inputs}; gives {step.output}.", ""]
    schema = step.parameters.model_json_schema()
    described = _described(step.parameters)
    if schema.get("properties"):
        lines += ["| parameter | value | unless given | |", "|---|---|---|---|"]
        for name, given in schema["properties"].items():
            default = _default(given, required=name in schema.get("required", ()))
            lines.append(f"| `{name}` | {_type(given, schema)} | {default} | {described.get(name, '')} |")
        lines.append("")
    for name, definition in schema.get("$defs", {}).items():
        text = str(definition.get("description", ""))
        told = _told_of(text)
        about = " ".join(re.split(r"^(?:Args|Attributes):$", text, maxsplit=1, flags=re.MULTILINE)[0].split())
        lines += [f"Each {name.lower()}: {about}", ""]
        lines += ["| field | value | unless given | |", "|---|---|---|---|"]
        for field, given in definition["properties"].items():
            default = _default(given, required=field in definition.get("required", ()))
            lines.append(f"| `{field}` | {_type(given, schema)} | {default} | {told.get(field, '')} |")
        lines.append("")
    more = inspect.getdoc(step.run)
    if more is not None and len(more.split("\n\n")) > 1:
        lines += [" ".join(more.split("\n\n", 1)[1].split()), ""]
    return "\n".join(lines)


def _described(parameters: type) -> dict[str, str]:
    """What the docstring's `Args` say about each parameter."""
    return _told_of(inspect.getdoc(parameters) or "")


def _told_of(text: str) -> dict[str, str]:
    """What a docstring's `Args` or `Attributes` say, by name."""
    section = re.split(r"^(?:Args|Attributes):\n", text, maxsplit=1, flags=re.MULTILINE)[1:]
    found = re.findall(r"^ {4}(\w+): (.*?)(?=^ {4}\w+: |\Z)", "".join(section), re.MULTILINE | re.DOTALL)
    return {name: " ".join(words.split()).replace("|", "\\|") for name, words in found}


def _default(given: Mapping[str, Any], *, required: bool) -> str:
    if required:
        return "needed"
    value = given.get("default")
    if value is None or value in ("", [], ()):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(given: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "$ref" in given:
        return str(given["$ref"].rsplit("/", 1)[1]).lower()
    if "anyOf" in given:
        return next(_type(option, schema) for option in given["anyOf"] if option.get("type") != "null")
    if "enum" in given:
        return ", ".join(f"`{option}`" for option in given["enum"])
    kind = given.get("type")
    if kind == "array":
        most = f", at most {given['maxItems']}" if "maxItems" in given else ""
        return f"list of {_type(given['items'], schema)}{most}"
    names = {"integer": "integer", "number": "number", "string": "text", "boolean": "`true`, `false`"}
    return names.get(str(kind), str(kind)) + _range(given)


def _range(given: Mapping[str, Any]) -> str:
    low, high = given.get("minimum"), given.get("maximum")
    above, below = given.get("exclusiveMinimum"), given.get("exclusiveMaximum")
    parts = []
    if low is not None and high is not None:
        parts.append(f"{low:g} to {high:g}")
    elif low is not None:
        parts.append(f"from {low:g}")
    if above is not None:
        parts.append(f"above {above:g}")
    if below is not None:
        parts.append(f"below {below:g}")
    if "multipleOf" in given:
        parts.append(f"a multiple of {given['multipleOf']:g}")
    return f" ({', '.join(parts)})" if parts else ""


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write_atomically(target, updated(read_limited(target, 4 << 20).decode("utf-8")).encode("utf-8"))

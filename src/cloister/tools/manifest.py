"""What a tool is, written down: steps by name and version, models by digest, in a frozen document.

The manifest is signed and certified; whoever holds it knows everything that the tool can do. Rules:
1. Steps are named `name@version` from the allow-list that Cloister ships (`tools.steps`); a step's behaviour never
   changes under the same version.
2. Models are named by digest. The manifest's digest therefore fixes the whole tool.
3. Every step's inputs are earlier steps or the tool's inputs: a pipeline has no loops.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from cloister.data.schema import ColumnName, Digest, Line, Name
from cloister.foundation.documents import Document, parse_document
from cloister.tools.types import Kind

MAX_MANIFEST_BYTES = 256 << 10

Word: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
StepName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}@[1-9][0-9]{0,3}$")]
Version: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){2}$")
]
Prose: TypeAlias = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]
Licence: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9.+() -]+$")
]


class Input(Document):
    """What a tool is given: a picture's file, or a table with these columns."""

    kind: Literal["file", "table"]
    columns: Annotated[tuple[ColumnName, ...], Field(max_length=2000)] = ()


def _absent(value: object) -> bool:
    # What an older manifest does not have is not written, so that its digest stays what it was signed as.
    return not value


class Output(Document):
    """What a tool gives: the value of one of its steps, and of which kind it is.

    Args:
        source: the step.
        kind: of its value.
        on_request: it is made only where somebody asks for it; the steps that serve nothing else are passed by otherwise.
    """

    source: Word
    kind: Kind
    on_request: Annotated[bool, Field(exclude_if=_absent)] = False


class StepUse(Document):
    """One step of the pipeline.

    Args:
        name: how later steps and errors call it.
        step: which step of the allow-list, with version.
        inputs: the step's input → a tool's input or an earlier step.
        parameters: of the step; each is checked by the step itself.
    """

    name: Word
    step: StepName
    inputs: Annotated[dict[Word, Word], Field(max_length=16)]
    parameters: Annotated[dict[Word, Any], Field(default_factory=dict, max_length=64)]


class Target(Document):
    """A parameter of a step."""

    step: Word
    parameter: Word


class Adjustable(Document):
    """A parameter that users may set for their own pictures; everything else in a tool is fixed.

    Args:
        step: the step's name.
        parameter: its parameter.
        also: further parameters that the setting gives the same value; without it they have the same value, too.
        about: what to set it to, for people.
        lowest: the least value, where it is a number.
        highest: the greatest.
    """

    step: Word
    parameter: Word
    about: Line = ""
    lowest: float | None = None
    highest: float | None = None
    also: Annotated[tuple[Target, ...], Field(max_length=8, exclude_if=_absent)] = ()

    @property
    def targets(self) -> tuple[Target, ...]:
        """All parameters that it sets."""
        return (Target(step=self.step, parameter=self.parameter), *self.also)


class Sizes(Document):
    """Diameters that a tool's model was made for, in pixels of the copy that it looks at."""

    smallest: Annotated[float, Field(gt=0, lt=1e6)]
    typical: Annotated[float, Field(gt=0, lt=1e6)]
    largest: Annotated[float, Field(gt=0, lt=1e6)]


class Calibration(Document):
    """How large a pixel is, where all pictures of a tool share that; users can state their own."""

    micrometres_per_pixel: Annotated[float, Field(gt=0, lt=1e6)] | None = None
    note: Line = ""


class Manifest(Document):
    """A tool.

    Args:
        name: short and unique where it is installed.
        version: three numbers.
        title: for people.
        description: what it does.
        intended_use: what it is good for.
        limits: what it is not good for, one sentence each.
        licence: SPDX expression for tool and models.
        inputs: by name.
        models: name → digest of the ONNX file.
        pipeline: the steps in order.
        outputs: by name.
        adjustable: what users may set, by name.
        calibration: default size of a pixel.
        sizes: of objects that the model knows; results outside are told to be doubtful.
        certificate: digest of the release certificate that the models come from, if any.
    """

    type: Literal["cloister/tool@1"] = "cloister/tool@1"
    name: Name
    version: Version
    title: Line
    description: Prose = ""
    intended_use: Prose = ""
    limits: Annotated[tuple[Line, ...], Field(max_length=32)] = ()
    licence: Licence
    inputs: Annotated[dict[Word, Input], Field(min_length=1, max_length=8)]
    models: Annotated[dict[Word, Digest], Field(default_factory=dict, max_length=16)]
    pipeline: Annotated[tuple[StepUse, ...], Field(min_length=1, max_length=64)]
    outputs: Annotated[dict[Word, Output], Field(min_length=1, max_length=32)]
    adjustable: Annotated[dict[Word, Adjustable], Field(default_factory=dict, max_length=16)]
    calibration: Calibration = Calibration()
    sizes: Sizes | None = None
    certificate: Digest | None = None

    @model_validator(mode="after")
    def _connected(self) -> Manifest:
        known = set(self.inputs)
        for use in self.pipeline:
            if use.name in known:
                raise ValueError(f"the name {use.name} is used twice")
            for source in use.inputs.values():
                if source not in known:
                    raise ValueError(f"step {use.name} takes {source}, which no earlier step gives")
            known.add(use.name)
        for name, output in self.outputs.items():
            if output.source not in known:
                raise ValueError(f"output {name} takes {output.source}, which no step gives")
        if all(output.on_request for output in self.outputs.values()):
            raise ValueError(
                "every output is made on request only, so that nothing comes of the tool by itself"
            )
        return self


def takes_pictures(manifest: Manifest) -> bool:
    """Whether a tool's first input is a picture's file rather than a table."""
    return next(iter(manifest.inputs.values())).kind == "file"


def parse_manifest(data: bytes) -> Manifest:
    """A manifest from foreign bytes. Raises `BadInput` naming the field."""
    return parse_document(Manifest, data, "A tool's manifest", max_bytes=MAX_MANIFEST_BYTES)

"""A tool in memory: its manifest and its models, known to belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest, same
from cloister.foundation.errors import BadInput, Tampered
from cloister.tools.check import check_pipeline
from cloister.tools.inference import OnnxModel
from cloister.tools.manifest import Manifest
from cloister.tools.steps.base import Model


@dataclass(frozen=True)
class Tool:
    """A manifest and the models it names.

    Raises:
        Tampered: a model is not the one that the manifest names.
        BadInput: models are missing or too many, or the pipeline cannot run.
    """

    manifest: Manifest
    models: Mapping[str, bytes]

    def __post_init__(self) -> None:
        """Checks digests and types; a `Tool` that exists can be run."""
        if set(self.models) != set(self.manifest.models):
            raise BadInput(
                f"The tool {self.manifest.name} does not have the models that its manifest names.",
                f"Named: {', '.join(sorted(self.manifest.models)) or 'none'}; there: {', '.join(sorted(self.models)) or 'none'}.",
                "Export it again.",
            )
        for name, data in self.models.items():
            if not same(digest(data), self.manifest.models[name]):
                raise Tampered(
                    f"The model {name!r} of the tool {self.manifest.name} is not the one that its manifest names.",
                    "Its digest differs.",
                    "Get the tool again from where it was released.",
                    clause="tool-digests",
                )
        check_pipeline(self.manifest)

    @property
    def name(self) -> str:
        """The manifest's name."""
        return self.manifest.name

    @property
    def digest(self) -> str:
        """The digest of the manifest, which fixes models and pipeline; what certificates are about."""
        return self.manifest.digest()

    def load(self, *, threads: int = 0) -> dict[str, Model]:
        """The models ready to run, checked against the pipeline. Raises `BadInput`."""
        loaded: dict[str, Model] = {
            name: OnnxModel(data, name, threads=threads) for name, data in self.models.items()
        }
        check_pipeline(self.manifest, loaded)
        return loaded


def with_model(tool: Tool, name: str, data: bytes, *, version: str, certificate: str | None = None) -> Tool:
    """The same tool with another model in place of `name`, under a new version (for example from a release).

    Raises:
        BadInput: there is no such model in the tool, or the new one does not fit its pipeline.
    """
    if name not in tool.models:
        raise BadInput(
            f"The tool {tool.name} has no model {name!r}.",
            f"It has {', '.join(sorted(tool.models))}.",
            "Name one of them.",
        )
    content = tool.manifest.model_dump(mode="json") | {"version": version, "certificate": certificate}
    content["models"] = {**tool.manifest.models, name: digest(data)}
    made = Tool(Manifest.model_validate_json(canonical(content)), {**tool.models, name: data})
    made.load(threads=1)
    return made

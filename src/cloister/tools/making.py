"""A tool of one's own from its description: manifest and models become a package, digests filled in by the machine.

Whoever writes a tool writes what it does: inputs, steps, outputs, limits. What only a machine writes well, the digests of models
and certificate, is left out of the description and put in here. Everything that is refused when a tool is read is refused now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput
from cloister.tools.manifest import parse_manifest
from cloister.tools.package import Package
from cloister.tools.tool import Tool
from cloister.tools.trust import verify_installed

_FILLED_IN = ("models", "certificate")


def make_tool(
    description: Mapping[str, Any], models: Mapping[str, bytes], certificate: bytes | None = None
) -> Package:
    """A package from a description.

    Args:
        description: a manifest as in docs/reference/tools.md, without `models` and `certificate`.
        models: ONNX bytes by the names that the steps use.
        certificate: that one of the models was released with, and its signers' cards; None if nobody vouches.

    Raises:
        BadInput: the description is malformed, its pipeline cannot run, or the models do not fit.
        NotTrusted: the certificate does not hold, or is about another model.
    """
    given = [name for name in _FILLED_IN if description.get(name)]
    if given:
        raise BadInput(
            f"A tool's description does not say its {given[0]}.",
            "Digests are computed of the files that are put in.",
            f"Leave {given[0]} out.",
        )
    lacking = sorted(set(models_used(description)) - set(models))
    if lacking:
        raise BadInput(
            f"The tool uses a model {lacking[0]!r} that was not given.",
            "Every model that a step names has to be in the tool.",
            f"Give it as {lacking[0]}.",
        )
    content = {
        **description,
        "models": {name: digest(data) for name, data in models.items()},
        "certificate": None if certificate is None else digest(certificate),
    }
    tool = Tool(parse_manifest(canonical(content)), dict(models))
    tool.load(threads=1)
    verify_installed(tool, certificate)
    return Package(tool, certificate)


def models_used(description: Mapping[str, Any]) -> list[str]:
    """The names of the models that the steps of a description use, each once, in order."""
    found: list[str] = []
    pipeline = description.get("pipeline")
    for use in pipeline if isinstance(pipeline, list | tuple) else ():
        parameters = use.get("parameters") if isinstance(use, Mapping) else None
        name = parameters.get("model") if isinstance(parameters, Mapping) else None
        if isinstance(name, str) and name not in found:
            found.append(name)
    return found


def bundle_of(told: Mapping[str, Any]) -> bytes:
    """The certificate of a release as it travels with a tool, from what a server tells of the release."""
    return canonical({"certificate": told["certificate"], "cards": told["cards"]})

"""From a release to an installed tool: the released model takes the place of the tool's own, certificate beside it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cloister.cli.certificates import Checked, check_bundle
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import SystemClock
from cloister.foundation.digests import digest, same
from cloister.foundation.errors import Conflict, NotFound, NotTrusted
from cloister.release.certificate import is_content
from cloister.tools.builtin import builtin_tool
from cloister.tools.install import InstalledTools
from cloister.tools.package import Package
from cloister.tools.tool import Tool, with_model


def install_release(
    name: str, content: bytes, told: Mapping[str, Any], folder: Path | None
) -> dict[str, Any]:
    """Installs a built-in tool with the released model in place of its own.

    Args:
        name: the tool.
        content: the released ONNX model.
        told: the release as the node shows it: `certificate`, `cards`.
        folder: the folder of installed tools; this user's if absent.
    """
    tools = InstalledTools(folder)
    base = builtin_tool(name)
    try:
        version = _next(tools.state(name).current.version)
    except NotFound:
        version = _next(base.manifest.version)
    certificate = canonical({"certificate": told["certificate"], "cards": told["cards"]})
    (model,) = base.models
    made = with_model(base, model, content, version=version, certificate=digest(certificate))
    state = tools.install(Package(made, certificate), now=int(time.time()), verify=verify_installed)
    return {
        "tool": name,
        "version": state.current.version,
        "digest": state.current.tool,
        "folder": str(tools.folder),
        "history": [entry.model_dump(mode="json") for entry in state.history],
    }


def verify_installed(tool: Tool, certificate: bytes | None) -> None:
    """Refuses a tool whose certificate does not hold by itself; see `check_tool`. One without claims nothing."""
    check_tool(tool, certificate)


def check_tool(
    tool: Tool, certificate: bytes | None, *, owners: Sequence[str] = (), quorum: int | None = None
) -> Checked | None:
    """What a tool's certificate is worth, or None for a tool that has none and claims none.

    Without `owners` this shows that a quorum of the owners *that the certificate itself names* signed one of the
    tool's models: whoever made the file may have made those owners too. It says who vouches only to somebody who
    compares the fingerprints (`Checked.words`) or names the owners. It is about the models, not about the steps, limits
    and texts around them.

    Args:
        tool: the tool.
        certificate: the bytes that came with it.
        owners: fingerprints of the owners whose signatures count.
        quorum: how many of them it takes.

    Raises:
        BadInput: the certificate is none.
        NotTrusted: it is missing, does not hold, or is about another model; or owners were asked for and nobody signed.
    """
    if tool.manifest.certificate is None and certificate is None:
        if owners or quorum is not None:
            raise NotTrusted(
                "This tool carries no certificate: nobody vouches for it.",
                "Signatures of owners were asked for.",
                "Get a released one, or leave out --owner and --quorum.",
                clause="tool-uncertified",
            )
        return None
    if certificate is None or not same(digest(certificate), tool.manifest.certificate or ""):
        raise NotTrusted("The tool's certificate is missing or another one.", clause="certificate-content")
    checked = check_bundle(certificate, SystemClock().now(), owners=owners, quorum=quorum)
    if not any(is_content(checked.certificate, data) for data in tool.models.values()):
        raise NotTrusted(
            "The certificate is about another model than the tool's.", clause="certificate-content"
        )
    return checked


def _next(version: str) -> str:
    parts = version.split(".")
    try:
        return ".".join([*parts[:-1], str(int(parts[-1]) + 1)])
    except ValueError:
        raise Conflict(
            "The installed version has no number to count on.", version[:40], "Remove it first."
        ) from None

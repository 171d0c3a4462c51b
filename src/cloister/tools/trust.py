"""What an installed tool's certificate is worth: looked at before it is installed, and each time it is used.

Rules:
1. A tool that names a certificate is used only with that one, and only if it holds.
2. The certificate is about one of the tool's own models.
3. A tool without a certificate claims nothing, and nobody vouches for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cloister.foundation.clock import SystemClock
from cloister.foundation.digests import digest, same
from cloister.foundation.errors import NotTrusted
from cloister.tools.tool import Tool

if TYPE_CHECKING:
    from cloister.release.bundle import Checked


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
    # Loaded for tools that have one only: most of a quarter of a second.
    from cloister.release.bundle import check_bundle
    from cloister.release.certificate import is_content

    if certificate is None or not same(digest(certificate), tool.manifest.certificate or ""):
        raise NotTrusted("The tool's certificate is missing or another one.", clause="certificate-content")
    checked = check_bundle(certificate, SystemClock().now(), owners=owners, quorum=quorum)
    if not any(is_content(checked.certificate, data) for data in tool.models.values()):
        raise NotTrusted(
            "The certificate is about another model than the tool's.", clause="certificate-content"
        )
    return checked

"""`cloister release`: approved results on your node's shelf."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cloister.cli.common import client, fingerprints, folder_option, short, soon, table, wait_option
from cloister.cli.output import Answer, command, confirm
from cloister.foundation.errors import NotFound
from cloister.foundation.files import write_atomically


@click.group("release")
def release_group() -> None:
    """Results that a quorum of owners has approved, with their certificates."""


@command(release_group, "list")
@folder_option
def releases(folder: Path) -> Answer:
    """All releases here."""
    with client(folder) as node:
        told = node.get("/releases")
    rows = [
        [
            short(item["release"]),
            item["kind"],
            item["title"],
            _content(item),
            item["at"],
        ]
        for item in told
    ]
    return Answer(told, table(["Release", "Kind", "Title", "Content", "At"], rows))


def _with_content(told: dict[str, Any]) -> dict[str, Any]:
    """A release whose content should be here. Raises `NotFound` where the agreement gives this node no content."""
    if told["here"] or told["receives"] or told["status"] == "revoked":
        return told
    recipients = ", ".join(told["recipients"])
    raise NotFound(
        f"This server holds the certificate only: under the agreement the result goes to {recipients}, not to owners.",
        "What was agreed about recipients holds for owners too.",
        f"Ask {recipients} for it. The certificate in words: cloister release show {short(told['release'])}",
    )


def _content(item: dict[str, Any]) -> str:
    """What a list says of a release's content: first of all whether it may be used."""
    if item["status"] == "revoked":
        return "revoked"
    return "here" if item["here"] else "certificate only"


@command(release_group, "show")
@click.argument("release")
@wait_option
@folder_option
def show(release: str, folder: Path, wait: int) -> Answer:
    """The certificate of RELEASE (its digest, the start of it, or `latest`) in words."""
    with client(folder) as node:
        told = node.get(f"/releases/{_find(node, release, wait)}")
    return Answer(told, told["text"])


@command(release_group, "save")
@click.argument("release")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@wait_option
@folder_option
def save(release: str, file: Path, folder: Path, wait: int) -> Answer:
    """Write the content of RELEASE to FILE, and its certificate beside it."""
    with client(folder) as node:
        digest = _find(node, release, wait)
        told = _with_content(node.get(f"/releases/{digest}"))
        content = node.download(f"/releases/{digest}/content")
    write_atomically(file, content)
    beside = file.with_name(file.name + ".certificate.json")
    write_atomically(
        beside, json.dumps({"certificate": told["certificate"], "cards": told["cards"]}).encode()
    )
    return Answer({"file": str(file), "certificate": str(beside)}, f"Wrote {file} and {beside}.")


@command(release_group, "install")
@click.argument("release")
@click.option(
    "--tool", default="crystals", show_default=True, help="The tool whose model the release replaces."
)
@click.option(
    "--user",
    "for_user",
    is_flag=True,
    help="Install for this user (cloister tool run), not for the server only.",
)
@wait_option
@folder_option
def install(release: str, tool: str, for_user: bool, folder: Path, wait: int) -> Answer:
    """Put the model of RELEASE into a tool and install it, its certificate beside it."""
    from cloister.tools.released import install_release

    with client(folder) as node:
        digest = _find(node, release, wait)
        told = _with_content(node.get(f"/releases/{digest}"))
        content = node.download(f"/releases/{digest}/content")
    place = None if for_user else folder.absolute() / "tools"
    state = install_release(tool, content, told, place)
    return Answer(state, f"Installed {tool} {state['version']} in {state['folder']}.")


@command(release_group, "revoke")
@click.argument("release")
@click.option("--reason", default="", help="Told to everybody who holds it.")
@click.option("--yes", is_flag=True, help="Do not ask; you know that it is final.")
@folder_option
def revoke(release: str, reason: str, yes: bool, folder: Path) -> Answer:
    """Take RELEASE back, as one of the owners whose data it was made from: honest servers use it no more."""
    with client(folder) as node:
        digest = _find(node, release)
        if not yes:
            confirm("Revoke this release for everybody?")
        told = node.post(f"/releases/{digest}/revoke", {"reason": reason})
    return Answer(told, "Revoked. What somebody has already copied cannot be fetched back.")


@command(release_group, "verify")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--certificate",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Its certificate; FILE.certificate.json if absent.",
)
@click.option("--owner", "owners", multiple=True, help="Fingerprint of an owner that you trust; repeat.")
@click.option("--quorum", type=click.IntRange(min=1), default=None, help="How many of them must have signed.")
def verify(file: Path, certificate: Path | None, owners: tuple[str, ...], quorum: int | None) -> Answer:
    """Check offline that FILE is what a quorum of owners approved; needs no server."""
    import time

    from cloister.foundation.files import read_limited
    from cloister.release.bundle import BUNDLE_LIMIT, check_bundle
    from cloister.release.certificate import require_content

    beside = certificate or file.with_name(file.name + ".certificate.json")
    trusted = fingerprints(owners)
    checked = check_bundle(
        read_limited(beside, BUNDLE_LIMIT), int(time.time()), owners=trusted, quorum=quorum
    )
    found = checked.certificate
    require_content(found, read_limited(file, 1 << 30))
    return Answer(
        {
            "content": found.content_digest,
            "signed_by": sorted(found.signed_by),
            "names": checked.names,
            "owners_named_by_verifier": checked.named_by_verifier,
            "log_heads": [head.to_json() for head in checked.heads],
            "predicate": found.predicate.model_dump(mode="json"),
        },
        f"It holds: the file is what these owners approved.\n\n{checked.words()}\n\n{_OFFLINE}",
    )


_OFFLINE = "Checked offline: a revocation after the signing is not seen here; ask an owner, or a server that holds the release."


def _find(node: Any, given: str, wait: int = 0) -> str:
    return soon(lambda: [item["release"] for item in node.get("/releases")], given, wait)

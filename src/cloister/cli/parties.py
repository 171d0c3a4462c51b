"""`cloister party`: the other organisations, and whom you trust."""

from __future__ import annotations

from pathlib import Path

import click

from cloister.cli.common import client, folder_option, json_file
from cloister.cli.output import Answer, command

_TRUST = {"pinned": "trusted", "unpinned": "not trusted (compare fingerprints)"}


@click.group("party")
def party_group() -> None:
    """The organisations that your server knows, and whom you trust."""


@command(party_group, "list")
@folder_option
def parties(folder: Path) -> Answer:
    """All organisations that your server knows."""
    with client(folder) as node:
        told = node.get("/parties")
    lines = []
    for item in told:
        trust = "you" if item["own"] else _TRUST.get(item["trust"], item["trust"])
        lines.append(f"{item['name']}: {trust}; {', '.join(item['roles'])}\n  {item['fingerprint']}")
    return Answer(told, "\n".join(lines))


@command(party_group, "add")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@folder_option
def add_party(file: Path, folder: Path) -> Answer:
    """Take in a card file that another organisation handed to you."""
    from cloister.node.folder import CONFIG_LIMIT
    from cloister.node.setup import read_cards

    json_file(
        file,
        CONFIG_LIMIT,
        "a card file",
        "Ask that organisation for the file card.json in its server's folder.",
    )
    cards = [card.model_dump(mode="json") for card in read_cards(file)]
    with client(folder) as node:
        told = node.post("/parties", {"cards": cards})
    return Answer(
        told, f"Known: {told['name']}. Compare fingerprints, then: cloister party trust {told['party']}"
    )


@command(party_group, "trust")
@click.argument("fingerprint")
@folder_option
def trust(fingerprint: str, folder: Path) -> Answer:
    """Trust the organisation whose FINGERPRINT you compared, for example on the telephone."""
    party = "".join(fingerprint.split()).lower()
    with client(folder) as node:
        told = node.post(f"/parties/{party}/trust", {"fingerprint": fingerprint})
    return Answer(told, "Trusted from now on.")


@command(party_group, "distrust")
@click.argument("fingerprint")
@folder_option
def distrust(fingerprint: str, folder: Path) -> Answer:
    """Take back your trust in the organisation with FINGERPRINT: your server admits no more of its tasks."""
    party = "".join(fingerprint.split()).lower()
    with client(folder) as node:
        told = node.post(f"/parties/{party}/distrust")
    return Answer(
        told, "Not trusted any more. What it signed before stays signed; agreements can be suspended."
    )


@command(party_group, "card")
@folder_option
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the card file here.")
@click.option("--fingerprint", "only", is_flag=True, help="Print the fingerprint and nothing else.")
def card(folder: Path, out: Path | None, only: bool) -> Answer:
    """Your own card, to hand to others."""
    from cloister.foundation.files import read_limited, write_atomically
    from cloister.identity.keys import grouped
    from cloister.node.folder import Folder

    place = Folder(folder.absolute())
    data = read_limited(place.card_file, 1 << 20)
    party = place.config().party
    if out is not None:
        write_atomically(out, data)
    if only:
        return Answer({"party": party, "file": str(place.card_file)}, party)
    where = f"Written to {out}. " if out else f"It is in {place.card_file}. "
    return Answer(
        {"party": party, "file": str(out or place.card_file)}, f"{where}Fingerprint:\n  {grouped(party)}"
    )

"""`cloister node`, `cloister party`, `cloister dataset`: a party's own server, the others, and its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cloister.cli.common import client, folder_option, keyring_option, short, table, unlock
from cloister.cli.output import Answer, command


@click.group("node")
def node_group() -> None:
    """Your Cloister server: make it, connect it to a relay, run it."""


@click.group("party")
def party_group() -> None:
    """The organisations that your node knows, and whom you trust."""


@click.group("dataset")
def dataset_group() -> None:
    """Your datasets, and what others see of them."""


@command(node_group, "init")
@click.argument("name")
@folder_option
@keyring_option
@click.option(
    "--role",
    "roles",
    multiple=True,
    default=("owner", "researcher", "user", "witness"),
    show_default=True,
    help="What the organisation is; may be repeated.",
)
def init(name: str, folder: Path, keyring: bool, roles: tuple[str, ...]) -> Answer:
    """Make the keys of an organisation called NAME, and its card to hand to others."""
    from cloister.foundation.clock import SystemClock
    from cloister.node.setup import init_node, socket_path_fits

    socket_path_fits(folder)
    opener = unlock(keyring=keyring, new=True)
    made = init_node(folder.absolute(), name, roles, opener, opener, SystemClock())
    return Answer(
        {"party": made.party, "name": name, "folder": str(made.folder), "recovery": str(made.recovery)},
        f"Made the node of {name} in {made.folder}.\n"
        f"Fingerprint, to read out to others:\n  {made.fingerprint}\n"
        f"Move {made.recovery} to a place off this machine: it replaces the keys if they are lost or stolen.\n"
        "Next: cloister node connect INVITATION, then cloister node up",
    )


@command(node_group, "connect")
@click.argument("invitation")
@folder_option
@keyring_option
def connect(invitation: str, folder: Path, keyring: bool) -> Answer:
    """Enrol at the relay that gave INVITATION (its text, or a file that holds it)."""
    from cloister.foundation.clock import SystemClock
    from cloister.identity.keystore import Keystore
    from cloister.node.folder import Folder
    from cloister.node.hub_link import connect_to_hub
    from cloister.transport.invitation import Invitation

    path = Path(invitation)
    text = path.read_text() if len(invitation) < 4096 and path.is_file() else invitation
    place = Folder(folder.absolute())
    place.config()
    keystore = Keystore.open(place.secrets, unlock(keyring=keyring))
    told = connect_to_hub(place, keystore, Invitation.decode(text), SystemClock())
    return Answer(told, f"Enrolled at the relay {told['relay']}. Next: cloister node up")


@command(node_group, "up")
@folder_option
@keyring_option
def up(folder: Path, keyring: bool) -> Answer:
    """Run the node until it is told to stop (Ctrl-C)."""
    from cloister.node.server import log_to_stderr, run_node

    log_to_stderr()
    run_node(
        folder.absolute(),
        unlock(keyring=keyring),
        ready=lambda node: click.echo(
            f"{node.config.name} is running; its operator's socket is {node.folder.socket}"
        ),
    )
    return Answer({"stopped": True}, "Stopped.")


@command(node_group, "status")
@folder_option
def status(folder: Path) -> Answer:
    """Who this node is, whether the relay is reached, who else is here."""
    with client(folder) as node:
        told = node.status()
        names = {item["party"]: item["name"] for item in node.get("/parties")}
    here = ", ".join(names.get(party, party[:8]) for party in told["here"]) or "nobody else"
    relay = "reached" if told["relay"]["reached"] else "not reached" if told["relay"]["hub"] else "none"
    lines = [f"{told['name']}  {told['party']}", f"Relay: {relay}. Here now: {here}."]
    if told["locked"]:
        lines.append(f"LOCKED: {told['locked']['why']}")
    return Answer(told, "\n".join(lines))


@command(party_group, "list")
@folder_option
def parties(folder: Path) -> Answer:
    """All organisations that your node knows."""
    with client(folder) as node:
        told = node.get("/parties")
    rows = [
        [item["name"], "you" if item["own"] else item["trust"], ", ".join(item["roles"]), item["fingerprint"]]
        for item in told
    ]
    return Answer(told, table(["Name", "Trust", "Roles", "Fingerprint"], rows))


@command(party_group, "add")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@folder_option
def add_party(file: Path, folder: Path) -> Answer:
    """Take in a card file that another organisation handed to you."""
    from cloister.node.setup import read_cards

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


@command(party_group, "card")
@folder_option
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the card file here.")
def card(folder: Path, out: Path | None) -> Answer:
    """Your own card, to hand to others."""
    from cloister.foundation.files import read_limited, write_atomically
    from cloister.identity.keys import grouped
    from cloister.node.folder import Folder

    place = Folder(folder.absolute())
    data = read_limited(place.card_file, 1 << 20)
    party = place.config().party
    if out is not None:
        write_atomically(out, data)
    where = f"Written to {out}. " if out else f"It is in {place.card_file}. "
    return Answer(
        {"party": party, "file": str(out or place.card_file)}, f"{where}Fingerprint:\n  {grouped(party)}"
    )


@command(dataset_group, "add")
@click.argument("name")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@folder_option
@click.option("--title", default=None, help="For people; the name if absent.")
@click.option("--residency", required=True, metavar="CC", help="Country where the data lies, for example AT.")
@click.option(
    "--sensitivity", multiple=True, metavar="[COLUMN=]LEVEL", help="public, internal, confidential, personal."
)
@click.option("--unit", default=None, help="Unit of privacy: image, record, or a column's name.")
@click.option("--tell-size", is_flag=True, help="Let others see roughly how many records there are.")
@click.option("--version", default=1, show_default=True, help="One more than the version that this replaces.")
def add_dataset(
    name: str,
    source: Path,
    folder: Path,
    title: str | None,
    residency: str,
    sensitivity: tuple[str, ...],
    unit: str | None,
    tell_size: bool,
    version: int,
) -> Answer:
    """Register SOURCE (a folder of pictures with labels, or a CSV or Parquet table) as the dataset NAME."""
    fields: dict[str, Any] = {
        "name": name,
        "title": title or name,
        "residency": residency.upper(),
        "tell_size": tell_size,
        "version": version,
    }
    if sensitivity:
        fields["sensitivity"] = dict(
            (item.partition("=")[0], item.partition("=")[2]) if "=" in item else ("", item)
            for item in sensitivity
        )
    if unit is not None:
        fields["unit_of_privacy"] = (
            {"kind": unit} if unit in {"image", "record"} else {"kind": "column", "column": unit}
        )
    with client(folder, timeout=3600) as node:
        told = node.post("/datasets", {"source": str(source.absolute()), "fields": fields})
    return Answer(
        told,
        f"Registered {name}: {told['private']['records']} records (only you see this number).\n"
        f"Commitment {told['commitment']}\nThe data stays where it is; if it changes, tasks will refuse it.",
    )


@command(dataset_group, "list")
@folder_option
def datasets(folder: Path) -> Answer:
    """Your datasets."""
    with client(folder) as node:
        told = node.get("/datasets")
    rows = [
        [
            item["name"],
            item["catalogue"]["kind"],
            str(item["private"]["records"]),
            "unchanged" if item["private"]["looks_unchanged"] else "CHANGED",
            short(item["commitment"]),
        ]
        for item in told
    ]
    return Answer(told, table(["Name", "Kind", "Records (only you see)", "Files", "Commitment"], rows))


@command(dataset_group, "catalogue")
@folder_option
def catalogue(folder: Path) -> Answer:
    """What you and others tell of datasets: exactly this, no more."""
    with client(folder) as node:
        told = node.get("/catalogue")
    rows = [
        [
            item["owner_name"],
            item["name"],
            item["kind"],
            item["residency"],
            item.get("size_band") or "not told",
        ]
        for item in told
    ]
    return Answer(told, table(["Owner", "Name", "Kind", "Kept in", "Size"], rows))

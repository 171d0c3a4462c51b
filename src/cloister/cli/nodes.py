"""`cloister node`: a party's own server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloister.cli import accounts, backups, keys
from cloister.cli.common import client, folder_option, keyring_option, openers, unlock, wait_option
from cloister.cli.output import Answer, command
from cloister.cli.pages import page_options, run
from cloister.foundation.text import party_name

if TYPE_CHECKING:
    from cloister.web.listening import PageAt


@click.group("node")
def node_group() -> None:
    """Your Cloister server: make it, connect it to a relay, run it."""


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
    opener, recovery = openers(keyring=keyring)
    made = init_node(folder.absolute(), name, roles, opener, recovery, SystemClock())
    return Answer(
        {"party": made.party, "name": name, "folder": str(made.folder), "recovery": str(made.recovery)},
        f"Made the server of {name} in {made.folder}.\n"
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
    from cloister.foundation.files import read_limited
    from cloister.identity.keystore import Keystore
    from cloister.node.folder import Folder
    from cloister.node.peers.hub_link import connect_to_hub
    from cloister.transport.invitation import Invitation

    path = Path(invitation)
    text = invitation
    if len(invitation) < 1000 and path.is_file():
        text = read_limited(path, 1 << 20).decode("ascii", "replace")
    place = Folder(folder.absolute())
    place.config()
    keystore = Keystore.open(place.secrets, unlock(keyring=keyring))
    told = connect_to_hub(place, keystore, Invitation.decode(text), SystemClock())
    return Answer(
        told,
        f"Enrolled at the relay {told['relay']}. Next: cloister node up (one that runs is ended and started again)",
    )


@command(node_group, "up")
@folder_option
@keyring_option
@page_options
def up(folder: Path, keyring: bool, page: PageAt | None) -> Answer:
    """Run the server and its page until it is told to stop (Ctrl-C)."""
    run(folder, unlock(keyring=keyring), page)
    return Answer({"stopped": True}, "Stopped.")


@command(node_group, "status")
@wait_option
@folder_option
def status(folder: Path, wait: int) -> Answer:
    """Who this server is, whether the relay is reached, who else is here. With --wait: once it runs."""
    with client(folder) as node:
        told = node.wait_ready(wait) if wait else node.status()
        names = {item["party"]: item["name"] for item in node.get("/parties")}
    here = ", ".join(party_name(party, names) for party in told["here"]) or "nobody else"
    relay = "reached" if told["relay"]["reached"] else "not reached" if told["relay"]["hub"] else "none"
    lines = [f"{told['name']}  {told['party']}", f"Relay: {relay}. Here now: {here}."]
    if told["locked"]:
        lines.append(f"LOCKED: {told['locked']['why']}")
    if told.get("budgets"):
        lines.append(f"NO PRIVACY IS SPENT: {told['budgets']['title']} {told['budgets']['remedy']}")
    if told["twin"]:
        lines.append(
            "TWO NODES: another one runs with this identity; nothing is admitted until one is stopped."
        )
    for item in told["cards_not_learned"]:
        again = "given up" if item["given_up"] else "tried again"
        lines.append(f"A card was not learned ({again}, {item['attempts']} attempts): {item['reason']}")
    for item in told["agreements_not_readable"]:
        lines.append(f"The agreement {item['agreement']} cannot be read: {item['reason']}")
    return Answer(told, "\n".join(lines))


keys.register(node_group)
backups.register(node_group)
accounts.register(node_group)

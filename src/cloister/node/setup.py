"""Making a node: keys, recovery keys, the first card. Works alone, with no hub and no network."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from cloister.foundation.clock import Clock
from cloister.foundation.errors import BadInput, Conflict
from cloister.identity.cards import Role, genesis, read
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import SecretKeys, grouped
from cloister.identity.keystore import Keystore, Unlock, write_recovery
from cloister.node.folder import Folder, NodeConfig

RECOVERY_FILE = "recovery-keys.sealed"
STORAGE_KEY = "storage"


@dataclass(frozen=True)
class Made:
    """A new node: its fingerprint and where its recovery keys are (to be moved off this machine)."""

    party: str
    name: str
    folder: Path
    recovery: Path

    @property
    def fingerprint(self) -> str:
        """As people compare it."""
        return grouped(self.party)


def init_node(
    folder: Path, name: str, roles: Iterable[str], unlock: Unlock, recovery: Unlock, clock: Clock
) -> Made:
    """Makes a node in an empty folder.

    Args:
        folder: where; made if missing, closed to other users.
        name: the organisation's name, on its card.
        roles: what it is: `owner`, `researcher`, `user`, `witness`, `auditor`.
        unlock: opens the node's secrets.
        recovery: opens the recovery keys' file.
        clock: for the card's dates.

    Raises:
        Conflict: there is a node in the folder already.
        BadInput: a name or role that no card can have.
    """
    place = Folder(folder)
    if place.config_file.exists() or Keystore.exists(place.secrets):
        raise Conflict(
            f"There is a server in {folder} already.",
            "Its keys are not overwritten.",
            "Choose another folder.",
        )
    if not name.strip():
        raise BadInput("A server needs a name.", "Others will see it.", "Give the organisation's name.")
    place.private(folder)
    keys, spare = SecretKeys.generate(), SecretKeys.generate()
    card = genesis(name, _roles(roles), keys, spare.public, clock.now())
    party = read(card).party
    store = Keystore.create(place.private(place.secrets), unlock)
    store.save_keys(keys)
    store.get_or_create(STORAGE_KEY)
    write_recovery(folder / RECOVERY_FILE, spare, recovery)
    write_cards(place, [card])
    # Written last: a folder with this file is a whole node.
    place.write_config(NodeConfig(party=party, name=name, roles=tuple(sorted(set(roles)))))
    return Made(party, name, folder, folder / RECOVERY_FILE)


def write_cards(place: Folder, cards: Iterable[Envelope]) -> None:
    """Writes this party's chain of cards to its public file, which can be handed to others."""
    place.write_json(place.card_file, [card.model_dump(mode="json") for card in cards])


def read_cards(path: Path) -> list[Envelope]:
    """A chain of cards from a file, not yet checked. Raises `NotFound` or `BadInput`."""
    value = Folder(path.parent).read_json(path)
    if not isinstance(value, list):
        raise BadInput(
            f"{path.name} is no card file.", "It must be a list of signed cards.", "Ask for the file again."
        )
    return [Envelope.from_json(item) for item in value]


def socket_path_fits(folder: Path) -> None:
    """Raises `BadInput` if the node's socket would have a path that the system cannot bind (about 100 bytes)."""
    path = os.fsencode(Folder(folder.absolute()).socket)
    if len(path) > 100:
        raise BadInput(
            "The server's folder has too long a path.",
            f"Its socket's path would have {len(path)} bytes; systems allow about 100.",
            "Use a folder with a shorter path.",
        )


def _roles(roles: Iterable[str]) -> list[Role]:
    known = get_args(Role)
    found = sorted(set(roles))
    for role in found:
        if role not in known:
            raise BadInput(
                f"There is no role {role[:40]!r}.", f"Roles are {', '.join(known)}.", "Choose among them."
            )
    if not found:
        raise BadInput("A server needs a role.", f"Roles are {', '.join(known)}.", "Choose at least one.")
    return cast("list[Role]", found)

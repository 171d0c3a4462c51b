"""A dishonest laboratory: it has its own keys and a plan that the agreement does not permit, and asks the owners' nodes.

It goes around its own node, whose checks would stop it; only the owners' nodes stand in its way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloister.claims.offers import PLAN_TYPE, Plan
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import SystemClock, rfc3339
from cloister.foundation.errors import CloisterError
from cloister.identity.directory import Directory
from cloister.identity.envelopes import KeyDirectory, sign
from cloister.identity.keys import PublicKeys
from cloister.identity.keystore import Keystore, Unlock
from cloister.node.folder import Folder
from cloister.node.peers.hub_link import credentials, hub_of
from cloister.node.setup import read_cards
from cloister.node.tasks.service import PROPOSE
from cloister.transport.zenoh import connect


def forge(
    folder: Path, unlock: Unlock, plan: Mapping[str, Any], others: list[Path], purpose: str
) -> dict[str, Any]:
    """Sends the owners a copy of `plan` for another purpose. Returns what each said, by fingerprint.

    Args:
        folder: the laboratory's node, which must not be running.
        unlock: opens its secrets.
        plan: a plan that was admitted.
        others: folders of the other nodes, for their public cards.
        purpose: what the agreement does not permit.
    """
    place = Folder(folder)
    keystore = Keystore.open(place.secrets, unlock)
    keys, party, clock = keystore.load_keys(), place.config().party, SystemClock()
    document = {**plan, "request": {**plan["request"], "purpose": purpose}, "created": rfc3339(clock.now())}
    forged = Plan.model_validate_json(canonical(document))
    envelope = sign(PLAN_TYPE, forged.model_dump(mode="json"), party, keys)
    invitation, _cards = hub_of(place)
    peers = _Peers([place.card_file, *(Folder(other).card_file for other in others)], clock.now())
    said: dict[str, Any] = {}
    transport = connect(
        party,
        keys,
        peers,
        endpoint=invitation.relay,
        credentials=credentials(place, keystore, clock),
        clock=clock,
    )
    try:
        for owner in plan["offer"]["seats"]["owner"]:
            try:
                transport.call(owner, PROPOSE, envelope.encode(), deadline=15)
                said[owner] = {"title": "It admitted the forged plan."}
            except CloisterError as error:
                said[owner] = error.problem()
    finally:
        transport.close()
    return said


class _Peers:
    def __init__(self, files: list[Path], now: int) -> None:
        self._directory, self._now = Directory(), now
        for file in files:
            self._directory.accept_chain(read_cards(file), now)

    @property
    def directory(self) -> KeyDirectory:
        return self._directory

    def keys_for(self, party: str) -> PublicKeys:
        return self._directory.current(party, self._now).keys

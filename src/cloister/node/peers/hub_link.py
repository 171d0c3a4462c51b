"""This node's place at a hub: enrolled once by an invitation, connected whenever the node runs.

A node reaches others by a *link*; `by_relay` makes the usual one, through the hub that it was enrolled at. Tests and the
simulator hand the node another maker of links.

Rules:
1. A certificate is never without its key: the new key is kept beside the present one until its certificate is written. A node
   that dies in between finds the one that fits. Where none does, it gets a new certificate before it connects.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cloister.foundation.clock import Clock
from cloister.foundation.errors import BadInput, NotFound, Refused, Unreachable
from cloister.foundation.files import read_limited, write_atomically
from cloister.identity.enrolment import belongs, renewal_due
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import SecretKeys
from cloister.identity.keystore import Keystore
from cloister.node.folder import Folder
from cloister.node.peers.parties import Parties
from cloister.node.setup import read_cards
from cloister.transport.hub_client import enrol
from cloister.transport.invitation import Invitation
from cloister.transport.messenger import Messenger
from cloister.transport.zenoh_settings import Credentials

_LOG = logging.getLogger("cloister.node.hub")
_TLS_KEY, _NEXT_TLS_KEY = "transport-key", "transport-key-next"
_PEM_LIMIT = 64 << 10


@dataclass(frozen=True)
class Ends:
    """What a link is made from: this node's folder, secrets, parties and clock."""

    folder: Folder
    keystore: Keystore
    keys: SecretKeys
    parties: Parties
    clock: Clock


@dataclass(frozen=True)
class Link:
    """A way to other nodes.

    Attributes:
        transport: carries the calls.
        hub: fingerprint of the hub on it; `None` where there is none.
        renew: shows the hub this party's present card if it was not shown yet; gets a new transport certificate if the
            present one is near its end, and goes over to it.
    """

    transport: Messenger
    hub: str | None = None
    renew: Callable[[], None] = lambda: None


Connector = Callable[[Ends], Link | None]
"""Makes a node's link when it starts; `None` where the node has none (yet)."""


def by_relay(ends: Ends) -> Link | None:
    """The link through the hub that this node was enrolled at; `None` if it was not.

    Raises:
        Refused: the hub's cards are another party's than the invitation names (clause `hub-card`).
    """
    from cloister.transport.zenoh import ZenohCarrier, connect
    from cloister.transport.zenoh_settings import many_threads

    folder = ends.folder
    if not connected(folder):
        return None
    many_threads()
    invitation, hub_cards = hub_of(folder)
    if ends.parties.accept_chain(hub_cards).party != invitation.hub:
        raise Refused("The relay's cards are another party's.", "", "Connect again.", clause="hub-card")
    _show_new_card(ends)
    transport = connect(
        ends.parties.own.party,
        ends.keys,
        ends.parties,
        endpoint=invitation.relay,
        credentials=credentials(folder, ends.keystore, ends.clock),
        clock=ends.clock,
        folder=folder.private(folder.root / "offers"),
        hub=invitation.hub,
    )

    def renew() -> None:
        _show_new_card(ends)
        certificate = read_limited(folder.certificate_file, _PEM_LIMIT)
        carrier = transport.carrier
        if renewal_due(certificate, ends.clock.now()) and isinstance(carrier, ZenohCarrier):
            carrier.renew(credentials(folder, ends.keystore, ends.clock))

    return Link(transport, invitation.hub, renew)


def _show_new_card(ends: Ends) -> None:
    """After a rotation the hub does not know the new keys: enrolling again shows it the whole chain."""
    value = ends.folder.read_json(ends.folder.hub_file)
    shown = value.get("shown") if isinstance(value, dict) else None
    if shown == ends.parties.chain(ends.parties.own.party)[-1].digest:
        return
    try:
        connect_to_hub(ends.folder, ends.keystore, hub_of(ends.folder)[0], ends.clock)
    except Unreachable as error:
        _LOG.warning("%s The relay does not know this party's new card yet.", error.what)


def connected(folder: Folder) -> bool:
    """Whether the node was enrolled at a hub."""
    return folder.hub_file.exists() and folder.certificate_file.exists()


def connect_to_hub(
    folder: Folder, keystore: Keystore, invitation: Invitation, clock: Clock
) -> dict[str, Any]:
    """Enrols the node at the hub that invites it. Also renews: the code is then not looked at."""
    party = folder.config().party
    enrolled = enrol(invitation, party, keystore.load_keys(), read_cards(folder.card_file), clock.now())
    keystore.put(_NEXT_TLS_KEY, enrolled.credentials.key)
    write_atomically(folder.authority_file, enrolled.credentials.authority)
    write_atomically(folder.certificate_file, enrolled.credentials.certificate)
    _go_over(keystore, enrolled.credentials.key)
    folder.write_json(
        folder.hub_file,
        {
            "type": "cloister/hub@1",
            "invitation": invitation.encode(),
            "cards": [card.model_dump(mode="json") for card in enrolled.hub_cards],
            "shown": read_cards(folder.card_file)[-1].digest,
        },
    )
    return {"hub": invitation.hub, "relay": invitation.relay, "party": party}


def hub_of(folder: Folder) -> tuple[Invitation, list[Envelope]]:
    """The invitation that was accepted and the hub's cards. Raises `NotFound` if there is none."""
    if not connected(folder):
        raise NotFound(
            "This server is connected to no relay.",
            "It was not enrolled at one.",
            "Ask a relay's operator for an invitation, then: cloister node connect INVITATION",
        )
    value = folder.read_json(folder.hub_file)
    if not isinstance(value, dict) or not isinstance(value.get("cards"), list):
        raise BadInput("The relay's file could not be read.", "", "Connect again with a new invitation.")
    return Invitation.decode(str(value.get("invitation", ""))), [
        Envelope.from_json(item) for item in value["cards"]
    ]


def credentials(folder: Folder, keystore: Keystore, clock: Clock) -> Credentials:
    """What the node shows at the relay; renewed first if its certificate is near its end, or its key is lost."""
    certificate = read_limited(folder.certificate_file, _PEM_LIMIT)
    key = _key_of(keystore, certificate)
    if key is None or renewal_due(certificate, clock.now()):
        invitation, _cards = hub_of(folder)
        connect_to_hub(folder, keystore, invitation, clock)
        certificate = read_limited(folder.certificate_file, _PEM_LIMIT)
        key = keystore.get(_TLS_KEY)
    return Credentials(read_limited(folder.authority_file, _PEM_LIMIT), certificate, key)


def _key_of(keystore: Keystore, certificate: bytes) -> bytes | None:
    for label in (_TLS_KEY, _NEXT_TLS_KEY):
        if keystore.has(label) and belongs(key := keystore.get(label), certificate):
            if label != _TLS_KEY:
                _go_over(keystore, key)
            return key
    return None


def _go_over(keystore: Keystore, key: bytes) -> None:
    keystore.put(_TLS_KEY, key)
    keystore.remove(_NEXT_TLS_KEY)

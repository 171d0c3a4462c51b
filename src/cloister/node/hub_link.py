"""This node's place at a hub: enrolled once by an invitation, connected whenever the node runs."""

from __future__ import annotations

from typing import Any

from cloister.foundation.clock import Clock
from cloister.foundation.errors import BadInput, NotFound
from cloister.foundation.files import read_limited, write_atomically
from cloister.identity.enrolment import renewal_due
from cloister.identity.envelopes import Envelope
from cloister.identity.keystore import Keystore
from cloister.node.folder import Folder
from cloister.node.setup import read_cards
from cloister.transport.hub_client import enrol
from cloister.transport.invitation import Invitation
from cloister.transport.zenoh_settings import Credentials

_TLS_KEY = "transport-key"
_PEM_LIMIT = 64 << 10


def connected(folder: Folder) -> bool:
    """Whether the node was enrolled at a hub."""
    return folder.hub_file.exists() and folder.certificate_file.exists()


def connect_to_hub(
    folder: Folder, keystore: Keystore, invitation: Invitation, clock: Clock
) -> dict[str, Any]:
    """Enrols the node at the hub that invites it. Also renews: the code is then not looked at."""
    party = folder.config().party
    enrolled = enrol(invitation, party, keystore.load_keys(), read_cards(folder.card_file), clock.now())
    keystore.put(_TLS_KEY, enrolled.credentials.key)
    write_atomically(folder.authority_file, enrolled.credentials.authority)
    write_atomically(folder.certificate_file, enrolled.credentials.certificate)
    folder.write_json(
        folder.hub_file,
        {
            "type": "cloister/hub@1",
            "invitation": invitation.encode(),
            "cards": [card.model_dump(mode="json") for card in enrolled.hub_cards],
        },
    )
    return {"hub": invitation.hub, "relay": invitation.relay, "party": party}


def hub_of(folder: Folder) -> tuple[Invitation, list[Envelope]]:
    """The invitation that was accepted and the hub's cards. Raises `NotFound` if there is none."""
    if not connected(folder):
        raise NotFound(
            "This node is connected to no relay.",
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
    """What the node shows at the relay; renewed first if its certificate is near its end."""
    certificate = read_limited(folder.certificate_file, _PEM_LIMIT)
    if renewal_due(certificate, clock.now()):
        invitation, _cards = hub_of(folder)
        connect_to_hub(folder, keystore, invitation, clock)
        certificate = read_limited(folder.certificate_file, _PEM_LIMIT)
    return Credentials(read_limited(folder.authority_file, _PEM_LIMIT), certificate, keystore.get(_TLS_KEY))

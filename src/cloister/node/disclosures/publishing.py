"""Settings of a factory that this party publishes, and those that others published: signed here, checked here.

What is published is kept and logged; it goes to whom people hand the file. Pictures are drawn where the command runs, not here.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from cloister.foundation.canonical import JSON, canonical
from cloister.foundation.clock import Clock
from cloister.foundation.documents import invalid
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import SecretKeys
from cloister.node.disclosures import kept
from cloister.node.ledger_service import LedgerService
from cloister.node.peers.parties import Parties
from cloister.storage.database import Database


class Publishing:
    """Signs this party's settings and checks others'."""

    def __init__(
        self, database: Database, clock: Clock, keys: SecretKeys, parties: Parties, ledger: LedgerService
    ) -> None:
        self._database = database
        self._clock = clock
        self._keys = keys
        self._parties = parties
        self._ledger = ledger

    def publish(self, name: str, title: str, settings: JSON, micrometres_per_pixel: float | None) -> Envelope:
        """The signed settings, kept and logged. Raises `BadInput` naming the range that cannot be."""
        # The generator takes half a second to import: only where settings are published.
        from cloister.applications.crystals.published import FactorySettings, sign_settings

        self._ledger.require_unlocked()
        try:
            ranges = FactorySettings.model_validate_json(canonical(settings))
        except ValidationError as error:
            raise invalid(error, "A factory's settings") from None
        own, now = self._parties.own.party, self._clock.now()
        envelope = sign_settings(name, title, ranges, own, self._keys, now, micrometres_per_pixel)
        with self._database.transaction() as tx:
            kept.keep(tx, self._ledger, envelope, now, "settings.published", owner=own)
        return envelope

    def check(self, envelope: Envelope) -> dict[str, Any]:
        """What settings say, and who signed them. Raises `BadInput`, or `NotTrusted` if their owner did not."""
        from cloister.applications.crystals.published import open_settings

        found = open_settings(envelope, self._parties.directory)
        return {
            "owner_name": self._parties.names().get(found.owner, ""),
            "trusted": self._parties.trusted(found.owner),
            **found.model_dump(mode="json"),
        }

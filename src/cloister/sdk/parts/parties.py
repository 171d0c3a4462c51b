"""The organisations that a server knows."""

from __future__ import annotations

from pathlib import Path

from cloister.foundation.errors import NotFound
from cloister.sdk.client import Client
from cloister.sdk.parts.lookup import read_json
from cloister.sdk.records import Party
from cloister.sdk.tables import Table


class Parties:
    """The organisations that this server knows. Trust begins with people who compare fingerprints."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> Table[Party]:
        """All of them."""
        return Table(Party(item) for item in self._client.get("/parties"))

    def get(self, name: str) -> Party:
        """One, by name or by the beginning of its fingerprint. Raises `NotFound` for none and for several."""
        wanted = "".join(name.split()).lower()
        found = [
            item
            for item in self.list()
            if item.facts["name"] == name or (len(wanted) >= 8 and item.facts["party"].startswith(wanted))
        ]
        if len(found) != 1:
            raise NotFound(
                f"Your server knows {'several' if found else 'no'} parties named {name[:80]}.",
                "",
                "Look at parties.list(); name the fingerprint.",
            )
        return found[0]

    def add(self, card: str | Path) -> Party:
        """Learns another organisation's card from its file; nobody is trusted by that."""
        told = self._client.post("/parties", {"cards": read_json(card, "a card")}, once=True)
        return self.get(told["party"])

    def trust(self, name: str, fingerprint: str) -> Party:
        """People have compared this fingerprint with what the other organisation told them."""
        party = self.get(name).facts["party"]
        self._client.post(f"/parties/{party}/trust", {"fingerprint": fingerprint}, once=True)
        return self.get(party)

    def distrust(self, name: str) -> Party:
        """Takes that back."""
        party = self.get(name).facts["party"]
        self._client.post(f"/parties/{party}/distrust", once=True)
        return self.get(party)

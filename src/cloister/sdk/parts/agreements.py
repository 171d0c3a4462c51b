"""Agreements: drafted, read, proposed, found again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cloister.sdk.client import Client
from cloister.sdk.parts.lookup import find, read_json
from cloister.sdk.parts.parties import Parties
from cloister.sdk.records import Agreement
from cloister.sdk.tables import Table


class Agreements:
    """Who may do what with whose data."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> Table[Agreement]:
        """Those that this organisation is in."""
        return Table(Agreement(self._client, item) for item in self._client.get("/agreements"))

    def get(self, agreement: str | Mapping[str, Any], *, wait: float = 0.0) -> Agreement:
        """One, by its digest, the beginning of that, or its terms.

        Args:
            agreement: which; `latest` for the newest.
            wait: seconds to wait for it to come.
        """
        name = _digest_of(agreement)
        found = find(self.list, "agreement", name, wait)
        return Agreement(self._client, found.facts).refresh()

    def draft(
        self,
        template: str,
        *,
        title: str,
        owners: Mapping[str, str],
        researchers: Sequence[str] = (),
        users: Sequence[str] = (),
        witnesses: Sequence[str] = (),
        purposes: Sequence[str],
        days: int = 365,
        quality: Mapping[str, float] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Terms from a template, to be read and proposed; nothing is sent.

        Args:
            template: one of docs/reference/agreements.md, such as `factories-and-lab`.
            title: for people.
            owners: organisation → its dataset.
            researchers: who may ask.
            users: who also receives results.
            witnesses: independent ones.
            purposes: what it is for.
            days: how long it holds.
            quality: metric → the least that each owner's own check data must show.
            more: `epsilon`, `delta`, `unit`, `dropouts` and others that templates take.

        Returns:
            The terms as JSON values.
        """
        from cloister.agreements.templates import new_from_template
        from cloister.foundation.clock import rfc3339

        known = Parties(self._client)

        def party(name: str) -> dict[str, str]:
            found = known.get(name).facts
            return {"party": found["party"], "name": found["name"]}

        inputs: dict[str, Any] = {
            "title": title,
            "owners": [{**party(name), "dataset": dataset} for name, dataset in owners.items()],
            "researchers": [party(name) for name in researchers],
            "users": [party(name) for name in users],
            "witnesses": [party(name) for name in witnesses],
            "purposes": list(purposes),
            "starts": rfc3339(int(time.time()) - 60),
            "days": days,
            **more,
        }
        if quality:
            ((metric, minimum),) = quality.items()
            inputs["quality"] = {"metric": metric, "minimum": minimum}
        return dict(new_from_template(template, inputs).to_odrl())

    def read(self, terms: Mapping[str, Any] | str | Path) -> str:
        """Terms in plain words, before they are proposed."""
        from cloister.agreements.terms import Terms
        from cloister.agreements.words import describe

        names = {item.facts["party"]: item.facts["name"] for item in Parties(self._client).list()}
        return describe(Terms.from_odrl(_terms(terms)), names)

    def propose(self, terms: Mapping[str, Any] | str | Path) -> Agreement:
        """Signs terms for this organisation and offers them to the others."""
        told = self._client.post("/agreements", {"terms": _terms(terms)}, once=True)
        return Agreement(self._client, told)


def _digest_of(agreement: str | Mapping[str, Any]) -> str:
    if isinstance(agreement, str):
        return agreement
    from cloister.agreements.terms import Terms

    return str(Terms.from_odrl(dict(agreement)).digest)


def _terms(given: Mapping[str, Any] | str | Path) -> dict[str, Any]:
    found = given if isinstance(given, Mapping) else read_json(given, "an agreement")
    return dict(found)

"""Datasets, and the privacy that may be spent of their records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloister.foundation.errors import BadInput, NotFound
from cloister.sdk.client import Client
from cloister.sdk.records import Dataset, Population
from cloister.sdk.tables import Table, write_table


class Datasets:
    """This organisation's datasets, and what others tell of theirs."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> Table[Dataset]:
        """One's own, with what only the owner sees."""
        return Table(_own(item) for item in self._client.get("/datasets"))

    def get(self, name: str) -> Dataset:
        """One of one's own by name. Raises `NotFound`."""
        for item in self.list():
            if item.facts["name"] == name:
                return item
        raise NotFound(f"You have no dataset {name[:80]!r}.", "", "Look at datasets.list().")

    def catalogue(self) -> Table[Dataset]:
        """What everybody tells of datasets: exactly this, no more."""
        return Table(Dataset(item) for item in self._client.get("/catalogue"))

    def add(
        self,
        name: str,
        source: Any,
        *,
        residency: str,
        title: str = "",
        sensitivity: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Dataset:
        """Registers a dataset. The data stays where it is.

        Args:
            name: what agreements call it.
            source: the path, on the server's machine, of a table (CSV, Parquet) or a folder of pictures; or a table itself (Arrow,
                pandas, columns by name), which is written into the folder of a server on this machine first.
            residency: the country where it is kept, two letters.
            title: for people.
            sensitivity: column → `public`, `internal`, `confidential` or `personal`; confidential if absent.
            fields: others of docs/reference/datasets.md.

        Raises:
            BadInput: it cannot be read, with the line and column to mend.
        """
        if not isinstance(source, str | Path):
            source = self._written(name, source)
        given: dict[str, Any] = {"name": name, "title": title or name, "residency": residency, **fields}
        if sensitivity:
            given["sensitivity"] = dict(sensitivity)
        body = {"source": str(Path(source).absolute()), "fields": given}
        return _own(self._client.post("/datasets", body, once=True))

    def check(self, name: str) -> bool:
        """Compares every byte with what was registered. Returns true; raises what changed."""
        found = self.get(name)
        return bool(self._client.post(f"/datasets/{found.facts['commitment']}/check")["unchanged"])

    def _written(self, name: str, data: Any) -> Path:
        folder = self._client.folder
        if folder is None:
            raise BadInput(
                "A table is not sent to a server elsewhere.",
                "Data stays where it is.",
                "Give the path of a file on the server's machine.",
            )
        if not name.replace("-", "").replace("_", "").isalnum():
            raise BadInput("The name cannot name a file.", "", "Use letters, digits, - and _.")
        return write_table(data, folder / "data" / f"{name}.parquet")


class Budgets:
    """Privacy that may be spent of this organisation's records."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> Table[Population]:
        """Every population: its limit, what was spent, what is left."""
        return Table(Population(item) for item in self._client.budgets()["populations"])

    def open(self, population: str, *, unit: str, epsilon: float, delta: float) -> Population:
        """Says of a population how much privacy may be spent of it."""
        body = {"population": population, "unit": unit, "epsilon": epsilon, "delta": delta}
        return Population(self._client.post("/budgets", body, once=True))

    def bind(self, population: str, dataset: str) -> Population:
        """Says that a dataset's records belong to a population."""
        body = {"population": population, "dataset": dataset}
        return Population(self._client.post("/budgets/bind", body, once=True))


def _own(item: Mapping[str, Any]) -> Dataset:
    catalogue = item.get("catalogue") or {}
    shown = {key: catalogue[key] for key in ("kind", "residency", "size_band") if key in catalogue}
    return Dataset({**shown, **item})

"""The parts of a server as a researcher uses them: datasets, agreements, asking, tasks, releases, tools and what belongs to them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cloister.foundation.errors import BadInput, NotFound
from cloister.foundation.files import read_limited, write_atomically
from cloister.sdk.client import Client
from cloister.sdk.records import (
    Agreement,
    Dataset,
    Party,
    Plan,
    Population,
    Release,
    Sample,
    Task,
    Tool,
    until,
)
from cloister.sdk.tables import Table, write_table

_MODEL_MOST = 90 << 20


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
        told = self._client.post("/parties", {"cards": _json(card, "a card")}, once=True)
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
        found = _found(self.list, "agreement", name, wait)
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


class Ask:
    """Asking for computations under an agreement: first a plan, then, if one wants it, a task."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def train(
        self,
        agreement: Agreement | str,
        *,
        model: bytes | str | Path,
        recipe: Mapping[str, Any] | str | Path,
        purpose: str | None = None,
        **preferences: Any,
    ) -> Plan:
        """A plan for training a model together.

        Args:
            agreement: under which.
            model: ONNX, or its file.
            recipe: how it is trained (docs/reference/recipes.md), or its file.
            purpose: one of the agreement's; its first if absent.
            preferences: wishes for the planner, such as `rounds`, `epsilon`, `deadline`.

        Raises:
            BadInput: the model or the recipe cannot be used; the error names the place.
            Refused: no way that the agreement permits, by its clause.
        """
        data = model if isinstance(model, bytes) else read_limited(Path(model), _MODEL_MOST)
        settings = dict(recipe) if isinstance(recipe, Mapping) else _json(recipe, "a recipe")
        added = self._client.post("/models", {"content": base64.b64encode(data).decode()})
        computation = {"kind": "training", "contents": {"model": added["digest"]}, "settings": settings}
        return self.plan(agreement, computation, purpose=purpose, preferences=preferences)

    def plan(
        self,
        agreement: Agreement | str,
        computation: Mapping[str, Any],
        *,
        purpose: str | None = None,
        preferences: Mapping[str, Any] | None = None,
    ) -> Plan:
        """A plan for any computation: `kind`, `contents` (name → digest) and `settings`."""
        name = (
            agreement.id if isinstance(agreement, Agreement) else Agreements(self._client).get(agreement).id
        )
        body = {
            "agreement": name,
            "computation": dict(computation),
            "purpose": purpose,
            "preferences": {key: value for key, value in (preferences or {}).items() if value is not None},
        }
        return Plan(self._client, self._client.post("/plans", body))


class Tasks:
    """Plans that were sent, by this organisation or by others to it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> Table[Task]:
        """All, oldest first."""
        return Table(Task(self._client, item) for item in self._client.get("/tasks"))

    def get(self, task: str, *, wait: float = 0.0) -> Task:
        """One, by its digest, the beginning of that, or `latest`; waits `wait` seconds for it to come."""
        return Task(self._client, _found(self.list, "task", task, wait).facts).refresh()

    def pending(self) -> Table[Task]:
        """Those that wait for this organisation's people."""
        return Table(item for item in self.list() if item.facts.get("pending"))

    def events(self, since: int = 0) -> Iterator[dict[str, Any]]:
        """What happens at this server, as it happens, for ever."""
        return (event for event in self._client.happenings(since) if event is not None)


class Releases:
    """Approved results."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> Table[Release]:
        """All on this server's shelf."""
        return Table(Release(self._client, item) for item in self._client.get("/releases"))

    def get(self, release: str, *, wait: float = 0.0) -> Release:
        """One, by its digest, the beginning of that, or `latest`; waits `wait` seconds for it to come."""
        return Release(self._client, _found(self.list, "release", release, wait).facts).refresh()


class Tools:
    """Tools that are installed at this server; they run there, in a confined worker."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> Table[Tool]:
        """All of them."""
        return Table(Tool(item) for item in self._client.get("/tools"))

    def get(self, name: str) -> Tool:
        """One, with its settings and its manifest. Raises `NotFound`."""
        return Tool(self._client.get(f"/tools/{name}"))

    def run(
        self, name: str, file: str | Path, *, um_per_pixel: float | None = None, **settings: Any
    ) -> Sample:
        """Runs a tool on one file; nothing is kept of it unless somebody says so.

        Args:
            name: the tool's.
            file: a picture, or a table, as the tool takes it.
            um_per_pixel: of a picture.
            settings: the tool's own.
        """
        path = Path(file)
        fields = {f"set-{key}": str(value) for key, value in settings.items()}
        if um_per_pixel is not None:
            fields["um_per_pixel"] = str(um_per_pixel)
        data = read_limited(path, 512 << 20)
        return Sample(self._client.send_file(f"/tools/{name}/samples", path.name, data, fields))


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


class Log:
    """This server's tamper-evident log."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def head(self) -> dict[str, Any]:
        """Its size and its signed head."""
        return dict(self._client.get("/ledger"))

    def export(self, path: str | Path) -> Path:
        """Writes the whole of it, as `cloister ledger verify` takes it. Returns the path."""
        write_atomically(Path(path), self._client.download("/ledger/export"))
        return Path(path)


def _own(item: Mapping[str, Any]) -> Dataset:
    catalogue = item.get("catalogue") or {}
    shown = {key: catalogue[key] for key in ("kind", "residency", "size_band") if key in catalogue}
    return Dataset({**shown, **item})


def _found(listing: Any, field: str, name: str, wait: float) -> Any:
    def one() -> Any:
        found = listing()
        if name == "latest":
            return found[-1] if found else None
        matching = [item for item in found if _short(item.facts[field]).startswith(_short(name))]
        return matching[0] if len(matching) == 1 and len(_short(name)) >= 8 else None

    now = one()
    if now is not None:
        return now
    if wait <= 0:
        raise NotFound(f"There is no such {field} here.", "", "Look at the list.")
    return until(one, wait, f"The {field} has not come.")


def _short(name: str) -> str:
    return name.removeprefix("sha256:")


def _digest_of(agreement: str | Mapping[str, Any]) -> str:
    if isinstance(agreement, str):
        return agreement
    from cloister.agreements.terms import Terms

    return str(Terms.from_odrl(dict(agreement)).digest)


def _terms(given: Mapping[str, Any] | str | Path) -> dict[str, Any]:
    found = given if isinstance(given, Mapping) else _json(given, "an agreement")
    return dict(found)


def _json(path: str | Path, what: str) -> Any:
    try:
        return json.loads(read_limited(Path(path), 8 << 20))
    except ValueError:
        raise BadInput(f"{Path(path).name} is not {what}.", "It is no JSON.", "Give another file.") from None

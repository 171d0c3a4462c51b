"""What the parts of a server are made of: agreements, plans, tasks, releases, each with what one can do with it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from cloister.foundation.errors import (
    BadInput,
    CloisterError,
    NotFound,
    TaskFailed,
    Unreachable,
    from_problem,
)
from cloister.foundation.files import write_atomically
from cloister.foundation.text import party_name
from cloister.journal.statuses import ENDED
from cloister.sdk.client import Client
from cloister.sdk.progress import watching
from cloister.sdk.tables import Record, asked

T = TypeVar("T")


class Dataset(Record):
    """A dataset of one's own, with what only its owner sees; or an entry of the catalogue."""

    columns = ("name", "owner_name", "kind", "residency", "size_band", "commitment")


class Party(Record):
    """An organisation that this server knows."""

    columns = ("name", "party", "roles", "trust")


class Population(Record):
    """Records that share a privacy budget."""

    columns = ("population", "unit", "limit", "spent", "left")


class Tool(Record):
    """A tool that is installed."""

    columns = ("name", "version", "title")


class Sample(Record):
    """What a tool found in one file."""

    columns = ("sample", "tool", "file", "count")


class _Live(Record):
    """A record that can be asked for again."""

    def __init__(self, client: Client, facts: Mapping[str, Any]) -> None:
        super().__init__(facts)
        self._client = client

    def _path(self) -> str:
        raise NotImplementedError

    def refresh(self) -> Self:
        """Asks the server again. Returns itself."""
        self.facts = dict(self._client.get(self._path()))
        return self


class Agreement(_Live):
    """Who may do what with whose data, as a server keeps it."""

    columns = ("agreement", "title", "state", "valid_until")

    def _path(self) -> str:
        return f"/agreements/{self.facts['agreement']}"

    @property
    def id(self) -> str:
        """Its digest."""
        return str(self.facts["agreement"])

    @asked
    def text(self) -> str:
        """The terms in plain words."""
        if "text" not in self.facts:
            self.refresh()
        return str(self.facts["text"])

    def sign(self) -> Self:
        """Signs it for this organisation, once its people have read it (`text`)."""
        self._client.post(f"{self._path()}/sign", once=True)
        return self.refresh()

    def suspend(self, reason: str = "") -> Self:
        """Stops what runs under it, until it is resumed."""
        return self._move("suspended", reason)

    def resume(self, reason: str = "") -> Self:
        """Takes one's own suspension back; where two people are needed, `wish` in its facts waits for the second."""
        return self._move("finalized", reason)

    def revoke(self, reason: str = "") -> Self:
        """Takes back this organisation's consent, for ever."""
        return self._move("revoked", reason)

    def wait(self, state: str = "finalized", seconds: float = 60.0) -> Self:
        """Waits until it is in a state; `finalized` is in force. Raises `Unreachable` if that takes too long."""
        until(
            lambda: True if self.refresh().facts["state"] == state else None,
            seconds,
            f"The agreement is not {state} yet.",
        )
        return self

    def _move(self, to: str, reason: str) -> Self:
        self._client.post(f"{self._path()}/state", {"to": to, "reason": reason or None}, once=True)
        return self.refresh()


class Plan:
    """What the server would do for a request; nothing is sent before `submit`.

    Attributes:
        text: who does what, what each one sees, what is guaranteed and what is not protected.
        document: the plan as it is signed.
    """

    def __init__(self, client: Client, told: Mapping[str, Any]) -> None:
        self._client = client
        self.text, self.document = str(told["text"]), dict(told["plan"])
        self.id = str(told["task"])

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Plan({self.id[:23]}…)"

    def submit(self) -> Task:
        """Asks everybody concerned to admit it."""
        told = self._client.post("/tasks", {"plan": self.document}, once=True)
        return Task(self._client, told)


class Task(_Live):
    """A plan that was sent: who admitted it, where it is, how it ended."""

    columns = ("task", "status", "kind", "purpose", "phase")

    def _path(self) -> str:
        return f"/tasks/{self.facts['task']}"

    @property
    def id(self) -> str:
        """Its digest."""
        return str(self.facts["task"])

    def approve(self, *, with_records: bool = False) -> Self:
        """This organisation's people approve it.

        Args:
            with_records: accepted that the result may contain traces of this organisation's records.
        """
        self._client.post(f"{self._path()}/approve", {"with_records": with_records}, once=True)
        return self.refresh()

    def refuse(self, reason: str = "") -> Self:
        """This organisation's people refuse it."""
        self._client.post(f"{self._path()}/refuse", {"reason": reason}, once=True)
        return self.refresh()

    def withdraw(self, reason: str = "") -> Self:
        """Takes this organisation's approval back."""
        self._client.post(f"{self._path()}/withdraw", {"reason": reason}, once=True)
        return self.refresh()

    def stop(self, reason: str = "") -> Self:
        """Stops it."""
        self._client.post(f"{self._path()}/stop", {"reason": reason}, once=True)
        return self.refresh()

    def events(self, since: int = 0) -> Iterator[dict[str, Any]]:
        """What happens in it, as it happens, until it has ended."""
        return (event for event in self._follow(since) if event is not None)

    def _follow(self, since: int = 0) -> Iterator[dict[str, Any] | None]:
        if self.refresh().facts["status"] in ENDED:
            yield from (event for event in self._client.events(since) if event["task"] == self.id)
            return
        for event in self._client.happenings(since):
            if event is not None and event["task"] != self.id:
                continue
            yield event
            if (event is None or event["kind"] in _LAST) and self.refresh().facts["status"] in ENDED:
                return

    def wait(self, seconds: float = 3600.0, *, progress: bool = False) -> Self:
        """Waits until it has ended. Returns itself.

        Args:
            seconds: how long at most.
            progress: shows a bar.

        Raises:
            CloisterError: why it failed, or was refused, as the task says.
            Unreachable: it has not ended in time.
        """
        end = time.monotonic() + seconds
        with watching(shown=progress) as told:
            for event in self._follow():
                if event is not None:
                    told(event, self.facts)
                if time.monotonic() > end:
                    break
        if self.refresh().facts["status"] not in ENDED:
            raise Unreachable(
                "The task has not ended in time.",
                f"It is {self.facts['status']}.",
                "Wait longer, or stop it.",
            )
        if self.facts.get("failure"):
            raise from_problem(self.facts["failure"])
        if self.facts["status"] != "done":
            raise _not_done(self.facts)
        return self

    def releases(self) -> list[Release]:
        """What came out of it and was approved, as far as this server has it."""
        return [
            Release(self._client, self._client.get(f"/releases/{name}"))
            for name in self.refresh().facts.get("releases", ())
        ]

    def result(self, seconds: float = 60.0) -> Release:
        """Its approved result, once that has come. Raises `Unreachable` if that takes too long."""
        return until(lambda: next(iter(self.releases()), None), seconds, "No approved result has come.")


_LAST = frozenset({"task.finished", "task.failed", "task.stopped", "task.refused"})


class Release(_Live):
    """An approved result with its certificate."""

    columns = ("release", "kind", "status", "at", "task")

    def _path(self) -> str:
        return f"/releases/{self.facts['release']}"

    @property
    def id(self) -> str:
        """Its digest."""
        return str(self.facts["release"])

    @asked
    def text(self) -> str:
        """The certificate in words."""
        if "text" not in self.facts:
            self.refresh()
        return str(self.facts["text"])

    def content(self) -> bytes:
        """The result itself, for a trained model ONNX. Raises `NotFound` where it goes to others only."""
        return self._client.download(f"{self._path()}/content")

    def save(self, path: str | Path) -> Path:
        """Writes the result, and beside it its certificate, as `cloister release verify` takes them. Returns the path."""
        facts, target = self.refresh().facts, Path(path)
        write_atomically(target, self.content())
        beside = target.with_name(f"{target.name}.certificate.json")
        bundle = {"certificate": facts["certificate"], "cards": facts["cards"]}
        write_atomically(beside, json.dumps(bundle).encode())
        return target

    def tool(self, path: str | Path, description: Mapping[str, Any] | str | Path) -> Path:
        """Writes a tool of it: one file, with this model and its certificate in it, that others install.

        Args:
            path: of the file; its name ends in `.tool`.
            description: what the tool does (docs/reference/tools.md), or a JSON file of it, without `models` and `certificate`.

        Raises:
            BadInput: the description cannot be used, or uses several models; the step is named.
        """
        from cloister.sdk.parts.lookup import read_json
        from cloister.tools.making import bundle_of, make_tool, models_used
        from cloister.tools.package import export_tool

        told = (
            dict(description)
            if isinstance(description, Mapping)
            else read_json(description, "a tool's description")
        )
        names = models_used(told)
        if len(names) != 1:
            raise BadInput(
                "A release is one model.",
                f"The description's steps use {len(names)}.",
                "Put several together with: cloister tool make",
            )
        target, facts = Path(path), self.refresh().facts
        export_tool(make_tool(told, {names[0]: self.content()}, bundle_of(facts)), target)
        return target

    def model(self) -> Any:
        """The result as an `onnxruntime.InferenceSession`, to use it at once."""
        import onnxruntime

        return onnxruntime.InferenceSession(self.content(), providers=["CPUExecutionProvider"])

    def revoke(self, reason: str = "") -> Self:
        """Takes this organisation's approval back; others are told to delete their copies."""
        self._client.post(f"{self._path()}/revoke", {"reason": reason}, once=True)
        return self.refresh()


def until(holds: Callable[[], T | None], seconds: float, what: str) -> T:
    """What `holds` gives once it gives something. Raises `Unreachable` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = holds()
        except NotFound:
            found = None
        if found is not None:
            return found
        if time.monotonic() > end:
            raise Unreachable(what, f"Waited {seconds:.0f} seconds.", "Are the others' servers there?")
        time.sleep(0.1)


def _not_done(facts: Mapping[str, Any]) -> CloisterError:
    refusals = facts.get("refusals") or {}
    if refusals:
        party, problem = min(refusals.items())
        error = from_problem(problem)
        who = party_name(party, facts.get("names") or {})
        return type(error)(f"{who}: {error.what}", error.why, error.remedy, **error.detail)
    return TaskFailed(f"The task was {facts['status']}.", "", "Ask whoever did it.")

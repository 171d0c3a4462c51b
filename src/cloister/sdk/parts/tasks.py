"""Computations: asked for, and what became of them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cloister.foundation.files import read_limited
from cloister.sdk.client import Client
from cloister.sdk.parts.agreements import Agreements
from cloister.sdk.parts.lookup import find, read_json
from cloister.sdk.records import Agreement, Plan, Task
from cloister.sdk.tables import Table

_MODEL_MOST = 90 << 20


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
        settings = dict(recipe) if isinstance(recipe, Mapping) else read_json(recipe, "a recipe")
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
        return Task(self._client, find(self.list, "task", task, wait).facts).refresh()

    def pending(self) -> Table[Task]:
        """Those that wait for this organisation's people."""
        return Table(item for item in self.list() if item.facts.get("pending"))

    def events(self, since: int = 0) -> Iterator[dict[str, Any]]:
        """What happens at this server, as it happens, for ever."""
        return (event for event in self._client.happenings(since) if event is not None)

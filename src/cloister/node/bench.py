"""What work costs on this node, measured for the planner: noise, masks, signed calls, and steps of one's own trainings.

Rules:
1. Nothing is measured on records: figures go into plans, which others see.
2. Figures are kept, and are used for plans until they are measured again; a training's own steps by its computation.
3. A figure that could not be measured (no relay, a model without gradients of single examples) is absent, and the
   planner takes what a small machine needs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from cloister.claims.offers import Computation
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import Clock, rfc3339
from cloister.foundation.documents import invalid
from cloister.foundation.errors import BadInput, CloisterError
from cloister.identity.keys import SecretKeys
from cloister.journal.program import Engine
from cloister.node.peers.hub_link import Link
from cloister.node.tasks.contents import Contents
from cloister.release.inspection import EXAMINER
from cloister.storage.database import Database, Transaction
from cloister.storage.settings import Settings
from cloister.training.fitting import read_recipe
from cloister.transport.hub_client import HubClient

NODE = "bench/node"
_NUMBERS = 1_000_000
_RUNS = 5
_STEP_SECONDS = 600.0


class Bench:
    """Measures this node, and keeps what it measured."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        party: str,
        keys: Callable[[], SecretKeys],
        contents: Contents,
        engines: Callable[[str, str], Engine],
        link: Callable[[], Link | None],
    ) -> None:
        self._database, self._clock, self._party = database, clock, party
        self._keys, self._contents, self._engines, self._link = keys, contents, engines, link

    def measure(self, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Measures anew; with a computation whose model is at this node also its steps. Takes some seconds.

        Raises:
            BadInput: the computation is malformed, or has no recipe or model.
            CloisterError: what its training's worker raised.
        """
        figures = {
            "seconds_per_million_noised": _median(_noise()),
            "seconds_per_million_masked": _median(_masks()),
            "seconds_per_exchange": self._exchange(),
        }
        steps = None if document is None else self._steps(_computation(document))
        measured = rfc3339(self._clock.now())
        with self._database.transaction() as tx:
            Settings(tx).put(NODE, {"figures": figures, "measured": measured})
            if steps is not None:
                name, found = steps
                Settings(tx).put(_key(name), {"figures": found, "measured": measured})
        return {"figures": figures | (steps[1] if steps is not None else {}), "measured": measured}

    def _exchange(self) -> float:
        """A signed call and its answer: over the relay if there is one, else only what signing and checking take."""
        link = self._link()
        if link is not None and link.hub is not None:
            client = HubClient(link.transport, link.hub, deadline=10.0)
            try:
                return _median(client.head)
            except CloisterError:
                pass  # out of reach just now
        keys = self._keys()

        def sign_and_check() -> None:
            for _ in range(2):
                keys.public.verify(b"bench", keys.sign(b"bench"))

        return _median(sign_and_check)

    def _steps(self, computation: Computation) -> tuple[str, dict[str, float]]:
        model = computation.contents.get("model")
        if computation.kind != "training" or model is None:
            raise BadInput(
                "Only the steps of a training can be measured.",
                "The computation is none, or has no model.",
                "Give a model and its recipe.",
            )
        read_recipe(computation.settings)
        start = time.perf_counter()
        found, _arrays = self._engines(EXAMINER, self._party).call(
            "measure",
            {"recipe": dict(computation.settings)},
            {"model": np.frombuffer(self._contents.get(model), np.uint8)},
            _STEP_SECONDS,
        )
        figures = {str(name): float(value) for name, value in found.items()}
        # The worker began with the call, as it does with a task.
        figures["seconds_to_start"] += time.perf_counter() - start - figures.pop("seconds")
        return computation.digest, figures


def figures(tx: Transaction, computation: Computation) -> dict[str, float]:
    """What was measured of this node and of a computation, by the names that plans use; empty if nothing was."""
    found: dict[str, float] = {}
    for key in (NODE, _key(computation.digest)):
        kept = Settings(tx).get(key)
        found |= {} if kept is None else kept["figures"]
    return found


def _key(computation: str) -> str:
    return f"bench/{computation}"


def _computation(document: Mapping[str, Any]) -> Computation:
    try:
        return Computation.model_validate_json(canonical(dict(document)))
    except ValidationError as error:
        raise invalid(error, "A computation") from None


def _noise() -> Callable[[], object]:
    from cloister.privacy.mechanisms import mechanism_for

    made = mechanism_for(dimension=_NUMBERS, clip=1.0, noise_multiplier=1.0, largest=100.0)
    vector = np.zeros(_NUMBERS, np.float32)
    return lambda: made.noisy(vector, bytes(32), "bench")


def _masks() -> Callable[[], object]:
    from cloister.aggregation.ring import add_mask

    vector = np.zeros(_NUMBERS, np.dtype("<u4"))
    return lambda: add_mask(vector, bytes(32))


def _median(work: Callable[[], object]) -> float:
    work()
    found = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return statistics.median(found)

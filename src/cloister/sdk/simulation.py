"""Many organisations in one process, for research and for learning: the same API, the real nodes, no network.

**What is real.** Every organisation has a folder, keys, a database, a server and its interface, as in earnest. Agreements are signed,
plans are admitted or refused, budgets are charged, gates decide, certificates verify.

**What is not.** There is no isolation between the organisations: one process holds the keys and the data of all, and whoever runs it
sees everything. Messages pass through memory instead of a relay. Nobody compares fingerprints: each trusts each from the beginning.
With `workers="in-process"` (the default) models are trained in this process too, not in confined workers; nothing then stands between
a model file and this machine, so that only models of one's own belong there. So a simulation shows what comes out, what it costs and
what is refused. It protects nobody's data.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from cloister.foundation.errors import BadInput, NotFound
from cloister.sdk.records import Agreement, Task, until
from cloister.sdk.server import Cloister, connect

if TYPE_CHECKING:
    from cloister.node.node import Node
    from cloister.web.site import Site

Workers: TypeAlias = Literal["in-process", "sandboxed"]
_ROLES = ("owner", "researcher")
_PATIENCE = 60.0
_MOST = 30


class Simulation:
    """Organisations that run in this process; made by `simulate`.

    Attributes:
        folder: where their folders are.
    """

    def __init__(self, parties: Mapping[str, Sequence[str]], folder: Path | None, workers: Workers) -> None:
        self._stack = contextlib.ExitStack()
        self._sites: dict[str, Site] = {}
        self._servers: dict[str, Cloister] = {}
        if folder is None:
            # Short: the path of a Unix socket has a limit.
            folder = Path(tempfile.mkdtemp(prefix="cl-"))
            self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        self.folder = folder
        try:
            self._begin(parties, workers)
        except BaseException:
            self.close()
            raise

    def _begin(self, parties: Mapping[str, Sequence[str]], workers: Workers) -> None:
        from cloister.foundation.clock import SystemClock
        from cloister.identity.keystore import Cost, Passphrase
        from cloister.node.engines import Engines
        from cloister.node.node import Node
        from cloister.node.peers.hub_link import Ends, Link
        from cloister.node.setup import init_node
        from cloister.transport.memory import MemoryHub
        from cloister.web.server import Serving
        from cloister.web.site import Site

        # Whoever can read these folders has won already; a costly passphrase would only make the beginning slow.
        unlock = Passphrase(b"a simulation protects nobody", Cost(1, 1, 64))
        hub, clock = MemoryHub(), SystemClock()
        engines: Any = Engines if workers == "sandboxed" else InProcess
        made: dict[Path, Node] = {}

        def link(ends: Ends) -> Link:
            return Link(hub.transport(ends.parties.own.party, ends.keys, ends.parties, clock=ends.clock))

        def make(folder: Path, *_given: object) -> Node:
            return made[folder]

        for number, (name, roles) in enumerate(parties.items()):
            place = self.folder / f"{number}"
            init_node(place, name, roles, unlock, unlock, clock)
            site = Site(place, clock, make)
            self._stack.callback(site.close)
            self._sites[name] = site
            folder = site.folder.root
            made[folder] = Node(folder, unlock, clock, connect=link, engines=engines, database=site.database)
        _meet(list(made.values()))
        for site in self._sites.values():
            site.open(unlock)
        for name, site in self._sites.items():
            self._stack.enter_context(Serving(site, None))
            self._servers[name] = self._stack.enter_context(connect(site.folder.root))

    def _node(self, name: str) -> Node:
        node = self._sites[name].node
        assert node is not None
        return node

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __getitem__(self, name: str) -> Cloister:
        return self.party(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._servers)

    def __repr__(self) -> str:
        return f"Simulation({', '.join(self._servers)}; one process, no isolation)"

    def party(self, name: str) -> Cloister:
        """An organisation's server, as `connect` gives it. Raises `NotFound`."""
        if name not in self._servers:
            raise NotFound(
                f"Nobody here is called {name[:80]}.",
                f"There are {', '.join(self._servers)}.",
                "Name one of them.",
            )
        return self._servers[name]

    # What the people of all organisations would do, one after the other -----------------------------------------------

    def sign(self, agreement: Agreement, seconds: float = _PATIENCE) -> Agreement:
        """Everybody in an agreement signs it. Returns it, once it is in force everywhere."""
        members = [item["party"] for item in agreement.refresh().facts["parties"]]
        concerned = [name for name in self._servers if self._node(name).party in members]
        held = {name: self._servers[name].agreements.get(agreement.id, wait=seconds) for name in concerned}
        for name, item in held.items():
            own = self._node(name).party
            if not any(member["signed"] for member in item.facts["parties"] if member["party"] == own):
                item.sign()
        for item in held.values():
            item.wait("finalized", seconds)
        return agreement.refresh()

    def approve(
        self, task: Task, by: Iterable[str] = (), *, with_records: bool = False, seconds: float = _PATIENCE
    ) -> Task:
        """The people of every organisation that is asked approve a task.

        Args:
            task: which.
            by: whose people; of everybody who is asked if none are named.
            with_records: see `Task.approve`.
            seconds: how long to wait for the task to come to each.
        """
        owners = set(task.refresh().facts.get("owners") or ())
        names = list(by) or [name for name in self._servers if self._node(name).party in owners]
        for name in names:
            own = self._node(name).party
            held = self._servers[name].tasks.get(task.id, wait=seconds)
            end = time.monotonic() + seconds
            while not held.facts.get("pending") and own not in held.refresh().facts["admitted"]:
                if held.facts.get("refusals") or time.monotonic() > end:
                    break
                time.sleep(0.05)
            if held.facts.get("pending"):
                held.approve(with_records=with_records)
        return task.refresh()

    def settle(self, seconds: float = _PATIENCE) -> None:
        """Waits until everybody sees everybody's datasets."""
        total = {item["commitment"] for name in self._servers for item in self._node(name).datasets.own()}

        def seen() -> bool | None:
            for name in self._servers:
                if not total <= set(self._node(name).datasets.catalogue()):
                    return None
            return True

        for name in self._servers:
            self._node(name).steward.wake("documents")
        until(seen, seconds, "Not everybody sees everybody's datasets yet.")

    def close(self) -> None:
        """Ends it; a folder that was not given is removed."""
        self._stack.close()


def _meet(nodes: Sequence[Node]) -> None:
    """Everybody has everybody's card, and trusts it, before anybody begins."""
    for node in nodes:
        for other in nodes:
            if other is not node:
                node.parties.accept_chain(other.parties.chain(other.party))
                node.parties.pin(other.party, other.party)


class InProcess:
    """The workers' methods, called in this process, one at a time for each organisation: no sandbox."""

    def __init__(self, *_given: object) -> None:
        pass

    def get(self, _name: str, _agreement: str = "") -> InProcess:
        """Itself, for every agreement."""
        return self

    def call(
        self, method: str, arguments: Any, arrays: Any = None, _deadline: float = 600.0
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Runs a method."""
        from cloister.engines.methods import resolve
        from cloister.node.engines import METHODS

        facts, found = resolve(METHODS, method)(dict(arguments), dict(arrays or {}))
        return dict(facts), dict(found)

    def report(self) -> dict[str, Any]:
        """Nothing confines them."""
        return {"jax": {"simulation": "in this process, not confined"}}

    def close(self) -> None:
        """Nothing to end."""


def simulate(
    parties: Mapping[str, Sequence[str]] | Iterable[str],
    *,
    folder: str | Path | None = None,
    workers: Workers = "in-process",
) -> Simulation:
    """Begins a simulation: many organisations in this process, without isolation between them (see this module's text).

    Args:
        parties: name → what each is (`owner`, `researcher`, `user`, `witness`, `auditor`); names alone are owners and researchers.
        folder: where their folders are made, empty and with a short path; a temporary one, removed at the end, if absent.
        workers: `in-process` begins at once; `sandboxed` has models looked at and trained in confined processes, as in earnest.

    Raises:
        BadInput: no organisation, too many, or a role that nobody has.
    """
    named = (
        {name: list(roles) for name, roles in parties.items()}
        if isinstance(parties, Mapping)
        else dict.fromkeys(parties, _ROLES)
    )
    if not 1 <= len(named) <= _MOST:
        raise BadInput("A simulation has 1 to 30 organisations.", f"{len(named)} were named.", "Name others.")
    if workers not in {"in-process", "sandboxed"}:
        raise BadInput("There are no such workers.", "", "They are in-process, or sandboxed.")
    return Simulation(named, None if folder is None else Path(folder).absolute(), workers)

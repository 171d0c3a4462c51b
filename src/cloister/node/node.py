"""A node: its parts made and put together, started and stopped. No decision is made in this file."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, Self

from cloister.aggregation import PartySigning
from cloister.agreements.terms import Terms
from cloister.claims.offers import Plan
from cloister.data.registry import Registration
from cloister.foundation.clock import Clock, FloorClock, SystemClock
from cloister.foundation.errors import CloisterError, Conflict, NotFound, Unreachable
from cloister.identity.cards import read as read_card
from cloister.identity.keystore import Keystore, Unlock
from cloister.journal.durable import Durable
from cloister.journal.program import Engine
from cloister.journal.runner import Runner
from cloister.node.agreements_service import AgreementsService
from cloister.node.bench import Bench
from cloister.node.budgets import BudgetsService
from cloister.node.chores import AGREEMENTS, DOCUMENTS, WITNESSES, Chores
from cloister.node.datasets_service import DatasetsService
from cloister.node.disclosures.service import Disclosures
from cloister.node.drafts import DraftsService
from cloister.node.duties import Duties
from cloister.node.engines import EXAMINE, ByAgreement, Engines
from cloister.node.feed import Feed
from cloister.node.figures.service import FiguresService
from cloister.node.folder import Folder
from cloister.node.ledger_service import LedgerService, latest_time
from cloister.node.messages import Courier
from cloister.node.peers.documents import DocumentsSync
from cloister.node.peers.hub_link import Connector, Ends, Link, by_relay
from cloister.node.peers.hub_witness import HubWitness
from cloister.node.peers.parties import Parties
from cloister.node.peers.quotas import Quotas
from cloister.node.peers.reception import only_instance, require_alone, serve
from cloister.node.protections import installed
from cloister.node.revocations import Revocations
from cloister.node.rotation import load_current
from cloister.node.setup import STORAGE_KEY, read_cards
from cloister.node.signing import Signing
from cloister.node.steward import Steward
from cloister.node.tasks.computations import ComputationsService
from cloister.node.tasks.contents import Contents
from cloister.node.tasks.programs import Locals, Programs
from cloister.node.tasks.release_context import Shelf
from cloister.node.tasks.service import Ports, TasksService
from cloister.node.tasks.withdrawing import Withdrawing
from cloister.storage.database import Database, Transaction
from cloister.transport.interface import Attachment


class EngineSource(Protocol):
    """Where a node's workers come from; `engines.Engines` unless a test brings its own."""

    def get(self, name: str, agreement: str = EXAMINE) -> Engine:
        """A worker for an agreement's tasks, or for a model that is only looked at. Raises `NotFound`."""
        ...

    def report(self) -> dict[str, Any]:
        """What confines the running workers."""
        ...

    def close(self) -> None:
        """Ends them."""
        ...


class Node:
    """One party's node.

    Args:
        folder: made by `setup.init_node`.
        unlock: opens its secrets; or they are open already, for a node that begins again.
        clock: the machine's if absent.
        connect: makes its link to other nodes when it starts; through the hub it was enrolled at, if absent.
        engines: makes its workers from its folder and its datasets' folders; sandboxed processes, if absent.

    Raises:
        NotFound: there is no node in the folder.
        NotTrusted: the passphrase is wrong, or its files were changed.
        Conflict: another process runs this node.
        Refused: the clock is behind the last checkpoint; the party was revoked.
    """

    def __init__(
        self,
        folder: Path,
        unlock: Unlock | Keystore,
        clock: Clock | None = None,
        *,
        connect: Connector = by_relay,
        engines: Callable[[Folder, Callable[[str], list[Path]]], EngineSource] = Engines,
        database: Database | None = None,
    ) -> None:
        self.folder = Folder(folder.absolute())
        self.config = self.folder.config()
        self.keystore = unlock if isinstance(unlock, Keystore) else Keystore.open(self.folder.secrets, unlock)
        key = self.keystore.get_or_create(STORAGE_KEY)
        self._own_database = database is None
        self.durable = Durable.open(self.folder.root, key, database=database)
        self.clock = FloorClock(clock or SystemClock())
        self.instance = secrets.token_hex(16)
        self.twin = False
        self.link: Link | None = None
        self.hub_witness: HubWitness | None = None
        self._connector = connect
        try:
            self._make(engines)
        except BaseException:
            self._close_database()
            raise

    def _close_database(self) -> None:
        if self._own_database:
            self.durable.close()

    def _make(self, engines: Callable[[Folder, Callable[[str], list[Path]]], EngineSource]) -> None:
        database = self.durable.database
        self.clock.raise_floor(latest_time(database))
        self.clock.now()  # a clock that is behind stops everything here
        self.parties = Parties(database, self.clock, read_cards(self.folder.card_file))
        self.party = self.parties.own.party
        self.parties.own.usable(self.clock.now())
        self.keys = load_current(self.keystore, self.parties.own)
        self.ledger = LedgerService(database, self.clock, self.keys, self.parties)
        self.ledger.log_card(self.parties.chain(self.party)[-1].digest)
        self.quotas = Quotas(database, self.clock, self.parties)
        self.contents = Contents(self.folder.private(self.folder.root / "contents"))
        self.datasets = DatasetsService(
            self.folder,
            database,
            self.clock,
            self.keys,
            self.parties,
            self.keystore,
            self.ledger.append,
            self.quotas,
            self._registered,
        )
        self.budgets = BudgetsService(
            self.folder,
            database,
            self.clock,
            self.party,
            self.datasets,
            self.ledger.append,
            self._witnessed,
        )
        self.steward = Steward()
        self.agreements = AgreementsService(
            database,
            self.clock,
            self.keys,
            self.parties,
            self.ledger.append,
            lambda: self.steward.wake(AGREEMENTS, DOCUMENTS, WITNESSES),
            self.quotas,
            self._enforce,
            self.budgets.populations.prepare,
        )
        self.signing = Signing(database, self.clock, self.parties, self.agreements)
        self.drafts = DraftsService(database, self.clock)
        self.chores = Chores(self)
        self.engines = engines(self.folder, self._readable)
        self.protections = installed()
        self.computations = ComputationsService(
            database,
            self.clock,
            self.parties,
            self.agreements,
            self.datasets,
            self.contents,
            self.protections,
            self.engine,
        )
        self.bench = Bench(
            database, self.clock, self.party, lambda: self.keys, self.contents, self.engine, lambda: self.link
        )
        self.tasks = TasksService(
            database,
            self.clock,
            self.keys,
            self.parties,
            self.agreements,
            self.datasets,
            self.contents,
            self.ledger,
            self.protections,
            Ports(
                self.call,
                self.computations.check_plan,
                self._run_task,
                self._is_running,
                self._stop_task,
                self.chores.meet_witnesses,
                lambda: require_alone(self),
            ),
            self.quotas,
            self.budgets,
        )
        self.shelf = Shelf(
            database,
            self.clock,
            self.keys,
            self.parties,
            self.agreements,
            self.datasets,
            self.contents,
            self.ledger,
            self.tasks,
        )
        programs = Programs(self.tasks, self.shelf)
        self.runner = Runner(
            self.durable,
            self.party,
            Courier(_Late(self)),
            ByAgreement(
                lambda engine: Locals(
                    self.party,
                    self.tasks,
                    self.agreements,
                    self.datasets,
                    self.contents,
                    engine,
                    PartySigning(self.parties.directory, self.keys),
                    self.budgets,
                    self.ledger.require_unlocked,
                ),
                lambda task: self.tasks.plan(task).request.agreement,
                self.engine,
            ),
            programs,
            _Log(self.ledger),
            chain=programs,
            clock=self.clock,
        )
        self.withdrawing = Withdrawing(
            database,
            self.tasks.records,
            self.tasks.approving,
            self.runner,
            self.clock,
            self.keys,
            self.parties,
        )
        self.sync = DocumentsSync(self.parties, self.datasets, self.agreements, self.call)
        self.revocations = Revocations(
            database,
            self.clock,
            self.keys,
            self.parties,
            self.tasks,
            self.ledger,
            self.call,
            self.quotas,
        )
        self.disclosures = Disclosures(
            self.folder,
            database,
            self.clock,
            self.keys,
            self.parties,
            self.datasets,
            self.agreements,
            self.ledger,
            self.quotas,
            self.call,
        )
        self.figures = FiguresService(
            self.folder,
            database,
            self.clock,
            self.keys,
            self.parties,
            self.datasets,
            self.agreements,
            self.budgets,
            self.ledger,
            self.quotas,
            self.call,
        )
        self.duties = Duties(
            self.party,
            database,
            self.clock,
            self.agreements,
            self.tasks,
            self.runner,
            self.contents,
            self.ledger,
        )
        self.feed = Feed(self.durable)

    # Life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connects, takes up unfinished tasks, begins its chores.

        Raises:
            Conflict: another node runs with this identity.
            Refused: the relay's cards are not those of the party that invited.
        """
        ends = Ends(self.folder, self.keystore, self.keys, self.parties, self.clock)
        self.link = self._connector(ends)
        if self.link is not None:
            try:
                only_instance(self, self.link.transport)
                serve(self, self.link.transport)
                self.chores.meet_hub()
                only_instance(self, self.link.transport)  # the relay may not have been reached in time before
            except Conflict:
                self.link.transport.close()
                self.link = None
                raise
            if self.link.hub is not None:
                self.hub_witness = self._watching(self.link.hub)
        self.chores.stop_what_ended()  # what ended as this node was killed does not begin again
        self.runner.resume()
        self.chores.begin()
        self.steward.start()

    def close(self) -> None:
        """Stops; what is unfinished goes on at the next start."""
        self.feed.close()
        self.figures.close()
        self.steward.close()
        self.tasks.asking.close()
        if self.link is not None:
            self.link.transport.close()
        self.runner.close()
        self.engines.close()
        self._close_database()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # Ports ---------------------------------------------------------------------------------------------------------

    def engine(self, name: str, agreement: str = EXAMINE) -> Engine:
        """A sandboxed worker of this node, for one agreement's tasks or to look at a model."""
        return self.engines.get(name, agreement)

    def _readable(self, agreement: str) -> list[Path]:
        """The folders of this party's datasets that an agreement names."""
        terms = self.agreements.get(agreement).terms
        return self.datasets.folders(
            lambda entry: terms.dataset(self.party, entry.commitment, entry) is not None
        )

    def call(
        self,
        to: str,
        method: str,
        body: bytes,
        deadline: float,
        key: str | None = None,
        attached: Attachment | None = None,
        answer: int | None = None,
    ) -> bytes:
        """A call to another party's node. Raises `Unreachable` while this node is connected to no relay."""
        if self.link is None:
            raise Unreachable(
                "This server is connected to no relay.", "", "See: cloister node connect INVITATION"
            )
        return self.link.transport.call(
            to, method, body, deadline=deadline, key=key, attached=attached, answer=answer
        )

    def _watching(self, hub: str) -> HubWitness:
        return HubWitness(
            self.durable.database,
            self.clock,
            self.party,
            self.keys,
            hub,
            lambda: [read_card(card).keys for card in self.parties.chain(hub)],
        )

    def _enforce(self) -> None:
        self.chores.stop_what_ended()

    def _registered(self, tx: Transaction, registration: Registration) -> None:
        self.budgets.populations.registered(tx, registration)

    def _witnessed(self, terms: Terms) -> None:
        """Of two nodes with one identity, and of one whose log is behind what witnesses saw, none spends privacy."""
        require_alone(self)
        self.chores.be_witnessed(terms, self.ledger.size())
        self.ledger.require_unlocked()

    def _run_task(self, plan: Plan) -> None:
        seat = plan.offer.seat_of(self.party)
        if seat is not None and not self._is_running(plan.digest):  # a requester without a seat only asks
            self.runner.start(
                plan.digest,
                seat,
                plan.offer.seats,
                Programs.first(seat),
                along=lambda tx: self.tasks.records.require_open(tx, plan.digest),
            )

    def _is_running(self, task: str) -> bool:
        return self.durable.task(task) is not None

    def _stop_task(self, task: str, reason: CloisterError) -> None:
        try:
            self.runner.stop(task, reason)
        except NotFound:
            return

    # Looking -------------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Who this node is and how it is doing."""
        here = self.link.transport.here() if self.link is not None else frozenset()
        hub = self.link.hub if self.link is not None else None
        return {
            "party": self.party,
            "name": self.config.name,
            "folder": str(self.folder.root),
            "relay": {"hub": hub, "reached": hub in here},
            "here": sorted(here - {self.party, hub or ""}),
            "locked": self.ledger.locked,
            "twin": self.twin,
            "agreements_not_readable": self.agreements.unreadable(),
            "cards_not_learned": self.chores.unlearned.report(),
            "relay_contradicts": self.hub_witness.evidence() if self.hub_witness is not None else None,
            "time": self.clock.inner.now(),
            "engines": self.engines.report(),
            "budgets": None if (trouble := self.budgets.health.trouble) is None else trouble.problem(),
        }

    def traffic(self) -> dict[str, dict[str, int]]:
        """Messages and bytes exchanged with each party, as they travelled."""
        return (
            {} if self.link is None else {k: dict(vars(v)) for k, v in self.link.transport.traffic().items()}
        )

    def events(self, since: int, wait: float) -> list[dict[str, Any]]:
        """What happened after event `since`; waits up to `wait` seconds for something."""
        return self.feed.after(since, wait)


class _Late:
    """The node's transport, which comes after the journal and may be absent."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def call(
        self,
        to: str,
        method: str,
        body: bytes,
        *,
        deadline: float,
        key: str | None = None,
        attached: Attachment | None = None,
    ) -> bytes:
        return self._node.call(to, method, body, deadline, key, attached)


class _Log:
    """The journal's view of the log."""

    def __init__(self, ledger: LedgerService) -> None:
        self._ledger = ledger

    def append(self, tx: Transaction, kind: str, digest: str) -> None:
        self._ledger.append(tx, "task-event" if kind.startswith("task") else kind, digest)

"""A node: its parts made and put together, started and stopped. No decision is made in this file."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from cloister.claims.offers import Plan
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import Clock, FloorClock, SystemClock
from cloister.foundation.errors import CloisterError, Conflict, NotFound, Refused, Unreachable
from cloister.identity.keystore import Keystore, Unlock
from cloister.journal.durable import Durable
from cloister.journal.ports import Taken
from cloister.journal.program import Engine
from cloister.journal.runner import Runner
from cloister.node.agreements_service import AgreementsService
from cloister.node.computations_service import ComputationsService
from cloister.node.contents import Contents
from cloister.node.datasets_service import DatasetsService
from cloister.node.documents_sync import PUSH, DocumentsSync
from cloister.node.engines import Engines
from cloister.node.folder import Folder
from cloister.node.hub_link import connected, credentials, hub_of
from cloister.node.ledger_service import WITNESS, LedgerService
from cloister.node.messages import MESSAGE, Courier, unpack
from cloister.node.parties_service import Parties
from cloister.node.programs import Locals, Programs
from cloister.node.protections import installed
from cloister.node.release_context import Shelf
from cloister.node.setup import STORAGE_KEY, read_cards
from cloister.node.steward import Steward
from cloister.node.tasks_service import ADMISSION, CONTENT, PROPOSE, START, Ports, TasksService
from cloister.storage.database import Transaction
from cloister.storage.settings import Settings
from cloister.transport.hub_client import HubClient
from cloister.transport.interface import Call
from cloister.transport.messenger import Messenger
from cloister.transport.zenoh import connect as connect_transport
from cloister.transport.zenoh_settings import many_threads

_LOG = logging.getLogger("cloister.node")
INSTANCE = "node.instance"
_OTHER_INSTANCE_SECONDS = 2.0


class Node:
    """One party's node.

    Args:
        folder: made by `setup.init_node`.
        unlock: opens its secrets.
        clock: the machine's if absent.

    Raises:
        NotFound: there is no node in the folder.
        NotTrusted: the passphrase is wrong, or its files were changed.
        Conflict: another process runs this node.
    """

    def __init__(self, folder: Path, unlock: Unlock, clock: Clock | None = None) -> None:
        self.folder = Folder(folder.absolute())
        self.config = self.folder.config()
        self.keystore = Keystore.open(self.folder.secrets, unlock)
        self.keys = self.keystore.load_keys()
        self.durable = Durable.open(self.folder.root, self.keystore.get_or_create(STORAGE_KEY))
        self.clock = FloorClock(clock or SystemClock())
        self.instance = secrets.token_hex(16)
        database = self.durable.database
        self.parties = Parties(database, self.clock, read_cards(self.folder.card_file))
        self.party = self.parties.own.party
        self.ledger = LedgerService(database, self.clock, self.keys, self.parties)
        self.contents = Contents(self.folder.private(self.folder.root / "contents"))
        self.datasets = DatasetsService(
            self.folder, database, self.clock, self.keys, self.parties, self.ledger.append
        )
        self.steward = Steward()
        self.agreements = AgreementsService(
            database, self.clock, self.keys, self.parties, self.ledger.append, self.steward.wake
        )
        self.engines = Engines(self.folder, self.datasets.folders)
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
            Ports(self.call, self.computations.check_plan, self._run_task, self._is_running),
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
        self.transport: Messenger | None = None
        self.hub: str | None = None
        self.runner = Runner(
            self.durable,
            self.party,
            Courier(_Late(self)),
            Locals(self.party, self.tasks, self.datasets, self.contents, self.engine),
            programs,
            _Log(self.ledger),
            chain=programs,
            clock=self.clock,
        )
        self.sync = DocumentsSync(self.parties, self.datasets, self.agreements, self._call_with_key)
        self._stopped = threading.Event()

    # Life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connects, takes up unfinished tasks, begins its chores.

        Raises:
            Conflict: another node runs with this identity.
            Refused: the log contradicts a witness (see `ledger_service`).
        """
        if connected(self.folder):
            self._connect()
        self.runner.resume()
        self._chores()
        self.steward.start()

    def close(self) -> None:
        """Stops; what is unfinished goes on at the next start."""
        self._stopped.set()
        self.steward.close()
        if self.transport is not None:
            self.transport.close()
        self.runner.close()
        self.engines.close()
        self.durable.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _connect(self) -> None:
        many_threads()
        invitation, hub_cards = hub_of(self.folder)
        self.hub = invitation.hub
        card = self.parties.accept_chain(hub_cards)
        if card.party != invitation.hub:
            raise Refused("The relay's cards are another party's.", "", "Connect again.", clause="hub-card")
        transport = connect_transport(
            self.party,
            self.keys,
            self.parties,
            endpoint=invitation.relay,
            credentials=credentials(self.folder, self.keystore, self.clock),
            clock=self.clock,
            folder=self.folder.private(self.folder.root / "offers"),
        )
        self.transport = transport
        self._only_instance(transport)
        for method, handler in self._handlers().items():
            transport.serve(method, handler)
        self._meet_hub()

    def _only_instance(self, transport: Messenger) -> None:
        """Two nodes with one identity would tell two stories: the second one refuses to start."""
        try:
            transport.call(self.party, INSTANCE, b"", deadline=_OTHER_INSTANCE_SECONDS)
        except CloisterError:
            return
        transport.close()
        raise Conflict(
            "Another node is running with this identity.",
            "It answered through the relay under this party's fingerprint.",
            "Stop the other one; a party has one node.",
            clause="one-node",
        )

    def _handlers(self) -> dict[str, Callable[[Call], bytes]]:
        return {
            INSTANCE: lambda _call: self.instance.encode(),
            PUSH: lambda call: self.sync.take(call.sender, call.body),
            PROPOSE: lambda call: self.tasks.on_propose(call.sender, call.body),
            ADMISSION: lambda call: self.tasks.on_admission(call.sender, call.body),
            START: lambda call: self.tasks.on_start(call.sender, call.body),
            CONTENT: lambda call: self.tasks.on_content(call.sender, call.body),
            MESSAGE: self._on_message,
            WITNESS: lambda call: self.ledger.witness(call.sender, call.body),
        }

    def _on_message(self, call: Call) -> bytes:
        header, body = unpack(call.body)
        try:
            taken = self.runner.deliver(
                header.task, call.sender, header.phase, header.kind, header.sequence, body
            )
        except Refused as error:
            if error.clause == "unknown-task" and self._expected(header.task, call.sender):
                taken = Taken.LATER  # admitted here, the start is still on its way
            else:
                raise
        return canonical({"taken": taken.value})

    def _expected(self, task: str, sender: str) -> bool:
        try:
            plan = self.tasks.plan(task)
        except NotFound:
            return False
        return sender in plan.parties and self.tasks.summary(task)["status"] != "refused"

    # Chores --------------------------------------------------------------------------------------------------------

    def _chores(self) -> None:
        if self.transport is not None:
            self.steward.add("presence", 0.2, self._presence)
            self.steward.add("the relay", 5.0, self._meet_hub)
            self.steward.add("documents", 1.0, self._offer_documents)
            self.steward.add("plans", 2.0, self._drive_plans)
            self.steward.add("witnesses", 1.0, self._show_log)
            self.steward.add("traffic", 2.0, self._report_traffic)
        self.steward.add("agreements", 2.0, self._stop_what_ended)

    def _presence(self) -> None:
        if self.transport is None:
            return
        for event in self.transport.presence():
            if event.here and event.party != self.party:
                self.sync.forget(event.party)
                self.runner.poke(event.party)
                self.steward.wake()

    def _meet_hub(self) -> None:
        if self.transport is None or self.hub is None:
            return
        client = HubClient(self.transport, self.hub, deadline=10.0)
        try:
            for envelope in self.parties.chain(self.party):
                client.publish(envelope)
            for chain in client.cards():
                try:
                    self.parties.accept_chain(chain)
                except CloisterError as error:
                    _LOG.info("the relay showed a card that was refused: %s", error.what)
        except Unreachable:
            return
        self._show_log_to(self.hub, client)

    def _offer_documents(self) -> None:
        if self.transport is None:
            return
        for party in sorted(self.transport.here() - {self.party, self.hub or ""}):
            if self.parties.known(party):
                self.sync.offer(party)

    def _drive_plans(self) -> None:
        for task in self.tasks.undriven():
            self.tasks.drive(task)

    def _show_log(self) -> None:
        if self.transport is None or self.ledger.locked is not None:
            return
        here = self.transport.here()
        for party in sorted(self.witnesses() & here - {self.party}):
            self._show_log_to(party, HubClient(self.transport, party, deadline=10.0))

    def _show_log_to(self, party: str, client: HubClient) -> None:
        if self.ledger.locked is not None:
            return
        try:
            self.ledger.ask_witness(party, client.submit_checkpoint)
        except Unreachable:
            return

    def witnesses(self) -> frozenset[str]:
        """Who cosigns this node's log, by the agreements that it is in."""
        found: set[str] = set()
        for name in self.agreements.digests():
            terms = self.agreements.get(name).terms
            if terms.witnesses is not None:
                found.update(witness.party for witness in terms.witnesses.parties)
        return frozenset(found)

    def _report_traffic(self) -> None:
        if self.transport is None or self.hub is None:
            return
        counts = {
            party: (item.sent, item.sent_bytes, item.received, item.received_bytes)
            for party, item in self.transport.traffic().items()
        }
        try:
            HubClient(self.transport, self.hub, deadline=5.0).report_traffic(counts)
        except Unreachable:
            return

    def _stop_what_ended(self) -> None:
        for row in self.runner.tasks():
            if row.status != "running":
                continue
            agreement = self.tasks.plan(row.id).request.agreement
            state = str(self.agreements.state(agreement))
            if state != "finalized":
                self.runner.stop(
                    row.id,
                    Refused(
                        "The task was stopped.",
                        f"Its agreement is {state}.",
                        "Have the agreement resumed, or agree anew.",
                        clause="state",
                    ),
                )

    # Ports ---------------------------------------------------------------------------------------------------------

    def engine(self, name: str) -> Engine:
        """A sandboxed worker of this node."""
        return self.engines.get(name)

    def call(self, to: str, method: str, body: bytes, deadline: float, key: str) -> bytes:
        """A call to another party's node. Raises `Unreachable` while this node is connected to no relay."""
        return self._call_with_key(to, method, body, deadline, key)

    def _call_with_key(self, to: str, method: str, body: bytes, deadline: float, key: str | None) -> bytes:
        if self.transport is None:
            raise Unreachable(
                "This node is connected to no relay.", "", "See: cloister node connect INVITATION"
            )
        return self.transport.call(to, method, body, deadline=deadline, key=key)

    def _run_task(self, plan: Plan) -> None:
        seat = plan.offer.seat_of(self.party)
        if seat is None:
            return  # a requester without a seat only asks
        self.runner.start(plan.digest, seat, plan.offer.seats, Programs.first(seat))

    def _is_running(self, task: str) -> bool:
        return self.durable.task(task) is not None

    # Looking -------------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Who this node is and how it is doing."""
        here = self.transport.here() if self.transport is not None else frozenset()
        return {
            "party": self.party,
            "name": self.config.name,
            "folder": str(self.folder.root),
            "relay": {"hub": self.hub, "reached": self.hub in here},
            "here": sorted(here - {self.party, self.hub or ""}),
            "locked": self.ledger.locked,
            "time": self.clock.inner.now(),
            "engines": self.engines.report(),
        }

    def traffic(self) -> dict[str, dict[str, int]]:
        """Messages and bytes exchanged with each party, as they travelled."""
        if self.transport is None:
            return {}
        return {
            party: {
                "sent": item.sent,
                "sent_bytes": item.sent_bytes,
                "received": item.received,
                "received_bytes": item.received_bytes,
            }
            for party, item in self.transport.traffic().items()
        }

    def events(self, since: int, wait: float) -> list[dict[str, Any]]:
        """What happened after event `since`; waits up to `wait` seconds for something."""
        end = time.monotonic() + min(wait, 30.0)
        while True:
            found = self.durable.events(since)
            if found or time.monotonic() >= end or self._stopped.is_set():
                return [
                    {"id": item.id, "task": item.task, "at": item.at, "kind": item.kind, "facts": item.facts}
                    for item in found
                ]
            self._stopped.wait(0.05)

    def setting(self, key: str) -> Any:
        """A stored setting, for diagnosis."""
        with self.durable.database.read() as tx:
            return Settings(tx).get(key)


class _Late:
    """The node's transport, which comes after the journal and may be absent."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def call(self, to: str, method: str, body: bytes, *, deadline: float, key: str | None = None) -> bytes:
        return self._node._call_with_key(to, method, body, deadline, key)  # noqa: SLF001 - a part of the node


class _Log:
    """The journal's view of the log."""

    def __init__(self, ledger: LedgerService) -> None:
        self._ledger = ledger

    def append(self, tx: Transaction, kind: str, digest: str) -> None:
        self._ledger.append(tx, "task-event" if kind.startswith("task") else kind, digest)

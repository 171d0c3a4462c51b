"""The carrier that runs through the hub's embedded Zenoh router.

A node connects out to the hub with its transport certificate, over two sessions: one for calls and presence, one for
large bodies, so that neither is behind the other. Sessions connect again by themselves and declare again what this
node serves; what was on its way then is lost, which the messenger notices.

The two sessions ask each other through the hub every few seconds. When that fails several times they are made anew:
a session may be left unusable by a panic inside the carrier (zenoh issue 2624), and nothing else would tell.

Nothing here is trusted: what arrives is opened by `envelope`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloister.foundation.clock import Clock
from cloister.foundation.errors import BadInput, CloisterError, Unreachable
from cloister.identity.keys import SecretKeys
from cloister.transport.carrier import Lane, NoReply, Receiver
from cloister.transport.messenger import Messenger
from cloister.transport.peers import Peers
from cloister.transport.tuning import Tuning
from cloister.transport.zenoh_settings import (
    Credentials,
    call_key,
    client,
    configuration,
    presence_key,
)

_LOG = logging.getLogger("cloister.transport.zenoh")
_LANES: tuple[Lane, ...] = ("call", "blob")
RETRY = 0.3
PROBE = 5.0
FAILURES = 3


class ZenohCarrier:
    """One party's connection to its hub.

    Args:
        party: this party's fingerprint; the certificate's common name.
        endpoint: `host:port` of the hub's relay.
        credentials: the enrolment authority's certificate, this party's and its key.
        hub: the hub's fingerprint, if the hub itself must be reached for the connection to count as working. After the
            relay was opened again while nodes connected, a session was seen that reached itself and not the hub.

    Raises:
        BadInput: the certificates or the endpoint cannot be used. An unreachable hub is no error: see `trouble`.
    """

    def __init__(self, party: str, endpoint: str, credentials: Credentials, hub: str | None = None) -> None:
        self.party = party
        self.hub = hub
        self._endpoint = endpoint
        self._receivers: dict[Lane, Receiver] = {}
        self._watchers: list[Callable[[str, bool], None]] = []
        self._here: set[str] = set()
        self._unseen: set[str] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._credentials = credentials
        self._links = _Links(self, endpoint, credentials)
        self._lost = ""
        threading.Thread(target=self._watch_over, name="cloister-probe", daemon=True).start()

    @property
    def trouble(self) -> str:
        """Why the hub is not reached, as far as is known; empty when it is."""
        return self._links.trouble or self._lost

    def _watch_over(self) -> None:
        failed = 0
        while not self._closed.wait(PROBE):
            if self._links.probe(PROBE):
                failed, self._lost = 0, ""
                continue
            failed += 1
            self._lost = "The hub does not answer at the moment."
            if failed >= FAILURES and not self._closed.is_set():
                _LOG.warning("The connection to the hub is made anew")
                failed = 0
                self.renew(self._credentials)

    def renew(self, credentials: Credentials) -> None:
        """Goes over to a new certificate: connects with it, then leaves the old sessions."""
        fresh = _Links(self, self._endpoint, credentials)
        with self._lock:
            self._credentials = credentials
            old, self._links = self._links, fresh
            self._unseen = set(self._here)
        for lane, receiver in list(self._receivers.items()):
            fresh.receive(lane, receiver)
        if self._watchers:
            fresh.watch()
        # A session that is not usable may not close either; nobody waits for it.
        threading.Thread(target=old.close, name="cloister-leave", daemon=True).start()
        if self._closed.is_set():
            fresh.close()

    def another(self, timeout: float) -> bool:
        """Whether another node is connected under this party's name. Own calls to oneself are answered here at home."""
        return self._links.another(timeout)

    def exchange(self, to: str, lane: Lane, data: bytes, timeout: float) -> bytes:
        """Sends `data` and waits for the reply. Raises `NoReply`."""
        if self._closed.is_set():
            raise NoReply(absent=True)
        return self._links.exchange(call_key(to, self.party, lane), lane, data, timeout)

    def receive(self, lane: Lane, receiver: Receiver) -> None:
        """Hands what arrives on `lane` to `receiver`; with both lanes set, the party counts as here."""
        self._receivers[lane] = receiver
        self._links.receive(lane, receiver)

    def watch(self, seen: Callable[[str, bool], None]) -> None:
        """Calls `seen` whenever a party's node comes or goes."""
        self._watchers.append(seen)
        self._links.watch()

    def notice(self, links: object, party: str, *, here: bool) -> None:
        """Passes on that a party's node came or went, if the present sessions say so."""
        if self._closed.is_set() or links is not self._links:
            return
        with self._lock:
            (self._here.add if here else self._here.discard)(party)
            self._unseen.discard(party)
        for seen in list(self._watchers):
            seen(party, here)

    def settle(self, links: object, parties: set[str]) -> None:
        """Passes on who went while sessions were made anew: here before, not seen since, not among `parties`."""
        for party in self._unseen - parties:
            self.notice(links, party, here=False)

    def close(self) -> None:
        """Ends both sessions; pending exchanges raise `NoReply`."""
        self._closed.set()
        self._links.close()


class _Links:
    """The two sessions that are opened with one certificate, by a thread of their own until the hub is reached."""

    def __init__(self, owner: ZenohCarrier, endpoint: str, credentials: Credentials) -> None:
        import zenoh

        self._zenoh = zenoh
        self._owner = owner
        self.trouble = "The hub was not reached yet."
        self._kept: list[Any] = []
        self._served: set[str] = set()
        self._pending: set[threading.Event] = set()
        self._closed = threading.Event()
        self._sessions: dict[Lane, Any] = {}
        self._ready = threading.Event()
        self._jobs: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        try:
            self._configurations = {lane: configuration(client(endpoint, credentials)) for lane in _LANES}
        except zenoh.ZError as error:
            raise BadInput(
                "The connection to the hub could not be set up.",
                str(error)[:200],
                "Check the hub's address, and enrol again if the certificate is damaged.",
            ) from None
        threading.Thread(target=self._open, name="cloister-connect", daemon=True).start()

    def _open(self) -> None:
        for lane in _LANES:
            while lane not in self._sessions:
                try:
                    session = self._zenoh.open(self._configurations[lane])
                except self._zenoh.ZError as error:
                    trouble = str(error).partition(" at /")[0][:200]
                    if trouble != self.trouble:
                        _LOG.warning("The hub is not reached: %s", trouble)
                    self.trouble = trouble
                    if self._closed.wait(RETRY):
                        return
                else:
                    self._sessions[lane] = session
        with self._lock:
            self._ready.set()
            jobs, self._jobs = self._jobs, []
        if self._closed.is_set():
            self._end()
            return
        self.trouble = ""
        for job in jobs:
            self._do(job)

    def _once_open(self, job: Callable[[], None]) -> None:
        with self._lock:
            if not self._ready.is_set():
                self._jobs.append(job)
                return
        self._do(job)

    def _do(self, job: Callable[[], None]) -> None:
        try:
            job()
        except self._zenoh.ZError:
            if not self._closed.is_set():
                raise

    def exchange(self, key: str, lane: Lane, data: bytes, timeout: float) -> bytes:
        if not self._ready.wait(timeout) or self._closed.is_set():
            raise NoReply(absent=True)
        ended, replies = threading.Event(), list[bytes]()
        somebody = threading.Event()

        def take(reply: Any) -> None:
            if reply.ok is None:
                # The carrier's own word that the time is over: somebody was asked. Where nobody is, nothing comes.
                somebody.set()
            elif len(replies) < 2:
                replies.append(reply.ok.payload.to_bytes())
                ended.set()

        handler = self._zenoh.handlers.Callback(take, ended.set)
        self._pending.add(ended)
        try:
            self._sessions[lane].get(
                key,
                handler,
                payload=data,
                timeout=timeout,
                target=self._zenoh.QueryTarget.BEST_MATCHING,
                consolidation=self._zenoh.ConsolidationMode.NONE,
            )
            in_time = ended.wait(timeout + 1.0)
        except self._zenoh.ZError:
            raise NoReply(absent=True) from None
        finally:
            self._pending.discard(ended)
        if replies:
            return replies[0]
        raise NoReply(absent=in_time and not somebody.is_set())

    def probe(self, timeout: float) -> bool:
        """Whether one session reaches the other through the hub. Also true while there is nothing to reach yet."""
        if not self._ready.is_set() or "probe" not in self._served:
            return not self._ready.is_set()
        party, hub = self._owner.party, self._owner.hub
        ways: list[tuple[Lane, str]] = [("blob", party)]
        if hub is not None:
            ways.append(("call", hub))
        return all(self._answers(lane, to, timeout) for lane, to in ways)

    def another(self, timeout: float) -> bool:
        """Whether somebody else answers this party's probe: the relay gives a session nothing of its own back."""
        return self._ready.wait(timeout) and self._answers("call", self._owner.party, timeout)

    def _answers(self, lane: Lane, to: str, timeout: float) -> bool:
        try:
            replies = self._sessions[lane].get(
                call_key(to, self._owner.party, "probe"),
                timeout=timeout,
                allowed_destination=self._zenoh.Locality.REMOTE,
            )
            return any(reply.ok is not None for reply in replies)
        except self._zenoh.ZError:
            return False

    def _declare_probe(self) -> None:
        key = call_key(self._owner.party, "*", "probe")

        def answer(query: Any) -> None:
            with contextlib.suppress(self._zenoh.ZError), query:
                query.reply(query.key_expr, b"")

        self._kept.append(self._sessions["call"].declare_queryable(key, answer))
        self._served.add("probe")

    def receive(self, lane: Lane, receiver: Receiver) -> None:
        party = self._owner.party
        begin = f"net/{party}/from/"

        def arrived(query: Any) -> None:
            key = str(query.key_expr)
            sender = key[len(begin) :].partition("/")[0]
            payload = query.payload
            if payload is None or key != call_key(party, sender, lane):
                return

            def reply(answer: bytes) -> None:
                # The caller may have gone meanwhile; it asks again if it still wants to know.
                # Dropping the query ends it at the caller, without waiting for the garbage collector.
                with contextlib.suppress(self._zenoh.ZError), query:
                    query.reply(key, answer)

            try:
                receiver(sender, payload.to_bytes(), reply)
            except Exception as error:
                _LOG.error("Receiving failed: %s", type(error).__name__)

        def declare() -> None:
            session, key = self._sessions[lane], call_key(party, "*", lane)
            self._kept.append(session.declare_queryable(key, arrived, complete=True))
            self._served.add(lane)
            if self._served.issuperset(_LANES):
                self._declare_probe()
                control = self._sessions["call"]
                self._kept.append(control.liveliness().declare_token(presence_key(party)))

        self._once_open(declare)

    def watch(self) -> None:
        put = self._zenoh.SampleKind.PUT

        def told(sample: Any) -> None:
            party = str(sample.key_expr).split("/")[1]
            self._owner.notice(self, party, here=sample.kind == put)

        def declare() -> None:
            control = self._sessions["call"].liveliness()
            self._kept.append(control.declare_subscriber(presence_key("*"), told, history=True))
            found = [reply.ok for reply in control.get(presence_key("*"), timeout=PROBE)]
            self._owner.settle(self, {str(item.key_expr).split("/")[1] for item in found if item})

        self._once_open(declare)

    def close(self) -> None:
        if self._closed.is_set():
            return
        with self._lock:
            self._closed.set()
            opened = self._ready.is_set()
        if opened:
            self._end()
        for ended in list(self._pending):
            ended.set()

    def _end(self) -> None:
        for session in self._sessions.values():
            with contextlib.suppress(self._zenoh.ZError):
                session.close()


def connect(
    party: str,
    keys: SecretKeys,
    peers: Peers,
    *,
    endpoint: str,
    credentials: Credentials,
    clock: Clock | None = None,
    tuning: Tuning | None = None,
    folder: Path | None = None,
    hub: str | None = None,
) -> Messenger:
    """A transport for `party` through the hub at `endpoint`; see `ZenohCarrier` and `Messenger`.

    Returns at once even if the hub is not there: calls then wait for it until their deadlines.
    """
    carrier = ZenohCarrier(party, endpoint, credentials, hub)
    try:
        return Messenger(carrier, party, keys, peers, clock=clock, tuning=tuning, folder=folder)
    except CloisterError:
        carrier.close()
        raise


def wait_for(transport: Messenger, party: str, seconds: float) -> None:
    """Waits until `party` is here, for start-up and tests. Raises `Unreachable`."""
    tick = threading.Event()
    for _ in range(max(1, int(seconds / 0.05))):
        if party in transport.here():
            return
        tick.wait(0.05)
    raise Unreachable(
        "A party's node is not connected.", "The hub has not seen it.", "See whether its node is running."
    )

"""The two sessions of one carrier: opened, declared on, asked through, left.

A session that loses its relay is not mended. The carrier's own mending was seen to fail (a session that is opened while
the relay closes is never connected again, or stays on the relay that closed), so sessions are left and new ones opened.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
from collections.abc import Callable
from typing import Any, Protocol

from cloister.foundation.errors import BadInput
from cloister.transport.carrier import Lane, NoReply, Receiver
from cloister.transport.doubt import Answer
from cloister.transport.zenoh_settings import Credentials, call_key, client, configuration, presence_key

_LOG = logging.getLogger("cloister.transport.zenoh")
_LANES: tuple[Lane, ...] = ("call", "blob")
RETRY = 0.3
WHO_SECONDS = 5.0


class Owner(Protocol):
    """What sessions need to know of their carrier, and tell it."""

    party: str
    token: bytes

    def notice(self, links: object, party: str, *, here: bool) -> None:
        """A party's node came or went."""
        ...

    def settle(self, links: object, parties: set[str]) -> None:
        """`parties` are those that are here, as the relay says."""
        ...


class Links:
    """The two sessions that are opened with one certificate, by a thread of their own until the hub is reached.

    Args:
        owner: the carrier.
        endpoint: `host:port` of the relay.
        credentials: what to show there.

    Raises:
        BadInput: the certificates or the endpoint cannot be used.
    """

    def __init__(self, owner: Owner, endpoint: str, credentials: Credentials) -> None:
        import zenoh

        self._zenoh = zenoh
        self._owner = owner
        self.trouble = "The relay was not reached yet."
        self._kept: list[Any] = []
        self._served: set[str] = set()
        self._pending: set[threading.Event] = set()
        self._closed = threading.Event()
        self._sessions: dict[Lane, Any] = {}
        self._relays: dict[Lane, list[str]] = {}
        self._ready = threading.Event()
        self._jobs: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        try:
            self._configurations = {lane: configuration(client(endpoint, credentials)) for lane in _LANES}
        except zenoh.ZError as error:
            raise BadInput(
                "The connection to the relay could not be set up.",
                str(error)[:200],
                "Check the relay's address, and enrol again if the certificate is damaged.",
            ) from None
        threading.Thread(target=self._open, name="cloister-connect", daemon=True).start()

    # Opening and closing -------------------------------------------------------------------------------------------

    def _open(self) -> None:
        for lane in _LANES:
            while lane not in self._sessions:
                try:
                    session = self._zenoh.open(self._configurations[lane])
                except self._zenoh.ZError as error:
                    trouble = str(error).partition(" at /")[0][:200]
                    if trouble != self.trouble:
                        _LOG.warning("The relay is not reached: %s", trouble)
                    self.trouble = trouble
                    # Not all nodes in the same moment.
                    if self._closed.wait(RETRY * (0.7 + secrets.randbelow(600) / 1000)):
                        self._end()
                        return
                else:
                    self._relays[lane] = self._relay(session)
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

    def close(self) -> None:
        """Ends both sessions and whatever waits for an answer on them."""
        if self._closed.is_set():
            return
        with self._lock:
            self._closed.set()
            opened = self._ready.is_set()
        for ended in list(self._pending):
            ended.set()
        if opened:
            self._end()

    def _end(self) -> None:
        for session in self._sessions.values():
            with contextlib.suppress(self._zenoh.ZError):
                session.close()

    # How the sessions are ------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether both sessions were opened."""
        return self._ready.is_set()

    def lost(self, relay: str | None = None) -> bool:
        """Whether a session is without the relay that it was opened to, or (if `relay` is given) is at another one."""
        try:
            now = {lane: self._relay(session) for lane, session in list(self._sessions.items())}
        except BaseException:  # a panic inside the carrier is no `Exception`; it leaves sessions unusable
            return True
        return any(
            not relays or relays != self._relays[lane] or (relay is not None and relays != [relay])
            for lane, relays in now.items()
        )

    @staticmethod
    def _relay(session: Any) -> list[str]:
        return [str(item) for item in session.info.routers_zid()]

    def ask(self, hub: str | None, timeout: float) -> Answer | None:
        """Whether one session reaches the other, and the hub, through the relay; `None` while nothing is served yet."""
        if not self._ready.is_set() or "probe" not in self._served:
            return None
        ways: list[tuple[Lane, str]] = [("blob", self._owner.party)]
        if hub is not None:
            ways.append(("call", hub))
        for lane, to in ways:
            found = self._answers(lane, to, timeout)
            if not found:
                return "absent"
            if None in found:
                return "silent"
        return "here"

    def another(self, timeout: float) -> bool:
        """Whether somebody else answers under this party's name: with another token than this carrier's."""
        if not self._ready.wait(timeout):
            return False
        return any(
            item is not None and item != self._owner.token
            for item in self._answers("call", self._owner.party, timeout)
        )

    def _answers(self, lane: Lane, to: str, timeout: float) -> list[bytes | None]:
        """Each answer's token; `None` for the carrier's own word that somebody was asked and did not answer in time."""
        try:
            replies = self._sessions[lane].get(
                call_key(to, self._owner.party, "probe"),
                timeout=timeout,
                allowed_destination=self._zenoh.Locality.REMOTE,
            )
            found = [None if reply.ok is None else reply.ok.payload.to_bytes() for reply in replies]
        except self._zenoh.ZError:
            return []
        return [item for item in found if item is not None] or found

    # What passes over them -----------------------------------------------------------------------------------------

    def exchange(self, key: str, lane: Lane, data: bytes, timeout: float) -> bytes:
        """Sends `data` and waits for the reply. Raises `NoReply`."""
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

    def receive(self, lane: Lane, receiver: Receiver) -> None:
        """Hands what arrives on `lane` to `receiver`; with both lanes set, the party counts as here."""
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

    def _declare_probe(self) -> None:
        key = call_key(self._owner.party, "*", "probe")

        def answer(query: Any) -> None:
            with contextlib.suppress(self._zenoh.ZError), query:
                query.reply(query.key_expr, self._owner.token)

        self._kept.append(self._sessions["call"].declare_queryable(key, answer))
        self._served.add("probe")

    def watch(self) -> None:
        """Tells the carrier who is here, and from now on who comes and goes."""
        put = self._zenoh.SampleKind.PUT

        def told(sample: Any) -> None:
            party = str(sample.key_expr).split("/")[1]
            self._owner.notice(self, party, here=sample.kind == put)

        def declare() -> None:
            control = self._sessions["call"].liveliness()
            self._kept.append(control.declare_subscriber(presence_key("*"), told, history=True))
            found = [reply.ok for reply in control.get(presence_key("*"), timeout=WHO_SECONDS)]
            self._owner.settle(self, {str(item.key_expr).split("/")[1] for item in found if item})

        self._once_open(declare)

"""The carrier that runs through the hub's embedded Zenoh router.

A node connects out to the hub with its transport certificate, over two sessions (`zenoh_links`): one for calls and
presence, one for large bodies, so that neither is behind the other.

Rules:
1. Sessions are never mended. As soon as one has lost its relay (looked at several times a second), both are left and
   new ones opened, on which everything is declared again; what was on its way then is lost, which the messenger notices.
2. A link that is up is no proof. The sessions ask each other and the hub through the relay, new ones at once; where
   nobody is found, they are left as well (`doubt`). Reasons that were seen: a panic inside the carrier (zenoh issue
   2624); a relay that closed while a session was being opened, and keeps it: it reaches itself and nobody else.
3. The hub's own sessions, which could find each other at a relay that closed, must be at the relay that is open.

Nothing here is trusted: what arrives is opened by `envelope`.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from cloister.foundation.clock import Clock
from cloister.foundation.errors import CloisterError, Unreachable
from cloister.identity.keys import SecretKeys
from cloister.transport.carrier import Lane, NoReply, Receiver
from cloister.transport.doubt import Doubt
from cloister.transport.messenger import Messenger, Tuning
from cloister.transport.peers import Peers
from cloister.transport.zenoh_links import Links
from cloister.transport.zenoh_settings import Credentials, call_key

_LOG = logging.getLogger("cloister.transport.zenoh")
LOOK = 0.25
PROBE = 5.0


class ZenohCarrier:
    """One party's connection to its hub.

    Args:
        party: this party's fingerprint; the certificate's common name.
        endpoint: `host:port` of the hub's relay.
        credentials: the enrolment authority's certificate, this party's and its key.
        hub: the hub's fingerprint, if the hub itself must be reached for the connection to count as working.
        relay: for the hub itself: tells which router is open now, where the sessions must be (empty: none is).

    Raises:
        BadInput: the certificates or the endpoint cannot be used. An unreachable hub is no error: see `trouble`.
    """

    def __init__(
        self,
        party: str,
        endpoint: str,
        credentials: Credentials,
        hub: str | None = None,
        relay: Callable[[], str] | None = None,
    ) -> None:
        self.party = party
        self.hub = hub
        self.token = secrets.token_bytes(16)
        self._endpoint = endpoint
        self._relay = relay
        self._receivers: dict[Lane, Receiver] = {}
        self._watchers: list[Callable[[str, bool], None]] = []
        self._here: set[str] = set()
        self._unseen: set[str] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._credentials = credentials
        self._links = Links(self, endpoint, credentials)
        self._lost = ""
        threading.Thread(target=self._watch_over, name="cloister-probe", daemon=True).start()

    @property
    def trouble(self) -> str:
        """Why the hub is not reached, as far as is known; empty when it is."""
        return self._links.trouble or self._lost

    def _watch_over(self) -> None:
        doubt, asked = Doubt(PROBE), self._links
        while not self._closed.wait(min(LOOK, PROBE)):
            links = self._links
            if links is not asked:
                doubt.anew()
                asked = links
            if not links.ready:
                continue
            if links.lost(None if self._relay is None else self._relay()):
                _LOG.info("The relay was lost; connecting anew")
                self._leave(links, lost=True)
                continue
            if not doubt.due(time.monotonic()):
                continue
            answer = links.ask(self.hub, PROBE)
            if answer is None or links is not self._links:
                continue
            leave = doubt.heard(answer, time.monotonic())
            self._lost = "" if answer == "here" else "The relay does not answer at the moment."
            if leave and not self._closed.is_set():
                _LOG.warning("The relay is not reached over this connection (%s); connecting anew", answer)
                self._leave(links, lost=False)

    def _leave(self, links: Links, *, lost: bool) -> None:
        if links is not self._links:
            return  # a new certificate has led to new ones meanwhile
        if lost:
            with self._lock:
                gone, self._here = self._here, set()
            for party in gone:
                self._tell(party, here=False)
        self.renew(self._credentials)

    def renew(self, credentials: Credentials) -> None:
        """Goes over to a new certificate: connects with it, then leaves the old sessions."""
        fresh = Links(self, self._endpoint, credentials)
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
        reply = self._links.exchange(call_key(to, self.party, lane), lane, data, timeout)
        if to == (self.hub or to):
            self._lost = ""
        return reply

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
        self._tell(party, here=here)

    def _tell(self, party: str, *, here: bool) -> None:
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
        "A party's server is not connected.",
        "The relay has not seen it.",
        "See whether its server is running.",
    )

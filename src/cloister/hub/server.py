"""The hub as a whole: its folder, its keys, the relay, the enrolment service, its own place as a party.

Two ports: the relay (TLS with certificates on both sides, through which everything passes) and enrolment (HTTPS, used
once by each node). The hub is itself a party of the transport: registry and log are methods under its fingerprint.

Folder: `keys/` (the keystore), `cloister.db` (cards, documents, log), `recovery.sealed` (to be moved elsewhere).
"""

from __future__ import annotations

import logging
import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cloister.foundation.canonical import JSON
from cloister.foundation.clock import Clock, SystemClock
from cloister.foundation.errors import Conflict, NotFound, Refused
from cloister.hub.app import EnrolmentServer, enrolment_app
from cloister.hub.authority import INVITATION_LIFETIME, EnrolmentDesk
from cloister.hub.logbook import Logbook
from cloister.hub.registry import Registry
from cloister.hub.router import Router, Status, bracketed
from cloister.hub.services import serve
from cloister.hub.state import Members
from cloister.hub.traffic import Passed, TrafficBook
from cloister.identity import cards, enrolment
from cloister.identity.directory import Directory
from cloister.identity.enrolment import Authority
from cloister.identity.envelopes import Envelope, KeyDirectory
from cloister.identity.keys import PublicKeys, SecretKeys
from cloister.identity.keystore import Keystore, SystemKeyring, Unlock, write_recovery
from cloister.storage.database import Database
from cloister.storage.settings import Settings
from cloister.transport.invitation import Invitation
from cloister.transport.messenger import Messenger, Tuning
from cloister.transport.zenoh import ZenohCarrier
from cloister.transport.zenoh_settings import Credentials, many_threads

_LOG = logging.getLogger("cloister.hub")
PORT = 7447
ENROL_PORT = 7448
UNWELL = 30.0
_CARDS = "hub/cards"
_AUTHORITY = "authority"
_AUTHORITY_CERTIFICATE = "hub/authority"
_PORTS = "hub/ports"
_CODES = "invitation-codes"


@dataclass(frozen=True)
class HubStatus:
    """What a hub's operator sees.

    Attributes:
        party: the hub's fingerprint.
        relay: of the router.
        enrol_port: of the enrolment service.
        here: parties whose nodes are connected now.
        log_size: entries in its log.
    """

    party: str
    relay: Status
    enrol_port: int
    here: frozenset[str]
    log_size: int


def create_hub(
    folder: Path,
    unlock: Unlock,
    recovery_unlock: Unlock | None = None,
    *,
    name: str = "Hub",
    clock: Clock | None = None,
) -> str:
    """Makes a hub's keys, card and enrolment authority in `folder`; returns its fingerprint.

    Args:
        folder: made if missing, closed to other users.
        unlock: opens the hub's secrets.
        recovery_unlock: opens the recovery keys' file, which is moved elsewhere: never this system's keyring. Like the
            hub's secrets, if absent.
        name: on its card.
        clock: for the card's dates.

    Raises:
        Conflict: there is a hub in this folder already.
        Refused: others may enter the folder (clause `folder-private`), or the recovery keys would be opened by the
            keyring of the machine whose loss they are for (clause `recovery-apart`).
    """
    recovery_unlock = recovery_unlock or unlock
    if isinstance(recovery_unlock, SystemKeyring):
        raise Refused(
            "Recovery keys are not opened by this system's keyring.",
            "They are for the day on which this machine is lost, and its keyring with it.",
            "Give a passphrase for the recovery keys.",
            clause="recovery-apart",
        )
    now = (clock or SystemClock()).now()
    if Keystore.exists(folder / "keys"):
        raise Conflict(
            "There is a relay in this folder already.",
            "",
            "Start it with `cloister hub up`, or choose another.",
        )
    _private(folder)
    keys, recovery = SecretKeys.generate(), SecretKeys.generate()
    genesis = cards.genesis(name, ["hub"], keys, recovery.public, now)
    authority = enrolment.create_authority(now)
    database = Database.open(folder)
    try:
        write_recovery(folder / "recovery.sealed", recovery, recovery_unlock)
        keystore = Keystore.create(folder / "keys", unlock)
        keystore.save_keys(keys)
        keystore.put(_AUTHORITY, authority.key)
        with database.transaction() as tx:
            settings = Settings(tx)
            settings.put(_CARDS, [genesis.model_dump(mode="json")])
            settings.put(_AUTHORITY_CERTIFICATE, authority.certificate.decode("ascii"))
    finally:
        database.close()
    return cards.read(genesis).party


def _private(folder: Path) -> None:
    """The folder, made if missing. One that is there is not changed: who opened it may have had a reason."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.name == "posix":
        state = folder.stat()
        if state.st_uid != os.getuid() or stat.S_IMODE(state.st_mode) & 0o077:
            raise Refused(
                "The relay's folder is open to others.",
                f"Other users may enter {folder}, or it is somebody else's; the relay's keys would lie in it.",
                f"Run: chmod 700 {folder}; or choose another folder.",
                clause="folder-private",
            )


class Hub:
    """A running hub. Use `start` and `stop`, or `with`.

    Args:
        folder: made by `create_hub`.
        unlock: opens the keystore.
        host: address to listen on.
        port: of the relay; 0 takes a free one, and the same again after a restart.
        enrol_port: of the enrolment service; likewise.
        names: names and addresses under which nodes reach this machine; the first goes into invitations.
        clock: tells the time.
        tuning: bounds of the hub's own transport.

    Raises:
        NotFound: there is no hub in the folder.
        NotTrusted: the passphrase is wrong.
        Conflict: another process uses the folder.
    """

    def __init__(
        self,
        folder: Path,
        unlock: Unlock,
        *,
        host: str = "0.0.0.0",  # noqa: S104 - a relay is there to be reached
        port: int = PORT,
        enrol_port: int = ENROL_PORT,
        names: Iterable[str] = ("localhost",),
        clock: Clock | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        if not Keystore.exists(folder / "keys"):
            raise NotFound(
                f"There is no relay in {folder}.", "It has no keystore.", "Make one with `cloister hub init`."
            )
        self._host, self._names = host, tuple(names)
        self._clock = clock or SystemClock()
        self._tuning = tuning
        self._stack = ExitStack()
        keystore = Keystore.open(folder / "keys", unlock)
        self._keys = keystore.load_keys()
        self._database = Database.open(folder)
        self._stack.callback(self._database.close)
        with self._database.read() as tx:
            settings = Settings(tx)
            self._cards = tuple(Envelope.from_json(item) for item in settings.get(_CARDS))
            certificate = str(settings.get(_AUTHORITY_CERTIFICATE)).encode("ascii")
            stored = settings.get(_PORTS, [0, 0])
        self._ports = (port or int(stored[0]), enrol_port or int(stored[1]))
        self.party = cards.read(self._cards[0]).party
        self._authority = Authority(certificate, keystore.get(_AUTHORITY))
        self.members = Members(self._database, self._clock, self._permit)
        self._desk = EnrolmentDesk(self._authority, keystore.get_or_create(_CODES), self.members, self._clock)
        self._traffic = TrafficBook()
        self._registry = Registry(self._database, self.members, self._clock)
        self._logbook = Logbook(self._database, self.party, self._keys, self.members, self._clock)
        self._unwell_since: float | None = None
        self._router: Router | None = None
        self._enrolment: EnrolmentServer | None = None
        self._carrier: ZenohCarrier | None = None
        self._transport: Messenger | None = None

    def start(self) -> None:
        """Opens the relay and the enrolment service.

        Raises:
            Conflict: a port is in use; nothing is left open.
        """
        try:
            self._open()
        except BaseException:
            self.stop()
            raise

    def _open(self) -> None:
        many_threads()
        key, certificate = self._server_certificate()
        server = Credentials(self._authority.certificate, certificate, key)
        self._router = Router(self._host, self._ports[0], server, self.members.permitted() | {self.party})
        self._router.start()
        self._stack.callback(self._router.close)
        app = enrolment_app(self._desk, self._own_cards)
        self._enrolment = EnrolmentServer(app, self._host, self._ports[1], certificate, key)
        self._stack.callback(self._enrolment.close)
        self._enrolment.start()
        with self._database.transaction() as tx:
            Settings(tx).put(_PORTS, [self._router.port, self._enrolment.port])
        endpoint = f"{self._own_address()}:{self._router.port}"
        router = self._router
        self._carrier = ZenohCarrier(
            self.party, endpoint, self._own_certificate(), relay=lambda: router.identity
        )
        self._transport = Messenger(
            self._carrier,
            self.party,
            self._keys,
            _WithSelf(self.party, self._keys.public, self.members),
            clock=self._clock,
            tuning=self._tuning,
        )
        self._stack.callback(self._transport.close)
        serve(self._transport, self.members, self._registry, self._logbook, self._traffic)

    def stop(self) -> None:
        """Closes everything; nodes wait for the hub to come back."""
        self._stack.close()

    def before_stop(self, action: Callable[[], object]) -> None:
        """Has something done before the hub closes, the latest first."""
        self._stack.callback(action)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def invite(self, lifetime: int = INVITATION_LIFETIME) -> Invitation:
        """An invitation for one more party, valid for `lifetime` seconds."""
        assert self._router is not None
        assert self._enrolment is not None
        name = self._names[0]
        return self._desk.invite(
            self.party,
            f"{bracketed(name)}:{self._router.port}",
            f"{bracketed(name)}:{self._enrolment.port}",
            lifetime,
        )

    def drop(self, party: str) -> None:
        """Lets a party connect no longer."""
        self.members.drop(party)

    def traffic(self) -> list[Passed]:
        """Who talked to whom, how often and how much, as far as nodes reported it: what a relay can see."""
        return self._traffic.all()

    @property
    def name(self) -> str:
        """As it stands on the hub's card."""
        return cards.read(self._cards[-1]).name

    @property
    def database(self) -> Database:
        """The hub's own; also for the accounts of those who may look at its page."""
        return self._database

    def head(self) -> bytes:
        """The signed head of the hub's log, with the cosignatures so far."""
        return self._logbook.head()

    def heads(self) -> dict[str, bytes]:
        """The largest head seen of each party's log."""
        return self._logbook.heads()

    def evidence(self) -> dict[str, dict[str, JSON]]:
        """Parties whose logs contradicted themselves, with both signed heads; see `Logbook.evidence`."""
        return self._logbook.evidence()

    def status(self) -> HubStatus:
        """What the hub is doing."""
        assert self._router is not None
        assert self._enrolment is not None
        assert self._transport is not None
        return HubStatus(
            self.party,
            self._router.status(),
            self._enrolment.port,
            self._transport.here() - {self.party},
            self._logbook.size(),
        )

    def renew(self) -> None:
        """Goes over to new certificates of its own; for a hub that runs longer than they last."""
        key, certificate = self._server_certificate()
        if self._router is not None:
            self._router.renew(Credentials(self._authority.certificate, certificate, key))
        if self._enrolment is not None:
            self._enrolment.renew(certificate, key)
        if self._carrier is not None:
            self._carrier.renew(self._own_certificate())

    def heal(self) -> None:
        """Opens the relay again if the hub has not reached it for a while; called every few seconds by `run_hub`."""
        if self._router is None or self._carrier is None or not self._carrier.trouble:
            self._unwell_since = None
            return
        now = time.monotonic()
        self._unwell_since = self._unwell_since or now
        if now - self._unwell_since > UNWELL:
            _LOG.error("The relay does not answer; it is opened again")
            self._unwell_since = None
            self._router.reopen()

    def _permit(self, members: frozenset[str]) -> None:
        if self._router is not None:
            self._router.permit(members | {self.party})

    def _own_cards(self) -> list[JSON]:
        return [card.model_dump(mode="json") for card in self._cards]

    def _own_address(self) -> str:
        return "127.0.0.1" if self._host in {"0.0.0.0", "::", ""} else bracketed(self._host)  # noqa: S104 - compared

    def _server_certificate(self) -> tuple[bytes, bytes]:
        local = ("localhost", "127.0.0.1")
        bound = () if self._host in {"0.0.0.0", "::", ""} else (self._host,)  # noqa: S104 - compared
        hosts = dict.fromkeys((*self._names, *bound, *local))
        return enrolment.issue_server(self._authority, hosts, self._clock.now())

    def _own_certificate(self) -> Credentials:
        now = self._clock.now()
        own = Directory()
        own.accept_chain(self._cards, now)
        key, csr = enrolment.make_csr(self.party)
        asked = enrolment.request(self.party, self._keys, csr, self._authority.certificate, now)
        certificate = enrolment.issue(self._authority, csr, asked, own.live(now), now)
        return Credentials(self._authority.certificate, certificate, key)


class _WithSelf:
    """The hub's parties and the hub itself, whose own calls and answers go the same way."""

    def __init__(self, party: str, keys: PublicKeys, members: Members) -> None:
        self._party, self._keys, self._members = party, keys, members

    @property
    def directory(self) -> KeyDirectory:
        return self._members.directory

    def keys_for(self, party: str) -> PublicKeys:
        return self._keys if party == self._party else self._members.keys_for(party)


def run_hub(
    folder: Path,
    unlock: Unlock,
    *,
    host: str = "0.0.0.0",  # noqa: S104 - a relay is there to be reached
    port: int = PORT,
    enrol_port: int = ENROL_PORT,
    names: Iterable[str] = ("localhost",),
    ready: Callable[[Hub], None] | None = None,
    every: Callable[[Hub], None] | None = None,
    interval: float = 1.0,
) -> None:
    """Runs a hub until the process is told to end (SIGINT, SIGTERM).

    Args:
        folder: see `Hub`, as the five after it.
        unlock: opens the keystore.
        host: address to listen on.
        port: of the relay.
        enrol_port: of the enrolment service.
        names: under which nodes reach this machine.
        ready: called once when nodes can connect.
        every: called every `interval` seconds meanwhile, for example to show the status.
        interval: seconds.
    """
    ended = threading.Event()
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), lambda *_: ended.set())
    with Hub(folder, unlock, host=host, port=port, enrol_port=enrol_port, names=names) as hub:
        if ready is not None:
            ready(hub)
        waited = 0.0
        while not ended.wait(interval):
            if every is not None:
                every(hub)
            hub.heal()
            waited += interval
            if waited >= enrolment.LIFETIME - enrolment.RENEW_BEFORE:
                hub.renew()
                waited = 0.0

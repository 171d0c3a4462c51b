"""Nodes come back after every kind of loss of the relay that was seen, each brought about here on purpose."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from cloister.hub.router import Router
from cloister.transport.messenger import Messenger, Tuning
from cloister.transport.zenoh import ZenohCarrier, connect

PATIENCE = 40


class Crossing:
    """A TCP port that leads to one relay or another: where each new connection goes is set by the test.

    Links that are there stay where they are. So a node can be left on a relay that nobody else uses, as happens when a
    relay accepts a link while it closes.
    """

    def __init__(self, *first: int, then: int) -> None:
        self.targets = list(first)
        self.then = then
        self.led: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                port = self.targets.pop(0) if self.targets else self.then
                self.led.append(port)
                try:
                    far = socket.create_connection(("127.0.0.1", port))
                except OSError:
                    near.close()
                    continue
                self._open += [near, far]
                for here, there in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(here, there), daemon=True).start()

    @staticmethod
    def _pass(here: socket.socket, there: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := here.recv(1 << 16):
                there.sendall(data)
        for end in (here, there):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for item in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                item.close()


@pytest.fixture
def relays(zenoh_net, members):
    """Two relays: the one that is open, and one that closed and keeps what it accepted."""
    made = []
    for _ in range(2):
        router = Router("127.0.0.1", 0, zenoh_net.router._credentials, [item.id for item in members.values()])
        router.start()
        made.append(router)
    yield made
    for router in made:
        router.close()


@pytest.fixture
def node(zenoh_net, members, book):
    """Opens a transport of a member at a port."""
    with contextlib.ExitStack() as stack:

        def open_(name: str, port: int, hub: str | None = None) -> Messenger:
            who = members[name]
            return stack.enter_context(
                connect(
                    who.id,
                    who.keys,
                    book,
                    endpoint=f"127.0.0.1:{port}",
                    credentials=zenoh_net.credentials(who),
                    tuning=Tuning(patience=PATIENCE),
                    hub=hub,
                )
            )

        yield open_


def eventually(holds, seconds: float = PATIENCE) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def crossing():
    with contextlib.ExitStack() as stack:

        def make(*first: int, then: int) -> Crossing:
            made = Crossing(*first, then=then)
            stack.callback(made.close)
            return made

        yield make


def test_a_relay_on_which_the_hub_is_not_is_left_although_the_node_reaches_itself(
    relays, members, node, crossing
):
    now, closed = relays
    way = crossing(closed.port, closed.port, then=now.port)
    hub = node("bert", now.port)
    hub.serve("echo", lambda call: call.body)
    anna = node("anna", way.port, hub=members["bert"].id)
    assert anna.call(hub.party, "echo", b"1", deadline=PATIENCE) == b"1"
    assert way.led[:4] == [closed.port] * 2 + [now.port] * 2


def test_sessions_that_ended_up_at_two_relays_are_left(relays, node, crossing):
    now, closed = relays
    way = crossing(closed.port, now.port, then=now.port)
    bert = node("bert", now.port)
    bert.serve("echo", lambda call: call.body)
    anna = node("anna", way.port)
    assert anna.call(bert.party, "echo", b"1", deadline=PATIENCE) == b"1"
    assert bert.party in anna.here() or eventually(lambda: bert.party in anna.here()) is None


def test_the_hubs_own_sessions_are_at_the_relay_that_is_open(relays, members, zenoh_net, crossing):
    now, closed = relays
    way = crossing(closed.port, closed.port, then=now.port)
    who = members["bert"]
    carrier = ZenohCarrier(
        who.id, f"127.0.0.1:{way.port}", zenoh_net.credentials(who), relay=lambda: now.identity
    )
    try:

        def there() -> bool:
            links = carrier._links
            return links.ready and not links.lost(now.identity)

        eventually(there)
        assert way.led[:2] == [closed.port] * 2
    finally:
        carrier.close()


def test_a_lost_relay_is_told_at_once_and_found_again_when_it_opens(relays, node):
    relay = relays[0]
    anna, bert = node("anna", relay.port), node("bert", relay.port)
    bert.serve("echo", lambda call: call.body)
    eventually(lambda: bert.party in anna.here())
    relay.close()
    eventually(lambda: not anna.here())
    eventually(lambda: anna.carrier.trouble)
    relay.start()
    assert anna.call(bert.party, "echo", b"1", deadline=PATIENCE) == b"1"
    eventually(lambda: {anna.party, bert.party} <= anna.here() and not anna.carrier.trouble)


def test_a_relay_that_opens_anew_while_nodes_connect_loses_none(relays, node, zenoh_net, members):
    relay = relays[0]
    anna, bert = node("anna", relay.port), node("bert", relay.port)
    bert.serve("echo", lambda call: call.body)
    for turn in range(4):
        fresh = [
            (item, zenoh_net.credentials(members[name])) for name, item in (("anna", anna), ("bert", bert))
        ]
        for item, credentials in fresh:
            item.carrier.renew(credentials)
        time.sleep(0.004 * turn)  # another moment of their connecting each time
        relay.reopen()
        assert anna.call(bert.party, "echo", bytes([turn]), deadline=PATIENCE) == bytes([turn])


def test_ones_own_earlier_session_is_no_second_node_and_another_process_is(relays, members, node, zenoh_net):
    port = relays[0].port
    anna = node("anna", port)
    eventually(lambda: anna.party in anna.here())
    anna.carrier.renew(zenoh_net.credentials(members["anna"]))
    assert not anna.carrier.another(5)
    twin = node("anna", port)
    eventually(lambda: twin.carrier.another(5))

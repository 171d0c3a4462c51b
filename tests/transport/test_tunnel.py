"""Every rule of `transport.tunnel` and `transport.tunnel_frames`, over each carrier."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.errors import BadInput, Refused, Unreachable
from cloister.transport.tunnel import METHOD, Tunnels
from cloister.transport.tunnel_frames import (
    ASK,
    DATA,
    FULL,
    GONE,
    OPEN,
    PIECE,
    RESET,
    TAKEN,
    WINDOW,
    Frame,
    Incoming,
)


def eventually(condition, seconds=20.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


class Library:
    """What a library does: listens on a local port; answers each connection with `talk`."""

    def __init__(self, talk) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.talk = talk
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection) -> None:
        with connection, contextlib.suppress(OSError):
            self.talk(connection)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def echo(connection) -> None:
    while data := connection.recv(1 << 16):
        connection.sendall(data)


@pytest.fixture
def ends(net):
    """Anna's and Bert's tunnels, and an echoing library beside Bert."""
    anna, bert = net.open("anna"), net.open("bert")
    eventually(lambda: bert.party in anna.here() and anna.party in bert.here())
    here, there, library = Tunnels(anna, deadline=5), Tunnels(bert, deadline=5), Library(echo)
    yield anna, bert, here, there, library
    here.close()
    there.close()
    library.close()


def received(connection) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def test_bytes_come_through_in_order_both_ways_and_the_end_too(ends):
    anna, bert, here, there, library = ends
    there.grant(anna.party, library.port)
    body = os.urandom(10 * PIECE + 17)
    with (
        here.tunnel(bert.party, library.port) as tunnel,
        socket.create_connection(("127.0.0.1", tunnel.port), timeout=60) as connection,
    ):
        sending = threading.Thread(
            target=lambda: (connection.sendall(body), connection.shutdown(socket.SHUT_WR))
        )
        sending.start()
        assert received(connection) == body
        sending.join()
        eventually(lambda: here.streams == there.streams == 0)
        assert tunnel.trouble == ""


def test_rule_1_a_port_that_was_not_granted_is_not_reached(ends):
    anna, bert, here, there, library = ends
    there.grant("somebody else", library.port)
    with (
        here.tunnel(bert.party, library.port) as tunnel,
        socket.create_connection(("127.0.0.1", tunnel.port), timeout=60) as connection,
    ):
        assert received(connection) == b""
        eventually(lambda: "granted" in tunnel.trouble)
    assert here.streams == there.streams == 0
    there.grant(anna.party, library.port)
    there.withdraw(anna.party, library.port)
    with pytest.raises(Refused):
        anna.call(bert.party, METHOD, Frame(OPEN, bytes(16), port=library.port).encode(), deadline=10)


def test_rule_2_a_third_partys_frames_find_no_stream(ends, net):
    anna, bert, here, there, library = ends
    carl = net.open("carl")
    there.grant(anna.party, library.port)
    with (
        here.tunnel(bert.party, library.port) as tunnel,
        socket.create_connection(("127.0.0.1", tunnel.port), timeout=60) as connection,
    ):
        connection.sendall(b"one")
        assert connection.recv(3) == b"one"
        ((_, number),) = there._streams
        for kind in (DATA, RESET):
            assert carl.call(bert.party, METHOD, Frame(kind, number, 1).encode(), deadline=10) == GONE
        connection.sendall(b"two")
        assert connection.recv(3) == b"two"


def test_rule_4_a_reader_that_does_not_read_stops_its_sender(net):
    anna, bert = net.open("anna"), net.open("bert")
    eventually(lambda: bert.party in anna.here())
    go = threading.Event()
    read: list[bytes] = []
    library = Library(lambda connection: go.wait(60) and read.append(received(connection)))
    here, there = Tunnels(anna), Tunnels(bert)
    there.grant(anna.party, library.port)
    body = os.urandom(40 * PIECE)
    try:
        with (
            here.tunnel(bert.party, library.port) as tunnel,
            socket.create_connection(("127.0.0.1", tunnel.port), timeout=60) as connection,
        ):
            sending = threading.Thread(
                target=lambda: (connection.sendall(body), connection.shutdown(socket.SHUT_WR))
            )
            sending.start()
            eventually(lambda: there.streams == 1)
            (stream,) = there._streams.values()
            eventually(lambda: stream.incoming.held == WINDOW)
            assert stream.incoming.put(Frame(DATA, stream.id, 10_000)) == FULL
            go.set()
            eventually(lambda: read)
            sending.join()
        assert read == [body]
    finally:
        go.set()
        here.close()
        there.close()
        library.close()


def test_rule_5_a_dead_peer_ends_the_connection_and_says_why(ends):
    anna, bert, here, there, library = ends
    there.grant(anna.party, library.port)
    with (
        here.tunnel(bert.party, library.port) as tunnel,
        socket.create_connection(("127.0.0.1", tunnel.port), timeout=60) as connection,
    ):
        connection.sendall(b"one")
        assert connection.recv(3) == b"one"
        bert.close()
        connection.sendall(b"two")
        assert received(connection) == b""
        eventually(lambda: "did not answer" in tunnel.trouble)
    assert here.streams == 0
    with pytest.raises(Unreachable):
        here.send(bert.party, Frame(DATA, bytes(16)))


def test_rule_1_a_grant_that_is_withdrawn_ends_its_streams_and_no_others(ends):
    anna, bert, here, there, library = ends
    other = Library(echo)
    for item in (library, other):
        there.grant(anna.party, item.port)
    with (
        here.tunnel(bert.party, library.port) as first,
        here.tunnel(bert.party, other.port) as second,
        socket.create_connection(("127.0.0.1", first.port), timeout=60) as ended,
        socket.create_connection(("127.0.0.1", second.port), timeout=60) as stays,
    ):
        for connection in (ended, stays):
            connection.sendall(b"one")
            assert connection.recv(3) == b"one"
        there.withdraw(anna.party, library.port)
        assert received(ended) == b""
        stays.sendall(b"two")
        assert stays.recv(3) == b"two"
        eventually(lambda: here.streams == there.streams == 1)
        assert "closed" in first.trouble
    other.close()


def test_rule_6_idle_streams_of_a_node_that_died_go_and_those_of_a_living_one_stay(net):
    anna, bert, carl = net.open("anna"), net.open("bert", patience=0.2), net.open("carl")
    eventually(lambda: {anna.party, carl.party} <= bert.here())
    library = Library(echo)
    here, away = Tunnels(anna), Tunnels(carl)
    there = Tunnels(bert, deadline=2, idle=0.2)
    for party in (anna.party, carl.party):
        there.grant(party, library.port)
    with (
        here.tunnel(bert.party, library.port) as dying,
        away.tunnel(bert.party, library.port) as living,
        socket.create_connection(("127.0.0.1", dying.port), timeout=60) as one,
        socket.create_connection(("127.0.0.1", dying.port), timeout=60) as two,
        socket.create_connection(("127.0.0.1", living.port), timeout=60) as three,
    ):
        for connection in (one, two, three):
            connection.sendall(b"one")
            assert connection.recv(3) == b"one"
        anna.close()
        eventually(lambda: there.streams == 1)
        three.sendall(b"two")
        assert three.recv(3) == b"two"
        eventually(lambda: bert.traffic()[carl.party].sent > 10)
        assert there.streams == 1
    for item in (here, there, away, library):
        item.close()


def test_rule_6_a_stream_that_the_other_node_has_forgotten_goes(net):
    anna, bert = net.open("anna"), net.open("bert")
    eventually(lambda: bert.party in anna.here())
    library = Library(echo)
    here, there = Tunnels(anna, idle=0.2), Tunnels(bert)
    there.grant(anna.party, library.port)
    with (
        here.tunnel(bert.party, library.port) as tunnel,
        socket.create_connection(("127.0.0.1", tunnel.port), timeout=60) as connection,
    ):
        eventually(lambda: there.streams == 1)
        there._streams.clear()
        assert received(connection) == b""
        assert "no longer knows" in tunnel.trouble
    eventually(lambda: not here._asking)
    for item in (here, there, library):
        item.close()


def test_rule_7_a_frame_that_finds_no_room_is_asked_for_without_its_payload(net):
    anna, bert = net.open("anna"), net.open("bert")
    eventually(lambda: bert.party in anna.here())
    go, read = threading.Event(), []
    library = Library(lambda connection: go.wait(60) and read.append(received(connection)))
    here, there = Tunnels(anna), Tunnels(bert)
    there.grant(anna.party, library.port)
    seen, give = [], there._arrived
    bert.serve(METHOD, lambda call: seen.append(call.body) or give(call))
    body = os.urandom(60 * PIECE)
    with (
        here.tunnel(bert.party, library.port) as tunnel,
        socket.create_connection(("127.0.0.1", tunnel.port), timeout=60) as connection,
    ):
        sending = threading.Thread(
            target=lambda: (connection.sendall(body), connection.shutdown(socket.SHUT_WR))
        )
        sending.start()
        eventually(lambda: sum(item[:1] == ASK for item in seen) > 10)
        large = sum(len(item) > 1000 for item in seen)
        before = len(seen)
        eventually(lambda: len(seen) > before + 4)
        assert sum(len(item) > 1000 for item in seen) == large
        go.set()
        eventually(lambda: read)
        sending.join()
    assert read == [body]
    for item in (here, there, library):
        item.close()


def test_nothing_listening_at_the_other_end_is_told(ends):
    anna, bert, here, there, library = ends
    library.close()
    there.grant(anna.party, library.port)
    with (
        here.tunnel(bert.party, library.port) as tunnel,
        socket.create_connection(("127.0.0.1", tunnel.port), timeout=60) as connection,
    ):
        assert received(connection) == b""
        eventually(lambda: "Nothing listens" in tunnel.trouble)


def test_an_oversized_frame_is_refused(ends):
    anna, bert, *_ = ends
    with pytest.raises(BadInput):
        anna.call(bert.party, METHOD, Frame(DATA, bytes(16), payload=bytes(PIECE + 1)).encode(), deadline=10)


def test_frames_are_put_in_order_and_repeated_ones_dropped():
    incoming = Incoming(window=4)
    frames = [Frame(DATA, bytes(16), number, payload=bytes([number])) for number in range(6)]
    for number in (2, 0, 0, 3, 1):
        assert incoming.put(frames[number]) == TAKEN
    assert incoming.put(frames[4]) == FULL
    got = []
    for _ in range(4):
        got.append(incoming.take().payload[0])
        incoming.done()
    assert got == [0, 1, 2, 3]
    assert incoming.put(frames[1]) == TAKEN
    assert incoming.held == 0
    assert incoming.put(frames[4]) == TAKEN
    incoming.close()
    assert incoming.take() is None
    assert incoming.put(frames[5]) == GONE


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200))
def test_foreign_frames_raise_nothing_but_our_errors(data):
    with contextlib.suppress(BadInput):
        assert Frame.decode(data).encode() == data

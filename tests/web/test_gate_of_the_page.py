"""Connections of strangers who say nothing: counted when they are taken, so that they keep nobody else out."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse

from cloister.web import connections, gate
from cloister.web.gate import EACH, Gate, line_of
from cloister.web.listening import PageAt, listen_page
from cloister.web.server import Server
from web.knocking import certificate, ended

SILENT = 300
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"


@pytest.fixture(scope="module", params=["plain", "TLS"])
def door(request, tmp_path_factory):
    """A door with nothing behind it: its port, its gate, and how to begin TLS with it."""
    page, begin = PageAt(HERE, 0), None
    if request.param == "TLS":
        page = PageAt(HERE, 0, *certificate(tmp_path_factory.mktemp("tls"), HERE))
        begin = ssl.create_default_context(cafile=page.certificate).wrap_socket
    listening = listen_page(page)
    server = Server(PlainTextResponse("here"), listening, page if page.tls else None)
    server.start()
    yield listening.getsockname()[1], listening, begin
    server.stop()


def connected(port: int, source: str = HERE) -> socket.socket:
    return socket.create_connection((HERE, port), timeout=5, source_address=(source, 0))


def asked(port: int, begin, source: str) -> bytes:
    """What the door answers to somebody at an address."""
    connection = connected(port, source)
    with begin(connection, server_hostname=HERE) if begin else connection as line:
        line.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        found = b""
        while part := line.recv(65536):
            found += part
        return found


def taken(listening: Gate) -> list[socket.socket]:
    """Every connection that waits at a gate and is let in."""
    listening.setblocking(False)
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(listening.accept()[0])
    return found


def files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def until(true, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts files as Linux shows them")
def test_hundreds_who_say_nothing_keep_no_other_address_out_and_take_few_files(door):
    port, listening, begin = door
    assert until(lambda: listening.held() == 0)
    before = files()
    silent = [connected(port) for _ in range(SILENT)]
    try:
        begun = time.monotonic()
        assert asked(port, begin, ELSEWHERE).endswith(b"here")
        assert time.monotonic() - begun < 3
        assert listening.held() <= EACH + 1
        assert files() - before <= SILENT + EACH + 10, "besides the strangers' own ends"
    finally:
        for connection in silent:
            connection.close()
    assert until(lambda: listening.held() == 0), "what ended is no longer counted"
    assert asked(port, begin, HERE).endswith(b"here")


def test_the_door_has_a_limit_for_all_addresses_together(door, monkeypatch):
    port, listening, begin = door
    assert until(lambda: listening.held() == 0)
    monkeypatch.setattr(gate, "MOST", 10)
    held = [connected(port, f"127.0.0.{number}") for number in range(3, 33)]
    assert until(lambda: listening.held() == 10)
    assert sum(ended(line) for line in held if line.settimeout(0.2) is None) == 20
    for line in held:
        line.close()
    assert until(lambda: listening.held() == 0)
    assert asked(port, begin, HERE).endswith(b"here")


def test_whoever_does_not_begin_tls_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "TLS_SECONDS", 0.5)
    page = PageAt(HERE, 0, *certificate(tmp_path, HERE))
    listening = listen_page(page)
    server = Server(PlainTextResponse("here"), listening, page)
    server.start()
    try:
        port = listening.getsockname()[1]
        for begun in (b"", b"\x16\x03\x01\x02\x00\x01"):
            with contextlib.closing(connected(port)) as line:
                line.sendall(begun)
                assert ended(line)
        assert until(lambda: listening.held() == 0, 2)
    finally:
        server.stop()


def test_behind_a_proxy_of_this_machine_its_address_has_no_share_of_its_own(monkeypatch):
    monkeypatch.setattr(gate, "EACH", 2)
    for origin, most in ((None, 2), ("https://plant.example", 4)):
        listening = listen_page(PageAt(HERE, 0, origin=origin))
        lines = [connected(listening.getsockname()[1]) for _ in range(4)]
        lines += taken(listening)
        assert listening.held() == most
        for line in (*lines, listening):
            line.close()
        assert listening.held() == 0


@pytest.mark.parametrize(
    ("address", "line"),
    [
        (("192.0.2.7", 1), "192.0.2.7/32"),
        (("::ffff:192.0.2.7", 1, 0, 0), "192.0.2.7/32"),
        (("2001:db8:1:2:3:4:5:6", 1, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 1, 0, 2), "fe80::/64"),
        (("::1", 1, 0, 0), "::1/128"),
        ("", ""),
        (b"\0x", ""),
    ],
)
def test_one_line_of_the_network_counts_as_one(address, line):
    assert line_of(address) == line


def test_no_more_than_half_of_the_files_are_lent_to_connections(monkeypatch):
    monkeypatch.setattr(gate, "half_of_the_files", lambda: 3)
    with Gate(socket.AF_INET) as listening:
        listening.bind((HERE, 0))
        listening.listen(10)
        lines = [connected(listening.getsockname()[1], f"127.0.0.{number}") for number in range(1, 7)]
        lines += taken(listening)
        assert listening.held() == 3
        for line in lines:
            line.close()

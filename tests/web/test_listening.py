"""Where a page may be: on this machine, or on the network under TLS."""

from __future__ import annotations

import socket
import stat
from contextlib import closing

import pytest

from cloister.foundation.errors import BadInput, Conflict
from cloister.web.listening import PORTS, PageAt, check_tls, listen_page, listen_socket, loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_only_this_machine_reaches_its_own_addresses(host):
    assert loopback(host)
    assert PageAt(host).checked()


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.5", "10.0.0.1", "plant.example", "localhost.evil.example"]
)
def test_a_page_on_the_network_without_tls_is_refused(host):
    assert not loopback(host)
    with pytest.raises(BadInput, match="without TLS"):
        PageAt(host).checked()


def test_a_certificate_comes_with_its_key(tmp_path):
    with pytest.raises(BadInput):
        PageAt(certificate=tmp_path / "a.pem").checked()


def test_files_that_are_no_certificate_are_told_before_anything_listens(tmp_path):
    (tmp_path / "a.pem").write_text("no certificate")
    with pytest.raises(BadInput):
        check_tls(PageAt("10.0.0.1", 1, tmp_path / "a.pem", tmp_path / "a.pem"))


@pytest.mark.parametrize(
    "name", ["http://plant.example", "plant.example", "https://", "https://a/b", "javascript:x"]
)
def test_a_name_behind_a_proxy_is_an_https_one(name):
    with pytest.raises(BadInput):
        PageAt(origin=name).checked()


def test_behind_a_proxy_the_page_answers_to_its_name_only_and_is_not_local():
    address = PageAt(origin="https://cloister.plant.example:8443").checked().address(8480)
    assert address.hosts == {"cloister.plant.example"}
    assert address.origins == {"https://cloister.plant.example:8443"}
    assert address.secure
    assert not address.local, "everybody who reaches the proxy is no visitor on this machine"


def test_the_next_free_port_is_taken_unless_one_was_named():
    first = listen_page(PageAt())
    second = listen_page(PageAt())
    try:
        one, other = first.getsockname()[1], second.getsockname()[1]
        assert one != other
        assert {one, other} <= set(PORTS)
        with pytest.raises(Conflict, match="taken"):
            listen_page(PageAt(port=one))
    finally:
        first.close()
        second.close()


def test_answers_do_not_wait_for_the_other_sides_acknowledgement():
    with closing(listen_page(PageAt(port=0))) as door, closing(socket.create_connection(door.getsockname())):
        taken, _ = door.accept()
        with closing(taken):
            assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_operators_socket_is_private_and_replaces_one_that_was_left_over(tmp_path):
    path = tmp_path / "s"
    path.write_text("left over")
    made = listen_socket(path)
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        made.close()

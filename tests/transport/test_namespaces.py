"""Nodes that reach nothing but the hub, each in a network namespace of its own, as real processes.

```
anna ── router ── hub ── bert        the router forwards what anna begins; nothing leads from the hub to anna
                   └──── carl
```
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cloister.hub.router import free_port
from cloister.identity import enrolment
from cloister.transport.zenoh_settings import Credentials

PARTY = Path(__file__).parent / "namespace_party.py"
MARKER = "nine hundred crystals in plain sight; "


def ip(*arguments: str, inside: str = "") -> str:
    command = ["ip", *(("netns", "exec", inside) if inside else ()), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode != 0:
        raise OSError(done.stderr.strip() or "ip failed")
    return done.stdout


def refused() -> str:
    """Why there can be no namespaces here; empty if there can."""
    if not sys.platform.startswith("linux") or shutil.which("ip") is None:
        return "network namespaces need Linux and iproute2 (`ip`)"
    name = f"cl-{secrets.token_hex(3)}-try"
    try:
        ip("netns", "add", name)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"this user may not make network namespaces ({error})"
    try:
        ip("ip", "link", "set", "lo", "up", inside=name)
        return ""
    except OSError as error:
        return f"network namespaces do not work here ({error})"
    finally:
        ip("netns", "del", name)


WHY = refused()
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)


class Process:
    """A process within a namespace that answers each line with one line of JSON."""

    def __init__(self, namespace: str, facts: dict, folder: Path) -> None:
        path = folder / f"{secrets.token_hex(4)}.json"
        path.write_text(json.dumps(facts))
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, sys.executable, str(PARTY), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ, OMP_NUM_THREADS="1"),
        )

    def tell(self, order: dict) -> None:
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict:
        line = self.process.stdout.readline()
        assert line, f"a process ended with {self.process.wait()}"
        return json.loads(line)

    def ask(self, order: dict) -> dict:
        self.tell(order)
        return self.hear()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            stream.close()


class Land:
    """The namespaces, their links and the processes in them; `close` removes all of it."""

    def __init__(self, folder: Path, members: dict) -> None:
        self.folder, self.members = folder, members
        self.tag = f"cl-{secrets.token_hex(3)}"
        self.names: list[str] = []
        self.processes: list[Process] = []
        self.port = free_port("127.0.0.1", 0)

    def name(self, who: str) -> str:
        return f"{self.tag}-{who}"

    def build(self) -> None:
        for who in ("hub", "router", "anna", "bert", "carl"):
            ip("netns", "add", self.name(who))
            self.names.append(self.name(who))
        self.link("hub", "bert", "10.77.2")
        self.link("hub", "carl", "10.77.3")
        self.link("hub", "router", "10.77.9")
        self.link("router", "anna", "10.77.1")
        now = int(time.time())
        authority = enrolment.create_authority(now)
        addresses = ["10.77.1.1", "10.77.2.1", "10.77.3.1"]
        key, certificate = enrolment.issue_server(authority, addresses, now)
        server = Credentials(authority.certificate, certificate, key)
        parties = [member.id for member in self.members.values()]
        self.start("hub", role="relay", port=self.port, parties=parties, credentials=texts(server))
        self.start("router", role="forward", host="10.77.1.1", port=self.port, to=["10.77.9.1", self.port])
        self.sniffer = self.start("router", role="sniff", interface="to-anna")
        keys = {
            member.id: base64.b64encode(member.keys.encode()).decode() for member in self.members.values()
        }
        self.nodes = {}
        for (name, member), address in zip(self.members.items(), addresses, strict=True):
            self.nodes[name] = self.start(
                name,
                wait=False,
                role="node",
                party=member.id,
                keys=keys,
                endpoint=f"{address}:{self.port}",
                credentials=texts(enrolled(member, authority, now)),
            )
        for node in self.nodes.values():
            node.hear()

    def link(self, one: str, other: str, net: str) -> None:
        ends = ((one, f"to-{other}", f"{net}.1/24"), (other, f"to-{one}", f"{net}.2/24"))
        made = [f"v{secrets.token_hex(4)}" for _ in ends]
        ip("link", "add", made[0], "type", "veth", "peer", "name", made[1])
        for link, (who, called, address) in zip(made, ends, strict=True):
            ip("link", "set", link, "netns", self.name(who))
            ip("ip", "link", "set", link, "name", called, inside=self.name(who))
            ip("ip", "address", "add", address, "dev", called, inside=self.name(who))
            ip("ip", "link", "set", called, "up", inside=self.name(who))
            ip("ip", "link", "set", "lo", "up", inside=self.name(who))

    def start(self, who: str, *, wait: bool = True, **facts) -> Process:
        process = Process(self.name(who), facts, self.folder)
        self.processes.append(process)
        if wait:
            process.hear()
        return process

    def arrived(self, interface: str) -> int:
        """Bytes that came to the hub from a node."""
        text = ip("cat", f"/sys/class/net/{interface}/statistics/rx_bytes", inside=self.name("hub"))
        return int(text)

    def order(self, to: str, size: int, seconds: float = 90.0, marker: str = MARKER) -> dict:
        return {"to": self.members[to].id, "size": size, "seconds": seconds, "marker": marker}

    def close(self) -> None:
        for process in self.processes:
            process.close()
        for name in self.names:
            ip("netns", "del", name)


def texts(credentials: Credentials) -> list[str]:
    return [item.decode() for item in (credentials.authority, credentials.certificate, credentials.key)]


def enrolled(member, authority, now: int) -> Credentials:
    class One:
        def keys_for(self, party):
            return member.keys.public

        def keys(self, party, keyset):
            return member.keys.public

    key, csr = enrolment.make_csr(member.id)
    asked = enrolment.request(member.id, member.keys, csr, authority.certificate, now)
    certificate = enrolment.issue(authority, csr, asked, One(), now)
    return Credentials(authority.certificate, certificate, key)


@pytest.fixture(scope="module")
def land(tmp_path_factory, members):
    land = Land(tmp_path_factory.mktemp("namespaces"), members)
    try:
        land.build()
        yield land
    finally:
        land.close()


def reaches(land: Land, who: str, host: str) -> bool:
    code = f"import socket; socket.create_connection(({host!r}, {land.port}), timeout=1).close()"
    done = subprocess.run(
        ["ip", "netns", "exec", land.name(who), sys.executable, "-c", code],
        capture_output=True,
        timeout=30,
        check=False,
    )
    return done.returncode == 0


def test_a_node_that_can_only_connect_out_takes_part(land):
    """Nobody can connect to anna: no route leads there, and nothing listens there."""
    assert not reaches(land, "hub", "10.77.1.2")
    assert not reaches(land, "bert", "10.77.1.2")
    assert not reaches(land, "anna", "10.77.2.2")
    listening = [
        line for line in ip("cat", "/proc/net/tcp", inside=land.name("anna")).splitlines() if " 0A " in line
    ]
    assert listening == []
    assert land.nodes["anna"].ask(land.order("bert", 100)) == {"same": True}
    assert land.nodes["bert"].ask(land.order("anna", 100)) == {"same": True}


def test_who_sits_on_the_line_sees_no_plaintext(land):
    for size in (1000, 3 << 20):
        assert land.nodes["bert"].ask(land.order("anna", size)) == {"same": True}
        assert land.nodes["anna"].ask(land.order("bert", size)) == {"same": True}
    seen = land.sniffer.ask({"markers": [MARKER, "crystals", "digest"]})
    assert seen["bytes"] > 6 << 20
    assert seen["found"] == []
    # The sniffer would see it: the same words sent in clear over the same line are found.
    code = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
        f"s.sendto({MARKER!r}.encode(), ('10.77.1.1', 9))"
    )
    ip(sys.executable, "-c", code, inside=land.name("anna"))
    until = time.monotonic() + 20
    while not land.sniffer.ask({"markers": [MARKER]})["found"]:
        assert time.monotonic() < until


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [2.0, 8.0])
def test_a_large_body_comes_whole_although_the_line_was_cut_meanwhile(land, seconds):
    """Two seconds are a hiccup to TCP; eight are longer than the lease, so that the sessions are made anew."""
    before = land.arrived("to-carl")
    land.nodes["carl"].tell(land.order("bert", 96 << 20, 120.0))
    until = time.monotonic() + 60
    while land.arrived("to-carl") - before < 8 << 20:
        assert time.monotonic() < until
        time.sleep(0.01)
    ip("ip", "link", "set", "to-carl", "down", inside=land.name("hub"))
    try:
        cut = land.arrived("to-carl") - before
        time.sleep(seconds)
    finally:
        ip("ip", "link", "set", "to-carl", "up", inside=land.name("hub"))
    assert cut < 96 << 20
    assert land.nodes["carl"].hear() == {"same": True}


def test_bodies_come_through_delay_and_loss_of_packets(land):
    netem = ("qdisc", "add", "dev", "to-carl", "root", "netem", "delay", "40ms", "loss", "2%")
    try:
        ip("tc", *netem, inside=land.name("hub"))
    except OSError as error:
        pytest.skip(f"packet loss cannot be made here: tc netem ({error})")
    try:
        assert land.nodes["carl"].ask(land.order("bert", 3 << 20, 120.0)) == {"same": True}
        assert land.nodes["bert"].ask(land.order("carl", 3 << 20, 120.0)) == {"same": True}
    finally:
        ip("tc", "qdisc", "del", "dev", "to-carl", "root", inside=land.name("hub"))

"""A process within a network namespace: the relay, a node, a forwarder that stands for a plant's router, or a sniffer.

Reads its facts from the file named first; says `{}` when it is ready; nodes take one JSON object a line.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import sys
import threading
from pathlib import Path

from cloister.hub.router import Router
from cloister.identity.keys import PublicKeys, SecretKeys
from cloister.transport.zenoh import connect, wait_for
from cloister.transport.zenoh_settings import Credentials


class Known:
    def __init__(self, keys: dict[str, PublicKeys]) -> None:
        self.known = keys

    def keys_for(self, party: str) -> PublicKeys:
        return self.known[party]

    @property
    def directory(self) -> Known:
        return self


def say(value: dict) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def relay(facts: dict, credentials: Credentials) -> None:
    router = Router("0.0.0.0", facts["port"], credentials, facts["parties"])
    router.start()
    say({})
    sys.stdin.read()


def node(facts: dict, credentials: Credentials) -> None:
    keys = {party: SecretKeys.decode(base64.b64decode(item)) for party, item in facts["keys"].items()}
    known = Known({party: item.public for party, item in keys.items()})
    transport = connect(
        facts["party"], keys[facts["party"]], known, endpoint=facts["endpoint"], credentials=credentials
    )
    transport.serve("digest", lambda call: hashlib.sha256(call.body).hexdigest().encode())
    for party in keys:
        wait_for(transport, party, 60)
    say({})
    for line in sys.stdin:
        order = json.loads(line)
        body = (order["marker"].encode() * (order["size"] // len(order["marker"]) + 1))[: order["size"]]
        answer = transport.call(order["to"], "digest", body, deadline=order["seconds"])
        say({"same": answer.decode() == hashlib.sha256(body).hexdigest()})


def forward(facts: dict) -> None:
    """Lets connections out to the relay and none in: there is no route from there to the node."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    listener = socket.create_server((facts["host"], facts["port"]))
    say({})
    while True:
        inside, _ = listener.accept()
        outside = socket.create_connection(tuple(facts["to"]))
        for pair in ((inside, outside), (outside, inside)):
            threading.Thread(target=copy, args=pair, daemon=True).start()


def sniff(facts: dict) -> None:
    """Sees every frame on an interface, and tells at the end whether a marker was in it."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
    raw.bind((facts["interface"], 0))
    seen, stop = bytearray(), threading.Event()

    def watch() -> None:
        raw.settimeout(0.2)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                seen.extend(raw.recv(1 << 17))

    thread = threading.Thread(target=watch)
    thread.start()
    say({})
    for line in sys.stdin:
        wanted = json.loads(line)["markers"]
        say({"bytes": len(seen), "found": [marker for marker in wanted if marker.encode() in seen]})
    stop.set()
    thread.join()


def main() -> None:
    facts = json.loads(Path(sys.argv[1]).read_text())
    if facts["role"] in ("forward", "sniff"):
        {"forward": forward, "sniff": sniff}[facts["role"]](facts)
        return
    credentials = Credentials(*(item.encode() for item in facts["credentials"]))
    {"relay": relay, "node": node}[facts["role"]](facts, credentials)


if __name__ == "__main__":
    main()

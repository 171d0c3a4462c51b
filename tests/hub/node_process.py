"""A node as a process, for tests: enrols, serves a few methods, says `ready`, ends with its standard input."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import sys
import time
from pathlib import Path

from hub_town import Known

from cloister.foundation.errors import Refused
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import SecretKeys
from cloister.transport.hub_client import enrol
from cloister.transport.interface import Call
from cloister.transport.invitation import Invitation
from cloister.transport.zenoh import connect


def main(path: Path) -> None:
    facts = json.loads(path.read_text())
    keys = SecretKeys.decode(base64.b64decode(facts["keys"]))
    invitation = Invitation.decode(facts["invitation"])
    own = [Envelope.from_json(card) for card in facts["own"]]
    got = enrol(invitation, facts["party"], keys, own, int(time.time()))
    known = Known()
    known.accept(*got.hub_cards)
    for card in facts["cards"]:
        known.accept(Envelope.from_json(card))
    runs = path.with_suffix(".runs")

    def count(call: Call) -> bytes:
        with runs.open("a") as stream:
            stream.write(call.key + "\n")
        return str(len(runs.read_text().splitlines())).encode()

    def refuse(call: Call) -> bytes:
        raise Refused("No.", clause="for-the-test")

    def slow(call: Call) -> bytes:
        time.sleep(float(call.body))
        return b"slept"

    with connect(facts["party"], keys, known, endpoint=invitation.relay, credentials=got.credentials) as node:
        node.serve("echo", lambda call: call.body)
        node.serve("digest", lambda call: hashlib.sha256(call.body).digest())
        node.serve("give", lambda call: random.Random(1).randbytes(int(call.body)))
        node.serve("count", count)
        node.serve("refuse", refuse)
        node.serve("slow", slow)
        sys.stdout.write("ready {}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Hubs and nodes: in this process for rules, as processes of their own for what happens when one dies."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from cloister.identity import cards
from cloister.identity.directory import Directory
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import PublicKeys, SecretKeys
from cloister.identity.keystore import Cost, Passphrase
from cloister.transport.hub_client import Enrolled, enrol
from cloister.transport.invitation import Invitation
from cloister.transport.messenger import Messenger, Tuning
from cloister.transport.zenoh import connect

HERE = Path(__file__).parent
UNLOCK = Passphrase(b"only for tests", Cost(1, 1, 8 << 10))


class Known:
    """`Peers` over a directory of cards."""

    def __init__(self) -> None:
        self.directory = Directory()

    def accept(self, *chain: Envelope) -> None:
        self.directory.accept_chain(chain, int(time.time()))

    def keys_for(self, party: str) -> PublicKeys:
        return self.directory.current(party, int(time.time())).keys


@dataclass
class Someone:
    """A party with its keys and first card."""

    name: str
    keys: SecretKeys = field(default_factory=SecretKeys.generate)
    recovery: SecretKeys = field(default_factory=SecretKeys.generate)

    def __post_init__(self) -> None:
        self.card = cards.genesis(self.name, ["owner"], self.keys, self.recovery.public, int(time.time()))
        self.party = cards.read(self.card).party
        self.chain = [self.card]


def enrolled(someone: Someone, invitation: Invitation) -> Enrolled:
    return enrol(invitation, someone.party, someone.keys, someone.chain, int(time.time()))


def joined(someone: Someone, invitation: Invitation, everybody: list[Someone], **tuning) -> Messenger:
    """Enrols and connects a party in this process."""
    return connected(someone, invitation, enrolled(someone, invitation), everybody, **tuning)


def connected(
    someone: Someone, invitation: Invitation, got: Enrolled, everybody: list[Someone], **tuning
) -> Messenger:
    """Connects an enrolled party that holds everybody's cards."""
    known = Known()
    known.accept(*got.hub_cards)
    known.accept(*someone.chain)
    for other in everybody:
        if other is not someone:
            known.accept(*other.chain)
    return connect(
        someone.party,
        someone.keys,
        known,
        endpoint=invitation.relay,
        credentials=got.credentials,
        tuning=Tuning(**tuning),
        hub=invitation.hub,
    )


def eventually(condition, seconds=40.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


class Process:
    """A child process that says `ready` (and facts as JSON) and ends when its standard input does."""

    def __init__(self, script: str, *arguments: str) -> None:
        environment = dict(os.environ, OMP_NUM_THREADS="1")
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        line = self.process.stdout.readline()
        assert line.startswith("ready "), f"the process did not start: {line!r}"
        self.facts = json.loads(line[6:])

    def tell(self, line: str) -> None:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Town:
    """A hub process and node processes; the test itself is one more node."""

    def __init__(self, folder: Path, people: dict[str, Someone], tmp: Path) -> None:
        self.folder, self.people, self.tmp = folder, people, tmp
        self.processes: list[Process] = []
        self.transports: list[Messenger] = []
        self.hub = self.start_hub()
        self.party = self.hub.facts["party"]

    def start_hub(self) -> Process:
        self.hub = Process("hub_process.py", str(self.folder))
        self.processes.append(self.hub)
        return self.hub

    def invitation(self) -> Invitation:
        return Invitation.decode(self.hub.facts["invitations"].pop())

    def join(self, name: str, **tuning) -> Messenger:
        transport = joined(self.people[name], self.invitation(), list(self.people.values()), **tuning)
        self.transports.append(transport)
        return transport

    def start_node(self, name: str) -> Process:
        path = self.tmp / f"{name}.json"
        if not path.exists():
            someone = self.people[name]
            facts = {
                "keys": base64.b64encode(someone.keys.encode()).decode(),
                "party": someone.party,
                "invitation": self.invitation().encode(),
                "cards": [other.card.model_dump(mode="json") for other in self.people.values()],
                "own": [card.model_dump(mode="json") for card in someone.chain],
            }
            path.write_text(json.dumps(facts))
        node = Process("node_process.py", str(path))
        self.processes.append(node)
        return node

    def close(self) -> None:
        for transport in self.transports:
            transport.close()
        for process in self.processes:
            process.close()

"""A relay and nodes as real processes with real sockets, for what only processes can do: die, freeze, be in the way."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloister.agreements.templates import new_from_template
from cloister.foundation.clock import SystemClock, rfc3339
from cloister.hub.server import create_hub
from cloister.identity.keys import b64, unb64
from cloister.identity.keystore import Cost, Keystore, Passphrase
from cloister.node.folder import Folder
from cloister.node.peers.hub_link import connect_to_hub
from cloister.node.setup import init_node
from cloister.sdk.client import Client
from cloister.transport.invitation import Invitation
from node.plight import plight
from node.town import COLUMNS, LAB, PURPOSE, model, recipe, table, until

PASSPHRASE = b"a passphrase of the tests"
UNLOCK = Passphrase(PASSPHRASE, Cost(1, 1, 64))
PROCESS = Path(__file__).with_name("watched_process.py")


class Crew:
    """Processes by name; `Relay` is the hub."""

    def __init__(self, root: Path, roles: dict[str, list[str]]) -> None:
        self.root, self.roles = root, roles
        (root / "passphrase").write_bytes(PASSPHRASE)
        (root / "passphrase").chmod(0o600)
        keep = {"PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH"}
        self.environment = {name: value for name, value in os.environ.items() if name in keep} | {
            "CLOISTER_PASSPHRASE_FILE": str(root / "passphrase"),
            "OMP_NUM_THREADS": "1",
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.clients: dict[str, Client] = {}
        self.party: dict[str, str] = {}
        self.clock = SystemClock()
        self.asked = 0
        self.faults: dict[str, Path] = {}

    def up(self) -> None:
        """Makes and starts everything; everybody trusts everybody."""
        create_hub(self.root / "relay", UNLOCK, name="Relay")
        self.start("Relay")
        until("the relay", (self.root / "relay" / "running.json").exists, 60)
        for number, (name, roles) in enumerate(self.roles.items(), 1):
            folder = self.root / name
            self.party[name] = init_node(folder, name, roles, UNLOCK, UNLOCK, self.clock).party
            text = (self.root / "relay" / "invitations" / f"{number}.invitation").read_text()
            place = Folder(folder)
            connect_to_hub(place, Keystore.open(place.secrets, UNLOCK), Invitation.decode(text), self.clock)
            self.clients[name] = Client(folder, timeout=60)
            self.start(name)
        for name in self.roles:
            self.ready(name)
        for name, client in self.clients.items():
            others = {party for other, party in self.party.items() if other != name}
            until(
                lambda name=name: f"{name} to know the others\n{plight(self)}",
                lambda client=client, others=others: (
                    others <= {item["party"] for item in client.get("/parties")}
                ),
                60,
            )
            for party in others:
                client.post(f"/parties/{party}/trust", {"fingerprint": party})

    def start(self, name: str) -> None:
        if name == "Relay":
            command = [
                "hub", "up", "--folder", str(self.root / "relay"), "--host", "127.0.0.1", "--port", self._port(),
                "--enrol-port", "0", "--name", "127.0.0.1", "--invitations", str(len(self.roles)),
            ]  # fmt: skip
        else:
            command = ["node", "up", "--folder", str(self.root / name)]
        crossed = "-" if name == "Relay" else str(self.root / f"{name}.crossed")
        told = [str(self.root / f"{name}.threads"), crossed, str(self.faults.get(name, "-"))]
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, str(PROCESS), *told, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )

    def _port(self) -> str:
        """The relay's port, the same one after it was killed: the nodes know no other."""
        first = self.root / "relay" / "invitations" / "1.invitation"
        if not first.exists():
            return "0"
        return Invitation.decode(first.read_text()).relay.rpartition(":")[2]

    def ready(self, name: str) -> None:
        self.clients[name].wait_ready(60)

    def kill(self, *names: str) -> None:
        """SIGKILL to the process and its workers, as a power cut would."""
        for name in names:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.processes[name].pid, signal.SIGKILL)
            self.processes[name].wait(10)

    def restart(self, *names: str) -> None:
        for name in names:
            self.start(name)
        for name in names:
            if name != "Relay":
                self.ready(name)

    def log(self, name: str) -> str:
        return (self.root / f"{name}.log").read_text(errors="replace")

    def threads(self, name: str) -> str:
        """Where each thread of a process is now."""
        process, told = self.processes[name], self.root / f"{name}.threads"
        if process.poll() is not None:
            return f"It has ended: {process.returncode}."
        process.send_signal(signal.SIGUSR1)
        time.sleep(0.5)
        return told.read_text(errors="replace")[-12_000:]

    def crossed(self, task: str) -> list[tuple[str, str, str, str, bytes]]:
        """What was sent for a task: (sender's name, recipient, task, kind, body) of each sending, repeated ones too."""
        found = []
        for name in self.roles:
            told = self.root / f"{name}.crossed"
            # A line that a kill has cut short was never sent.
            lines = told.read_bytes().split(b"\n")[:-1] if told.exists() else []
            for item in map(json.loads, lines):
                if item["task"] == task:
                    found.append((name, item["to"], task, item["kind"], unb64(item["body"])))
        return found

    def close(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGCONT)
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(5)

    # The task ------------------------------------------------------------------------------------------------------

    def owners(self) -> list[str]:
        return [name for name, roles in self.roles.items() if "owner" in roles]

    def agree(self, *, budget: dict[str, Any] | None = None, **release: Any) -> str:
        """Data, an agreement and everybody's signature.

        Args:
            budget: epsilon, delta and unit of each owner's data; none if absent.
            release: what its terms of release say instead.
        """
        for seed, name in enumerate(self.owners()):
            path = table(self.root / f"{name}.csv", seed)
            fields = {"name": "tests", "title": "Tests", "residency": "DE"}
            fields["sensitivity"] = dict.fromkeys(COLUMNS, "internal")
            self.clients[name].post("/datasets", {"source": str(path), "fields": fields})
        named = {
            role: [n for n, roles in self.roles.items() if role in roles] for role in ("researcher", "user")
        }
        terms = new_from_template(
            "one-researcher-one-owner" if len(self.owners()) == 1 else "factories-and-lab",
            {
                "title": "Strength together",
                "owners": [{"party": self.party[n], "name": n, "dataset": "tests"} for n in self.owners()],
                "researchers": [{"party": self.party[n], "name": n} for n in named["researcher"]],
                "users": [{"party": self.party[n], "name": n} for n in named["user"]],
                "purposes": [PURPOSE],
                "starts": rfc3339(self.clock.now() - 60),
                "days": 30,
                "quality": None if budget else {"metric": "r2", "minimum": 0.2},
                **(budget or {}),
            },
        )
        terms = terms.model_copy(update={"release": terms.release.model_copy(update=release)})
        agreement = self.clients[LAB].post("/agreements", {"terms": terms.to_odrl()})["agreement"]
        for name, client in self.clients.items():
            if name != LAB:
                until(
                    f"the agreement at {name}", lambda client=client: client.get(f"/agreements/{agreement}")
                )
                client.post(f"/agreements/{agreement}/sign")
        for name, client in self.clients.items():
            until(
                f"the agreement in force at {name}",
                lambda client=client: client.get(f"/agreements/{agreement}")["state"] == "finalized",
            )
        until("the catalogue", lambda: len(self.clients[LAB].get("/catalogue")) == len(self.owners()))
        return str(agreement)

    def ask(self, agreement: str, rounds: int, **wishes: Any) -> str:
        """Submits a training and has every owner approve it; `wishes` as preferences, instead of local steps."""
        lab = self.clients[LAB]
        # Each time another computation: the gates count how often one was tried on their records.
        self.asked += 1
        added = lab.post("/models", {"content": b64(model())})["digest"]
        asked = {
            "agreement": agreement,
            "computation": {
                "kind": "training",
                "contents": {"model": added},
                "settings": recipe(seed=self.asked),
            },
            "purpose": PURPOSE,
            "preferences": {"rounds": rounds, "round_seconds": 120, **(wishes or {"local_steps": 10})},
        }
        made = lab.post("/plans", asked)
        task = str(made["task"])
        lab.post("/tasks", {"plan": made["plan"]})
        for name in self.owners():
            client = self.clients[name]
            state = until(
                f"the question at {name}",
                lambda client=client: (
                    client.task(task)["status"] in ("pending", "admitted", "running") and client.task(task)
                ),
                90,
            )
            if state["status"] == "pending":
                client.post(f"/tasks/{task}/approve", {"with_records": True})
        return task

    def events(self, name: str, kind: str, task: str) -> list[dict[str, Any]]:
        return [
            item for item in self.clients[name].events(0) if item["kind"] == kind and item["task"] == task
        ]

    def phase(self, name: str, task: str) -> str:
        return str(self.clients[name].task(task).get("phase", ""))

    def done(self, task: str, seconds: float = 150) -> dict[str, str]:
        for name, client in self.clients.items():
            until(
                lambda name=name: f"the end at {name}\n{plight(self, task)}",
                lambda client=client: client.task(task)["status"] in ("done", "failed", "stopped", "refused"),
                seconds,
            )
        return {name: client.task(task)["status"] for name, client in self.clients.items()}


@contextlib.contextmanager
def crew(roles: dict[str, list[str]]) -> Iterator[Crew]:
    """Processes in a folder with a short path (sockets), all gone at the end."""
    root = Path(tempfile.mkdtemp(prefix="crew-"))
    made = Crew(root, roles)
    try:
        made.up()
        yield made
    finally:
        made.close()
        shutil.rmtree(root, ignore_errors=True)

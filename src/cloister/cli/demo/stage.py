"""The demonstration's stage: a relay and five nodes with folders, keys and processes of their own, on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloister.cli.demo.processes import Process, Processes, wait_for
from cloister.foundation.clock import SystemClock
from cloister.foundation.errors import CloisterError
from cloister.hub.server import create_hub
from cloister.identity.keystore import Keystore, Passphrase, Unlock
from cloister.node.folder import Folder
from cloister.node.peers.hub_link import connect_to_hub
from cloister.node.setup import init_node
from cloister.sdk.client import Client
from cloister.transport.invitation import Invitation

HUB = "Relay"


@dataclass
class Actor:
    """One organisation on the stage."""

    name: str
    roles: tuple[str, ...]
    folder: Path
    preset: str = ""
    party: str = ""
    client: Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.client = Client(self.folder, timeout=120)

    @property
    def data(self) -> Path:
        """Its pictures."""
        return self.folder.parent / f"{self.name.lower()}-pictures"


class Stage:
    """Sets up and holds everything; leaving the context stops every process.

    Args:
        root: an empty folder with a short path.
        actors: who plays.
    """

    def __init__(self, root: Path, actors: Mapping[str, tuple[tuple[str, ...], str]]) -> None:
        self.root = root
        self.passphrase = root / "passphrase"
        self._write_passphrase()
        environment = {
            name: value
            for name, value in os.environ.items()
            if name
            in {
                "CLOISTER_UNCONFINED_WORKERS",
                "PATH",
                "HOME",
                "LANG",
                "LC_ALL",
                "TMPDIR",
                "VIRTUAL_ENV",
                "PYTHONPATH",
                "SYSTEMROOT",
            }
        }
        environment |= {
            "CLOISTER_PASSPHRASE_FILE": str(self.passphrase),
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
        }
        self.processes = Processes(environment)
        self.hub_folder = root / "relay"
        self.actors = {
            name: Actor(name, roles, root / name.lower(), preset) for name, (roles, preset) in actors.items()
        }

    def __enter__(self) -> Stage:  # noqa: PYI034 - not subclassed
        return self

    def __exit__(self, *_exc: object) -> None:
        self.processes.__exit__()

    def __getitem__(self, name: str) -> Actor:
        return self.actors[name]

    def names(self) -> dict[str, str]:
        """Names by fingerprint."""
        return {actor.party: actor.name for actor in self.actors.values()}

    def open_relay(self) -> Process:
        """Makes and starts the relay."""
        create_hub(self.hub_folder, self._unlock(), name=HUB)
        process = self.processes.start(
            HUB,
            [
                "hub", "up", "--folder", str(self.hub_folder), "--host", "127.0.0.1", "--port", "0", "--enrol-port", "0",
                "--name", "127.0.0.1", "--invitations", str(len(self.actors)),
            ],
            self.root / "logs",
        )  # fmt: skip
        wait_for(self.hub_folder / "running.json", process)
        return process

    def make_nodes(self) -> None:
        """Makes keys and cards, and enrols each node by its own invitation."""
        clock = SystemClock()

        def make(actor: Actor) -> None:
            actor.party = init_node(
                actor.folder, actor.name, actor.roles, self._unlock(), self._unlock(), clock
            ).party

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(make, self.actors.values()))
        for number, actor in enumerate(self.actors.values(), 1):
            text = (self.hub_folder / "invitations" / f"{number}.invitation").read_text()
            place = Folder(actor.folder)
            connect_to_hub(
                place, Keystore.open(place.secrets, self._unlock()), Invitation.decode(text), clock
            )

        # The relay opens again for those who were just enrolled; nodes that connect meanwhile would have to do so twice.
        self.until("the relay to let everybody in", self._settled, seconds=30)

    def _settled(self) -> bool:
        told = json.loads((self.hub_folder / "running.json").read_text())
        return bool(told["settled"]) and int(told["may_connect"]) > len(self.actors)

    def start_node(self, name: str) -> Process:
        """Starts a node's process (again)."""
        actor = self.actors[name]
        if name in self.processes.all:
            process = self.processes.all[name]
            process.start()
            return process
        return self.processes.start(name, ["node", "up", "--folder", str(actor.folder)], self.root / "logs")

    def start_nodes(self) -> None:
        """Starts all nodes and waits until each answers and has met all others."""
        for name in self.actors:
            self.start_node(name)
        for name in self.actors:
            self.ready(name)
        self.until(
            "the servers to meet (each to hold every other's card)",
            lambda: all(
                {item["party"] for item in actor.client.get("/parties")} >= set(self.names())
                for actor in self.actors.values()
            ),
        )

    def ready(self, name: str, seconds: float = 40.0) -> None:
        """Waits until a node answers. Raises `CloisterError` with the end of its log if it does not."""
        try:
            self.actors[name].client.wait_ready(seconds)
        except CloisterError as error:
            raise CloisterError(
                f"The server of {name} did not start.",
                self.processes.all[name].last_words(),
                "See its log with --keep.",
            ) from error

    def until(self, what: str, holds: Callable[[], bool], seconds: float = 60.0, every: float = 0.1) -> None:
        """Waits until something holds. Raises `CloisterError` naming what it waited for."""
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(CloisterError):
                if holds():
                    return
            if time.monotonic() > end:
                raise CloisterError(
                    f"Waited {seconds:.0f} seconds for {what}.",
                    "It did not come about.",
                    "Run again with --keep DIR and read the logs there.",
                )
            time.sleep(every)

    def crossed(self) -> list[dict[str, Any]]:
        """Who sent how much to whom through the relay, as the nodes counted it."""
        path = self.hub_folder / "traffic.json"
        return list(json.loads(path.read_text())) if path.exists() else []

    def unlock(self) -> Unlock:
        """Opens the secrets of any node on this stage."""
        return self._unlock()

    def _write_passphrase(self) -> None:
        descriptor = os.open(self.passphrase, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(24) + "\n")

    def _unlock(self) -> Unlock:
        from cloister.identity.passphrases import passphrase

        return Passphrase(passphrase({"CLOISTER_PASSPHRASE_FILE": str(self.passphrase)}))


@contextlib.contextmanager
def folder_for(keep: Path | None) -> Iterator[Path]:
    """The stage's folder: `keep`, or one that is deleted at the end. Socket paths must be short."""
    import shutil
    import tempfile

    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise CloisterError(
                f"{keep} is not empty.", "The demonstration fills a folder of its own.", "Name a new folder."
            )
        yield keep.absolute()
        return
    made = Path(tempfile.mkdtemp(prefix="cloister-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)

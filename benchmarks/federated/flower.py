"""Flower in an environment of its own: rounds of one float32 vector, FedAvg, in the clear or behind SecAgg+.

Flower 1.41: a SuperLink and SuperNodes as processes, without TLS (its fastest), its defaults otherwise. What they run is in
`flower_app`; its client adds a constant, as ours does, and the sum that is reached is checked.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WANTED = "flwr==1.41.*"
APP = Path(__file__).parent / "flower_app"
LIMIT = 1800.0
"""Seconds of all rounds of a run."""
ERROR = 1e-4
"""Of a value in a round, at most; SecAgg+ rounds values up to 8 to 22 bits."""

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "rounds"
version = "1.0.0"
description = "Rounds of one vector"
license = "Apache-2.0"
dependencies = ["flwr"]

[tool.hatch.build.targets.wheel]
packages = ["."]

[tool.flwr.app]
publisher = "bench"

[tool.flwr.app.components]
serverapp = "rounds.{kind}_server:app"
clientapp = "rounds.{kind}_client:app"

[tool.flwr.app.config]
size = 1
rounds = 1
nodes = 1
told = ""
"""


@dataclass(frozen=True)
class Peer:
    """What Flower's rounds took.

    Attributes:
        seconds: of each round.
        cpu: processor seconds (user and kernel) of all its processes for each round; zero where the system does not tell.
        up: bytes of the contents of all clients' replies for each round.
    """

    seconds: list[float]
    cpu: float
    up: float


class Unavailable(Exception):
    """Flower could not be installed or did not run."""


def environment(folder: Path) -> Path:
    """An environment with Flower; made once in `folder`. Raises `Unavailable`."""
    place = folder / "flower-env"
    binaries = place / ("Scripts" if sys.platform == "win32" else "bin")
    if not (binaries / "flower-superlink").exists():
        venv.create(place, with_pip=True, clear=True)
        command = [str(binaries / "python"), "-m", "pip", "install", "-q", WANTED, "numpy"]
        if subprocess.run(command, check=False, capture_output=True).returncode != 0:
            raise Unavailable(f"{WANTED} could not be installed")
    return binaries


def rounds(
    binaries: Path,
    folder: Path,
    nodes: int,
    size: int,
    count: int,
    *,
    secure: bool = False,
) -> Peer:
    """So many rounds, each from its first message to the average. Raises `Unavailable`."""
    folder.mkdir(parents=True, exist_ok=True)
    app = folder / "app"
    app.mkdir(exist_ok=True)
    (app / "pyproject.toml").write_text(PROJECT.format(kind="secure" if secure else "plain"))
    shutil.copytree(APP, app / "rounds", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    ports = free_ports(nodes + 1)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "bench"\n\n[superlink.bench]\naddress = "127.0.0.1:{ports[0]}"\ninsecure = true\n'
    )
    told = folder / "told.json"
    told.unlink(missing_ok=True)
    settings = dict(
        os.environ,
        FLWR_HOME=str(home),
        FLWR_TELEMETRY_ENABLED="0",
        OMP_NUM_THREADS="1",
        PATH=os.pathsep.join([str(binaries), os.environ.get("PATH", "")]),
    )
    with contextlib.ExitStack() as stack:
        link = [
            "flower-superlink",
            "--insecure",
            "--port",
            str(ports[0]),
            "--disable-runtime-dependency-installation",
        ]
        stack.enter_context(process(binaries, link, settings, folder / "link.log"))
        time.sleep(4)
        for number, port in enumerate(ports[1:]):
            node = [
                "flower-supernode",
                "--insecure",
                "--superlink",
                f"127.0.0.1:{ports[0]}",
                "--port",
                str(port),
            ]
            stack.enter_context(process(binaries, node, settings, folder / f"node{number}.log"))
        config = f'size={size} rounds={count} nodes={nodes} told="{told}"'
        command = [
            str(binaries / "flwr"),
            "run",
            str(app),
            "bench",
            "--run-config",
            config,
            "--stream",
        ]
        with (folder / "run.log").open("w") as log, contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, env=settings, check=False, stdout=log, stderr=log, timeout=LIMIT)
    if not told.exists():
        raise Unavailable("its run did not end in time, or failed")
    found: dict[str, Any] = json.loads(told.read_text())
    if any(abs(value - 0.5 * count) > ERROR * count for value in found["reached"]):
        raise Unavailable(f"it reached {found['reached']} instead of {0.5 * count}")
    return Peer(found["seconds"], found["cpu"], found["up"])


@contextlib.contextmanager
def process(binaries: Path, command: list[str], settings: dict[str, str], log: Path) -> Iterator[None]:
    """A process with all its children, ended at the end."""
    with log.open("w") as stream:
        child = subprocess.Popen(
            [str(binaries / command[0]), *command[1:]],
            env=settings,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        try:
            yield
        finally:
            if hasattr(os, "killpg"):
                os.killpg(child.pid, 9)
            else:
                child.kill()
            child.wait()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [item.getsockname()[1] for item in held]
    for item in held:
        item.close()
    return found

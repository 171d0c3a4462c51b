"""Flower in an environment of its own: rounds of one float32 vector, FedAvg, without TLS (its fastest).

Flower 1.41: a SuperLink and SuperNodes as processes, its defaults otherwise. Its client adds a constant, as ours does.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

WANTED = "flwr==1.41.*"

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
serverapp = "rounds.server:app"
clientapp = "rounds.client:app"

[tool.flwr.app.config]
size = 1
rounds = 1
nodes = 1
times = ""
"""

CLIENT = """
import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message, context):
    arrays = [array + np.float32(0.5) for array in message.content["arrays"].to_numpy_ndarrays()]
    content = {"arrays": ArrayRecord(arrays), "metrics": MetricRecord({"num-examples": 1})}
    return Message(content=RecordDict(content), reply_to=message)
"""

SERVER = """
import json
import time

import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


class Timed(FedAvg):
    def __init__(self, **options):
        super().__init__(**options)
        self.begun, self.ended = [], []

    def configure_train(self, *args, **options):
        self.begun.append(time.monotonic())
        return super().configure_train(*args, **options)

    def aggregate_train(self, *args, **options):
        result = super().aggregate_train(*args, **options)
        self.ended.append(time.monotonic())
        return result


@app.main()
def main(grid, context):
    config = context.run_config
    nodes = int(config["nodes"])
    strategy = Timed(fraction_evaluate=0.0, min_train_nodes=nodes, min_available_nodes=nodes)
    start = ArrayRecord([np.zeros(int(config["size"]), np.float32)])
    strategy.start(grid=grid, initial_arrays=start, num_rounds=int(config["rounds"]))
    with open(config["times"], "w") as stream:
        json.dump([after - before for before, after in zip(strategy.begun, strategy.ended)], stream)
"""


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
    binaries: Path, folder: Path, nodes: int, size: int, count: int, limit: float = 540.0
) -> list[float]:
    """Seconds of each of `count` rounds, from sending the weights to having the average. Raises `Unavailable`."""
    folder.mkdir(parents=True, exist_ok=True)
    app = folder / "app"
    (app / "rounds").mkdir(parents=True, exist_ok=True)
    (app / "pyproject.toml").write_text(PROJECT)
    (app / "rounds" / "__init__.py").write_text("")
    (app / "rounds" / "client.py").write_text(CLIENT)
    (app / "rounds" / "server.py").write_text(SERVER)
    ports = free_ports(nodes + 1)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "bench"\n\n[superlink.bench]\naddress = "127.0.0.1:{ports[0]}"\ninsecure = true\n'
    )
    times = folder / "times.json"
    times.unlink(missing_ok=True)
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
        config = f'size={size} rounds={count} nodes={nodes} times="{times}"'
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
            subprocess.run(command, env=settings, check=False, stdout=log, stderr=log, timeout=limit)
    if not times.exists():
        raise Unavailable("its run did not end in time, or failed")
    found: list[float] = json.loads(times.read_text())
    return found


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

"""The command line as a process of a crew, which tells the tests more than it tells a person.

    python watched_process.py THREADS CROSSED FAULT COMMAND …

It writes where its threads are to THREADS when it is asked by a signal, and each task message that its node sends to CROSSED
before it leaves, also one that is sent again: a line is with the system then, whatever becomes of the process. FAULT is a
file of Python that is run first and plants a fault, or `-`.
"""

from __future__ import annotations

import base64
import faulthandler
import functools
import json
import os
import runpy
import signal
import sys
from pathlib import Path


def record(crossed: str) -> None:
    """Has each message that this node sends written down."""
    from cloister.node.messages import Courier

    lines = os.open(crossed, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    send = Courier.send

    @functools.wraps(send)
    def recorded(self, to, task, phase, kind, sequence, body, digest):
        told = {"to": to, "task": task, "kind": kind, "body": base64.b64encode(body).decode()}
        os.write(lines, json.dumps(told).encode() + b"\n")
        return send(self, to, task, phase, kind, sequence, body, digest)

    Courier.send = recorded


if __name__ == "__main__":
    # What lies beside this file is no module of the process's.
    sys.path.pop(0)
    threads, crossed, fault = (sys.argv.pop(1) for _ in range(3))
    told = Path(threads).open("w")  # noqa: SIM115 - as long as the process lives
    faulthandler.register(signal.SIGUSR1, told, all_threads=True)
    if crossed != "-":
        record(crossed)
    if fault != "-":
        exec(compile(Path(fault).read_text(), fault, "exec"), {})
    runpy.run_module("cloister.cli.main", run_name="__main__", alter_sys=True)

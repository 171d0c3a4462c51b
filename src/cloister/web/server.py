"""Runs a node until it is told to stop: the node itself, and its JSON interface on a Unix socket (mode 0600)."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from cloister.foundation.errors import CloisterError, Conflict
from cloister.foundation.text import one_line, readable
from cloister.identity.keystore import Unlock
from cloister.node.folder import Folder
from cloister.node.node import Node
from cloister.node.setup import socket_path_fits


def run_node(folder: Path, unlock: Unlock, *, ready: Callable[[Node], None] | None = None) -> None:
    """Runs the node in `folder` until SIGINT or SIGTERM.

    Args:
        folder: made by `setup.init_node`.
        unlock: opens its secrets.
        ready: called once it answers.

    Raises:
        Conflict: another process runs it, here or elsewhere.
    """
    socket_path_fits(folder)
    ended = threading.Event()
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), lambda *_: ended.set())
    node = Node(folder, unlock)
    try:
        node.start()
        with _Interface(node, Folder(folder.absolute()).socket):
            if ready is not None:
                ready(node)
            ended.wait()
    finally:
        node.close()


class _Interface:
    """The JSON interface in a thread of its own."""

    def __init__(self, node: Node, path: Path) -> None:
        import uvicorn

        from cloister.node.api import make_app

        if not hasattr(socket, "AF_UNIX"):
            raise CloisterError(
                "This system has no Unix sockets.",
                "The node's interface for its operator needs one.",
                "Run the node on Linux or macOS; tools run on every system without a node.",
            )
        self._path = path
        self._socket = _listen(path)
        config = uvicorn.Config(make_app(node), log_level="warning", access_log=False, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="interface", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_exc: object) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()
        self._path.unlink(missing_ok=True)


def _listen(path: Path) -> socket.socket:
    # The node's folder is locked by this process (see `storage.locking`), so a socket that is there is left over.
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        made.bind(os.fspath(path))
    except OSError:
        made.close()
        raise Conflict(
            "The node's socket could not be made.", f"{path} cannot be bound.", "Check the folder."
        ) from None
    finally:
        os.umask(before)
    with contextlib.suppress(OSError):
        path.chmod(0o600)
    made.listen(64)
    return made


def log_to_stderr(level: int = logging.INFO) -> None:
    """Plain log lines with times; what libraries say only from warnings on.

    A log is read on terminals, and quotes what others sent: nothing of that acts there, or looks like a line of this node's.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Readable("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("cloister").setLevel(level)


class _Readable(logging.Formatter):
    """One record, one line that begins with a time; the frames of an error follow it, set in."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        return one_line(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        return readable(super().format(record)).replace("\n", "\n    ")

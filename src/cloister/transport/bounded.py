"""A bounded executor: nobody can make a node queue more than it can answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_LOG = logging.getLogger("cloister.transport")


class Bounded:
    """A thread pool that says no instead of queueing without end.

    Args:
        name: of its threads.
        threads: jobs done at the same time.
        waiting: jobs that may wait besides.
    """

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._room = threading.BoundedSemaphore(threads + waiting)

    def submit(self, job: Callable[[], None]) -> bool:
        """Whether the job was taken; what it raises is logged by its kind alone."""
        if not self._room.acquire(blocking=False):
            return False
        try:
            self._pool.submit(self._do, job)
        except RuntimeError:  # closed
            self._room.release()
            return False
        return True

    def _do(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:
            _LOG.error("Answering failed: %s", type(error).__name__)
        finally:
            self._room.release()

    def close(self) -> None:
        """Takes nothing more and drops what waits; jobs that run are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

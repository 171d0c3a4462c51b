"""A bounded executor in which every party has one job at a time: nobody can take all places.

Rules:
1. A party's second job waits for its first to end, and holds no thread meanwhile.
2. Parties take turns: one whose job has ended goes behind those that wait.
3. What waits is bounded, for each party and altogether; over the bound the answer is no.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Job = Callable[[], None]

_LOG = logging.getLogger("cloister.transport")


class Turns:
    """A thread pool that is shared fairly.

    Args:
        name: of its threads.
        threads: jobs done at the same time.
        each: jobs of one party that may wait besides the one that is done.
        waiting: jobs that may wait altogether.
    """

    def __init__(self, name: str, threads: int, each: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._each, self._most = each, threads + waiting
        self._queues: dict[str, deque[Job]] = {}
        self._count = 0
        self._lock = threading.Lock()

    def submit(self, party: str, job: Job) -> bool:
        """Whether the job was taken; what it raises is logged by its kind alone."""
        with self._lock:
            queue = self._queues.get(party)
            if self._count >= self._most or (queue is not None and len(queue) >= self._each):
                return False
            if queue is not None:
                queue.append(job)
            else:
                try:
                    self._pool.submit(self._do, party, job)
                except RuntimeError:  # closed
                    return False
                self._queues[party] = deque()
            self._count += 1
            return True

    def _do(self, party: str, job: Job) -> None:
        try:
            job()
        except Exception as error:
            _LOG.error("Answering failed: %s", type(error).__name__)
        finally:
            with self._lock:
                self._count -= 1
                queue = self._queues[party]
                try:
                    if queue:
                        self._pool.submit(self._do, party, queue.popleft())
                    else:
                        del self._queues[party]
                except RuntimeError:  # closed meanwhile; nothing that waits is done any more
                    del self._queues[party]

    def close(self) -> None:
        """Takes nothing more and drops what waits; jobs that run are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

"""One heap for all threads: asked for in a process of its own, since it holds for the rest of it."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys, threading
from cloister.foundation.memory import share_one_heap

if sys.argv[1] == "one":
    share_one_heap()
    share_one_heap()
together = threading.Barrier(4)

def work():
    together.wait()
    blocks = [bytes(5_000) for _ in range(300)]
    together.wait()

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
ctypes.CDLL(None).malloc_stats()
"""


def heaps(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stderr.count("Arena ")


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_stats"), reason="not glibc"
)
def test_threads_have_one_heap_where_they_had_several():
    assert heaps("several") > 1
    assert heaps("one") == 1

"""One heap for all threads: asked for in a process of its own, since it holds for the rest of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
from cloister.foundation.memory import share_one_heap

def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))

if sys.argv[1] == "one":
    share_one_heap()
    share_one_heap()
held = []

def work():
    # Blocks below the size that comes straight from the system; one stays, so that a heap of this thread's could not be given back.
    blocks = [bytes(100_000) for _ in range(300)]
    held.append(blocks[-1])

for _ in range(6):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
print(resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems are left as they are")
def test_threads_in_turn_hold_no_more_with_one_heap_than_with_several():
    def resident(how: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=60
        )
        return int(done.stdout)

    assert resident("one") <= resident("several") + 2_000

"""How this process takes memory from the system."""

from __future__ import annotations

import contextlib
import ctypes
import sys

_ARENA_MAX = -8
"""`M_ARENA_MAX` of glibc's `mallopt` (malloc.h); on other systems nothing is done."""


def share_one_heap() -> None:
    """Threads that come into being from now on share one heap.

    By itself glibc gives each thread a heap of its own, which keeps what was freed in it: two threads that work on large
    pictures in turn then hold nearly a tenth more than one.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)

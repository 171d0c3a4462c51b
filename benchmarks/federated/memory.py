"""How much memory this process has used at most."""

from __future__ import annotations

import sys


def peak() -> float:
    """Bytes that were resident at once since the process began; zero where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1.0 if sys.platform == "darwin" else 1024.0)

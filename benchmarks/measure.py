"""What the benchmarks share: medians of alternating runs, rows of one form, and how they are shown."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RUNS = 5


def seconds(work: Callable[[], Any]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def alternating(ours: Callable[[], Any], peer: Callable[[], Any] | None) -> tuple[float, float | None]:
    """The medians of `RUNS` runs of each, in turn."""
    first, second = [], []
    for _ in range(RUNS):
        first.append(seconds(ours))
        if peer is not None:
            second.append(seconds(peer))
    return statistics.median(first), statistics.median(second) if second else None


def row(
    name: str,
    unit: str,
    ours: float,
    *,
    target: float,
    peer: float | None = None,
    peer_name: str | None = None,
) -> dict[str, Any]:
    """One figure; `holds` says whether ours is at most the target."""
    return {
        "name": name,
        "unit": unit,
        "ours": ours,
        "peer": peer,
        "peer_name": peer_name,
        "ratio": ours / peer if peer else None,
        "target": target,
        "holds": ours <= target,
    }


def show(rows: list[dict[str, Any]], target: str | None) -> None:
    """Prints the figures, as JSON where asked."""
    if target == "-":
        print(json.dumps(rows, indent=1))
        return
    if target:
        Path(target).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    for item in rows:
        beside = f"  ({item['ratio']:.1f} x {item['peer_name']})" if item["ratio"] else ""
        mark = "" if item["holds"] else "  MISSES its target"
        print(
            f"{item['name']:45} {item['ours']:10.3f} {item['unit']:3} (at most {item['target']:g}){beside}{mark}"
        )

"""How long the demonstration takes, phase by phase, and how much memory: whole runs of `cloister demo`.

python benchmarks/demo.py [--quick] [--json FILE|-]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import row, show

TARGET_SECONDS = 120.0
TARGET_BYTES = 3e9


def one(quick: bool) -> dict[str, Any]:
    """One run, as it tells of itself."""
    size = ["--rounds", "1", "--pictures", "12"] if quick else []
    with tempfile.TemporaryDirectory(prefix="cloister-bench-") as folder:
        told = Path(folder) / "told.json"
        subprocess.run(
            [sys.executable, "-m", "cloister.cli.main", "demo", "--no-browser", "--json", str(told), *size],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return dict(json.loads(told.read_text()))


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one short run instead of five whole ones")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", metavar="FILE|-")
    options = parser.parse_args()
    runs = [one(options.quick) for _ in range(1 if options.quick else options.runs)]

    def median(pick: Any) -> float:
        return statistics.median(pick(run) for run in runs)

    phases = [name for name in runs[0]["seconds"] if name != "total"]
    rows = [
        row("whole demonstration", "s", median(lambda run: run["seconds"]["total"]), target=TARGET_SECONDS)
    ]
    rows += [
        row(f"phase: {name}", "s", median(lambda run, name=name: run["seconds"][name]), target=TARGET_SECONDS)
        for name in phases
    ]
    rows.append(
        row("peak memory", "MB", median(lambda run: run["memory_bytes"]) / 1e6, target=TARGET_BYTES / 1e6)
    )
    show(rows, options.json)
    return 0 if all(item["holds"] for item in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

"""How long the crystal tool takes for a picture, and how much memory, from the file to the report.

    python benchmarks/crystal_tool.py [--runs 5]

Drawn pictures of three cameras: 1280 x 1024, 12 megapixels as a newer camera sees the same slide (crystals three times as large in
pixels), 12 and 50 megapixels with crystals of the usual size (many more of them). Each is a PNG; the tool is loaded once, as on the
page; every run is the whole pipeline with all its files written. Memory is the peak of a process of its own.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from PIL import Image

from cloister.applications.crystals.factories import SEED_LIKE
from cloister.applications.crystals.synthesis import synthesise
from cloister.tools.builtin import builtin_tool
from cloister.tools.run import run_tool

CASES = {
    "1280 x 1024": (1280, 1024, 1, 1.0),
    "12 MP, the same slide": (1333, 1000, 3, 1.0),
    "12 MP, ten times the slide": (4000, 3000, 1, 1.0),
    "50 MP": (8192, 6144, 1, 0.4),
}
"""Width and height as drawn, factor by which the picture is then enlarged, crystals over the usual number."""


def draw(case: str, path: Path) -> None:
    width, height, factor, share = CASES[case]
    low, high = SEED_LIKE.crystals
    factory = replace(SEED_LIKE, width=width, height=height, crystals=(low * share, high * share))
    picture = Image.fromarray(synthesise(factory, 4).image)
    if factor > 1:
        picture = picture.resize((width * factor, height * factor), Image.Resampling.BICUBIC)
    picture.save(path, compress_level=1)


def once(path: str) -> None:
    """One run in this process; its peak memory in MB on standard output."""
    with tempfile.TemporaryDirectory() as folder:
        (result,) = run_tool(builtin_tool("crystals"), [Path(path)], Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{result.count} {peak:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--once", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once:
        once(given.once)
        return
    tool = builtin_tool("crystals")
    with tempfile.TemporaryDirectory() as folder:
        print("| picture | crystals | seconds (median) | peak memory |")
        print("|---|---|---|---|")
        for case in CASES:
            path = Path(folder) / "picture.png"
            draw(case, path)
            seconds = []
            for _ in range(given.runs):
                started = time.perf_counter()
                run_tool(tool, [path], Path(folder) / "out")
                seconds.append(time.perf_counter() - started)
            said = subprocess.run(
                [sys.executable, __file__, "--once", str(path)], capture_output=True, text=True, check=True
            ).stdout.split()
            print(f"| {case} | {said[0]} | {statistics.median(seconds):.2f} | {said[1]} MB |", flush=True)


if __name__ == "__main__":
    main()

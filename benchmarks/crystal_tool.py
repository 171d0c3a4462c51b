"""How long the crystal tool takes for a picture, and how much memory, from the file to the report.

    python benchmarks/crystal_tool.py [--runs 5] [--threads 1] [--case "1280 x 1024"]

Drawn pictures of three cameras: 1280 x 1024, 12 megapixels as a newer camera sees the same slide (crystals three times as large in
pixels), 12 and 50 megapixels with crystals of the usual size (many more of them). Each is a PNG. Told are

- cold: one command `cloister tool run crystals PICTURE --out FOLDER`, from the start of the program;
- warm: one picture, whose tool is loaded, with all its files written, and of that each step's share;
- in a batch: seconds by the clock per picture of a folder of several, two at a time as `cloister tool run` takes them, with all files, and
  with the numbers only (`--json -` without `--out`);
- the peak of memory of a process that looks at two pictures, one after the other as it takes pictures of more than 30 megapixels, or both
  at a time.

All are the least of several runs. Processor seconds say what work there is, whatever else the machine does; seconds by the clock
mean something on an idle machine only. Where the two differ by more than waiting for the disk, other programs were running.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from PIL import Image

from cloister.applications.crystals.factories import SEED_LIKE
from cloister.applications.crystals.synthesis import synthesise
from cloister.tools.batch.discovery import discover
from cloister.tools.batch.running import Done, hold, run_batch
from cloister.tools.builtin import builtin_tool
from cloister.tools.run import Prepared, prepare

CASES = {
    "1280 x 1024": (1280, 1024, 1, 1.0),
    "12 MP, the same slide": (1333, 1000, 3, 1.0),
    "12 MP, ten times the slide": (4000, 3000, 1, 1.0),
    "50 MP": (8192, 6144, 1, 0.4),
}
"""Width and height as drawn, factor by which the picture is then enlarged, crystals over the usual number."""

COMMAND = "import sys; from cloister.cli.main import main; sys.argv[0] = 'cloister'; main()"


def draw(case: str, path: Path) -> None:
    width, height, factor, share = CASES[case]
    low, high = SEED_LIKE.crystals
    factory = replace(SEED_LIKE, width=width, height=height, crystals=(low * share, high * share))
    picture = Image.fromarray(synthesise(factory, 4).image)
    if factor > 1:
        picture = picture.resize((width * factor, height * factor), Image.Resampling.BICUBIC)
    picture.save(path, compress_level=1)


def once(path: str, threads: int) -> None:
    """A batch of the picture and its copy in this process; count and peak memory in MB on standard output."""
    prepared = prepare(builtin_tool("crystals"), threads=threads)
    counts = [done.result.count for done in batch(prepared, [Path(path)] * 2, written=True)]
    print(f"{counts[0]} {peak() / 1024:.0f}")


def peak() -> float:
    """Most memory that this process held, KiB. The system's other answer (`ru_maxrss`) begins with what the parent held."""
    status = Path("/proc/self/status")
    if not status.exists():
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(
        float(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")
    )


def batch(prepared: Prepared, paths: list[Path], *, written: bool) -> list[Done]:
    """A batch over copies of pictures, into a new folder or with the numbers only."""
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        pictures.mkdir()
        for number, path in enumerate(paths):
            (pictures / f"{number}.png").hardlink_to(path)
        if not written:
            return list(run_batch(prepared, discover([pictures])))
        with hold(Path(folder) / "out", prepared) as held:
            return list(run_batch(prepared, discover([pictures]), held))


def in_batch(path: Path, threads: int, runs: int, *, written: bool) -> float:
    """Seconds by the clock per picture of a batch, least of several batches."""
    prepared = prepare(builtin_tool("crystals"), threads=threads)
    count, times = 6 if path.stat().st_size < 10_000_000 else 3, []
    batch(prepared, [path], written=written)
    for _ in range(runs):
        started = time.perf_counter()
        batch(prepared, [path] * count, written=written)
        times.append((time.perf_counter() - started) / count)
    return min(times)


def cold(path: Path, out: Path, threads: int) -> tuple[float, float]:
    """Processor seconds and seconds by the clock of one command."""
    before, started = os.times(), time.perf_counter()
    command = ["tool", "run", "crystals", str(path), "--out", str(out), "--threads", str(threads)]
    subprocess.run([sys.executable, "-c", COMMAND, *command], capture_output=True, check=True)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return spent, time.perf_counter() - started


def warm(path: Path, out: Path, threads: int, runs: int) -> tuple[float, float, dict[str, float]]:
    """Processor seconds and seconds by the clock of one picture of a batch, and processor seconds of each step."""
    prepared = prepare(builtin_tool("crystals"), threads=threads)
    best: tuple[float, float, dict[str, float]] = (float("inf"), float("inf"), {})
    for _ in range(runs + 1):
        steps: dict[str, float] = defaultdict(float)
        name, mark = "read", time.process_time()

        def tick(_picture: str, step: str, _share: float) -> None:
            nonlocal name, mark
            now = time.process_time()
            steps[name] += now - mark  # noqa: B023 - called within this turn only
            name, mark = ("write" if step == "done" else step), now

        begun, started = mark, time.perf_counter()
        result = prepared.run(prepared.read(path, "picture.png"), "picture", out, tick)
        if result.error is not None:
            raise result.error
        tick("", "", 1.0)
        best = min(best, (mark - begun, time.perf_counter() - started, dict(steps)), key=lambda one: one[0])
    return best


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of the network; 0: as many as there are")
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; repeat")
    parser.add_argument("--once", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once:
        once(given.once, given.threads)
        return
    shares: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        print(
            "| picture | crystals | cold: processor s | clock s | warm: processor s | clock s "
            "| in a batch: clock s | numbers only | peak memory |"
        )
        print("|---|---|---|---|---|---|---|---|---|")
        for case in given.case or CASES:
            path, out = Path(folder) / "picture.png", Path(folder) / "out"
            draw(case, path)
            commands = [
                cold(path, Path(folder) / f"cold {case} {number}", given.threads)
                for number in range(max(1, given.runs // 2))
            ]
            processor, clock, shares[case] = warm(path, out, given.threads, given.runs)
            written, numbers = (
                in_batch(path, given.threads, max(1, given.runs // 2), written=with_files)
                for with_files in (True, False)
            )
            said = subprocess.run(
                [sys.executable, __file__, "--once", str(path), "--threads", str(given.threads)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()
            first, by_clock = (min(column) for column in zip(*commands, strict=True))
            print(
                f"| {case} | {said[0]} | {first:.2f} | {by_clock:.2f} | {processor:.2f} | {clock:.2f} "
                f"| {written:.2f} | {numbers:.2f} | {said[1]} MB |",
                flush=True,
            )
    print("\n| step, processor ms of a warm picture | " + " | ".join(shares) + " |")
    print("|---|" + "---|" * len(shares))
    for step in dict.fromkeys(step for found in shares.values() for step in found):
        print(
            f"| {step} | "
            + " | ".join(f"{1000 * found.get(step, 0):.0f}" for found in shares.values())
            + " |"
        )


if __name__ == "__main__":
    main()

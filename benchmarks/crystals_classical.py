"""How well and how fast the classical method counts crystals, on the trials that the model is judged on.

python benchmarks/crystals_classical.py [--pictures 2] [--trials NAME ...] [--quick] [--json FILE|-]

A line for each trial as it is done: figures over its pictures, count accuracy of each picture, processor seconds of a
picture of 1280 x 1024, normalisation included (so of one core). Where a trial has a goal for the model, it stands beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from cloister.applications.crystals.judging import judge
from cloister.applications.crystals.synthesis import Micrograph
from cloister.applications.crystals.trials import TRIALS, pictures
from cloister.data.classical import classical_stars
from cloister.data.normalise import normalise_micrograph
from cloister.data.stars import Stars

TARGET_SECONDS = 1.0


def measured(name: str, drawn: list[Micrograph]) -> dict[str, Any]:
    """The figures of one trial."""
    answers: list[tuple[Micrograph, Stars]] = []
    seconds: list[float] = []
    for picture in drawn:
        start = time.process_time()
        found = classical_stars(normalise_micrograph(picture.image))
        seconds.append(time.process_time() - start)
        answers.append((picture, found))
    each = [round(judge([answer]).count_accuracy, 3) for answer in answers]
    told = {"trial": name, **judge(answers).as_json(), "each": each, "seconds": round(max(seconds), 3)}
    trial = TRIALS[name]
    return {**told, "goals": {key: getattr(trial, key) for key in ("count", "f1", "recall", "mimics")}}


def line(told: dict[str, Any]) -> str:
    """The figures as a row of the table in docs/benchmarks.md."""

    def percent(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.0f} %"

    cells = (
        told["trial"],
        percent(told["count_accuracy"]),
        ", ".join(f"{100 * one:.0f}" for one in told["each"]),
        percent(told["precision"]),
        percent(told["recall"]),
        percent(told["f1"]),
        percent(told["number_d50"]),
        percent(told["bias"]),
        "-" if told["mimics"] is None else f"{told['mimics']:.2f}",
        f"{told['seconds']:.2f} s",
    )
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    """Draws, finds, judges."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=2)
    parser.add_argument("--trials", nargs="+", choices=list(TRIALS), default=list(TRIALS))
    parser.add_argument("--quick", action="store_true", help="one picture of two trials")
    parser.add_argument("--json", default=None)
    given = parser.parse_args()
    names = ["seed-like", "polarised"] if given.quick else given.trials
    rows = []
    for name in names:
        rows.append(measured(name, list(pictures(TRIALS[name], 1 if given.quick else given.pictures))))
        print(line(rows[-1]), file=sys.stderr if given.json == "-" else sys.stdout, flush=True)
    if given.json == "-":
        print(json.dumps(rows, indent=1))
    elif given.json:
        Path(given.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0 if all(row["seconds"] < TARGET_SECONDS for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

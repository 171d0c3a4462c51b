"""How well the outlining model and the classical method find crystals on pictures of another generator, see `painted`.

    python benchmarks/crystals_painted.py [--pictures 8] [--sets NAME ...] [--with model classical] [--model FILE]
        [--overlays FOLDER] [--quick] [--json FILE|-]

A row for each set and method as it is done. Nothing was trained or tuned on these pictures, and nothing may be. Overlays show what
was found where: green is a crystal found, red is something else that was taken for one, yellow a crystal that was missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cloister.applications.crystals.judging import judge, match
from cloister.applications.crystals.outlining import outliner
from cloister.applications.crystals.synthesis import Micrograph
from cloister.data.classical import classical_stars
from cloister.data.normalise import normalise_micrograph
from cloister.data.stars import Stars
from painted import SCENES, paintings

HEAD = "set | method | crystals, bubbles | count accuracy, worst | precision | recall | F1 | D50 by number, by volume"
HEAD += " | false per 100 bubbles | time"
Look = Callable[[NDArray[Any]], Stars]


def methods(names: list[str], model: Path | None) -> dict[str, Look]:
    """Functions from a picture to its crystals."""
    made: dict[str, Look] = {}
    if "model" in names:
        shipped = files("cloister.applications.crystals") / "weights" / "outlines.onnx"
        made["model"] = outliner(model.read_bytes() if model else shipped.read_bytes())
    if "classical" in names:
        made["classical"] = lambda image: classical_stars(normalise_micrograph(image))
    return made


def row(told: dict[str, Any]) -> str:
    """The figures as a row of the table in docs/benchmarks.md."""

    def percent(key: str, sign: str = "") -> str:
        return "-" if told[key] is None else f"{100 * told[key]:{sign}.0f} %"

    false = "-" if told["mimics"] is None else f"{100 * told['mimics']:.0f}"
    cells = (
        told["set"],
        told["method"],
        f"{told['true']}, {told['bubbles']}",
        f"{percent('count_accuracy')}, {percent('worst_count_accuracy')}",
        percent("precision"),
        percent("recall"),
        percent("f1"),
        f"{percent('number_d50', '+')}, {percent('volume_d50', '+')}",
        false,
        f"{told['seconds']:.1f} s",
    )
    return "| " + " | ".join(cells) + " |"


def overlay(picture: Micrograph, found: Stars, path: Path) -> None:
    """Draws what was found, twice as large."""
    image = Image.fromarray(picture.image).resize((2 * picture.image.shape[1], 2 * picture.image.shape[0]))
    pen = ImageDraw.Draw(image)
    of_found, of_true = match(found, picture)
    right, seen = set(of_found.tolist()), set(of_true.tolist())
    for number, polygon in enumerate(found.polygons()):
        pen.polygon(
            [tuple(c) for c in 2 * polygon], outline=(0, 220, 60) if number in right else (255, 30, 30)
        )
    for number, crystal in enumerate(picture.crystals):
        if number not in seen:
            pen.polygon([tuple(c) for c in 2 * np.array(crystal.outline)], outline=(255, 220, 0))
    image.save(path, quality=88)


def main() -> int:
    """Paints, finds, judges."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--sets", nargs="+", choices=list(SCENES), default=list(SCENES))
    parser.add_argument(
        "--with", dest="methods", nargs="+", choices=["model", "classical"], default=["model", "classical"]
    )
    parser.add_argument("--model", type=Path, help="an ONNX file instead of the project's")
    parser.add_argument("--overlays", type=Path, help="folder for pictures of what was found")
    parser.add_argument("--quick", action="store_true", help="one picture of two sets")
    parser.add_argument("--json", default=None)
    given = parser.parse_args()
    if given.overlays:
        given.overlays.mkdir(parents=True, exist_ok=True)
    looks, rows = methods(given.methods, given.model), []
    out = sys.stderr if given.json == "-" else sys.stdout
    print(f"| {HEAD} |\n|{'---|' * (HEAD.count('|') + 1)}", file=out, flush=True)
    for name in ["bright", "foam"] if given.quick else given.sets:
        drawn = list(paintings(name, 1 if given.quick else given.pictures))
        for method, look in looks.items():
            answers, seconds = [], []
            for number, picture in enumerate(drawn):
                start = time.process_time()
                found = look(picture.image)
                seconds.append(time.process_time() - start)
                answers.append((picture, found))
                if given.overlays:
                    file = f"{name.replace(' ', '-')}-{number}-{method}.jpg"
                    overlay(picture, found, given.overlays / file)
            told = {"set": name, "method": method, **judge(answers).as_json()}
            told["bubbles"] = sum(len(picture.bubbles) for picture in drawn)
            told["each"] = [round(judge([answer]).count_accuracy, 3) for answer in answers]
            rows.append({**told, "seconds": float(np.median(seconds))})
            print(row(rows[-1]), file=out, flush=True)
    if given.json == "-":
        print(json.dumps(rows, indent=1))
    elif given.json:
        Path(given.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

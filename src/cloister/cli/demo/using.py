"""A fourth factory uses the result on its own pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from cloister.cli.demo.stage import Stage
from cloister.cli.demo.view import View
from cloister.data.matching import count_accuracy


def use(stage: Stage, view: View, released: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Coast installs the model and counts its own pictures, before and after."""
    from cloister.tools.builtin import builtin_tool, open_tool
    from cloister.tools.install import InstalledTools
    from cloister.tools.released import install_release
    from cloister.tools.run import run_tool

    view.chapter(
        "A fourth factory counts its own crystals",
        "It gave no data and shows nobody its pictures: the tool runs at its own server, without a network.",
    )
    coast = stage["Coast"]
    shown = coast.client.get(f"/releases/{released['release']}")
    content = coast.client.download(f"/releases/{released['release']}/content")
    pictures = sorted((coast.data / "images").iterdir())
    truth = {path.name: len(json.loads(_labels(path).read_text())["centres"]) for path in pictures}
    before = {item.name: item.count for item in run_tool(builtin_tool("crystals"), pictures, threads=1)}
    state = install_release("crystals", content, shown, coast.folder / "tools")
    package = open_tool("crystals", InstalledTools(coast.folder / "tools"))
    results = run_tool(package.tool, pictures, coast.folder / "results", threads=1)
    after = {item.name: item.count for item in results}
    rows = [[name, truth[name], before[name] or 0, after[name] or 0] for name in truth]
    view.table(["Picture", "True count", "Before (as shipped)", "After (released)"], rows)
    told = {
        "before": _accuracy(before, truth),
        "after": _accuracy(after, truth),
        "pictures": [
            {"name": name, "truth": truth[name], "before": before[name], "after": after[name]}
            for name in truth
        ],
        "seconds_per_picture": round(sum(item.seconds for item in results) / len(results), 3),
    }
    view.say("Coast", f"count accuracy {told['before']:.1%} before, {told['after']:.1%} after")
    return {"tool": "crystals", **{key: state[key] for key in ("version", "digest")}}, told


class Comparison:
    """What the factories would have got otherwise (see `comparing`), computed beside everything else."""

    def __init__(self, stage: Stage, rounds: int) -> None:
        from cloister.cli.demo.cast import CLIP, FACTORIES
        from cloister.cli.demo.comparing import compare

        folders = {name: str(stage[name].data) for name in FACTORIES}
        # A fresh process: XLA's threads do not survive a fork.
        self._pool = ProcessPoolExecutor(1, get_context("spawn"))
        self._found = self._pool.submit(compare, folders, str(stage["Coast"].data), rounds, CLIP)

    def result(self) -> dict[str, float]:
        """Count accuracy on the fourth factory's pictures: `checkpoint`, each factory's name, `together`."""
        try:
            return self._found.result(600)
        finally:
            self._pool.shutdown()


def compared(stage: Stage, view: View, others: Comparison, released: float) -> dict[str, float]:
    """Alone, together, together with noise: what each gives on the fourth factory's pictures."""
    del stage
    quality = {**others.result(), "released": released}
    names = {
        "checkpoint": "as shipped",
        "together": "together, without noise",
        "released": "together, with noise (released)",
    }
    rows = [[names.get(way, f"{way} alone"), f"{value:.1%}"] for way, value in quality.items()]
    view.table(["Trained", "Count accuracy"], rows, title="What it would have been otherwise")
    view.text(
        "The comparison is made by this demonstration, which has all pictures, from the same checkpoint with the same steps. "
        "No server would compute it: the agreement permits no exact answer about these pictures.",
        "How this was found",
    )
    return quality


def _accuracy(found: Mapping[str, int | None], truth: Mapping[str, int]) -> float:
    scores = [count_accuracy(found[name] or 0, true) for name, true in truth.items()]
    return sum(scores) / len(scores)


def _labels(picture: Path) -> Path:
    return picture.parent.parent / "labels" / f"{picture.stem}.json"


def show_report(stage: Stage, keep: Path | None) -> None:
    """Opens the report of Coast's pictures, where there is a screen and the folder stays."""
    import os
    import sys
    import webbrowser

    screen = sys.platform in {"darwin", "win32"} or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if keep is not None and screen:
        webbrowser.open((stage["Coast"].folder / "results" / "index.html").as_uri())

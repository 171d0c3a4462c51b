"""The story of the factories, told step by step; each step does the real thing and returns what it saw."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from cloister import __version__
from cloister.cli.demo import checking, opening, planning, training, using
from cloister.cli.demo.cast import ACTORS, FACTORIES
from cloister.cli.demo.stage import Stage, folder_for
from cloister.cli.demo.view import View, amount


def play(console: Console, keep: Path | None, *, rounds: int, pictures: int, browser: bool) -> dict[str, Any]:
    """Plays the whole story. Returns all of it as JSON.

    Args:
        console: where people watch.
        keep: a new folder in which everything stays; a temporary one if absent.
        rounds: of the training.
        pictures: at each factory.
        browser: open the pictures' report at the end, where there is a screen.
    """
    view = View(console, [*ACTORS])
    told: dict[str, Any] = {"version": __version__, "scenario": "factories", "faults": [], "refusals": []}
    seconds: dict[str, float] = {}
    with folder_for(keep) as root, Stage(root, ACTORS) as stage:

        def step(name: str, work: Callable[..., Any], *arguments: Any) -> Any:
            started = time.monotonic()
            try:
                return work(stage, view, *arguments)
            finally:
                seconds[name] = round(time.monotonic() - started, 2)

        step("start", opening.start)
        told["datasets"] = step("datasets", opening.register, pictures)
        told["agreement"] = step("agreement", opening.agree)
        told["plan"] = step("plan", planning.plan, told["agreement"]["agreement"], rounds)
        told["refusals"] += step("approval", planning.approve, told["plan"])
        told["rounds"], fault = step("training", training.train, told["plan"])
        told["faults"].append(fault)
        told["release"] = step("release", training.release, told["plan"])
        told["tool"], told["images"] = step("tool", using.use, told["release"])
        told["crossed"] = step("crossed", checking.crossed)
        told["refusals"] += step("forgery", checking.forgery, told["plan"])
        told["ledger"], fault = step("ledger", checking.ledger)
        told["faults"].append(fault)
        told["memory_bytes"] = stage.processes.peak
        seconds["total"] = round(time.monotonic() - view.started, 2)
        told["seconds"] = seconds
        _card(view, told, keep)
        if browser:
            using.show_report(stage, keep)
    return told


def _card(view: View, told: Mapping[str, Any], keep: Path | None) -> None:
    crossed = sum(item["bytes"] for item in told["crossed"])
    images = told["images"]
    view.card(
        "What happened",
        [
            (
                "What left a factory",
                "its model updates (to the laboratory), and the model that the owners approved",
            ),
            ("Who saw it", told["plan"]["offer"]["discloses"]["coordinator"][0]),
            ("What no one was sent", "any picture or label of another; the relay saw sealed bytes only"),
            ("What crossed the relay", f"{amount(crossed)}, sealed and signed with two algorithms each"),
            (
                "What it gave",
                (
                    f"count accuracy on Coast's pictures {images['before']:.1%} before, {images['after']:.1%} after"
                    f" ({'better' if images['after'] > images['before'] else 'not better'}, by chance: few pictures,"
                    " a short training; docs/benchmarks.md has what a long one gives, and to whom)"
                ),
            ),
            ("Privacy spent", "none is accounted: this training adds no noise, and the plan says so"),
            ("Approved by", f"{len(told['release']['signed_by'])} of {len(FACTORIES)} factories"),
            ("Refused", f"{len(told['refusals'])} times, each by a named clause"),
            ("Log", f"{told['ledger']['entries']} entries at North, verified; one changed bit was found"),
            (
                "Took",
                f"{told['seconds']['total']:.0f} s, {amount(told['memory_bytes'])} of memory at the most",
            ),
        ],
    )
    view.console.print("Try a picture of your own:")
    view.console.print(f"  {_command()} tool run crystals PICTURE.jpg --out results")
    if keep is not None:
        view.console.print(f"Everything is in {keep}: folders of the nodes, logs, results.")


def _command() -> str:
    """How this program is called from here: by its name if that is found, else by its path."""
    if shutil.which("cloister"):
        return "cloister"
    path = Path(sys.executable).with_name("cloister")
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)

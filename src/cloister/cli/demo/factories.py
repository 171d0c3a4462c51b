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
        told["plan"] = step("plan", planning.plan, told["agreement"]["agreement"], rounds, pictures)
        told["refusals"] += step("approval", planning.approve, told["plan"])
        others = using.Comparison(stage, rounds)
        told["rounds"], fault = step("training", training.train, told["plan"])
        told["faults"].append(fault)
        told["release"] = step("release", training.release, told["plan"])
        told["tool"], told["images"] = step("tool", using.use, told["release"])
        told["quality"] = step("comparison", using.compared, others, told["images"]["after"])
        told["budgets"] = step("budgets", checking.budgets)
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
    view.card(
        "What happened",
        [
            (
                "What left a factory",
                "steps of the model's last block, with noise and under masks; and the model that the owners approved",
            ),
            (
                "Who saw it",
                "the laboratory: nothing that it can read; the factories: sums with everybody's noise in them",
            ),
            ("What no one was sent", "any picture or label of another; the relay saw sealed bytes only"),
            ("What crossed the relay", f"{amount(crossed)}, sealed and signed with two algorithms each"),
            ("What it gave", _gave(told["quality"])),
            (
                "Privacy spent",
                ", ".join(
                    f"{item['name']} epsilon {item['spent']['epsilon']:.3g} of {item['limit']['epsilon']:g}"
                    for item in told["budgets"]
                )
                + f" (each picture by itself, delta {told['budgets'][0]['limit']['delta']:g})",
            ),
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
        view.console.print(f"Everything is in {keep}: folders of the servers, logs, results.")


def _gave(quality: Mapping[str, float]) -> str:
    alone = [value for name, value in quality.items() if name in FACTORIES]
    return (
        f"count accuracy on Coast's pictures: as shipped {quality['checkpoint']:.1%}; trained by one factory alone "
        f"{min(alone):.1%} to {max(alone):.1%}; together without noise {quality['together']:.1%}; together with noise, as "
        f"released, {quality['released']:.1%}. {_verdict(quality)} Few pictures and a short training: docs/benchmarks.md "
        "has longer ones."
    )


def _verdict(quality: Mapping[str, float]) -> str:
    gain = quality["released"] - quality["checkpoint"]
    if abs(gain) < 0.005:
        return "No gain over the shipped model."
    return "Better than the shipped model, here." if gain > 0 else "Worse than the shipped model, here."


def _command() -> str:
    """How this program is called from here: by its name if that is found, else by its path."""
    if shutil.which("cloister"):
        return "cloister"
    path = Path(sys.executable).with_name("cloister")
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)

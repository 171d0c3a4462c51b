"""The tool counts the study's pictures, as often as the people do: a tool that does not repeat itself shows it here."""

from __future__ import annotations

from pathlib import Path

from cloister.acceptance.method import present_method
from cloister.acceptance.study import Study, ToolRun, expect_method, find_pictures
from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import BadInput
from cloister.foundation.text import one_line
from cloister.tools.run import Progress, run_tool
from cloister.tools.tool import Tool


def run_study(
    study: Study,
    tool: Tool,
    beside: Path,
    *,
    now: int,
    folder: Path | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> Study:
    """The study with the tool's counts, taken anew.

    Args:
        study: with its plan.
        tool: as it is here now; must be the plan's method.
        beside: the study's file.
        now: seconds since the epoch.
        folder: where the pictures lie, if not where they lay.
        threads: processor threads at most; 0: as many as there are.
        progress: told of every step.

    Raises:
        Conflict: another method than the plan's.
        NotFound, Tampered: a picture is missing or another one.
        BadInput: the tool does not count.
    """
    plan = study.plan
    present = present_method(tool, plan.method.settings, plan.method.micrometres_per_pixel)
    # The scale is the plan's own, so where it is from is too.
    expect_method(study, present.model_copy(update={"calibration": plan.method.calibration}))
    pictures = find_pictures(plan, beside, folder)
    counts, remarks = count_pictures(
        study, tool, pictures, repeats=max(2, plan.repeats), threads=threads, progress=progress
    )
    made = ToolRun(plan=plan.digest(), time=rfc3339(now), counts=counts, remarks=remarks)
    return Study(plan=plan, run=made)


def count_pictures(
    study: Study,
    tool: Tool,
    pictures: list[Path],
    *,
    repeats: int,
    threads: int = 0,
    progress: Progress | None = None,
) -> tuple[tuple[tuple[int | None, ...], ...], tuple[str, ...]]:
    """The tool's counts, one list for each repeat, and remarks about the pictures. Raises `BadInput` if it does not count."""
    method = study.plan.method
    counts: list[tuple[int | None, ...]] = []
    remarks: list[str] = []
    for repeat in range(repeats):
        results = run_tool(
            tool,
            pictures,
            micrometres_per_pixel=method.micrometres_per_pixel,
            settings=method.settings,
            threads=threads,
            progress=progress,
        )
        if all(result.ok and result.count is None for result in results):
            raise BadInput(
                f"The tool {tool.name} does not count.",
                "Its figures have no count.",
                "An acceptance study is about tools that count.",
            )
        counts.append(tuple(result.count for result in results))
        if repeat == 0:
            for result in results:
                told = [f"no count: {result.error}"] if result.error is not None else list(result.warnings)
                remarks += [one_line(f"{result.name}: {line}")[:2000] for line in told]
    return tuple(counts), tuple(remarks[: len(pictures)])

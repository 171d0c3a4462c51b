"""How far a task is, as a bar on the terminal or in a notebook: its rounds, and what happened last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from cloister.node.tasks.happenings import in_words


class Watcher(Protocol):
    """Is told of every event of a task."""

    def __call__(self, event: Mapping[str, Any], task: Mapping[str, Any]) -> None:
        """One event, and the task as it is."""
        ...


@contextmanager
def watching(*, shown: bool) -> Iterator[Watcher]:
    """A watcher that draws a bar while the context lasts, or does nothing."""
    if not shown:
        yield _nothing
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task("waiting", total=None)

        def told(event: Mapping[str, Any], task: Mapping[str, Any]) -> None:
            line = in_words(event, task.get("names") or {}, task)
            figures = event["facts"].get("figures") or {} if isinstance(event.get("facts"), dict) else {}
            done = figures.get("round")
            progress.update(
                bar,
                description=line or None,
                total=rounds(task),
                completed=done if isinstance(done, int) and "answers" in figures else None,
            )
            if event["kind"] == "task.finished":
                progress.update(bar, total=1, completed=1)

        yield told


def rounds(task: Mapping[str, Any]) -> int | None:
    """How many rounds a task has, if its plan says so."""
    found = (task.get("parameters") or {}).get("rounds")
    return found if isinstance(found, int) and found > 0 else None


def _nothing(event: Mapping[str, Any], task: Mapping[str, Any]) -> None:
    del event, task

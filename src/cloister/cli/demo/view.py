"""How the demonstration speaks: chapters, lines with who says them, tables side by side, one live line for progress."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "red")


class View:
    """Prints the story.

    Args:
        console: where to.
        names: the parties that speak, in order; each has a colour.
    """

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        self.console = console
        self.colours = dict(zip(names, COLOURS, strict=False))
        self.started = time.monotonic()
        self._chapter = 0

    @property
    def width(self) -> int:
        """Characters that a block of text may take."""
        return max(60, min(120, self.console.width - 8))

    def chapter(self, title: str, lead: str = "") -> None:
        """A new part of the story."""
        self._chapter += 1
        elapsed = f"{time.monotonic() - self.started:.0f} s"
        self.console.print()
        self.console.rule(Text(f"{self._chapter}. {title}", style="bold"), align="left", style="dim")
        if lead:
            self.console.print(Text(lead, style="italic"))
        self.console.print(Text(elapsed, style="dim"), justify="right")

    def say(self, who: str, text: str, style: str = "") -> None:
        """A line by somebody."""
        line = Text(f"{who:>10} ", style=f"bold {self.colours.get(who, 'white')}")
        line.append("│ ", style="dim")
        line.append(text, style=style)
        self.console.print(line)

    def text(self, text: str, title: str = "") -> None:
        """A block of text; lines that are too long go on below, nothing is cut off."""
        lines: list[str] = []
        for line in text.rstrip().splitlines():
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            lines += textwrap.wrap(line, self.width, subsequent_indent=indent, break_on_hyphens=False) or [""]
        block = Panel(
            Text("\n".join(lines)),
            title=Text(title) if title else None,
            title_align="left",
            border_style="dim",
        )
        self.console.print(Padding(block, (0, 1)), soft_wrap=False)

    def good(self, text: str) -> None:
        """Something that holds."""
        self.console.print(Text(f"  ✓ {text}", style="green"))

    def bad(self, text: str) -> None:
        """Something refused or found out."""
        self.console.print(Text(f"  ✗ {text}", style="bold red"))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> None:
        """A table; numbers to the right."""
        made = Table(
            title=Text(title) if title else None,
            title_justify="left",
            header_style="bold",
            border_style="dim",
            title_style="bold",
        )
        for index, column in enumerate(columns):
            numeric = all(isinstance(row[index], int | float) for row in rows) if rows else False
            made.add_column(column, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            made.add_row(*(Text(_cell(cell)) for cell in row))
        self.console.print(made)

    def side_by_side(self, views: Mapping[str, Sequence[str]], title: str) -> None:
        """What each node sees at this moment, one column each."""
        made = Table(
            title=Text(title),
            title_justify="left",
            title_style="bold",
            header_style="bold",
            border_style="dim",
        )
        for name in views:
            made.add_column(Text(name, style=self.colours.get(name, "white")), overflow="fold", ratio=1)
        made.add_row(*(Group(*(Text(line) for line in lines)) for lines in views.values()))
        self.console.print(made)

    def card(self, title: str, lines: Sequence[tuple[str, str]]) -> None:
        """The last word."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in lines:
            grid.add_row(Text(name), Text(value))
        self.console.print()
        self.console.print(Panel(grid, title=Text(title, style="bold"), border_style="green", padding=(1, 2)))


def amount(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)

"""Cells of tables that people open in a spreadsheet: text from elsewhere is shown there, never run.

A spreadsheet takes text that begins with one of `=+-@` for a formula, and some skip a tab or a carriage return before it. An
apostrophe in front makes it text (OWASP, "CSV Injection").
"""

from __future__ import annotations

from typing import Any, TypeVar

Cell = TypeVar("Cell", bound=Any)
_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")


def harmless(value: Cell) -> Cell | str:
    """A cell's value: text that a spreadsheet would run as a formula begins with `'`; what is not text is as it was."""
    return "'" + value if isinstance(value, str) and value.startswith(_BEGINNINGS) else value

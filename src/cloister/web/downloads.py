"""Answers that a browser stores as files."""

from __future__ import annotations


def as_file(name: str) -> dict[str, str]:
    """The header by which a browser stores an answer under a name; the name is one of our own making, without quotes."""
    return {"content-disposition": f'attachment; filename="{name}"'}

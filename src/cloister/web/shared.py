"""What the doors, screens and interface of one application share: one object of a kind, made when it is first asked for."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import FastAPI

T = TypeVar("T")


def shared(app: FastAPI, kind: type[T]) -> T:
    """The one `kind` of an application; made without arguments."""
    if not hasattr(app.state, "shared"):
        app.state.shared = {}
    kept: dict[type, Any] = app.state.shared
    if kind not in kept:
        kept[kind] = kind()
    found: T = kept[kind]
    return found

"""Which functions a worker may call: a table of names to `cloister.…:function`, fixed by whoever starts the engine.

Rules:
1. Only functions in packages under `cloister.`; a name that is anything else is refused by the node and again by the worker.
2. A worker imports only what its table names, when it is first called.
3. Nothing that comes with a call can name a function outside the table.

A method is `function(arguments, arrays) -> (result, arrays)`: JSON values and numpy arrays by name.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from cloister.foundation.errors import BadInput, NotFound

Method = Callable[[Mapping[str, Any], Mapping[str, Any]], tuple[Mapping[str, Any], Mapping[str, Any]]]
_TARGET = re.compile(r"cloister(\.[a-z][a-z0-9_]*)+:[a-z][a-z0-9_]*")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")


def check_table(methods: Mapping[str, str]) -> dict[str, str]:
    """The table, if every entry keeps rule 1. Raises `BadInput`."""
    for name, target in methods.items():
        if not _NAME.fullmatch(name) or not _TARGET.fullmatch(target):
            raise BadInput(
                f"An engine cannot offer {name[:60]!a}.",
                "Methods are functions in Cloister's own packages, with public names.",
                "Name it as cloister.package.module:function.",
            )
    return dict(methods)


def resolve(table: Mapping[str, str], name: str) -> Method:
    """The function behind a method's name. Raises `NotFound`."""
    target = table.get(name)
    if target is None or not _TARGET.fullmatch(target):
        raise NotFound(
            f"The engine has no method {name[:60]!a}.",
            f"It has {', '.join(sorted(table))}.",
            "Use one of these.",
        )
    module, function = target.split(":")
    method: Method = getattr(importlib.import_module(module), function)
    return method


def echo(
    arguments: Mapping[str, Any], arrays: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Gives back what it got: shows that an engine starts and answers."""
    return arguments, arrays

"""How every command answers: readable text, `--json FILE|-` beside it, and an exit code that scripts can rely on.

Exit codes: 0 done, 2 usage or bad input, 3 refused by a rule, 4 a party or service is unreachable, 1 anything else.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from cloister.foundation.errors import CloisterError
from cloister.foundation.files import write_atomically

errors = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Answer:
    """What a command found: `data` for programs, `text` (plain or rich renderables) for people."""

    data: Any
    text: Any = ""
    exit_code: int = 0


def console() -> Console:
    """The console that readable output goes to."""
    return Console(highlight=False, soft_wrap=True)


def command(
    group: click.Group, name: str, **settings: Any
) -> Callable[[Callable[..., Answer]], click.Command]:
    """Registers a function that returns an `Answer` as a command with `--json`.

    A `CloisterError` is printed with what, why and remedy (as a problem document with `--json -`).
    """

    def decorate(function: Callable[..., Answer]) -> click.Command:
        @functools.wraps(function)
        def run(*, json_to: str | None, **arguments: Any) -> None:
            try:
                answer = function(**arguments)
            except CloisterError as error:
                _write(error.problem(), json_to)
                _print_error(error)
                sys.exit(error.exit_code)
            _write(answer.data, json_to)
            if json_to != "-" and answer.text:
                out = console()
                for part in answer.text if isinstance(answer.text, list | tuple) else (answer.text,):
                    out.print(part if not isinstance(part, str) else Text(part))
            sys.exit(answer.exit_code)

        help_text = (function.__doc__ or "").strip()
        made = click.option(
            "--json", "json_to", metavar="FILE|-", help="Write the answer as JSON to FILE, or - for here."
        )(run)
        return group.command(name, help=help_text, **settings)(made)

    return decorate


def _write(data: Any, json_to: str | None) -> None:
    if json_to is None:
        return
    text = json.dumps(data, indent=2, ensure_ascii=False, sort_keys=False, default=str) + "\n"
    if json_to == "-":
        sys.stdout.write(text)
    else:
        write_atomically(Path(json_to), text.encode())


def _print_error(error: CloisterError) -> None:
    errors.print(Text(error.what, style="bold red"))
    if error.why:
        errors.print(Text(f"Why: {error.why}"))
    clause = error.detail.get("clause")
    if clause:
        errors.print(Text(f"Rule: {clause}"))
    if error.remedy:
        errors.print(Text(f"What to do: {error.remedy}"))

"""How every command answers: readable text, `--json FILE|-` beside it, and an exit code that scripts can rely on.

Exit codes: 0 done, 2 usage or bad input, 3 refused by a rule, 4 a party or service is unreachable, 1 anything else.

Everything that a command shows goes through this file, because much of it was written by others: names, titles, purposes,
reasons, errors. Whatever acts on a terminal instead of being read (controls, escape sequences, marks that turn the direction of
writing) is replaced where it is printed (`foundation.text`); only line feeds, and colours that are our own, pass. In JSON it is
escaped, so that programs get what was written.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from cloister.foundation.errors import BadInput, CloisterError
from cloister.foundation.files import write_atomically
from cloister.foundation.text import readable

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Answer:
    """What a command found: `data` for programs, `text` (plain or rich renderables) for people."""

    data: Any
    text: Any = ""
    exit_code: int = 0


def clean_console(**settings: Any) -> Console:
    """A console on which nothing that was written by others can act. The only place where a command makes one."""
    from rich.console import Console
    from rich.segment import Segment

    class CleanConsole(Console):
        """Cleans what is rendered: rich's own styles and cursor moves are not in a segment's text."""

        def render(self, renderable: Any, options: Any = None) -> Any:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(readable(segment.text), segment.style)

    return CleanConsole(highlight=False, markup=False, emoji=False, **settings)


def console() -> Console:
    """The console that readable output goes to. A file or a pipe has no width: lines are not cut for it."""
    width = None if sys.stdout.isatty() else 200
    return clean_console(soft_wrap=True, width=width)


def say(text: str, *, err: bool = True) -> None:
    """A line or a block of plain text, beside the answer."""
    click.echo(readable(text), err=err)


def confirm(question: str) -> None:
    """Asks a person to go on; what is not answered with yes ends the command."""
    click.confirm(readable(question), abort=True, err=True)


def story_console() -> Console:
    """Where a long story is told while it happens: here, unless the JSON is wanted here."""
    if click.get_current_context().params.get("json_to") == "-":
        return clean_console(stderr=True, soft_wrap=True)
    return console()


def progress_console() -> Console | None:
    """Where progress is shown: standard error, if a person looks at it; else None."""
    if not sys.stderr.isatty():
        return None
    return clean_console(stderr=True)


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
                _fail(error, json_to)
            except (OSError, UnicodeError) as error:
                _fail(
                    BadInput(
                        "A file could not be read or written.",
                        f"{getattr(error, 'strerror', None) or 'It is not text.'}"
                        f" {getattr(error, 'filename', None) or ''}".rstrip(),
                        "Check its path, its content and who may read it.",
                    ),
                    json_to,
                )
            try:
                _write(answer.data, json_to)
            except OSError as error:
                _fail(
                    BadInput(
                        "The answer could not be written as JSON.", error.strerror or "", "Check the path."
                    ),
                    None,
                )
            if json_to != "-" and answer.text:
                from rich.text import Text

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


def _fail(error: CloisterError, json_to: str | None) -> NoReturn:
    _write(error.problem(), json_to)
    _print_error(error)
    sys.exit(error.exit_code)


def _write(data: Any, json_to: str | None) -> None:
    if json_to is None:
        return
    text = as_json(data)
    if json_to == "-":
        sys.stdout.write(text)
    else:
        write_atomically(Path(json_to), text.encode())


def as_json(data: Any) -> str:
    """The answer for programs; characters that act are escaped by their number, which means the same in JSON."""
    text = json.dumps(data, indent=2, ensure_ascii=False, sort_keys=False, default=str)
    if all(line.isprintable() for line in text.split("\n")):
        return text + "\n"
    return (
        "".join(
            letter if letter.isprintable() or letter == "\n" else json.dumps(letter)[1:-1] for letter in text
        )
        + "\n"
    )


def _print_error(error: CloisterError) -> None:
    from rich.text import Text

    errors = clean_console(stderr=True, soft_wrap=True)

    def show(text: str, style: str = "") -> None:
        # Further lines are set in: what another party wrote has no line that looks like one of this program's.
        errors.print(Text(text.replace("\n", "\n    "), style=style))

    show(error.what, "bold red")
    if error.why:
        show(f"Why: {error.why}")
    clause = error.detail.get("clause")
    if clause:
        show(f"Rule: {clause}")
    # What changed in a dataset, file by file: the node tells its operator, and nobody else.
    local = getattr(error, "local", None) or error.detail.get("local") or ()
    if isinstance(local, list | tuple):
        for line in [str(item) for item in local][:_MAX_LOCAL]:
            show(f"Only you see this: {line[:500]}")
        if len(local) > _MAX_LOCAL:
            show(f"Only you see this: and {len(local) - _MAX_LOCAL} more.")
    if error.remedy:
        show(f"What to do: {error.remedy}")


_MAX_LOCAL = 20

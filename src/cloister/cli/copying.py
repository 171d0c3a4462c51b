"""Commands in advice, made so that they can be copied: with this node's `--folder`, and digests as the lists show them.

The node that gives the advice knows neither in which folder its operator reached it nor what was typed. So the command
line completes it, where the folder is not found without being said (neither this user's own nor in the environment).
"""

from __future__ import annotations

import functools
import os
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

_WORDS = re.compile(
    r"cloister ([a-z]+)(?: ([a-z]+(?:-[a-z]+)*))?"
    # What follows as long as it reads as an argument: options, placeholders, fingerprints and digests, not prose.
    r"((?: (?:--(?!folder\b)[a-z-]+|sha256:[0-9a-f]{64}|[0-9a-f]{16,64}|[a-z2-7]{52}|[A-Z]{2,}\b|latest\b))*)"
)
_DIGEST = re.compile(r"sha256:([0-9a-f]{16})[0-9a-f]{48}")


def with_copyable_commands(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command's function, with the commands in its answer or in its error's remedy completed."""

    @functools.wraps(function)
    def run(**arguments: Any) -> Any:
        from cloister.cli.output import Answer
        from cloister.foundation.errors import CloisterError

        folder = arguments["folder"]
        try:
            answer = function(**arguments)
        except CloisterError as error:
            if not error.detail.pop("told_elsewhere", False):
                error.remedy = copyable(error.remedy, folder)
            raise
        if isinstance(answer, Answer) and isinstance(answer.text, str):
            return replace(answer, text=copyable(answer.text, folder))
        if isinstance(answer, Answer) and isinstance(answer.text, list):
            parts = [copyable(part, folder) if isinstance(part, str) else part for part in answer.text]
            return replace(answer, text=parts)
        return answer

    return run


def copyable(text: str, folder: Path | None) -> str:
    """The text with every command of this program in it completed by its folder and with short digests."""
    if "cloister " not in text:
        return text
    option = "" if folder is None or _found_anyway(folder) else f" --folder {shlex.quote(str(folder))}"

    def complete(found: re.Match[str]) -> str:
        whole = _DIGEST.sub(r"\1", found.group(0))
        takes = _takes_folder(found.group(1), found.group(2))
        if not option or not takes or text[found.end() :].lstrip("` ").startswith("--folder"):
            return whole
        if takes == "leaf" and found.group(2):  # `cloister doctor tells`: the second word is prose
            head = f"cloister {found.group(1)}"
            return head + option + whole.removeprefix(head)
        return whole + option

    return _WORDS.sub(complete, text)


def _found_anyway(folder: Path) -> bool:
    from cloister.cli.common import FOLDER_VARIABLE, default_folder

    named = os.environ.get(FOLDER_VARIABLE)
    return folder.absolute() == (Path(named) if named else default_folder()).absolute()


def _takes_folder(name: str, sub: str | None) -> str:
    """`leaf` or `sub` for a command that knows `--folder`, else nothing."""
    from cloister.cli.main import cli

    if name == "hub":  # another folder, the relay's
        return ""
    context = click.Context(cli)
    found = cli.get_command(context, name)
    kind = "leaf"
    if isinstance(found, click.Group):
        found, kind = found.get_command(context, sub or ""), "sub"
    if found is None or not any("--folder" in item.opts for item in found.params):
        return ""
    return kind

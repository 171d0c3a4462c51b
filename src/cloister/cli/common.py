"""Options that many commands share, and how they open secrets."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cloister.cli.copying import with_copyable_commands

if TYPE_CHECKING:
    from cloister.foundation.errors import CloisterError
    from cloister.sdk.client import Client

AnyError = TypeVar("AnyError", bound="CloisterError")
FOLDER_VARIABLE = "CLOISTER_FOLDER"
DESCRIPTOR_VARIABLE = "CLOISTER_PASSPHRASE_FD"


def default_folder() -> Path:
    """The folder of this user's node."""
    import platformdirs

    return platformdirs.user_data_path("cloister", appauthor=False) / "node"


def folder_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--folder`: which node."""
    return click.option(
        "--folder",
        type=click.Path(path_type=Path, file_okay=False),
        envvar=FOLDER_VARIABLE,
        default=default_folder,
        show_default="this user's server",
        help=f"The server's folder (or {FOLDER_VARIABLE}).",
    )(with_copyable_commands(function))


def client(folder: Path, timeout: float = 120.0) -> Client:
    """A client of the running node in `folder`. Raises `NotFound` if there is no node in it at all."""
    from cloister.node.folder import Folder
    from cloister.sdk.client import Client

    Folder(folder.absolute()).config()
    return Client(folder.absolute(), timeout)


def unlock(*, keyring: bool, new: bool = False) -> Any:
    """What opens a node's secrets: the system's keyring, or a passphrase from a descriptor, a file or the terminal."""
    from cloister.identity.keystore import SystemKeyring

    return SystemKeyring() if keyring else given_passphrase(new=new)


def openers(*, keyring: bool) -> tuple[Any, Any]:
    """What will open new secrets, and new recovery keys.

    This machine's keyring is lost with the machine, so the recovery keys always have a passphrase.
    """
    opener = unlock(keyring=keyring, new=True)
    return opener, given_passphrase(new=True) if keyring else opener


def given_passphrase(file: Path | None = None, *, new: bool = False, elsewhere: bool = False) -> Any:
    """A passphrase: the one place that knows where it may come from (see `identity.passphrases`).

    Args:
        file: a private file that holds it; looked at first.
        new: it is being chosen.
        elsewhere: only from `file` or the terminal: it is another one than the node's, whose descriptor and file are
            not to be mistaken for it.
    """
    from cloister.identity.keystore import Passphrase
    from cloister.identity.passphrases import ENVIRONMENT, passphrase

    if file is not None:
        return Passphrase(passphrase({ENVIRONMENT: str(file)}, new=new))
    if elsewhere:
        return Passphrase(passphrase({}, new=new))
    return Passphrase(passphrase(os.environ, descriptor=_descriptor(), new=new))


def _descriptor() -> int | None:
    """The descriptor named in the environment; a pipe can be read once, so it is not named any more after that."""
    from cloister.foundation.errors import BadInput

    text = os.environ.pop(DESCRIPTOR_VARIABLE, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise BadInput(
            "The passphrase's descriptor is no number.",
            f"{DESCRIPTOR_VARIABLE} names an open file descriptor.",
            f"For example: {DESCRIPTOR_VARIABLE}=3 cloister node up 3<passphrase",
        )
    return int(text)


def keyring_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--keyring`: the system's keyring opens the secrets."""
    return click.option(
        "--keyring", is_flag=True, help="Let the system's keyring open the secrets instead of a passphrase."
    )(function)


def short(digest: str) -> str:
    """A digest as people copy it."""
    return digest.removeprefix("sha256:")[:16]


def fingerprints(given: Iterable[str]) -> list[str]:
    """Parties' fingerprints as people type or paste them, in groups or not. Raises `BadInput` for what is none."""
    from cloister.foundation.errors import BadInput
    from cloister.identity.keys import PARTY_PATTERN

    made = []
    for item in given:
        party = "".join(item.split()).lower()
        if not re.fullmatch(PARTY_PATTERN, party):
            shown = item if len(item) <= 60 else f"{item[:60]}…"
            raise BadInput(
                f"“{shown}” is no fingerprint: it has 52 letters and digits.",
                "It consists of the letters a to z and the digits 2 to 7.",
                "Ask that party (its `party card --fingerprint` prints it). Those that your server knows: cloister party list",
            )
        made.append(party)
    return made


def json_file(path: Path, limit: int, noun: str, advice: str) -> Any:
    """The JSON value in a file that a person named. Raises `BadInput`, by the file's name, for one that holds none."""
    from cloister.foundation.canonical import parse
    from cloister.foundation.errors import BadInput
    from cloister.foundation.files import read_limited

    data = read_limited(path, limit)
    try:
        return parse(data)
    except BadInput as error:
        # Of a file that is no JSON at all, the parser's own words help nobody.
        if error.what != "A JSON document could not be read.":
            raise
        raise BadInput(f"{path.name} is not {noun}: it is no JSON.", "", advice) from None


def decimal_point(text: str) -> str:
    """The text. Raises `BadInput` if it is a number with a decimal comma."""
    from cloister.foundation.errors import BadInput

    if re.fullmatch(_COMMA, text):
        raise BadInput("A number has a decimal comma.", "", f"Write numbers with a point: {_pointed(text)}")
    return text


class Number(click.FloatRange):
    """A number within bounds; one with a decimal comma is answered with how to write it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or a usage error."""
        if isinstance(value, str) and re.fullmatch(_COMMA, value.strip()):
            self.fail(f"Write numbers with a point: {_pointed(value.strip())}", param, ctx)
        return super().convert(value, param, ctx)


_COMMA = r"[+-]?[0-9]+,[0-9]+"


def _pointed(text: str) -> str:
    return text.replace(",", ".")


def wait_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--wait`: documents travel between nodes; a script may wait for one to arrive."""
    return click.option(
        "--wait",
        type=click.IntRange(min=0, max=3600),
        default=0,
        metavar="SECONDS",
        help="Wait so long for it to arrive.",
    )(function)


def soon(listing: Callable[[], list[str]], given: str, wait: int = 0) -> str:
    """Like `full`, trying again for `wait` seconds while there is nothing of that name."""
    from cloister.foundation.errors import NotFound

    end = time.monotonic() + wait
    while True:
        try:
            return full(listing(), given)
        except NotFound:
            if time.monotonic() >= end:
                raise
        time.sleep(0.5)


def full(listed: list[str], given: str) -> str:
    """The digest that starts with what a person gave, or for `latest` the last one.

    Raises `NotFound` if none or several do.
    """
    from cloister.foundation.errors import NotFound

    if given == "latest":
        if listed:
            return listed[-1]
        raise NotFound("There is none yet.", "Nothing has arrived here.", "Try again later, or with --wait.")
    wanted = given.removeprefix("sha256:")
    found = [item for item in listed if item.removeprefix("sha256:").startswith(wanted)]
    if len(found) == 1 and len(wanted) >= 4:
        return found[0]
    raise NotFound(
        f"Nothing here is named {given[:80]}."
        if not found
        else f"{len(found)} things here begin with {given[:80]}.",
        "",
        "Give more of it, as the list shows it.",
    )


def elsewhere(error: AnyError) -> AnyError:
    """Marks an error that another party's node told: the commands it advises are for there, not for this folder."""
    error.detail["told_elsewhere"] = True
    return error


_BRIEF = frozenset({"What will be done", "What each one learns on the way", "What is not protected"})


def brief(plan: str) -> str:
    """Of a plan in words, what nobody may send or approve unseen: what is done, who learns what, what is not protected."""
    blocks = plan.split("\n\n")
    return "\n\n".join(block for block in blocks if block.partition("\n")[0] in _BRIEF) or plan


def table(columns: list[str], rows: list[list[str]]) -> Any:
    """A plain table for the terminal."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made

"""`cloister up`: the page of this machine; and what `cloister node up` shares with it."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloister.cli.common import folder_option
from cloister.cli.output import Answer, command, say
from cloister.foundation.errors import BadInput

if TYPE_CHECKING:
    from cloister.identity.keystore import Unlock
    from cloister.web.listening import PageAt
    from cloister.web.site import Site

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


def page_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Where the page is: `--page`, `--no-page`, `--tls-certificate`, `--tls-key`, `--page-name`,
    `--data-folder`.
    """

    @functools.wraps(function)
    def wrapped(
        *arguments: Any,
        page: str | None,
        no_page: bool,
        tls_certificate: Path | None,
        tls_key: Path | None,
        page_name: str | None,
        data_folders: tuple[Path, ...],
        **others: Any,
    ) -> Any:
        from cloister.web.listening import PageAt

        chosen = None
        if not no_page:
            host, port = where(page)
            chosen = PageAt(host, port, tls_certificate, tls_key, page_name, data_folders).checked()
        return function(*arguments, page=chosen, **others)

    options = [
        click.option(
            "--page",
            metavar="HOST:PORT",
            default=None,
            help="Where the page is; by default on this machine only, at port 8480 or the next that is free.",
        ),
        click.option("--no-page", is_flag=True, help="Serve no page, only the operator's socket."),
        click.option("--tls-certificate", type=_FILE, default=None, help="For a page on the network: PEM."),
        click.option("--tls-key", type=_FILE, default=None, help="Its key: PEM."),
        click.option(
            "--page-name",
            metavar="https://NAME",
            default=None,
            help="How people reach the page through a proxy on this machine that speaks TLS.",
        ),
        click.option(
            "--data-folder",
            "data_folders",
            type=click.Path(path_type=Path, file_okay=False, exists=True),
            multiple=True,
            envvar="CLOISTER_DATA_FOLDERS",
            help="A folder whose files may be registered as datasets on the page, besides the server's own; repeat.",
        ),
    ]
    made: Callable[..., Any] = wrapped
    for item in reversed(options):
        made = item(made)
    return made


def where(page: str | None) -> tuple[str, int | None]:
    """Host and port of a page as they are typed. Raises `BadInput`."""
    if page is None:
        return "localhost", None
    host, _, port = page.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port[:6]) < 65536:
        raise BadInput(
            "The page's place is not usable.", "It is written HOST:PORT.", "For example localhost:8480"
        )
    return host.strip("[]"), int(port)


def run(folder: Path, opener: Unlock | None, page: PageAt | None, *, look: bool = False) -> None:
    """Runs a site until it is told to stop; says where it is, and the start key while there is no account."""
    from cloister.cli.logs import log_to_stderr
    from cloister.web.server import run_site

    log_to_stderr()

    def ready(site: Site, url: str) -> None:
        if site.node is not None:
            say(f"{site.organisation} is running; its operator's socket is {site.folder.socket}", err=False)
        if not url:
            return
        say(f"The page: {url}", err=False)
        if site.accounts.none_yet():
            say(f"To make the first account: {url}/welcome", err=False)
            say(f"Start key: {site.accounts.start_key}", err=False)
        if look:
            import webbrowser

            webbrowser.open(url)

    run_site(folder.absolute(), opener, page, ready)


@click.group()
def _holder() -> None:
    """Holds the command until `main` takes it."""


@command(_holder, "up")
@folder_option
@click.option("--open/--no-open", "look", default=sys.stdout.isatty(), help="Open the page in a browser.")
@page_options
def up_command(folder: Path, look: bool, page: PageAt | None) -> Answer:
    """Run this machine's page: tools at once, and a server of your organisation when you want one.

    Nothing has to be set up before. What needs the organisation's keys asks for the passphrase on the page.
    """
    run(folder, None, page, look=look)
    return Answer({"stopped": True}, "Stopped.")

"""`cloister node password`: for who cannot sign in to the page any more. By the operator of the machine, at the running server."""

from __future__ import annotations

from pathlib import Path

import click

from cloister.cli.common import client, folder_option
from cloister.cli.output import Answer, command
from cloister.foundation.errors import NotFound


def register(group: click.Group) -> None:
    """Adds the command to `cloister node`."""

    @command(group, "password")
    @click.argument("name")
    @folder_option
    def password(name: str, folder: Path) -> Answer:
        """Give the person called NAME a first password for the page, good for choosing another; every session ends."""
        with client(folder) as node:
            found = [
                item for item in node.get("/people", limit=1000) if item["name"].casefold() == name.casefold()
            ]
            if not found:
                raise NotFound(
                    f"There is no account called {name[:80]}.", "", "Look at the people on the page."
                )
            told = node.post(f"/people/{found[0]['account']}/password")
        return Answer(
            told,
            f"The first password of {found[0]['name']}: {told['first_password']}\n"
            "Hand it over in person. Nothing but choosing another works with it.",
        )

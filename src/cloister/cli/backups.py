"""`cloister node backup|restore`: a server's folder as one sealed file, and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloister.cli.common import client, folder_option, given_passphrase
from cloister.cli.output import Answer, command
from cloister.foundation.errors import Conflict, NotFound

if TYPE_CHECKING:
    from cloister.identity.keystore import Passphrase
    from cloister.node.backup import About

_file = click.Path(path_type=Path, dir_okay=False)
_passphrase_option = click.option(
    "--passphrase",
    type=_file,
    default=None,
    help="A private file with the backup's passphrase; asked for at the terminal if absent.",
)


def register(group: click.Group) -> None:
    """Adds the commands to `cloister node`."""

    @command(group, "backup")
    @click.argument("file", type=_file)
    @folder_option
    @_passphrase_option
    def backup(file: Path, folder: Path, passphrase: Path | None) -> Answer:
        """Write a backup of the server to FILE, sealed under a passphrase of its own; the server may be running."""
        from cloister.node.backup import write

        opener = given_passphrase(passphrase, new=True, elsewhere=True)
        size = write(file, _pieces(folder.absolute(), opener))
        return Answer(
            {"file": str(file), "size": size},
            f"Wrote {file} ({size / 1e6:.1f} MB). Keep it, its passphrase and the server's passphrase off this machine,"
            " and apart.\nYour datasets lie where you registered them; they are not in it.",
        )

    @command(group, "restore")
    @click.argument("file", type=_file)
    @folder_option
    @_passphrase_option
    @click.option("--check", "only_check", is_flag=True, help="Read it from end to end, and write nothing.")
    def restore(file: Path, folder: Path, passphrase: Path | None, only_check: bool) -> Answer:
        """Put the backup FILE back, as a folder that is not there yet."""
        from cloister.node import restoring
        from cloister.node.folder import Folder

        opener = given_passphrase(passphrase, elsewhere=True)
        if only_check:
            about = restoring.check(file, opener)
            return Answer(asdict(about), f"The backup is whole. {_of(about)}")
        about = restoring.restore(file, Folder(folder.absolute()), opener)
        return Answer(asdict(about), f"Restored to {folder}. {_of(about)}\n{in_words(about)}")


def _pieces(folder: Path, opener: Passphrase) -> Iterator[bytes]:
    from cloister.foundation.clock import SystemClock
    from cloister.node.backup import backup
    from cloister.node.folder import Folder
    from cloister.storage.database import FILE, Database

    if not (folder / FILE).exists():
        raise NotFound(f"There is no server in {folder}.", "", "Name its folder: --folder")
    try:
        database = Database.open(folder)
    except Conflict as error:
        if error.detail.get("clause") != "one-node-per-folder":
            raise
        # It is running: it makes the backup itself.
        with client(folder, timeout=600.0) as node:
            yield from node.pieces("/backup", {"passphrase": opener.text.decode()})
        return
    try:
        yield from backup(Folder(folder), database, opener, SystemClock())
    finally:
        database.close()


def _of(about: About) -> str:
    whose = f"of {about.name}" if about.name else "of a server without an organisation"
    return f"It is {whose}, made {about.made}: {about.files} files, {about.leaves} entries in the log."


def in_words(about: About) -> str:
    """What does not come back by itself."""
    lines = [
        "What comes next:",
        "- Never run it while the old one runs: two servers with the same keys are one organisation with two memories.",
        "- Everybody signs in again, and makes tokens anew. Whoever was disabled since is enabled again: look at the people.",
        "- If witnesses have seen more of its log than this backup has, it locks itself once it meets them.",
        "  Then only a newer backup helps.",
    ]
    if about.populations:
        lines.append(
            "- It spends no privacy until you have said what was spent since the backup, for each of"
            f" {', '.join(about.populations)}: cloister budget reconcile --help"
        )
    return "\n".join(lines)

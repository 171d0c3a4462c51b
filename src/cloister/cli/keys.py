"""`cloister node rotate|recover|revoke|passphrase`: an organisation's keys over the years. The node must not be running."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloister.cli.common import folder_option, given_passphrase, keyring_option, unlock
from cloister.cli.output import Answer, command, confirm

if TYPE_CHECKING:
    from cloister.identity.keystore import Passphrase
    from cloister.node.rotation import Changed

_file = click.Path(path_type=Path, dir_okay=False)


def register(group: click.Group) -> None:
    """Adds the commands to `cloister node`."""

    @command(group, "rotate")
    @folder_option
    @keyring_option
    def rotate(folder: Path, keyring: bool) -> Answer:
        """Replace your organisation's keys by fresh ones. What was signed before stays valid."""
        from cloister.foundation.clock import SystemClock
        from cloister.node.rotation import rotate_keys

        made = rotate_keys(folder.absolute(), unlock(keyring=keyring), SystemClock())
        return _told(
            made, "The keys are new. The fingerprint stays the same; others learn of it at the next start."
        )

    @command(group, "recover")
    @folder_option
    @keyring_option
    @_recovery_options
    def recover(
        folder: Path,
        keyring: bool,
        recovery: Path | None,
        recovery_passphrase: Path | None,
        since: str | None,
    ) -> Answer:
        """Replace keys that are lost or stolen, with the recovery keys."""
        from cloister.foundation.clock import SystemClock
        from cloister.node.rotation import recover_keys

        made = recover_keys(
            folder.absolute(),
            unlock(keyring=keyring),
            _recovery(recovery_passphrase),
            SystemClock(),
            compromised_since=_time(since),
            recovery_file=recovery,
        )
        return _told(made, "The keys are new. Tell the other organisations what happened.")

    @command(group, "revoke")
    @folder_option
    @_recovery_options
    @click.option("--yes", is_flag=True, help="Do not ask; you know that it cannot be undone.")
    def revoke(
        folder: Path, recovery: Path | None, recovery_passphrase: Path | None, since: str | None, yes: bool
    ) -> Answer:
        """End your organisation's identity for good, with the recovery keys. It cannot be undone."""
        from cloister.foundation.clock import SystemClock
        from cloister.node.folder import Folder
        from cloister.node.rotation import revoke as revoke_identity

        place = Folder(folder.absolute())
        name = place.config().name
        if not yes:
            confirm(f"End the identity of {name} for good?")
        made = revoke_identity(
            place.root,
            _recovery(recovery_passphrase),
            SystemClock(),
            compromised_since=_time(since),
            recovery_file=recovery,
        )
        return _told(
            made, f"Revoked. Hand {place.card_file} to the relay's operator and to the other organisations."
        )

    @command(group, "passphrase")
    @folder_option
    @keyring_option
    @click.option(
        "--new-file", type=_file, help="A private file that holds the new passphrase; asked for if absent."
    )
    @click.option("--to-keyring", is_flag=True, help="Let the system's keyring open the secrets from now on.")
    def passphrase(folder: Path, keyring: bool, new_file: Path | None, to_keyring: bool) -> Answer:
        """Change what opens the server's secrets. The recovery keys keep their own passphrase."""
        from cloister.identity.keystore import Keystore, SystemKeyring
        from cloister.node.folder import Folder
        from cloister.storage.locking import FolderLock

        place = Folder(folder.absolute())
        place.config()
        lock = FolderLock(place.root)
        try:
            store = Keystore.open(place.secrets, unlock(keyring=keyring))
            store.change_unlock(
                SystemKeyring() if to_keyring else given_passphrase(new_file, new=True, elsewhere=True)
            )
        finally:
            lock.release()
        return Answer(
            {"changed": True, "keyring": to_keyring}, "Changed. The old passphrase opens nothing any more."
        )


def _recovery_options(function: click.decorators.FC) -> click.decorators.FC:
    function = click.option(
        "--recovery", type=_file, help="The recovery keys' file; in the server's folder if absent."
    )(function)
    function = click.option(
        "--recovery-passphrase",
        type=_file,
        help="A private file that holds their passphrase; asked for, like the server's, if absent.",
    )(function)
    return click.option(
        "--compromised-since",
        "since",
        metavar="TIME",
        help="From when on the old keys may be in other hands, for example 2026-01-31T12:00:00Z.",
    )(function)


def _recovery(file: Path | None) -> Passphrase:
    # Asked for like the node's where no file is named; by default both have the same one.
    made: Passphrase = given_passphrase(file)
    return made


def _time(text: str | None) -> int | None:
    from cloister.foundation.clock import parse_rfc3339

    return None if text is None else parse_rfc3339(text)


def _told(made: Changed, words: str) -> Answer:
    return Answer(
        {"party": made.party, "card": made.sequence, "status": made.status}, f"{words} Card {made.sequence}."
    )

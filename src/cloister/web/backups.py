"""A backup of the server, begun by a person: from the page or by a program that speaks for one."""

from __future__ import annotations

from collections.abc import Iterator

from cloister.identity.keystore import Passphrase
from cloister.identity.passphrases import clean
from cloister.node.backup import backup
from cloister.web.guard import Caller, require_fresh
from cloister.web.site import Site


def begin_backup(site: Site, caller: Caller, passphrase: str) -> Iterator[bytes]:
    """A backup in pieces, begun: what cannot be done fails here and not while it is sent.

    A backup is everything that the server holds, so it takes somebody who has just shown who it is; a token never has.

    Raises:
        NotFresh: the caller has not.
        BadInput: the passphrase cannot be used.
        Conflict: another one is being made.
    """
    require_fresh(caller, "A backup is everything that this server holds.")
    pieces = backup(site.folder, site.database, Passphrase(clean(passphrase, new=True)), site.clock)
    first = next(pieces)
    site.accounts.note(caller, "made a backup")
    return _with(first, pieces)


def _with(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces

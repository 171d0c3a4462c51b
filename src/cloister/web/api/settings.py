"""The server itself: a backup of it."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from cloister.identity.keystore import Passphrase
from cloister.identity.passphrases import clean
from cloister.node.backup import backup
from cloister.web.api.bodies import Body
from cloister.web.guard import Caller, require_fresh
from cloister.web.pages.frame import Pages
from cloister.web.routes import Routes
from cloister.web.site import Site


class NewBackup(Body):
    """What will open it."""

    passphrase: str = Field(max_length=1024)


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Settings")

    @routes.post("/api/v1/backup", "node.manage", secret=True, response_class=Response)
    def make_backup(request: Request, body: NewBackup) -> Response:
        """Makes a backup of everything that the server holds, sealed with a passphrase, and sends it piece by piece."""
        pieces = begin_backup(pages.site, pages.caller(request), body.passphrase)
        return StreamingResponse(pieces, media_type="application/octet-stream")


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

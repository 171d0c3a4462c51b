"""The server itself: a backup of it."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from cloister.web.api.bodies import Body
from cloister.web.backups import begin_backup
from cloister.web.frame import Pages
from cloister.web.routes import Routes


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

"""The server itself: what it is, how it is, its relay, its backups."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Form, Request, Response
from fastapi.responses import StreamingResponse

from cloister import __version__
from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import CloisterError, NotFound, NotFresh
from cloister.foundation.text import party_name
from cloister.node.backup import SUFFIX, write
from cloister.node.diagnosis import Finding, disk, installation, of_node, relay_address
from cloister.node.peers.quotas import LIMITS
from cloister.web import filters
from cloister.web.backups import begin_backup
from cloister.web.downloads import as_file
from cloister.web.frame import Pages
from cloister.web.guard import require_fresh
from cloister.web.routes import Routes
from cloister.web.twice import require_same

_TEXT = Form(max_length=1100)
TABS = (
    ("/settings", "This server", None),
    ("/settings/health", "Health", None),
    ("/settings/relay", "Relay", None),
    ("/settings/backup", "Backup", None),
)
_PARTS = {
    "cloister.db": "Database",
    "contents": "Models and results",
    "blobs": "Messages and states of tasks",
    "tools": "Tools and samples",
    "data": "Data put into the server's own folder",
    "cache": "Compiled models (may be deleted)",
    "backups": "Backups made here",
}


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Settings", page=True)
    site = pages.site

    @routes.get("/settings", "node.manage")
    def about(request: Request) -> Response:
        config = site.folder.config() if site.state != "new" else None
        return pages.show(
            request,
            "settings/about.html",
            title="Settings",
            tabs=TABS,
            config=config,
            version=__version__,
            machine=f"Python {platform.python_version()} on {platform.system()}",
            folder=str(site.folder.root),
            recovery=str(site.recovery_file) if site.recovery_file.exists() else "",
            parts=_sizes(site.folder.root),
            quotas=sorted(LIMITS.items()),
        )

    @routes.get("/settings/recovery-keys", "node.manage")
    def recovery_keys(request: Request) -> Response:
        """The sealed file, as text; its passphrase is known to people only."""
        caller = pages.caller(request)
        require_fresh(caller, "The recovery keys stand for your organisation.")
        if not site.recovery_file.exists():
            raise NotFound(
                "The recovery keys are not on this machine.", "They were moved.", "Look where they are kept."
            )
        content = site.recovery_file.read_bytes()
        site.accounts.note(caller, "downloaded the recovery keys")
        headers = as_file(f"{_plain(site.organisation)}-recovery-keys.txt")
        return Response(content, media_type="text/plain; charset=utf-8", headers=headers)

    # Health --------------------------------------------------------------------------------------------------------

    @routes.get("/settings/health", "node.manage")
    def health(request: Request) -> Response:
        found = [*installation(), *disk(site.folder.root), *_node()]
        order = {"wrong": 0, "note": 1, "ok": 2}
        return pages.show(
            request,
            "settings/health.html",
            title="Settings",
            tabs=TABS,
            findings=[_shown(item) for item in sorted(found, key=lambda item: order[item.state])],
            wrong=sum(item.state == "wrong" for item in found),
        )

    def _node() -> list[Finding]:
        if site.node is None:
            closed = site.state == "closed"
            return [
                Finding(
                    "Server",
                    "note",
                    "it is closed: its keys have not been opened since it started"
                    if closed
                    else "there is no organisation with keys here yet",
                    page="/unlock" if closed else "/organisation",
                )
            ]
        return of_node(site.node)

    # Relay ---------------------------------------------------------------------------------------------------------

    @routes.get("/settings/relay", "node.manage")
    def relay(request: Request) -> Response:
        return _relay(request)

    def _relay(request: Request, invitation: str = "", error: CloisterError | None = None) -> Response:
        node = site.node
        status = node.status() if node is not None else None
        names = node.parties.names() if node is not None else {}
        traffic = node.traffic() if node is not None else {}
        here = node.link.transport.here() if node is not None and node.link is not None else frozenset()
        return pages.show(
            request,
            "settings/relay.html",
            title="Settings",
            tabs=TABS,
            link=status,
            invitation=invitation,
            address=relay_address(site.folder.root) if status and status["relay"]["hub"] else "",
            rows=[
                {
                    "name": party_name(party, names),
                    "here": party in here,
                    **counts,
                }
                for party, counts in sorted(traffic.items(), key=lambda item: names.get(item[0], ""))
            ],
            error=error,
        )

    @routes.post("/settings/relay", "node.manage")
    def join(request: Request, invitation: Annotated[str, Form(max_length=100_000)] = "") -> Response:
        require_fresh(pages.caller(request), "This connects your organisation's server.")
        try:
            site.join(invitation)
        except CloisterError as error:
            return _relay(request, invitation, error)
        site.accounts.note(pages.caller(request), "connected the server to a relay")
        return pages.go(request, "/settings/relay", told="Connected to the relay.")

    # Backup --------------------------------------------------------------------------------------------------------

    @routes.get("/settings/backup", "node.manage")
    def backups(request: Request) -> Response:
        require_fresh(pages.caller(request), "A backup is everything here.")
        return _backups(request)

    def _backups(request: Request, error: CloisterError | None = None) -> Response:
        place = site.folder.root / "backups"
        made = sorted(place.glob(f"*{SUFFIX}"), reverse=True) if place.is_dir() else []
        return pages.show(
            request,
            "settings/backup.html",
            title="Settings",
            tabs=TABS,
            folder=str(site.folder.root),
            place=str(place),
            made=[(path.name, path.stat().st_size, path.stat().st_mtime) for path in made[:50]],
            error=error,
        )

    @routes.post("/settings/backup", "node.manage")
    def make(
        request: Request,
        passphrase: Annotated[str, _TEXT] = "",
        again: Annotated[str, _TEXT] = "",
        where: Annotated[str, _TEXT] = "download",
    ) -> Response:
        caller = pages.caller(request)
        name = _file_name(site.organisation, site.clock.now())
        try:
            require_fresh(caller, "A backup is everything here.")
            require_same(passphrase, again, "passphrases")
            pieces = begin_backup(site, caller, passphrase)
            if where == "download":
                headers = as_file(name)
                return StreamingResponse(pieces, media_type="application/octet-stream", headers=headers)
            path = site.folder.private(site.folder.root / "backups") / name
            size = write(path, pieces)
        except NotFresh:
            return pages.go(request, "/confirm?next=/settings/backup")
        except CloisterError as error:
            return _backups(request, error)
        return pages.go(
            request,
            "/settings/backup",
            told=f"The backup {name} is made ({filters.size(size)}). Move it off this machine.",
        )


def _file_name(organisation: str, now: int) -> str:
    moment = rfc3339(now).replace(":", "").replace("-", "").lower()
    return f"{_plain(organisation)}-{moment}{SUFFIX}"


def _plain(organisation: str) -> str:
    """An organisation's name as a part of a file's."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in organisation)
    return "-".join(part for part in plain.lower().split("-") if part)[:40] or "cloister"


def _shown(item: Finding) -> dict[str, Any]:
    """A finding for the page: commands stay with whoever has a terminal, links lead where the page does the same."""
    remedy = "" if "cloister " in item.remedy and item.page else item.remedy
    what = item.what[:1].upper() + item.what[1:]
    return {"about": item.about, "state": item.state, "what": what, "remedy": remedy, "page": item.page}


def _sizes(root: Path) -> list[tuple[str, int]]:
    """What lies in the folder, by part."""
    found = []
    for name, text in _PARTS.items():
        path = root / name
        total = sum(_bytes(item) for item in root.glob(f"{name}*")) if path.is_file() else _bytes(path)
        if total:
            found.append((text, total))
    return found


def _bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    total = 0
    for place, _, names in os.walk(path):
        for name in names:
            try:
                total += (Path(place) / name).lstat().st_size
            except OSError:  # gone meanwhile
                continue
    return total

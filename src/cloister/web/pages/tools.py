"""Tools: what may be used on this machine; pictures in, results out; what vouches for a tool; installing one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from fastapi import Depends, FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from cloister.claims.statements import statements
from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.errors import BadInput, CloisterError, Unreachable
from cloister.node.toolroom.paces import TooOften
from cloister.node.toolroom.recent import Sample
from cloister.node.toolroom.shelf import Opened, signer_names
from cloister.release.bundle import Checked
from cloister.tools.manifest import takes_pictures
from cloister.web.downloads import as_file
from cloister.web.frame import Pages
from cloister.web.routes import Routes
from cloister.web.slow import slow_of
from cloister.web.uploads import Sent, body_limit, taking
from cloister.web.views import tools as view

AT_ONCE = 8
"""Files that a form without script may bring at a time; with script, each comes alone."""
_SHOWN = 50


@dataclass(frozen=True)
class _Failed:
    """A file of a form that gave no result."""

    file: str
    error: CloisterError


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Tools", page=True)
    room = pages.site.tools
    pictures = Depends(taking(AT_ONCE))
    one_file = Depends(taking(1))
    slow = slow_of(app)

    @routes.get("/tools", "tools.use")
    def listing(request: Request) -> Response:
        return pages.show(
            request,
            "tools/list.html",
            title="Tools",
            lead="They run on this machine. What you give them does not leave it.",
            tools=room.shelf.cards(),
        )

    # Installing: before the routes with a tool's name, or `install` would be taken for one -------------------------------

    @routes.get("/tools/install", "tools.install")
    def install_page(request: Request) -> Response:
        return _install(request)

    def _install(request: Request, error: CloisterError | None = None) -> Response:
        return pages.show(
            request,
            "tools/install.html",
            title="Install a tool",
            lead="From a file that ends in .tool. It is looked at first; then you decide.",
            most=room.limits.tool_bytes,
            error=error,
        )

    @routes.post("/tools/install", "tools.install", body=body_limit(room.limits.tool_bytes))
    async def upload(request: Request, sent: Sent = one_file) -> Response:
        try:
            return await slow.run(view.who(request).key, partial(_upload, request, sent))
        except (TooOften, Unreachable) as error:
            return await run_in_threadpool(_install, request, error)

    def _upload(request: Request, sent: Sent) -> Response:
        try:
            if not sent.files:
                raise BadInput("No file was chosen.", "", "Choose a file that ends in .tool.")
            offer = room.shelf.offer(sent.files[0].data, view.who(request).key)
        except CloisterError as error:
            return _install(request, error)
        return pages.go(request, f"/tools/install/{offer.id}")

    @routes.get("/tools/install/{offer}", "tools.install")
    def offered(request: Request, offer: str) -> Response:
        return _offered(request, offer)

    def _offered(request: Request, offer: str, error: CloisterError | None = None) -> Response:
        found = room.shelf.offered(offer, view.who(request).key)
        return pages.show(
            request,
            "tools/offer.html",
            title=f"Install {found.package.tool.manifest.title}?",
            lead="This is what was found in the file.",
            offer=found,
            manifest=found.package.tool.manifest,
            digest_of=found.package.tool.digest,
            checked=found.checked,
            certificate=_told(found.checked),
            error=error,
        )

    @routes.post("/tools/install/{offer}", "tools.install")
    def install(request: Request, offer: str) -> Response:
        try:
            state = room.shelf.install(offer, view.who(request).key)
        except CloisterError as error:
            return _offered(request, offer, error)
        version = state.current.version
        pages.site.accounts.note(pages.caller(request), "installed the tool", f"{state.name} {version}")
        return pages.go(request, f"/tools/{state.name}", told=f"Version {version} is installed.")

    @routes.post("/tools/install/{offer}/discard", "tools.install")
    def discard(request: Request, offer: str) -> Response:
        room.shelf.discard(offer, view.who(request).key)
        return pages.go(request, "/tools", told="Nothing was installed.")

    # One tool ----------------------------------------------------------------------------------------------------------

    @routes.get("/tools/{name}", "tools.use")
    def tool(request: Request, name: str) -> Response:
        opened = room.shelf.open(name)
        answer = _tool(request, name, opened=opened)
        room.expect(opened, view.who(request))
        return answer

    def _tool(
        request: Request,
        name: str,
        *,
        failed: tuple[_Failed, ...] = (),
        fields: dict[str, str] | None = None,
        error: CloisterError | None = None,
        opened: Opened | None = None,
    ) -> Response:
        opened = opened or room.shelf.open(name)
        return pages.show(
            request,
            "tools/tool.html",
            title=opened.manifest.title,
            lead=opened.manifest.description,
            opened=opened,
            manifest=opened.manifest,
            signers=_signers(opened),
            settings=view.settings_of(opened.manifest),
            takes_pictures=takes_pictures(opened.manifest),
            counted=view.counted(opened.manifest),
            fields=fields or {},
            failed=failed,
            at_once=AT_ONCE,
            limits=room.limits,
            installed=[(entry, parse_rfc3339(entry.time)) for entry in reversed(opened.history)],
            results=_results(request, name),
            calibrations=[kept for kept in room.scales.kept.list() if kept.calibration is not None],
            view=view,
            error=error,
        )

    def _results(request: Request, name: str) -> list[Sample]:
        return [sample for sample in room.recent(view.who(request)) if sample.tool == name][:_SHOWN]

    @routes.get("/tools/{name}/results", "tools.use")
    def results(request: Request, name: str) -> Response:
        return pages.part(
            request,
            "tools/results.html",
            results=_results(request, name),
            counted=view.counted(room.shelf.open(name).manifest),
            view=view,
            name=name[:64],
        )

    @routes.post("/tools/{name}", "tools.use", body=body_limit(room.limits.file_bytes, 2))
    async def run(request: Request, name: str, sent: Sent = pictures) -> Response:
        try:
            return await slow.run(view.who(request).key, partial(_run, request, name, sent))
        except (TooOften, Unreachable) as error:
            return await run_in_threadpool(_tool, request, name, fields=dict(sent.fields), error=error)

    def _run(request: Request, name: str, sent: Sent) -> Response:
        made: list[Sample] = []
        failed: list[_Failed] = []
        fields = dict(sent.fields)
        try:
            if not sent.files:
                raise BadInput("No file was chosen.", "", "Choose one or more, then send them.")
            settings = view.chosen(room.shelf.open(name).manifest, fields)
            size, scale = view.scale_of(room, fields)
            for upload in sent.files:
                try:
                    asked = view.who(request)
                    made.append(room.run(name, upload.name, upload.data, settings, size, asked, scale))
                except CloisterError as error:
                    failed.append(_Failed(upload.name, error))
        except CloisterError as error:
            return _tool(request, name, fields=fields, error=error)
        if len(sent.files) == 1 and failed:
            return _tool(request, name, fields=fields, error=failed[0].error)
        if failed:
            return _tool(request, name, fields=fields, failed=tuple(failed))
        if len(made) == 1:
            return pages.go(request, f"/samples/{made[0].id}")
        return pages.go(request, f"/tools/{name}", told=f"{len(made)} results.")

    @routes.get("/tools/{name}/certificate", "tools.use")
    def certificate(request: Request, name: str) -> Response:
        opened = room.shelf.open(name)
        return pages.show(
            request,
            "tools/certificate.html",
            title=f"Who vouches for {opened.manifest.title}",
            opened=opened,
            manifest=opened.manifest,
            checked=opened.checked,
            certificate=_told(opened.checked),
        )

    @routes.get("/tools/{name}/file", "tools.use")
    def export(name: str) -> Response:
        content = room.shelf.export(name)
        headers = as_file(f"{name}.tool")
        return Response(content, media_type="application/octet-stream", headers=headers)

    @routes.post("/tools/{name}/rollback", "tools.install")
    def rollback(request: Request, name: str) -> Response:
        try:
            state = room.shelf.rollback(name)
        except CloisterError as error:
            return _tool(request, name, error=error)
        view.note_going_back(pages.site.accounts, pages.caller(request), state)
        return pages.go(request, f"/tools/{name}", told=f"Version {state.current.version} is in use again.")


def _signers(opened: Opened) -> tuple[str, ...]:
    return () if opened.checked is None else tuple(signer_names(opened.checked))


@dataclass(frozen=True)
class _Told:
    """A certificate in the words of plans: what is protected, and what is not."""

    holds: tuple[str, ...]
    limits: tuple[str, ...]
    created: int
    expires: int | None


def _told(checked: Checked | None) -> _Told | None:
    if checked is None:
        return None
    predicate = checked.certificate.predicate
    return _Told(
        statements(predicate.claims)[0],
        predicate.card.limits,
        parse_rfc3339(predicate.created),
        None if predicate.expires is None else parse_rfc3339(predicate.expires),
    )

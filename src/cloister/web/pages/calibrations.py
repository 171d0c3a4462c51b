"""Calibrations: micrometres per pixel from a picture of a scale; what is kept by name, for everybody who uses the tools here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import partial

from fastapi import Depends, FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from cloister.foundation.errors import BadInput, CloisterError, Unreachable
from cloister.node.toolroom.paces import TooOften
from cloister.node.toolroom.scales import Draft
from cloister.sizing.calibration import Calibration, concerns
from cloister.web.downloads import as_file
from cloister.web.frame import Pages
from cloister.web.routes import Routes
from cloister.web.slow import slow_of
from cloister.web.uploads import Sent, body_limit, taking
from cloister.web.views import calibrations as view
from cloister.web.views.tools import who

_FORM = 1 << 16


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Calibrations", page=True)
    room = pages.site.tools
    one_file, no_file = Depends(taking(1)), Depends(taking(0))
    slow = slow_of(app)

    def today() -> dt.date:
        return dt.datetime.fromtimestamp(pages.site.clock.now()).astimezone().date()

    @routes.get("/calibrations", "tools.use")
    def listing(request: Request) -> Response:
        return _list(request)

    def _list(request: Request, error: CloisterError | None = None) -> Response:
        return pages.show(
            request,
            "calibrations/list.html",
            title="Calibrations",
            lead="How many micrometres a pixel is, by objective. Tools turn pixels into micrometres by these.",
            kept=[(item, _against(item.calibration)) for item in room.scales.kept.list()],
            limits=room.limits,
            error=error,
        )

    def _against(calibration: Calibration | None) -> tuple[str, ...]:
        return () if calibration is None else concerns(calibration, today=today())

    @routes.post("/calibrations", "samples.write", body=body_limit(room.limits.file_bytes))
    async def bring(request: Request, sent: Sent = one_file) -> Response:
        try:
            return await slow.run(who(request).key, partial(_bring, request, sent))
        except (TooOften, Unreachable) as error:
            return await run_in_threadpool(_list, request, error)

    def _bring(request: Request, sent: Sent) -> Response:
        try:
            if not sent.files:
                raise BadInput("No picture was chosen.", "", "Choose a picture of a scale.")
            draft = room.bring_scale(sent.files[0].name, sent.files[0].data, who(request))
        except CloisterError as error:
            return _list(request, error)
        return pages.go(request, f"/calibrations/new/{draft.id}")

    @routes.get("/calibrations/new/{draft}", "samples.write")
    def measure(request: Request, draft: str) -> Response:
        return _measure(request, room.scales.draft(draft, who(request).key))

    def _measure(
        request: Request,
        draft: Draft,
        fields: Mapping[str, str] | None = None,
        error: CloisterError | None = None,
    ) -> Response:
        guide = dict(zip(view.PLACES, view.guide(draft), strict=True))
        return pages.show(
            request,
            "calibrations/new.html",
            title="How large is a pixel?",
            lead=f"{draft.name}, {draft.size[0]} x {draft.size[1]} pixels.",
            draft=draft,
            fields={"way": "points" if draft.lines is None else "lines", **guide, **(fields or {})},
            error=error,
        )

    @routes.get("/calibrations/new/{draft}/picture", "samples.write")
    def picture(request: Request, draft: str) -> Response:
        return Response(room.scales.draft(draft, who(request).key).picture, media_type="image/jpeg")

    @routes.post("/calibrations/new/{draft}", "samples.write", body=_FORM)
    def keep(request: Request, draft: str, sent: Sent = no_file) -> Response:
        found = room.scales.draft(draft, who(request).key)
        name = sent.fields.get("name", "").strip()[:100]
        try:
            made = view.measured(found, sent.fields, today())
            room.scales.keep(found, name, made)
        except CloisterError as error:
            return _measure(request, found, sent.fields, error)
        pages.site.accounts.note(pages.caller(request), "kept the calibration", name)
        return pages.go(
            request, f"/calibrations/kept/{name}", told="It is kept, and can be chosen with every tool."
        )

    @routes.get("/calibrations/kept/{name}", "tools.use")
    def one(request: Request, name: str) -> Response:
        made = room.scales.kept.get(name)
        return pages.show(
            request,
            "calibrations/one.html",
            title=name,
            lead=f"{made.micrometres_per_pixel:.5g} µm per pixel, objective {made.objective}.",
            name=name,
            made=made,
            concerns=concerns(made, today=today()),
        )

    @routes.get("/calibrations/kept/{name}/file", "tools.use")
    def file(name: str) -> Response:
        content = room.scales.kept.get(name).canonical()
        return Response(content, media_type="application/json", headers=as_file(f"{name}.json"))

    @routes.post("/calibrations/kept/{name}/remove", "samples.manage")
    def remove(request: Request, name: str) -> Response:
        room.scales.kept.remove(name)
        pages.site.accounts.note(pages.caller(request), "removed the calibration", name)
        return pages.go(request, "/calibrations", told="It is removed. Results keep what it said.")

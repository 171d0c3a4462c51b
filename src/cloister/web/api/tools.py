"""Tools and what they found, as JSON; the same as on the page."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, TypeAlias

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import Field

from cloister.foundation.errors import BadInput, NotFound
from cloister.node.toolroom.history import Pictures
from cloister.node.toolroom.records import described
from cloister.node.toolroom.shelf import Offer
from cloister.storage.samples import Wanted
from cloister.tools.corrections import Edit
from cloister.web.api.bodies import Body
from cloister.web.desk.labels import as_dataset
from cloister.web.downloads import as_file
from cloister.web.frame import Pages
from cloister.web.routes import Routes
from cloister.web.slow import slow_of
from cloister.web.uploads import Sent, body_limit, taking
from cloister.web.views import corrections as corrections_view
from cloister.web.views import tools as view

_WORD = Query(max_length=100)
CORRECTION_MOST = 64 << 10
"""Bytes of one correction: an outline of as many corners as one may have."""


def _wanted(
    tool: Annotated[str, _WORD] = "",
    label: Annotated[str, _WORD] = "",
    text: Annotated[str, _WORD] = "",
    since: Annotated[str, _WORD] = "",
    until: Annotated[str, _WORD] = "",
) -> Wanted:
    return view.wanted(tool, label, text, since, until)


Search: TypeAlias = Annotated[Wanted, Depends(_wanted)]
"""Which samples, as a request says it."""


class Keep(Body):
    """What is kept of a result, under which label."""

    label: str = Field(default="", max_length=200)
    pictures: Pictures = "overlay"


class Correction(Body):
    """One correction of a result's outlines, by somebody who had seen `after` of them."""

    after: int = Field(ge=0, le=1_000_000)
    key: str = Field(pattern=r"^[A-Za-z0-9_-]{8,64}$")
    edit: Edit


class Label(Body):
    """A sample's label."""

    label: str = Field(max_length=200)


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    _tools(app, pages)
    _samples(app, pages)


def _tools(app: FastAPI, pages: Pages) -> None:
    routes = Routes(app, "Tools")
    room = pages.site.tools
    one_file = Depends(taking(1))
    slow = slow_of(app)

    @routes.get("/api/v1/tools", "tools.use")
    def tools() -> Any:
        """Lists the tools that are installed."""
        return [view.card_json(card) for card in room.shelf.cards()]

    @routes.get("/api/v1/tools/{name}", "tools.use")
    def tool(name: str) -> Any:
        """Tells one tool: its settings and its manifest."""
        return view.tool_json(room.shelf.open(name))

    @routes.get("/api/v1/tools/{name}/file", "tools.use")
    def tool_file(name: str) -> Response:
        """Hands out a tool as one file, to take it elsewhere."""
        headers = as_file(f"{name}.tool")
        return Response(room.shelf.export(name), media_type="application/octet-stream", headers=headers)

    @routes.post("/api/v1/tools/{name}/samples", "tools.use", body=body_limit(room.limits.file_bytes))
    async def run(name: str, request: Request, sent: Sent = one_file) -> Any:
        """Runs a tool on one file: a form with `file`, and perhaps `um_per_pixel` or `calibration` (its name), and `set-NAME`."""
        if not sent.files:
            raise BadInput("No file came.", "", "Send it as `file` in a form (multipart/form-data).")
        return await slow.run(view.who(request).key, partial(_run, name, request, sent))

    _takes_a_file(app)

    def _run(name: str, request: Request, sent: Sent) -> Any:
        manifest = room.shelf.open(name).manifest
        upload = sent.files[0]
        size, scale = view.scale_of(room, sent.fields)
        sample = room.run(
            name,
            upload.name,
            upload.data,
            view.chosen(manifest, sent.fields),
            size,
            view.who(request),
            scale,
        )
        return described(sample)

    @routes.post("/api/v1/tools/{name}/rollback", "tools.install")
    def rollback(name: str, request: Request) -> Any:
        """Goes back to the version of a tool that was installed before."""
        state = room.shelf.rollback(name)
        view.note_going_back(pages.site.accounts, pages.caller(request), state)
        return state.model_dump(mode="json")

    @routes.post("/api/v1/tool-offers", "tools.install", body=body_limit(room.limits.tool_bytes))
    async def offer(request: Request, sent: Sent = one_file) -> Any:
        """Looks at a tool's file; it is installed only by a second request."""
        if not sent.files:
            raise BadInput("No file came.", "", "Send it as `file` in a form (multipart/form-data).")
        whose = view.who(request).key
        return _offer(await slow.run(whose, partial(room.shelf.offer, sent.files[0].data, whose)))

    _takes_a_file(app)

    @routes.get("/api/v1/tool-offers/{offer}", "tools.install")
    def offered(offer: str, request: Request) -> Any:
        """Tells what a looked-at tool is, before it is installed."""
        return _offer(room.shelf.offered(offer, view.who(request).key))

    @routes.post("/api/v1/tool-offers/{offer}/install", "tools.install")
    def install(offer: str, request: Request) -> Any:
        """Installs a tool that was looked at."""
        state = room.shelf.install(offer, view.who(request).key)
        pages.site.accounts.note(
            pages.caller(request), "installed the tool", f"{state.name} {state.current.version}"
        )
        return state.model_dump(mode="json")

    @routes.delete("/api/v1/tool-offers/{offer}", "tools.install")
    def discard(offer: str, request: Request) -> Any:
        """Forgets a tool that was looked at."""
        room.shelf.discard(offer, view.who(request).key)
        return {"discarded": offer}


def _samples(app: FastAPI, pages: Pages) -> None:
    routes = Routes(app, "Samples")
    room = pages.site.tools
    slow = slow_of(app)

    @routes.get("/api/v1/samples", "samples.read")
    def samples(
        search: Search,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        before: Annotated[str, _WORD] = "",
    ) -> Any:
        """Kept samples, newest first; `next` of one answer is `before` of the next request."""
        page = room.history.page(search, limit=limit, before=before)
        return {
            "samples": [described(sample) for sample in page.samples],
            "total": page.total,
            "next": page.older or None,
        }

    @routes.get("/api/v1/samples/recent", "samples.read")
    def recent(request: Request) -> Any:
        """One's own results that are not kept, newest first."""
        return [described(sample) for sample in room.recent(view.who(request))]

    @routes.get("/api/v1/samples/trend", "samples.read")
    def trend(
        search: Search, figure: Annotated[str, _WORD] = "count", series: Annotated[str, _WORD] = ""
    ) -> Any:
        """Tells one figure of kept samples over time, of one `series`: same tool, settings and size of a pixel."""
        found = room.history.trend(search, figure, series)
        return {
            "figure": found.figure,
            "unit": found.unit,
            "points": [vars(point) for point in found.points],
            "series": [{**vars(item), "settings": dict(item.settings)} for item in found.series],
            "chosen": found.chosen,
            "complete": not found.cut,
        }

    @routes.get(
        "/api/v1/samples/export.csv",
        "samples.read",
        response_class=Response,
        responses={200: {"content": {"text/csv": {}}}},
    )
    def as_csv(search: Search) -> Response:
        """Hands out kept samples as a CSV table."""
        return _download(room.history.as_csv(search), "samples.csv", "text/csv; charset=utf-8")

    @routes.get("/api/v1/samples/export.json", "samples.read")
    def as_json(search: Search) -> Response:
        """Hands out kept samples as JSON."""
        return _download(room.history.as_json(search), "samples.json", "application/json")

    @routes.get("/api/v1/samples/{sample}", "samples.read")
    def one(sample: str, request: Request) -> Any:
        """Tells one sample."""
        return described(room.sample(sample, view.who(request)))

    @routes.get("/api/v1/samples/{sample}/files/{name}", "samples.read")
    def sample_file(sample: str, name: str, request: Request) -> Response:
        """Hands out a file of a sample, such as its picture."""
        asked = view.who(request)
        return view.file_answer(room, room.sample(sample, asked), name, asked, download=True)

    @routes.post("/api/v1/samples/{sample}/keep", "samples.write")
    def keep(sample: str, body: Keep, request: Request) -> Any:
        """Keeps a sample's figures under a label, and its pictures where that is wanted."""
        left_out = room.keep(sample, body.label, body.pictures, view.who(request))
        return {**described(room.history.get(sample)), "left_out": list(left_out)}

    @routes.get("/api/v1/samples/{sample}/corrections", "samples.read")
    def corrections(sample: str, request: Request) -> Any:
        """Tells a result's objects as they are after what people corrected, with who corrected what."""
        return corrections_view.state_json(room.corrections(sample, view.who(request)))

    @routes.post("/api/v1/samples/{sample}/corrections", "samples.write", body=CORRECTION_MOST)
    def correct(sample: str, body: Correction, request: Request) -> Any:
        """Corrects a result's outlines: adds, removes, splits, merges, redraws, undoes; tells what went and what came."""
        state = room.correct(sample, body.edit, body.after, body.key, view.who(request))
        return corrections_view.change_json(state, body.after)

    @routes.get("/api/v1/samples/{sample}/labels.zip", "samples.read")
    async def labels(sample: str, request: Request) -> Response:
        """Hands out a result's picture and its objects as a folder that can be registered as a dataset."""
        asked = view.who(request)
        wanted = [room.sample(sample, asked)]
        made = await slow.run(asked.key, partial(as_dataset, room, wanted, asked))
        return _download(made, "labels.zip", "application/zip")

    @routes.post(
        "/api/v1/samples/{sample}/cleaned",
        "tools.use",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}, "image/png": {}}}},
    )
    async def cleaned(sample: str, request: Request) -> Response:
        """Makes a cleaned copy of a result's picture, to look at and not to measure: light evened, noise and litter removed."""
        asked = view.who(request)
        found = room.sample(sample, asked)
        return view.cleaned_answer(found, await slow.run(asked.key, partial(room.cleaned, sample, asked)))

    @routes.post("/api/v1/samples/{sample}/label", "samples.write")
    def relabel(sample: str, body: Label, request: Request) -> Any:
        """Changes the label of a sample that one kept; with the right to manage samples, of any."""
        view.require_own(request, room.history.get(sample))
        room.history.relabel(sample, body.label)
        return described(room.history.get(sample))

    @routes.delete("/api/v1/samples/{sample}", "samples.write")
    def remove(sample: str, request: Request) -> Any:
        """Forgets a result of one's own, or deletes a sample that one kept; with the right to manage samples, any."""
        found = room.sample(sample, view.who(request))
        if found.state == "recent":
            room.drop(sample, view.who(request))
            return {"removed": sample}
        view.require_own(request, found)
        if not room.history.remove([sample]):
            raise NotFound("There is no such sample.", "", "See the list of samples.")
        pages.site.accounts.note(pages.caller(request), "deleted a sample", sample[:12], kind="own")
        return {"removed": sample}


def _offer(offer: Offer) -> dict[str, Any]:
    return {
        "id": offer.id,
        "manifest": offer.package.tool.manifest.model_dump(mode="json"),
        "digest": offer.package.tool.digest,
        "certificate": None if offer.checked is None else view.certificate_json(offer.checked),
        "replaces": None if offer.current is None else offer.current.model_dump(mode="json"),
        "sandbox": dict(offer.sandbox),
    }


def _download(content: bytes, name: str, kind: str) -> Response:
    return Response(content, media_type=kind, headers=as_file(name))


def _takes_a_file(app: FastAPI) -> None:
    """Says in the interface's description what the route registered last takes: a form with a file."""
    route = app.router.routes[-1]
    assert isinstance(route, APIRoute)
    schema = {
        "type": "object",
        "properties": {
            "file": {"type": "string", "format": "binary"},
            "um_per_pixel": {"type": "string"},
            "calibration": {"type": "string"},
        },
        "required": ["file"],
    }
    content = {"multipart/form-data": {"schema": schema}}
    route.openapi_extra = {
        **(route.openapi_extra or {}),
        "requestBody": {"required": True, "content": content},
    }

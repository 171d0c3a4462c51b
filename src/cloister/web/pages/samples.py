"""Samples: what a tool found in a file, kept or not; what was kept, over time."""

from __future__ import annotations

import contextlib
import re
import secrets
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from fastapi import FastAPI, Form, Request, Response

from cloister.foundation.errors import BadInput, CloisterError, Conflict, NotFound
from cloister.node.toolroom.history import Pictures
from cloister.node.toolroom.recent import Sample
from cloister.node.toolroom.room import OUTLINES
from cloister.sizing.calibration import described
from cloister.storage.samples import Wanted
from cloister.web.desk.labels import MOST, as_dataset
from cloister.web.downloads import as_file
from cloister.web.drawn import DRAWN, drawn_picture
from cloister.web.frame import Pages
from cloister.web.routes import Routes
from cloister.web.slow import slow_of
from cloister.web.views import corrections
from cloister.web.views import samples as told
from cloister.web.views import tools as view

_PAGE = 50
_WORD = Form(max_length=300)


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Samples", page=True)
    room = pages.site.tools
    slow = slow_of(app)

    @routes.get("/samples", "samples.read")
    def listing(
        request: Request,
        tool: str = "",
        label: str = "",
        text: str = "",
        since: str = "",
        until: str = "",
        figure: str = "count",
        series: str = "",
        before: str = "",
        after: str = "",
    ) -> Response:
        asked = {"tool": tool, "label": label, "text": text, "since": since, "until": until}
        asked = {name: value[:100] for name, value in asked.items() if value}
        error: CloisterError | None = None
        try:
            wanted = view.wanted(**asked)
            page = room.history.page(wanted, limit=_PAGE, before=before, after=after)
        except BadInput as problem:
            error, wanted = problem, Wanted()
            page = room.history.page(wanted, limit=_PAGE)
        known = room.history.figures(wanted)
        figure = figure if figure in known else next(iter(known), "count")

        def again(**more: str) -> str:
            return "/samples?" + urlencode({**asked, "figure": figure, **more})

        return pages.show(
            request,
            "samples/list.html",
            title="Samples",
            lead="What was kept of what the tools found here.",
            page=page,
            own=[view.is_own(request, item) for item in page.samples],
            asked=asked,
            figure=figure,
            figures=known,
            trend=room.history.trend(wanted, figure, series[:100]),
            tools=room.history.tools(),
            labels=room.history.labels(),
            recent=room.recent(view.who(request))[:_PAGE],
            newer=again(after=page.newer) if page.newer else "",
            older=again(before=page.older) if page.older else "",
            query=urlencode(asked),
            of_series=lambda key: again(series=key),
            view=view,
            error=error,
        )

    @routes.get("/samples/export.csv", "samples.read")
    def as_csv(tool: str = "", label: str = "", text: str = "", since: str = "", until: str = "") -> Response:
        wanted = view.wanted(tool, label, text, since, until)
        return _download(room.history.as_csv(wanted), "samples.csv", "text/csv; charset=utf-8")

    @routes.get("/samples/export.json", "samples.read")
    def as_json(
        tool: str = "", label: str = "", text: str = "", since: str = "", until: str = ""
    ) -> Response:
        wanted = view.wanted(tool, label, text, since, until)
        return _download(room.history.as_json(wanted), "samples.json", "application/json")

    @routes.post("/samples/keep", "samples.write")
    def keep_several(
        request: Request,
        sample: Annotated[list[str] | None, Form(max_length=500)] = None,
        label: Annotated[str, _WORD] = "",
        pictures: Annotated[Pictures, Form()] = "overlay",
    ) -> Response:
        asked, kept = view.who(request), 0
        for one in sample or []:
            # What was forgotten meanwhile is no reason to lose the others.
            with contextlib.suppress(NotFound):
                room.keep(one[:100], label, pictures, asked)
                kept += 1
        return pages.go(request, "/samples", told=_several(kept, "is kept.", "are kept."))

    @routes.post("/samples/delete", "samples.write")
    def delete(
        request: Request,
        sample: Annotated[list[str] | None, Form(max_length=500)] = None,
        sure: Annotated[str, _WORD] = "",
    ) -> Response:
        """Asks first; what is somebody else's is left out, and said."""
        found = []
        for one in dict.fromkeys(sample or []):
            with contextlib.suppress(NotFound):
                found.append(room.history.get(one[:100]))
        own = [item for item in found if view.is_own(request, item)]
        if sure != "yes" or not own:
            return pages.show(
                request,
                "samples/delete.html",
                title="Delete samples" if len(own) > 1 else "Delete a sample",
                samples=own,
                others=len(found) - len(own),
                view=view,
            )
        removed = room.history.remove(item.id for item in own)
        if removed:
            pages.site.accounts.note(pages.caller(request), "deleted samples", str(removed), kind="own")
        return pages.go(request, "/samples", told=_several(removed, "was deleted.", "were deleted."))

    @routes.post("/samples/drawn", "tools.use")
    def drawn(request: Request) -> Response:
        number = secrets.randbelow(DRAWN)
        made = room.run(
            "crystals", f"drawn-{number + 1}.png", drawn_picture(number), {}, None, view.who(request)
        )
        return pages.go(
            request, f"/samples/{made.id}", told="This picture was drawn by this server, to try the tool on."
        )

    @routes.get("/samples/labels.zip", "samples.read")
    async def all_labels(
        request: Request, tool: str = "", label: str = "", text: str = "", since: str = "", until: str = ""
    ) -> Response:
        found = room.history.page(view.wanted(tool, label, text, since, until), limit=MOST).samples
        asked = view.who(request)
        whole = [room.history.get(sample.id) for sample in found]
        made = await slow.run(asked.key, partial(as_dataset, room, whole, asked))
        return _download(made, "labels.zip", "application/zip")

    @routes.get("/samples/{sample}", "samples.read")
    def show(request: Request, sample: str) -> Response:
        return _show(request, room.sample(sample, view.who(request)))

    def _show(
        request: Request, sample: Sample, label: str = "", error: CloisterError | None = None
    ) -> Response:
        opened = told.tool_of(room, sample)
        state = None
        if OUTLINES in sample.files:
            # Outlines that cannot be read are no reason to show nothing: figures and pictures are there.
            with contextlib.suppress(BadInput):
                state = room.corrections(sample.id, view.who(request))
        return pages.show(
            request,
            "samples/sample.html",
            title=sample.file,
            lead=f"{sample.title}, version {sample.version}",
            sample=sample,
            label=label or sample.label,
            own=view.is_own(request, sample),
            labels=room.history.labels(),
            manifest=None if opened is None else opened.manifest,
            without_size=told.without_size(sample, opened),
            cleans=state is not None and told.can_be_cleaned(sample, opened),
            hand=None if state is None else corrections.shown(state),
            key=secrets.token_hex(16),
            counted="Count" if opened is None else view.counted(opened.manifest),
            rows=None if sample.size else told.rows_of(room, sample, view.who(request)),
            told_of=told,
            view=view,
            described=described,
            error=error,
        )

    @routes.get("/samples/{sample}/labels.zip", "samples.read")
    async def labels(request: Request, sample: str) -> Response:
        asked = view.who(request)
        found = room.sample(sample, asked)
        name = view.download_name(found, "labels.zip")
        made = await slow.run(asked.key, partial(as_dataset, room, [found], asked))
        return _download(made, name, "application/zip")

    @routes.get("/samples/{sample}/by-hand", "samples.read")
    def by_hand(request: Request, sample: str) -> Response:
        asked = view.who(request)
        found = room.sample(sample, asked)
        state = room.corrections(sample, asked)
        opened = told.tool_of(room, found)
        return pages.part(
            request,
            "samples/by_hand.html",
            part=True,
            sample=found,
            counted="Count" if opened is None else view.counted(opened.manifest),
            hand=corrections.shown(state),
            key=secrets.token_hex(16),
            view=view,
        )

    @routes.post("/samples/{sample}/corrections", "samples.write")
    def correct(
        request: Request,
        sample: str,
        action: Annotated[str, _WORD] = "",
        after: Annotated[int, Form(ge=0)] = 0,
        key: Annotated[str, _WORD] = "",
        numbers: Annotated[str, Form(max_length=5000)] = "",
        x: Annotated[str, _WORD] = "",
        y: Annotated[str, _WORD] = "",
        diameter: Annotated[str, _WORD] = "",
    ) -> Response:
        asked = view.who(request)
        found = room.sample(sample, asked)
        fields = {"action": action, "numbers": numbers, "x": x, "y": y, "diameter": diameter}
        key = key if re.fullmatch(r"[0-9a-f]{32}", key) else secrets.token_hex(16)
        try:
            edit = corrections.asked(fields, found.um_per_pixel)
            state = room.correct(sample, edit, after, key, asked)
        except (BadInput, Conflict) as error:
            return _show(request, room.sample(sample, asked), error=error)
        done = corrections.lines(state.journal)[0]
        return pages.go(request, f"/samples/{sample}", told=f"You {done.text}.")

    @routes.post("/samples/{sample}/cleaned", "tools.use")
    async def cleaned(request: Request, sample: str) -> Response:
        asked = view.who(request)
        found = room.sample(sample, asked)
        return view.cleaned_answer(found, await slow.run(asked.key, partial(room.cleaned, sample, asked)))

    @routes.get("/samples/{sample}/{name}", "samples.read")
    def file(request: Request, sample: str, name: str, *, download: bool = False) -> Response:
        asked = view.who(request)
        return view.file_answer(room, room.sample(sample, asked), name, asked, download=download)

    @routes.post("/samples/{sample}/keep", "samples.write")
    def keep(
        request: Request,
        sample: str,
        label: Annotated[str, _WORD] = "",
        pictures: Annotated[Pictures, Form()] = "overlay",
    ) -> Response:
        asked = view.who(request)
        try:
            left_out = room.keep(sample, label, pictures, asked)
        except CloisterError as error:
            return _show(request, room.sample(sample, asked), label, error)
        told = "The sample is kept."
        if left_out:
            told += f" Too large to keep: {', '.join(left_out)}."
        return pages.go(request, f"/samples/{sample}", told=told)

    @routes.post("/samples/{sample}/discard", "samples.write")
    def discard(request: Request, sample: str) -> Response:
        asked = view.who(request)
        found = room.sample(sample, asked)
        room.drop(sample, asked)
        return pages.go(
            request, f"/tools/{found.tool}", told="The result is forgotten. Nothing of it was kept."
        )

    @routes.post("/samples/{sample}/label", "samples.write")
    def relabel(request: Request, sample: str, label: Annotated[str, _WORD] = "") -> Response:
        view.require_own(request, room.history.get(sample))
        try:
            room.history.relabel(sample, label)
        except BadInput as error:
            return _show(request, room.sample(sample, view.who(request)), label, error)
        return pages.go(request, f"/samples/{sample}", told="The label is changed.")


def _several(number: int, one: str, more: str) -> str:
    return f"{number} sample {one}" if number == 1 else f"{number} samples {more}"


def _download(content: bytes, name: str, kind: str) -> Response:
    headers = as_file(name)
    return Response(content, media_type=kind, headers=headers)

"""Results: what owners approved, with its certificate; downloaded, put into a tool, or taken back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Form, Request, Response

from cloister.foundation.errors import BadInput, CloisterError
from cloister.node.reports import release_content, release_view
from cloister.tools.builtin import with_models
from cloister.web.downloads import as_file
from cloister.web.frame import Pages
from cloister.web.guard import allow
from cloister.web.routes import Routes
from cloister.web.views import typed
from cloister.web.views.results import bundle, listing, result_page

_TEXT = Form(max_length=200)
_SHOWN = 50


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Results", page=True)

    @routes.get("/results", "results.read")
    def results(request: Request, before: int = 0) -> Response:
        found = listing(pages.node())
        start = max(0, min(before, len(found)))
        return pages.show(
            request,
            "results/list.html",
            title="Results",
            lead="What the owners of the data approved, each with its certificate.",
            results=found[start : start + _SHOWN],
            newer=f"/results?before={max(0, start - _SHOWN)}" if start else "",
            older=f"/results?before={start + _SHOWN}" if start + _SHOWN < len(found) else "",
        )

    @routes.get("/results/{release}", "results.read")
    def show(request: Request, release: str) -> Response:
        return _show(request, release)

    def _show(request: Request, release: str, error: CloisterError | None = None) -> Response:
        item = result_page(pages.node(), release)
        return pages.show(
            request,
            "results/show.html",
            title=item["title"],
            lead=f"For: {item['card'].purpose}",
            result=item,
            error=error,
        )

    @routes.get("/results/{release}/content", "results.read")
    def content(release: str) -> Response:
        node = pages.node()
        told = release_view(node, release)
        name = f"{release.removeprefix('sha256:')[:16]}.{'onnx' if told['kind'] == 'model' else 'bin'}"
        return _file(release_content(node, release), name, "application/octet-stream")

    @routes.get("/results/{release}/certificate", "results.read")
    def certificate(release: str) -> Response:
        told = release_view(pages.node(), release)
        name = f"{release.removeprefix('sha256:')[:16]}.certificate.json"
        return _file(bundle(told), name, "application/json")

    @routes.post("/results/{release}/revoke", "results.revoke")
    def revoke(
        request: Request,
        release: str,
        reason: Annotated[str, _TEXT] = "",
        sure: Annotated[str, _TEXT] = "",
    ) -> Response:
        try:
            if sure != "yes":
                raise BadInput("Nothing was taken back.", "It is final.", "Tick that you know it.")
            told = pages.node().revocations.revoke(release, reason)
        except CloisterError as error:
            return _show(request, release, error)
        left = len(told["untold"])
        rest = f" {left} servers are still to be told." if left else " Everybody who holds it was told."
        return pages.go(request, f"/results/{release}", told="Taken back." + rest)

    @routes.get("/results/{release}/tool", "tools.install")
    def tool_page(request: Request, release: str) -> Response:
        allow(pages.caller(request), "results.read")
        return _tool(request, release, {})

    def _tool(
        request: Request, release: str, given: dict[str, str], error: CloisterError | None = None
    ) -> Response:
        return pages.show(
            request,
            "results/tool.html",
            title="Make a tool of it",
            lead="The tool runs on this machine. Its certificate travels with it.",
            result=result_page(pages.node(), release),
            given=given,
            base_options=[(name, name) for name in with_models()],
            error=error,
        )

    @routes.post("/results/{release}/tool", "tools.install")
    def install(
        request: Request,
        release: str,
        how: Annotated[str, _TEXT] = "",
        base: Annotated[str, _TEXT] = "",
        name: Annotated[str, _TEXT] = "",
        title: Annotated[str, _TEXT] = "",
        counted: Annotated[str, _TEXT] = "",
        tile: Annotated[str, _TEXT] = "",
        overlap: Annotated[str, _TEXT] = "",
        threshold: Annotated[str, _TEXT] = "",
    ) -> Response:
        given = {
            "how": how, "base": base, "name": name, "title": title, "counted": counted, "tile": tile,
            "overlap": overlap, "threshold": threshold,
        }  # fmt: skip
        allow(pages.caller(request), "results.read")
        try:
            state = _installed(pages, release, given)
        except CloisterError as error:
            return _tool(request, release, given, error)
        pages.site.accounts.note(
            pages.caller(request), "made a tool of a result", f"{state['tool']} {state['version']}"
        )
        told = f"{state['tool']} {state['version']} is installed."
        return pages.go(request, f"/results/{release}", told=told)


def _installed(pages: Pages, release: str, given: dict[str, str]) -> dict[str, Any]:
    told = release_view(pages.node(), release)
    content = release_content(pages.node(), release)
    shelf = pages.site.tools.shelf
    if given["how"] != "new":
        return shelf.install_release(given["base"], content, told)
    return shelf.install_counting(
        given["name"],
        content,
        told,
        title=given["title"],
        counted=given["counted"] or "objects",
        tile=typed.whole(given["tile"], "“Square, pixels”", least=1, most=999_999, example="256"),
        overlap=typed.whole(given["overlap"], "“Overlap, pixels”", most=999_999, example="64"),
        threshold=typed.number(given["threshold"], "The threshold", above=0, below=1, example="0.5"),
    )


def _file(data: bytes, name: str, kind: str) -> Response:
    return Response(
        data,
        media_type=kind,
        headers=as_file(name) | {"cache-control": "no-store"},
    )

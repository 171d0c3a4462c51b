"""Errors as problem documents (RFC 9457) for programs, as pages for people; nothing of a request in a log."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloister.foundation.canonical import canonical
from cloister.foundation.errors import BadInput, CloisterError, NotFound, NotFresh, NotSignedIn, OutOfSpace
from cloister.web.frame import Pages, headers_of
from cloister.web.guard import NOBODY, Caller

_LOG = logging.getLogger("cloister.web")
_PROBLEM = "application/problem+json"


def add(app: FastAPI, pages: Pages) -> None:
    """Has every error of the application answered."""

    def answer(request: Request, error: CloisterError, status: int | None = None) -> Response:
        if request.url.path.startswith("/api/"):
            return _document(error, status, pages.caller(request))
        return _page(pages, request, error, status)

    @app.exception_handler(CloisterError)
    async def refused(request: Request, error: CloisterError) -> Response:
        return answer(request, error)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first.get("loc", ()))[:200]
        return answer(
            request,
            BadInput("The request could not be read.", f"At {place}: {first.get('msg', '')}.", "Correct it."),
        )

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, CloisterError):
            return answer(request, error.__cause__)  # of a body that was given up while it was read
        made = answer(request, _of_status(error.status_code, request.url.path), error.status_code)
        if error.headers and "Allow" in error.headers:
            made.headers["allow"] = error.headers["Allow"]
        return made

    @app.exception_handler(OSError)
    async def disk(request: Request, error: OSError) -> Response:
        if error.errno == 28:
            full = OutOfSpace("The disk is full.", "Nothing was changed.", "Free some space and try again.")
            return answer(request, full)
        return answer(
            request,
            CloisterError("The system refused something.", error.strerror or "", "See the server's log."),
        )

    app.add_middleware(_Last)


def _of_status(status: int, path: str) -> CloisterError:
    see = "See /api/v1/openapi.json" if path.startswith("/api/") else "Choose a screen."
    if status == 404:
        return NotFound("There is nothing at this address.", "", see)
    if status == 405:
        return NotFound("There is nothing of this kind at this address.", "Others may be: see Allow.", see)
    if status == 408:
        return BadInput("The rest of the request did not come in time.", "", "Send it again.")
    return BadInput("The request could not be read.", "Its body is not what this address takes.", see)


class _Last:
    """Answers what nothing else did.

    Not an exception handler: those for `Exception` raise it again, and the server would log a trace with values.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            _LOG.error("a request failed: %s", type(error).__name__)
            if not begun:
                made = CloisterError(
                    "Something went wrong inside the server.", type(error).__name__, "See `cloister doctor`."
                )
                await _document(made, None, NOBODY)(scope, receive, watched)


def _document(error: CloisterError, status: int | None, caller: Caller) -> Response:
    document = _plain(error.problem())
    document["status"] = status or error.status
    if local := _local(error, caller):
        document["local"] = local
    return Response(
        canonical(document), status or error.status, headers=headers_of(error), media_type=_PROBLEM
    )


def _page(pages: Pages, request: Request, error: CloisterError, status: int | None) -> Response:
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.method == "GET" and isinstance(error, NotSignedIn):
        return RedirectResponse(f"/sign-in?next={quote(here)}", 303)
    if request.method == "GET" and isinstance(error, NotFresh):
        return RedirectResponse(f"/confirm?next={quote(here)}", 303)
    back, text = "/", "Home"
    if isinstance(error, NotSignedIn):
        back, text = "/sign-in", "Sign in"
    elif isinstance(error, NotFresh):
        back, text = "/confirm", "Enter the password again"
    elif pages.site.node is None and "node.manage" in pages.caller(request).rights:
        new = pages.site.state == "new"
        back, text = ("/organisation", "Name the organisation") if new else ("/unlock", "Open the server")
    return pages.show(
        request,
        "problem.html",
        title="That did not work",
        error=error,
        status=status or error.status,
        bare=not pages.caller(request).rights,
        back=back,
        back_text=text,
        detail="\n".join(_local(error, pages.caller(request))),
    )


def _local(error: CloisterError, caller: Caller) -> list[str]:
    """What exactly changed in a dataset, and the like: only for those who look after this node's data."""
    if "datasets.write" not in caller.rights:
        return []
    return [str(line)[:500] for line in getattr(error, "local", ())[:1000]]


def _plain(problem: dict[str, Any]) -> dict[str, Any]:
    # Detail may hold what JSON cannot; a problem document must still go out.
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [plain(item) for item in value]
        return value if value is None or isinstance(value, str | int | float | bool) else str(value)[:200]

    return {str(key): plain(value) for key, value in problem.items()}

"""Errors as problem documents (RFC 9457), and nothing of a request in a log."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from cloister.foundation.canonical import canonical
from cloister.foundation.errors import BadInput, CloisterError, NotFound, OutOfSpace

_LOG = logging.getLogger("cloister.web")
_PROBLEM = "application/problem+json"


def add(app: FastAPI) -> None:
    """Has every error of the application answered."""
    def answer(error: CloisterError) -> Response:
        document = _plain(error.problem())
        # What exactly changed in a dataset: for its owner, who is the only one at this socket.
        if local := getattr(error, "local", None):
            document["local"] = [str(line)[:500] for line in local[:1000]]
        return Response(canonical(document), error.status, media_type=_PROBLEM)

    @app.exception_handler(CloisterError)
    async def refused(_: Request, error: CloisterError) -> Response:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first.get("loc", ()))[:200]
        return answer(
            BadInput("The request could not be read.", f"At {place}: {first.get('msg', '')}.", "Correct it.")
        )

    @app.exception_handler(HTTPException)
    async def unknown(_: Request, error: HTTPException) -> Response:
        made = NotFound(
            "There is nothing at this address.", str(error.detail)[:100], "See /api/v1/openapi.json"
        )
        return Response(canonical(made.problem()), error.status_code, media_type=_PROBLEM)

    @app.exception_handler(OSError)
    async def disk(_: Request, error: OSError) -> Response:
        if error.errno == 28:
            return answer(
                OutOfSpace("The disk is full.", "Nothing was changed.", "Free some space and try again.")
            )
        return answer(
            CloisterError("The system refused something.", error.strerror or "", "See the node's log.")
        )

    @app.middleware("http")
    async def failed(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        # Not an exception handler: those for `Exception` raise it again, and the server would log a trace with values.
        try:
            return await go_on(request)
        except Exception as error:
            _LOG.error("a request failed: %s", type(error).__name__)
            return answer(
                CloisterError(
                    "Something went wrong inside the node.", type(error).__name__, "See `cloister doctor`."
                )
            )


def _plain(problem: dict[str, Any]) -> dict[str, Any]:
    # Detail may hold what JSON cannot; a problem document must still go out.
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [plain(item) for item in value]
        return value if value is None or isinstance(value, str | int | float | bool) else str(value)[:200]

    return {str(key): plain(value) for key, value in problem.items()}

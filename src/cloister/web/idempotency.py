"""`Idempotency-Key`: a request that is sent again, because its answer was lost, does not act again.

Rules:
1. A key belongs to a caller, and to one request: method, address and body. With another request it is refused.
2. That a request is begun is written down before anything is done. If its answer is known, the same answer is given again; if it
   is not, because the server stopped in between, nothing is done and the caller is told to look.
3. What was refused did nothing: its key may be used again.
4. Nobody's key is not looked at: strangers are not told apart. An answer that gives a cookie is not kept.
5. A key is remembered for a day, of a caller the last thousand. Answers that hold a secret are not kept: their routes take no key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import IntegrityError
from starlette.concurrency import run_in_threadpool

from cloister.foundation.errors import BadInput, CloisterError, Conflict
from cloister.storage.answers import Answer, Answers
from cloister.web.guard import caller_of

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEPT_MOST = 256 << 10
_KEY = re.compile(r"[A-Za-z0-9_-]{8,64}")

Handler = Callable[[Request], Awaitable[Response]]


async def once(request: Request, handle: Handler) -> Response:
    """The answer to a request with a key: made now, or as it was made before.

    Args:
        request: with the header, of somebody who may send it.
        handle: does it.

    Raises:
        BadInput: the key is none, or was used for another request.
        Conflict: the same request is being done, or it is not known whether it was.
    """
    key = request.headers[HEADER]
    if not _KEY.fullmatch(key):
        raise BadInput(
            f"The header {HEADER} is not usable.", "A key has 8 to 64 letters, digits, - or _.", "Draw one."
        )
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        raise BadInput(
            f"Files take no {HEADER}.",
            "They would be held in memory before there is room for them.",
            "Send it without; look whether it was done before you send it again.",
        )
    caller = caller_of(request)
    whose = caller.account or caller.name
    if not whose:
        return await handle(request)
    site = request.app.state.site
    digest = _digest(request, await request.body())
    had = await run_in_threadpool(_begin, site, whose, key, digest)
    if had is not None:
        return _again(had, digest)
    try:
        answer = await handle(request)
    except (CloisterError, HTTPException, RequestValidationError):
        await run_in_threadpool(_write, site, lambda rows: rows.forget(whose, key))
        raise
    if "set-cookie" in answer.headers:
        await run_in_threadpool(_write, site, lambda rows: rows.forget(whose, key))
        return answer
    content = getattr(answer, "body", None)
    kept = bytes(content) if isinstance(content, bytes | memoryview) and len(content) <= KEPT_MOST else None
    await run_in_threadpool(_write, site, lambda rows: rows.keep(whose, key, answer.status_code, kept))
    return answer


def _digest(request: Request, body: bytes) -> str:
    asked = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return hashlib.sha256(asked + hashlib.sha256(body).digest()).hexdigest()


def _begin(site: Any, whose: str, key: str, digest: str) -> Answer | None:
    now = site.clock.now()
    try:
        with site.database.transaction() as tx:
            rows = Answers(tx)
            had = rows.find(whose, key, now)
            if had is None:
                rows.begin(whose, key, digest, now)
    except IntegrityError:
        return Answer(digest)  # the same request, at the same moment
    return had


def _write(site: Any, what: Callable[[Answers], None]) -> None:
    with site.database.transaction() as tx:
        what(Answers(tx))


def _again(had: Answer, digest: str) -> Response:
    if had.digest != digest:
        raise BadInput(
            "The key was used for another request.",
            "A key is for one request.",
            "Draw a new key for this one.",
        )
    if had.status is None:
        raise Conflict(
            "This request was begun before.",
            "It is being done, or the server stopped while it was: then nobody knows how far it came.",
            "Look whether it was done; if not, send it with a new key.",
        )
    if had.content is None:
        raise Conflict(
            "This was done before.", "The answer was too large to keep.", "Look at what came of it."
        )
    return Response(had.content, had.status, {REPLAYED: "true"}, "application/json")

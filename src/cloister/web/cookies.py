"""The session's cookie: given with an answer after somebody has shown who it is."""

from __future__ import annotations

from typing import TypeVar

from fastapi import Response

from cloister.web.doors import Address

AnyResponse = TypeVar("AnyResponse", bound=Response)


def with_session(answer: AnyResponse, address: Address, secret: str) -> AnyResponse:
    """The answer, with a session's secret for this host only, out of reach of scripts and of other sites.

    It has no end of its own: browsers forget it when they close, the server when `people.sessions` says so.
    """
    answer.set_cookie(
        address.cookie, secret, path="/", secure=address.secure, httponly=True, samesite="strict"
    )
    return answer

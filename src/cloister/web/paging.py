"""Lists in pages: some entries, and where the next ones are.

A route that answers with a list is registered by `Routes.listing`. It takes `limit` and `cursor`, and answers with the entries
themselves; if there are more, the header `Link` (RFC 8288, `rel="next"`) says where. Who follows it gets every entry once, in the
order of the list, whatever is added or taken away meanwhile: a cursor names the last entry that was told, and its place.
"""

from __future__ import annotations

import base64
import binascii
import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin
from urllib.parse import quote, urlencode

from fastapi import Query, Request, Response

from cloister.foundation.errors import BadInput

USUAL, MOST = 200, 1000
_CURSOR_MOST = 600


def paged(handle: Callable[..., Sequence[Mapping[str, Any]]], key: str) -> Callable[..., list[Any]]:
    """A handler that answers with a page of what another answers with.

    Args:
        handle: answers with a list of objects, always in the same order.
        key: the field that names an entry.
    """
    own = inspect.signature(handle, eval_str=True)
    # A handler may ask for the request itself; the framework gives it under one name only.
    asked = {
        kind: name
        for name, item in own.parameters.items()
        for kind in (Request, Response)
        if _bare(item.annotation) is kind
    }
    request_name, response_name = asked.get(Request, "page_request"), asked.get(Response, "page_response")

    @functools.wraps(handle)
    def page(*given: Any, limit: int, cursor: str, **named: Any) -> list[Any]:
        request: Request = named[request_name]
        response: Response = named[response_name]
        entries = list(
            handle(*given, **{name: value for name, value in named.items() if name in own.parameters})
        )
        begin = _begin(entries, key, cursor)
        told = entries[begin : begin + limit]
        if begin + limit < len(entries):
            following = _cursor(begin + limit, str(told[-1][key]))
            rest = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
            address = f"{quote(request.url.path)}?{urlencode([*rest, ('cursor', following)])}"
            response.headers["link"] = f'<{address}>; rel="next"'
        return told

    kind = inspect.Parameter.KEYWORD_ONLY
    more = [
        inspect.Parameter(name, kind, annotation=annotation)
        for name, annotation in ((request_name, Request), (response_name, Response))
        if name not in own.parameters
    ]
    more += [
        inspect.Parameter("limit", kind, default=USUAL, annotation=Annotated[int, Query(ge=1, le=MOST)]),
        inspect.Parameter(
            "cursor", kind, default="", annotation=Annotated[str, Query(max_length=_CURSOR_MOST)]
        ),
    ]
    page.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])  # type: ignore[attr-defined]
    return page


RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Some entries, in the order of the list.",
        "headers": {
            "Link": {
                "description": 'Where the next entries are (`rel="next"`); absent after the last one.',
                "schema": {"type": "string"},
            }
        },
        "content": {"application/json": {"schema": {"type": "array", "items": {"type": "object"}}}},
    }
}
"""What the interface's description says of such an answer."""


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _cursor(place: int, name: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([place, name]).encode()).decode().rstrip("=")


def _begin(entries: Sequence[Mapping[str, Any]], key: str, cursor: str) -> int:
    if not cursor:
        return 0
    try:
        place, name = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(place, int) or isinstance(place, bool) or not isinstance(name, str) or place < 0:
            raise TypeError
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise BadInput(
            "The cursor is not one of this server's.", "", "Begin without one, then follow the header Link."
        ) from None
    names = [str(entry[key]) for entry in entries]
    # Where it was, unless entries before it came or went; where it would be, if it went itself.
    if 0 < place <= len(names) and names[place - 1] == name:
        return place
    return names.index(name) + 1 if name in names else min(place, len(names))

"""What the head of a request may say: paths without tricks, headers that are there once.

Rules:
1. A path begins with one slash and is what it seems: no segment is `.` or `..` or empty between others, no slash, backslash or
   control character is hidden behind a percent sign, everything is UTF-8. A target with a scheme and a host (as proxies get it) is none.
2. A target is at most `TARGET_MOST` bytes.
3. Headers on which the guard relies come once. A body's length is told in one way: a request with both `Content-Length` and
   `Transfer-Encoding` may be read as two by whatever stands between.
"""

from __future__ import annotations

import re

from starlette.types import Scope

TARGET_MOST = 8192
_ONCE = frozenset(
    {
        b"host",
        b"origin",
        b"sec-fetch-site",
        b"sec-fetch-mode",
        b"sec-fetch-dest",
        b"authorization",
        b"cookie",
        b"content-length",
        b"transfer-encoding",
        b"content-type",
    }
)
_HIDDEN = re.compile(rb"%(?:2f|5c|0[0-9a-f]|1[0-9a-f]|7f)", re.IGNORECASE)


def wrong_with(scope: Scope) -> tuple[int, str] | None:
    """What is wrong with the head of a request: a status and a sentence; `None` if nothing is."""
    raw: bytes = scope.get("raw_path") or b""
    if len(raw) + len(scope.get("query_string") or b"") > TARGET_MOST:
        return 414, "The address is too long."
    if not _plain(str(scope["path"]), raw):
        return 400, "The address is not one of this server's."
    names = [name.lower() for name, _ in scope["headers"]]
    if any(names.count(name) > 1 for name in _ONCE.intersection(names)):
        return 400, "A header came twice."
    if b"content-length" in names and b"transfer-encoding" in names:
        return 400, "The length of the body was told in two ways."
    return None


def _plain(path: str, raw: bytes) -> bool:
    if not path.startswith("/") or _HIDDEN.search(raw):
        return False
    if "\\" in path or "\ufffd" in path or not all(character.isprintable() for character in path):
        return False
    parts = path.split("/")[1:]
    return not any(part in {".", ".."} for part in parts) and "" not in parts[:-1]

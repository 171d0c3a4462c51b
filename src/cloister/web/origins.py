"""Whether a request comes from this page itself.

Rules:
1. A request under a session changes something only if the browser says that this page sent it: `Sec-Fetch-Site: same-origin`, or,
   from a browser that does not send that, an `Origin` that is one of this site's. Neither: refused. Both: both have to hold.
2. A request names one of the hosts that this site answers to, and nothing but the host and perhaps a port. Another name that leads
   here (DNS rebinding) is refused, whatever it asks.
3. A cookie counts if this page, or the person in the browser's own bar, sent the request, or somebody followed a link here. It does
   not count for what another page loads in passing: a page on another port of the same host counts as the same site for browsers,
   which send it the cookie.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST_MOST = 300
_HOST = re.compile(r"(?:(?P<name>[a-z0-9._-]+)|\[(?P<address>[0-9a-f:.]+)\])(?::[0-9]{1,5})?", re.IGNORECASE)


def of_this_page(headers: Mapping[str, str], origins: frozenset[str]) -> bool:
    """Whether a request that changes something was sent by this page (rule 1).

    Args:
        headers: of the request, by lower-case name.
        origins: this site's, such as `https://node.example:8443`.
    """
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is not None:
        return origin in origins
    return site == "same-origin"


def cookie_counts(headers: Mapping[str, str]) -> bool:
    """Whether a session's cookie says who asks (rule 3). A browser that says nothing of this is believed: rule 1 holds all the same."""
    if headers.get("sec-fetch-site", "none") in {"same-origin", "none"}:
        return True
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"


def known_host(host: str | None, hosts: frozenset[str]) -> bool:
    """Whether a `Host` header names one of the hosts that this site answers to, with or without a port (rule 2)."""
    if not host or len(host) > _HOST_MOST:
        return False
    found = _HOST.fullmatch(host)
    return found is not None and (found["name"] or found["address"]).lower() in hosts

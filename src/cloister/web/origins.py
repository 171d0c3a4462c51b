"""Whether a request comes from this page itself.

Rules:
1. A request under a session changes something only if the browser says that this page sent it: `Sec-Fetch-Site: same-origin`, or,
   from a browser that does not send that, an `Origin` that is one of this site's. Neither: refused.
2. A request names one of the hosts that this site answers to. Another name that leads here (DNS rebinding) is refused, whatever
   it asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


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


def known_host(host: str | None, hosts: frozenset[str]) -> bool:
    """Whether a `Host` header names one of the hosts that this site answers to, with or without a port (rule 2)."""
    if not host or len(host) > 300:
        return False
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is not None and name.lower() in hosts

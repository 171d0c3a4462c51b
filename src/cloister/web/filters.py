"""How values are written for people: times, sizes, digests. Each returns text, or markup that is safe by construction."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from markupsafe import Markup

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def when(at: float | None) -> Markup:
    """A moment (seconds since the epoch), to the minute, in UTC, readable by scripts."""
    if at is None:
        return Markup("never")
    moment = datetime.fromtimestamp(at, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        moment.strftime("%Y-%m-%dT%H:%M:%SZ"), moment.strftime("%-d %b %Y, %H:%M UTC")
    )


def ago(at: float | None, now: float | None = None) -> Markup:
    """How long ago a moment was, in words."""
    if at is None:
        return Markup("never")
    passed = (time.time() if now is None else now) - at
    moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Markup('<time datetime="{}">{}</time>').format(
        moment, f"{seconds(passed)} ago" if passed >= 1 else "just now"
    )


def size(count: float | None) -> str:
    """Bytes, in the unit that suits."""
    if count is None:
        return "unknown"
    value = float(count)
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"


def seconds(value: float | None) -> str:
    """How long something takes."""
    if value is None:
        return "unknown"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 100:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    if value < 5400:
        return f"{value / 60:.0f} minutes"
    if value < 129_600:
        return f"{value / 3600:.0f} hours"
    return f"{value / 86_400:.0f} days"


def percent(value: float | None) -> str:
    """A share of one."""
    return "unknown" if value is None else f"{value * 100:.1f} %"


def short(digest: str | None) -> str:
    """As much of a digest as tells it from others."""
    return (digest or "").removeprefix("sha256:")[:12]


FILTERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"when": when, "ago": ago, "size": size, "seconds": seconds, "percent": percent, "short": short}
)
"""By the name that templates use."""

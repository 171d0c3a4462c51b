"""How values are written for people: times, sizes, digests. Each returns text, or markup that is safe by construction."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

from markupsafe import Markup

from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.text import party_name

_SETTING = re.compile(r"\btry --set (\w+)=([\w.+-]+)")
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def when(at: float | str | None) -> Markup:
    """A moment (seconds since the epoch, or RFC 3339), to the minute, in UTC; a script shows the reader's own time in its place."""
    if at is None:
        return Markup("never")
    moment = datetime.fromtimestamp(parse_rfc3339(at) if isinstance(at, str) else at, UTC)
    return Markup('<time datetime="{}" data-when>{}</time>').format(_exact(moment), _plain(moment))


def ago(at: float | None, now: float | None = None) -> Markup:
    """How long ago a moment was, in words."""
    if at is None:
        return Markup("never")
    passed = (time.time() if now is None else now) - at
    moment = datetime.fromtimestamp(at, UTC)
    text = f"{seconds(passed)} ago" if passed >= 1 else "just now"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(_exact(moment), _plain(moment), text)


def day(text: str) -> str:
    """A day, from 2026-11-23."""
    return datetime.fromisoformat(text).strftime("%-d %b %Y")


def last_day(until: str) -> str:
    """The last day that lies before a moment (RFC 3339, exclusive), in UTC: what people mean by "until"."""
    return datetime.fromtimestamp(parse_rfc3339(until) - 1, UTC).strftime("%-d %b %Y")


def _exact(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(moment: datetime) -> str:
    return moment.strftime("%-d %b %Y %H:%M UTC")


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


def advice(text: str) -> str:
    """What a tool advises, in the page's words where it speaks of the command line."""
    told = _SETTING.sub(
        lambda found: (
            f"try again with “{found[1].replace('_', ' ').capitalize()}” set to {found[2]},"
            " under “Calibration and settings”"
        ),
        text,
    )
    return told if told.endswith((".", "!", "?")) else f"{told}."


NEARLY, SPENT = 0.8, 1.0
"""Shares of a budget from which on people are told: that it is nearly spent, that it is."""


def pressure(share: float) -> Literal["", "warn", "bad"]:
    """How to show that so much of a budget is spent, on meters and at home alike."""
    return "bad" if share >= SPENT else "warn" if share >= NEARLY else ""


def short(digest: str | None) -> str:
    """As much of a digest as tells it from others."""
    return (digest or "").removeprefix("sha256:")[:12]


FILTERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "when": when,
        "ago": ago,
        "day": day,
        "last_day": last_day,
        "size": size,
        "seconds": seconds,
        "percent": percent,
        "short": short,
        "pressure": pressure,
        "named": party_name,
        "advice": advice,
    }
)
"""By the name that templates use."""

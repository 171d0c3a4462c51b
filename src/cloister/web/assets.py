"""The page's style, scripts, fonts: files of this package, and nothing else of the disk.

Rules:
1. What may be asked for is found when the package is imported. A request is looked up in that table by name; no request ever
   becomes a path.
2. An address names the content: it holds the first 16 hex digits of a SHA-256 over all the files. So files may be kept by
   browsers for ever, refer to each other by plain names, and are never mixed with those of another version.
3. What others have made (`VENDORED`) is pinned by version and hash, lies here with its licence, and is not changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from types import MappingProxyType

from fastapi import FastAPI, Response

from cloister.foundation.errors import NotFound
from cloister.web.guard import OPEN
from cloister.web.routes import Routes

_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """One file that browsers may ask for.

    Attributes:
        content: its bytes.
        kind: its media type.
    """

    content: bytes
    kind: str


@dataclass(frozen=True)
class Vendored:
    """A file of another project, as that project published it on npm.

    Attributes:
        name: the file here.
        package: whose it is.
        version: which of theirs.
        path: the file in the package.
        sha256: of its bytes.
        licence: by its SPDX name.
    """

    name: str
    package: str
    version: str
    path: str
    sha256: str
    licence: str


VENDORED = (
    Vendored(
        "htmx.min.js", "htmx.org", "4.0.1", "dist/htmx.min.js",
        "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130", "0BSD",
    ),
    Vendored(
        "hx-sse.min.js", "htmx.org", "4.0.1", "dist/ext/hx-sse.min.js",
        "18ef2761356ec1fe0bb6d92612315b37517a7c1e9856b661c5ae81fef239d103", "0BSD",
    ),
    Vendored(
        "htmx-licence.txt", "htmx.org", "4.0.1", "LICENSE",
        "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38", "0BSD",
    ),
    Vendored(
        "uplot.min.js", "uplot", "1.6.32", "dist/uPlot.iife.min.js",
        "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f", "MIT",
    ),
    Vendored(
        "uplot.min.css", "uplot", "1.6.32", "dist/uPlot.min.css",
        "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04", "MIT",
    ),
    Vendored(
        "uplot-licence.txt", "uplot", "1.6.32", "LICENSE",
        "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd", "MIT",
    ),
    Vendored(
        "inter-latin.woff2", "@fontsource-variable/inter", "5.3.0", "files/inter-latin-wght-normal.woff2",
        "3100e775e8616cd2611beecfa23a4263d7037586789b43f035236a2e6fbd4c62", "OFL-1.1",
    ),
    Vendored(
        "inter-latin-ext.woff2", "@fontsource-variable/inter", "5.3.0", "files/inter-latin-ext-wght-normal.woff2",
        "34b9c504cab7a73e37b746343a449132e56cf7b5481af2cb81dc74dcff25c956", "OFL-1.1",
    ),
    Vendored(
        "inter-licence.txt", "@fontsource-variable/inter", "5.3.0", "LICENSE",
        "3b0a5fca3d17942cde889069889dedbbbd075e9b599968c82a95f4d944e9b345", "OFL-1.1",
    ),
)  # fmt: skip


def _found(folder: Traversable) -> dict[str, Asset]:
    assets: dict[str, Asset] = {}
    for item in folder.iterdir():
        if item.is_dir():
            inner = _found(item)
        else:
            kind = _KINDS.get(item.name[item.name.rfind(".") :])
            inner = {} if kind is None else {item.name: Asset(item.read_bytes(), kind)}
        if twice := assets.keys() & inner.keys():
            raise AssertionError(f"two files of the page are called {min(twice)}")
        assets |= inner
    return assets


def _set_digest(assets: Mapping[str, Asset]) -> str:
    total = hashlib.sha256()
    for name in sorted(assets):
        total.update(f"{name}\0{hashlib.sha256(assets[name].content).hexdigest()}\n".encode())
    return total.hexdigest()[:16]


ASSETS: Mapping[str, Asset] = MappingProxyType(_found(resources.files("cloister.web") / "static"))
"""What browsers may ask for, by name."""
SET = _set_digest(ASSETS)
"""Names this version of all of them."""


def static(name: str) -> str:
    """The address of a file of the page, for templates. Raises `KeyError` for a name that is not there."""
    if name not in ASSETS:
        raise KeyError(name)
    return f"/static/{SET}/{name}"


def add(app: FastAPI, _pages: object = None) -> None:
    """Registers the one route that serves them: to anybody, since the page for signing in needs them."""
    routes = Routes(app, "Files of the page", page=True)

    @routes.get("/static/{version}/{name}", OPEN)
    def serve(version: str, name: str) -> Response:
        asset = ASSETS.get(name)
        if asset is None or version != SET:
            raise NotFound("There is no such file.", "", "Load the page again.")
        return Response(asset.content, media_type=asset.kind, headers={"cache-control": _FOREVER})


__all__ = ["ASSETS", "SET", "VENDORED", "Asset", "Vendored", "add", "static"]

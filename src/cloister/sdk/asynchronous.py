"""The same server for programs that do several things at a time (asyncio): every method is awaited.

The parts, their methods, arguments and errors are those of `Cloister`; each call runs in a thread of its own, and nothing asks the server
on the event loop. What a method gives can be awaited on in the same way, each record of a table too; so is a property that may have to ask
(`await agreement.text`). What a method would tell one by one (`events`) is read with `async for`.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

from anyio import to_thread

from cloister.sdk.parts import Agreements, Ask, Budgets, Datasets, Log, Parties, Releases, Tasks, Tools
from cloister.sdk.records import Plan
from cloister.sdk.server import Cloister, connect
from cloister.sdk.tables import Record, Table, asked

_PARTS = (Parties, Datasets, Agreements, Ask, Tasks, Releases, Tools, Budgets, Log)


class AsyncCloister:
    """One organisation's Cloister server, with the parts of `Cloister`: `await server.tasks.list()`."""

    def __init__(self, server: Cloister) -> None:
        self._server = server

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._server, name)
        return Awaited(found) if isinstance(found, _PARTS) else _awaited(found)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await to_thread.run_sync(self._server.close)


class Awaited:
    """A part or a record whose methods are awaited, and what may have to ask the server; everything else of it is as it is."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        if isinstance(inspect.getattr_static(type(self._inner), name, None), asked):
            return to_thread.run_sync(getattr, self._inner, name)
        return _awaited(getattr(self._inner, name))

    def __repr__(self) -> str:
        return f"Awaited({self._inner!r})"


def _awaited(found: Any) -> Any:
    if not callable(found):
        return found
    if getattr(found, "__name__", "") == "events":
        return partial(_one_by_one, found)

    async def called(*given: Any, **named: Any) -> Any:
        # Records that came from here go back as they are.
        plain = [_plain(item) for item in given]
        by_name = {key: _plain(item) for key, item in named.items()}
        return _told(await to_thread.run_sync(partial(found, *plain, **by_name)))

    return called


def _plain(given: Any) -> Any:
    return given._inner if isinstance(given, Awaited) else given  # noqa: SLF001


def _told(found: Any) -> Any:
    if isinstance(found, Table):
        return Table(_told(item) for item in found)
    if isinstance(found, list):
        return [_told(item) for item in found]
    return Awaited(found) if isinstance(found, Record | Plan) else found


async def _one_by_one(found: Callable[..., Iterator[Any]], *given: Any, **named: Any) -> AsyncIterator[Any]:
    told, last = found(*given, **named), object()
    while (item := await to_thread.run_sync(next, told, last)) is not last:
        yield item


async def connect_async(
    folder: str | Path | None = None,
    *,
    url: str | None = None,
    token: str | None = None,
    ca: str | Path | None = None,
    timeout: float = 600.0,  # noqa: ASYNC109 - of one answer, as `connect` has it
) -> AsyncCloister:
    """Connects to a running server; arguments and errors are those of `connect`."""
    made = partial(connect, folder, url=url, token=token, ca=ca, timeout=timeout)
    return AsyncCloister(await to_thread.run_sync(made))

"""The tools installed on this machine: put in, replaced, rolled back, each in one step that either happens or does not.

Layout, one folder per tool::

    NAME/state.json        which package is current, and the history, replaced atomically
    NAME/DIGEST.tool       packages, never changed once written

Rules:
1. Nothing is installed before `verify` has agreed to it; the caller passes it in, because what a certificate must say is
   not this package's to judge.
2. An older version never replaces a newer one by `install`; going back is `rollback`, which is in the history.
3. A package is read again, with all its digests, each time it is used.
4. A tool whose certificate was verified is never replaced by one without: a file under the same name and a higher
   version would otherwise take the place of what a quorum of owners released.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from cloister.data.schema import Digest, Name
from cloister.foundation.clock import rfc3339
from cloister.foundation.digests import same
from cloister.foundation.documents import Document, parse_document
from cloister.foundation.errors import BadInput, CloisterError, Conflict, NotFound, NotTrusted, Tampered
from cloister.foundation.files import read_limited, write_atomically
from cloister.tools.manifest import Version
from cloister.tools.package import SUFFIX, Package, load_tool, pack
from cloister.tools.tool import Tool

Verify: TypeAlias = Callable[[Tool, bytes | None], None]
"""Raises a `CloisterError` if the tool with this certificate must not be installed."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
_MAX_HISTORY = 1000


class Entry(Document):
    """One line of a tool's history."""

    action: Literal["installed", "replaced", "rolled back"]
    version: Version
    tool: Digest
    time: str


class State(Document):
    """What is installed under one name; the last entry is current."""

    type: Literal["cloister/installed-tool@1"] = "cloister/installed-tool@1"
    name: Name
    history: Annotated[tuple[Entry, ...], Field(min_length=1, max_length=_MAX_HISTORY)]

    @property
    def current(self) -> Entry:
        """What runs when the tool is called by name."""
        return self.history[-1]


def default_folder() -> Path:
    """Where this user's tools are kept."""
    import platformdirs

    return platformdirs.user_data_path("cloister", appauthor=False) / "tools"


class InstalledTools:
    """The tools in one folder.

    Args:
        folder: where; `default_folder()` unless given.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else default_folder()

    def list(self) -> tuple[State, ...]:
        """Every installed tool, by name."""
        if not self.folder.is_dir():
            return ()
        names = sorted(path.name for path in self.folder.iterdir() if (path / "state.json").is_file())
        return tuple(self.state(name) for name in names)

    def state(self, name: str) -> State:
        """What is installed under a name. Raises `NotFound`."""
        path = self._home(name) / "state.json"
        if not path.is_file():
            raise NotFound(
                f"There is no tool {name!r} installed.",
                "",
                "See: cloister tool list; or install it from a file: cloister tool import FILE",
            )
        return parse_document(State, read_limited(path, 1 << 20), f"The state of the tool {name}")

    def get(self, name: str) -> Package:
        """The current package of a tool. Raises `NotFound`, or `Tampered` if its file was changed."""
        return self._package(name, self.state(name).current)

    def install(self, package: Package, *, now: int, verify: Verify) -> State:
        """Makes a package the current one of its name.

        Args:
            package: what to install.
            now: seconds since the epoch, for the history.
            verify: called first; raises to refuse.

        Raises:
            Conflict: a newer version, or other content under the same version, is installed.
            NotTrusted: it has no certificate, and the installed one has (clause `tool-uncertified`).
        """
        tool = package.tool
        verify(tool, package.certificate)
        known: tuple[Entry, ...] = ()
        if (self._home(tool.name) / "state.json").is_file():
            known = self.state(tool.name).history
            self._newer(tool, known[-1])
            self._certified(package, known[-1])
        self._keep(package)
        entry = Entry(
            action="replaced" if known else "installed",
            version=tool.manifest.version,
            tool=tool.digest,
            time=rfc3339(now),
        )
        return self._record(tool.name, (*known, entry))

    def rollback(self, name: str, *, now: int) -> State:
        """Goes back to what was current before. Raises `Conflict` if there was nothing, `NotFound`, `Tampered`."""
        history = self.state(name).history
        before = _before(history)
        if before is None:
            raise Conflict(
                f"There is no earlier version of {name}.",
                "It was installed once and never replaced.",
                "Install another version.",
            )
        self._package(name, before)
        entry = Entry(action="rolled back", version=before.version, tool=before.tool, time=rfc3339(now))
        return self._record(name, (*history, entry))

    def _newer(self, tool: Tool, current: Entry) -> None:
        have, want = _ordered(current.version), _ordered(tool.manifest.version)
        if want > have or (want == have and same(tool.digest, current.tool)):
            return
        raise Conflict(
            f"{tool.name} {current.version} is installed; {tool.manifest.version} does not replace it.",
            "Only a newer version replaces an installed one."
            if want < have
            else "The same version has different content.",
            "Go back with a rollback, or have the tool released under a higher version.",
        )

    def _certified(self, package: Package, current: Entry) -> None:
        if package.certificate is not None:
            return
        try:
            present = self._package(package.tool.name, current)
        except CloisterError:
            return  # gone or spoiled: there is nothing to keep
        if present.certificate is not None:
            raise NotTrusted(
                f"{package.tool.name} {current.version} was released by its owners; this file was released by nobody.",
                "It has no certificate, and would take the place of a tool that has one.",
                "Run the file without installing it, or have it given another name.",
                clause="tool-uncertified",
            )

    def _keep(self, package: Package) -> None:
        data = pack(package)
        path = self._path(package.tool.name, package.tool.digest)
        if not path.is_file() or path.read_bytes() != data:
            write_atomically(path, data)

    def _record(self, name: str, history: tuple[Entry, ...]) -> State:
        state = State(name=name, history=history[-_MAX_HISTORY:])
        write_atomically(self._home(name) / "state.json", state.canonical())
        return state

    def _package(self, name: str, entry: Entry) -> Package:
        path = self._path(name, entry.tool)
        if not path.is_file():
            raise NotFound(
                f"The file of {name} {entry.version} is gone.",
                "It was removed from the tools' folder.",
                "Install it again.",
            )
        package = load_tool(path)
        if not same(package.tool.digest, entry.tool):
            raise Tampered(
                f"The installed tool {name} has changed.",
                "Its file is not the one that was installed.",
                "Install it again.",
                clause="tool-digests",
            )
        return package

    def _path(self, name: str, digest: str) -> Path:
        return self._home(name) / f"{digest.removeprefix('sha256:')}{SUFFIX}"

    def _home(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise BadInput(
                "That is not the name of a tool.",
                "Names are small letters, digits, dots and dashes.",
                "Check the name.",
            )
        return self.folder / name


def _before(history: tuple[Entry, ...]) -> Entry | None:
    """What a rollback goes to: undoing installations from the last, where rollbacks undid some already."""
    stack: list[Entry] = []
    for entry in history:
        if entry.action == "rolled back":
            # A history cut to its limit may begin with a rollback.
            del stack[-1:]
        elif not stack or stack[-1].tool != entry.tool:
            stack.append(entry)
    return stack[-2] if len(stack) > 1 else None


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))

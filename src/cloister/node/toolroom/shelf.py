"""Which tools there are: those that come with Cloister and those installed here; what vouches for each; putting in, going back.

Rules:
1. An installed tool is read again, with its digests and its certificate, each time it is used. One whose certificate does not
   hold is shown as such and is not run.
2. A tool's file that somebody uploads is looked at first: its form, its models (in a confined worker that then ends), its
   certificate. What was found is shown, and only then it is installed, by whoever uploaded it.
"""

from __future__ import annotations

import hmac
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cloister.foundation.clock import Clock, parse_rfc3339
from cloister.foundation.errors import BadInput, CloisterError, NotFound
from cloister.foundation.text import party_name
from cloister.node.toolroom.limits import RoomLimits
from cloister.node.toolroom.recent import new_id
from cloister.node.toolroom.workers import Workers
from cloister.release.bundle import Checked
from cloister.tools.builtin import BUILTIN
from cloister.tools.install import Entry, InstalledTools, State
from cloister.tools.manifest import Manifest
from cloister.tools.package import Package, pack, unpack
from cloister.tools.released import install_counting, install_release
from cloister.tools.trust import check_tool, verify_installed

_OFFERED = 4
_OFFERED_SECONDS = 1800


@dataclass(frozen=True)
class Card:
    """A tool in a list.

    Attributes:
        name: by which it is called.
        version: that is current.
        title: for people.
        description: what it does.
        intended_use: what it is good for.
        origin: whether it comes with Cloister or was installed.
        at: when it was installed, seconds; None for what comes with Cloister.
        signers: names of the organisations that signed it; empty where nobody vouches.
        error: why it cannot be used, or None.
    """

    name: str
    version: str
    title: str
    description: str = ""
    intended_use: str = ""
    origin: Literal["builtin", "installed"] = "builtin"
    at: int | None = None
    signers: tuple[str, ...] = ()
    error: CloisterError | None = None


@dataclass(frozen=True)
class Opened:
    """A tool that can be used.

    Attributes:
        package: tool and certificate.
        checked: what its certificate is worth; None where it has none.
        history: what was installed under its name, oldest first; empty for what comes with Cloister.
    """

    package: Package
    checked: Checked | None
    history: tuple[Entry, ...] = ()

    @property
    def manifest(self) -> Manifest:
        """What the tool is."""
        return self.package.tool.manifest

    @property
    def origin(self) -> Literal["builtin", "installed"]:
        """Whether it comes with Cloister or was installed."""
        return "installed" if self.history else "builtin"


@dataclass(frozen=True)
class Offer:
    """A tool's file that was looked at and may be installed.

    Attributes:
        id: unguessable.
        owner: who uploaded it.
        at: when, seconds.
        package: what it holds.
        checked: what its certificate is worth; None where it has none.
        sandbox: what confined the worker that loaded its models.
        current: what is installed under its name now.
    """

    id: str
    owner: str
    at: int
    package: Package
    checked: Checked | None
    sandbox: Mapping[str, str]
    current: Entry | None


class Shelf:
    """The tools of one folder.

    Args:
        folder: of installed tools.
        workers: in which models are loaded.
        clock: tells the time.
        limits: of the room.
    """

    def __init__(self, folder: Path, workers: Workers, clock: Clock, limits: RoomLimits) -> None:
        self._tools = InstalledTools(folder)
        self._workers, self._clock, self._limits = workers, clock, limits
        self._lock = threading.Lock()
        self._builtin: dict[str, Package] = {}
        self._offers: OrderedDict[str, Offer] = OrderedDict()

    def cards(self) -> list[Card]:
        """Every tool, by title; one that cannot be used says why."""
        states = self._tools.list()
        made = [self._card(state) for state in states]
        names = {state.name for state in states}
        for name, item in BUILTIN.items():
            if name not in names:
                about = {key: str(value) for key, value in item.about.items() if isinstance(value, str)}
                made.append(
                    Card(
                        name,
                        about["version"],
                        about["title"],
                        about.get("description", ""),
                        about.get("intended_use", ""),
                    )
                )
        return sorted(made, key=lambda card: card.title.lower())

    def open(self, name: str) -> Opened:
        """A tool by name, its certificate checked.

        Raises:
            NotFound: there is none.
            NotTrusted: its certificate does not hold.
            Tampered: its file was changed.
        """
        try:
            state = self._tools.state(name)
        except NotFound:
            if name not in BUILTIN:
                raise NotFound(f"There is no tool {name[:64]!r}.", "", "See the list of tools.") from None
            return Opened(self._of_cloister(name), None)
        package = self._tools.get(name)
        return Opened(package, check_tool(package.tool, package.certificate), state.history)

    def offer(self, data: bytes, owner: str) -> Offer:
        """Looks at a tool's file (rule 2); it can be installed by its owner for half an hour.

        Raises:
            BadInput: it is no tool, or cannot run.
            NotTrusted: its certificate does not hold.
        """
        if len(data) > self._limits.tool_bytes:
            raise BadInput(
                "The file is too large.",
                f"The page takes tools of up to {self._limits.tool_bytes // 1_000_000} MB.",
                "Install it with: cloister tool import FILE",
            )
        package = unpack(data, "The file")
        checked = check_tool(package.tool, package.certificate)
        sandbox = self._workers.check(package)
        current = self._current(package.tool.name)
        made = Offer(new_id(), owner, self._clock.now(), package, checked, sandbox, current)
        with self._lock:
            self._offers[made.id] = made
            while len(self._offers) > _OFFERED:
                self._offers.popitem(last=False)
        return made

    def offered(self, offer: str, owner: str) -> Offer:
        """A file that was looked at, for whoever uploaded it. Raises `NotFound`."""
        with self._lock:
            found = self._offers.get(offer)
        if (
            found is None
            or not hmac.compare_digest(found.owner.encode(), owner.encode())
            or found.at + _OFFERED_SECONDS < self._clock.now()
        ):
            raise NotFound("This file is no longer here.", "It is kept for half an hour.", "Upload it again.")
        return found

    def install(self, offer: str, owner: str) -> State:
        """Installs a file that was looked at. Raises `NotFound`, and what `InstalledTools.install` raises."""
        found = self.offered(offer, owner)
        state = self._tools.install(found.package, now=self._clock.now(), verify=verify_installed)
        with self._lock:
            self._offers.pop(offer, None)
        return state

    def install_release(self, name: str, content: bytes, told: Mapping[str, Any]) -> dict[str, Any]:
        """Puts a released model into a tool that comes with Cloister, in place of its own. As `tools.released.install_release`."""
        return install_release(name, content, told, self._tools.folder)

    def install_counting(
        self, name: str, content: bytes, told: Mapping[str, Any], **about: Any
    ) -> dict[str, Any]:
        """Makes a new tool of a released model. Arguments and errors are those of `tools.released.install_counting`."""
        return install_counting(name, content, told, self._tools.folder, **about)

    def discard(self, offer: str, owner: str) -> None:
        """Forgets a file that was looked at. Raises `NotFound`."""
        self.offered(offer, owner)
        with self._lock:
            self._offers.pop(offer, None)

    def rollback(self, name: str) -> State:
        """Goes back to the version before. Raises `Conflict` if there was none, `NotFound`."""
        before = self._tools.state(name).current.tool
        state = self._tools.rollback(name, now=self._clock.now())
        self._workers.forget(before)
        return state

    def export(self, name: str) -> bytes:
        """A tool as one file that runs elsewhere. Raises as `open`."""
        return pack(self.open(name).package)

    # Inside --------------------------------------------------------------------------------------------------------

    def _of_cloister(self, name: str) -> Package:
        with self._lock:
            if name not in self._builtin:
                self._builtin[name] = self._workers.builtin(name)
            return self._builtin[name]

    def _current(self, name: str) -> Entry | None:
        try:
            return self._tools.state(name).current
        except NotFound:
            return None

    def _card(self, state: State) -> Card:
        entry = state.current
        at = parse_rfc3339(entry.time)
        try:
            opened = self.open(state.name)
        except CloisterError as error:
            return Card(state.name, entry.version, state.name, origin="installed", at=at, error=error)
        manifest, checked = opened.manifest, opened.checked
        signers = () if checked is None else tuple(sorted(signer_names(checked)))
        return Card(
            state.name,
            entry.version,
            manifest.title,
            manifest.description,
            manifest.intended_use,
            "installed",
            at,
            signers,
        )


def signer_names(checked: Checked) -> list[str]:
    """The names that the signers' cards give them; the beginning of the fingerprint where there is none."""
    return [party_name(party, checked.names) for party in sorted(checked.certificate.signed_by)]

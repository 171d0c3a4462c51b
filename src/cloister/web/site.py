"""What there is on this machine: a folder, perhaps people, perhaps a node, closed or open.

Rules:
1. A folder is made and a node's keys come into being only when somebody asks for them; before that the tools work all the same.
2. The database is open as long as the page is, so that people can sign in while the node is closed: its secrets are sealed, and
   are opened by the passphrase, which is kept nowhere.
3. One process per folder: the database's lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, TypeAlias

from cloister.foundation.clock import Clock, SystemClock
from cloister.foundation.errors import Conflict
from cloister.identity.keystore import Keystore, Unlock
from cloister.node.data_folders import DataFolders
from cloister.node.folder import Folder
from cloister.node.node import Node
from cloister.node.peers.hub_link import connect_to_hub
from cloister.node.setup import RECOVERY_FILE, Made, init_node
from cloister.node.toolroom.room import ToolRoom
from cloister.storage.database import Database
from cloister.transport.invitation import Invitation
from cloister.web.accounts import Accounts

State: TypeAlias = Literal["new", "closed", "open"]
MakeNode: TypeAlias = Callable[[Path, Unlock | Keystore, Clock, Database], Node]


def _node(folder: Path, unlock: Unlock | Keystore, clock: Clock, database: Database) -> Node:
    return Node(folder, unlock, clock, database=database)


class Site:
    """One folder behind one page.

    Args:
        folder: the node's, or where it will be.
        clock: tells the time.
        make: makes a node that is not started.

    Attributes:
        data_folders: folders whose files people may register on the page, besides the node's own `data`; set before it opens.
    """

    def __init__(self, folder: Path, clock: Clock | None = None, make: MakeNode = _node) -> None:
        self.folder = Folder(folder.absolute())
        self.clock = clock or SystemClock()
        self._make = make
        self._lock = threading.RLock()
        self.database = Database.open(self.folder.private(self.folder.root))
        self.accounts = Accounts(self.database, self.clock)
        self.node: Node | None = None
        self.data_folders: tuple[Path, ...] = ()
        self.tools = ToolRoom(self.folder.tools, self.database, self.clock, sent=self._sent)

    def _sent(self) -> int | None:
        """Bytes that the node sent to others since it started; `None` where there is nobody to send to."""
        node = self.node
        return None if node is None else sum(counts["sent_bytes"] for counts in node.traffic().values())

    @property
    def state(self) -> State:
        """Whether there is a node, and whether it is open."""
        if self.node is not None:
            return "open"
        return "closed" if self.folder.config_file.exists() else "new"

    @property
    def organisation(self) -> str:
        """The name on this party's card; empty while there is no node."""
        return "" if self.state == "new" else self.folder.config().name

    @property
    def recovery_file(self) -> Path:
        """Where the recovery keys are until somebody moves them off this machine."""
        return self.folder.root / RECOVERY_FILE

    def found(self, name: str, roles: Iterable[str], unlock: Unlock, recovery: Unlock) -> Made:
        """Makes this organisation's keys and its node, and opens it. Raises `Conflict` if there is one."""
        with self._lock:
            made = init_node(self.folder.root, name, roles, unlock, recovery, self.clock)
            self.open(unlock)
        return made

    def join(self, invitation: str) -> None:
        """Enrols at the relay that gave an invitation; the node begins again, connected to it.

        Raises:
            Conflict: there is no open node, or it is connected already.
            BadInput: the invitation cannot be read.
            Refused: the relay does not take it, or is not the one that invited.
            Unreachable: the relay does not answer.
        """
        with self._lock:
            node = self.node
            if node is None:
                raise Conflict("The server is not open.", "Its keys are needed to enrol.", "Open it first.")
            if node.link is not None:
                raise Conflict(
                    "This server is connected to a relay already.", "It meets others at one relay.", "Go on."
                )
            connect_to_hub(self.folder, node.keystore, Invitation.decode(invitation.strip()), self.clock)
            self.node = None
            node.close()
            self.open(node.keystore)

    def open(self, unlock: Unlock | Keystore) -> Node:
        """Opens and starts the node. Raises `NotTrusted` for a wrong passphrase, `Conflict` if it is open."""
        with self._lock:
            if self.node is not None:
                raise Conflict("The server is open already.", "", "Go on.")
            node = self._make(self.folder.root, unlock, self.clock, self.database)
            node.datasets.places = DataFolders(self.folder.root, self.data_folders)
            try:
                node.start()
            except BaseException:
                node.close()
                raise
            self.node = node
            return node

    def close(self) -> None:
        """Stops the node, if there is one, and lets the folder go."""
        with self._lock:
            node, self.node = self.node, None
            try:
                self.tools.close()
                if node is not None:
                    node.close()
            finally:
                self.database.close()

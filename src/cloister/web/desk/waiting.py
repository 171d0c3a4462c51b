"""What waits for a person at this server, by what that person may do.

Rules:
1. Only what whoever looks may act on, or must know to act, is told; what needs nobody is not.
2. Each item is one sentence with its link and, where that is known, since when it has been waiting.
3. Looking is cheap: everything is looked at once for all people and kept for some seconds, or until something was written here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, event

from cloister.foundation.errors import CloisterError
from cloister.node.node import Node
from cloister.web.guard import Caller
from cloister.web.views.home.agreements import of_agreements
from cloister.web.views.home.items import Item
from cloister.web.views.home.records import of_disclosures, of_figures
from cloister.web.views.home.servers import needed_of, of_absent, of_recovery_keys, of_trouble
from cloister.web.views.home.work import of_budgets, of_changed_data, of_tasks

if TYPE_CHECKING:
    from cloister.web.site import Site

_KEPT, _COSTLY = 5.0, 0.5
_CHANGED_KEPT = 30.0


class Waiting:
    """What waits at one site.

    Attributes:
        in_force: how many agreements are in force, as of the last look.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._items: list[Item] = []
        self._looked = self._written = float("-inf")
        self._pause = 0.0
        self._node: Node | None = None
        self._away: dict[str, int] = {}
        self.in_force = 0
        self._changed: tuple[float, list[Item]] = (float("-inf"), [])
        event.listen(site.database.engine, "commit", self._ring)

    def _ring(self, connection: Connection) -> None:
        if not connection.get_execution_options().get("cloister_read"):
            self._written = time.monotonic()

    def of(self, caller: Caller) -> list[Item]:
        """What waits for somebody: the worst first, then what only this person can do, then the oldest."""
        found = [
            item
            for item in self._all()
            if item.rights & caller.rights and (item.account is None or item.account != caller.account)
        ]
        return sorted(found, key=lambda item: (item.kind != "bad", not item.counted, item.since or 1 << 62))

    def counts(self, caller: Caller) -> dict[str, int]:
        """How many of them belong to each entry of the rail."""
        found: dict[str, int] = {}
        for item in self.of(caller):
            if item.counted:
                found[item.screen] = found.get(item.screen, 0) + 1
        return found

    def _all(self) -> list[Item]:
        node = self._site.node
        if node is None:
            return []
        now = time.monotonic()
        with self._lock:
            age = now - self._looked
            # Where looking is costly, no more than a third of the time goes into it, however much is written here.
            if node is self._node and age < _KEPT and (self._written < self._looked or age < self._pause):
                return self._items
            self._looked, self._node = now, node
            self._items = self._look(node)
            cost = time.monotonic() - now
            self._pause = 2 * cost if cost > _COSTLY else 0.0
            return self._items

    def _look(self, node: Node) -> list[Item]:
        found: list[Item] = []
        # Looked at once for all parts: every agreement is opened for it.
        agreed = [node.agreements.summary(digest) for digest in node.agreements.digests()]
        self.in_force = sum(summary["state"] == "finalized" for summary in agreed)
        parts: tuple[Callable[[], Iterable[Item]], ...] = (
            lambda: of_trouble(node),
            lambda: of_agreements(node, agreed),
            lambda: of_tasks(node),
            lambda: of_figures(node),
            lambda: of_disclosures(node),
            lambda: of_budgets(node),
            lambda: self._absent(node, agreed),
            lambda: self._changed_data(node),
            lambda: of_recovery_keys(self._site.recovery_file),
        )
        # One part that cannot be looked at (an agreement that cannot be read any more) hides no other.
        for part in parts:
            try:
                found += part()
            except CloisterError as error:
                found.append(
                    Item(
                        "/settings", frozenset({"node.manage"}), error.what, "/settings", "Look", kind="warn"
                    )
                )
        return found

    def _absent(self, node: Node, agreed: list[dict[str, Any]]) -> list[Item]:
        if node.link is None:
            return []
        needed, now = needed_of(node, agreed), node.clock.now()
        away = set(needed) - node.link.transport.here()
        self._away = {party: self._away.get(party, now) for party in away}
        return of_absent(node, needed, self._away)

    def _changed_data(self, node: Node) -> list[Item]:
        at, known = self._changed
        if time.monotonic() - at < _CHANGED_KEPT and self._written < at:
            return known
        known = of_changed_data(node)
        self._changed = (time.monotonic(), known)
        return known

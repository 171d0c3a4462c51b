"""What waits for a person at this server, by what that person may do; and what happened lately.

Rules:
1. Only what whoever looks may act on, or must know to act, is told; what needs nobody is not.
2. Each item is one sentence with its link and, where that is known, since when it has been waiting.
3. Looking is cheap: everything is looked at once for all people and kept for some seconds, or until something was written here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from sqlalchemy import Connection, event

from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.errors import CloisterError
from cloister.foundation.text import several
from cloister.node.node import Node
from cloister.node.reports import budgets_view
from cloister.node.tasks.happenings import in_words
from cloister.people.roles import Right
from cloister.storage.events import Event, Events
from cloister.web.guard import Caller
from cloister.web.views import datasets as datasets_view
from cloister.web.views.agreements import STATES, second_people

if TYPE_CHECKING:
    from cloister.web.site import Site

NEARLY = 0.8
"""Of a budget: from then on people are told."""
_KEPT, _COSTLY = 5.0, 0.5
_CHANGED_KEPT = 30.0
_TASKS = 300
_FAILED_DAYS = 7
_HAPPENED = 12
_UNSIGNED = frozenset({"requested", "offered", "accepted", "agreed", "none"})
_TOLD = (
    "agreement.signatures", "agreement.state", "task.proposed", "task.refused", "task.started", "task.finished",
    "task.failed", "task.stopped", "budget.charged", "release.stored", "release.revoked", "duty.deleted",
)  # fmt: skip
Kind = Literal["", "warn", "bad"]


@dataclass(frozen=True)
class Item:
    """Something that waits.

    Attributes:
        screen: the entry of the rail that it belongs to.
        rights: it concerns whoever has one of these.
        text: a sentence.
        link: where something can be done about it.
        action: what the link is called.
        since: when it began to wait; seconds since the epoch.
        kind: how bad it is.
        counted: whether the rail counts it.
        account: it does not concern this person (who asked for it).
    """

    screen: str
    rights: frozenset[Right]
    text: str
    link: str
    action: str
    since: int | None = None
    kind: Kind = ""
    counted: bool = True
    account: str | None = None


@dataclass(frozen=True)
class Happening:
    """A line of what happened lately."""

    at: int
    text: str
    link: str = ""
    kind: str = "done"


class Waiting:
    """What waits at one site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._items: list[Item] = []
        self._looked = self._written = float("-inf")
        self._pause = 0.0
        self._node: Node | None = None
        self._agreed: list[dict[str, Any]] = []
        self._away: dict[str, int] = {}
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
        self._agreed = [node.agreements.summary(digest) for digest in node.agreements.digests()]
        # One part that cannot be looked at (an agreement that cannot be read any more) hides no other.
        for part in (_trouble, self._agreements, _tasks, _budgets, self._parties, self._datasets, self._keys):
            try:
                found += part(node)
            except CloisterError as error:
                found.append(
                    Item(
                        "/settings", frozenset({"node.manage"}), error.what, "/settings", "Look", kind="warn"
                    )
                )
        return found

    def _agreements(self, node: Node) -> Iterable[Item]:
        return _agreements(node, self._agreed)

    # Organisations -------------------------------------------------------------------------------------------------

    def _parties(self, node: Node) -> list[Item]:
        if node.link is None:
            return []
        here, now = node.link.transport.here(), node.clock.now()
        needed: dict[str, int] = {}
        for summary in self._agreed:
            if summary["state"] == "finalized":
                for item in summary["parties"]:
                    needed[item["party"]] = needed.get(item["party"], 0) + 1
        away = set(needed) - here - {node.party}
        self._away = {party: self._away.get(party, now) for party in away}
        return [
            Item(
                "/parties",
                frozenset({"tasks.ask", "tasks.approve", "node.manage"}),
                f"{node.parties.name(party)} is not connected. {several(needed[party], 'agreement')} in force"
                f" need{'s' if needed[party] == 1 else ''} it.",
                f"/parties/{party}",
                "See it",
                self._away[party],
                "warn",
                counted=False,
            )
            for party in sorted(away, key=node.parties.name)
        ]

    # Data ----------------------------------------------------------------------------------------------------------

    def _datasets(self, node: Node) -> list[Item]:
        at, known = self._changed
        if time.monotonic() - at < _CHANGED_KEPT and self._written < at:
            return known
        known = [
            Item(
                "/datasets",
                frozenset({"datasets.write"}),
                f"The files of {item['name']} are not what was registered. Tasks refuse it.",
                f"/datasets/own/{quote(item['name'])}",
                "See what changed",
                kind="bad",
            )
            for item in node.datasets.own()
            if not item["private"]["looks_unchanged"]
        ]
        self._changed = (time.monotonic(), known)
        return known

    def _keys(self, _node: Node) -> list[Item]:
        try:
            made = int(self._site.recovery_file.stat().st_mtime)
        except OSError:
            return []
        return [
            Item(
                "/settings",
                frozenset({"node.manage"}),
                "The recovery keys are still on this machine. Move them to a place off it.",
                "/connect",
                "Where they are",
                made,
                "warn",
                counted=False,
            )
        ]


def _trouble(node: Node) -> Iterable[Item]:
    runs: frozenset[Right] = frozenset({"node.manage"})
    if node.twin:
        yield Item(
            "/settings",
            frozenset({"node.manage", "tasks.approve"}),
            "Another server runs with this organisation's identity. Neither admits anything until one is stopped.",
            "/settings",
            "Look",
            kind="bad",
        )
    if node.ledger.locked is not None:
        yield Item(
            "/log",
            frozenset({"node.manage", "log.read"}),
            "The log contradicts what a witness saw of it. Nothing is signed or spent until that is settled.",
            "/log",
            "See the log",
            kind="bad",
        )
    link = node.link
    if link is not None and link.hub is not None and link.hub not in link.transport.here():
        yield Item(
            "/settings", runs, "The relay cannot be reached. Nobody else can be, either.", "/settings", "Look", kind="bad",
            counted=False,
        )  # fmt: skip
    if node.hub_witness is not None and node.hub_witness.evidence() is not None:
        yield Item(
            "/settings",
            runs,
            "The relay showed two logs that contradict each other.",
            "/settings",
            "Look",
            kind="bad",
        )
    if unreadable := node.agreements.unreadable():
        yield Item(
            "/agreements",
            frozenset({"agreements.sign", "node.manage"}),
            f"{several(len(unreadable), 'agreement')} cannot be read any more: {unreadable[0]['reason']}"[
                :300
            ],
            "/agreements",
            "See agreements",
            kind="warn",
        )


def _agreements(node: Node, summaries: list[dict[str, Any]]) -> Iterable[Item]:
    began = {
        item.facts.get("agreement"): item.at
        for item in _events(node, ("agreement.signatures",), 1000)  # the oldest comes last and counts
    }
    signs: frozenset[Right] = frozenset({"agreements.sign"})
    strangers: dict[str, str] = {}
    for summary in summaries:
        digest = summary["agreement"]
        if summary["state"] not in _UNSIGNED:
            continue
        others = [item for item in summary["parties"] if item["party"] != node.party]
        if any(item["signed"] for item in summary["parties"] if item["party"] == node.party):
            continue
        by = ", ".join(item["name"] for item in others if item["signed"]) or "Somebody"
        for item in others:
            if not item["trusted"]:
                strangers.setdefault(item["party"], summary["title"])
        yield Item(
            "/agreements",
            signs,
            f"{by} asks you to sign “{summary['title']}”.",
            f"/agreements/{digest}",
            "Read it",
            began.get(digest),
        )
    for party, title in sorted(strangers.items()):
        yield Item(
            "/parties",
            frozenset({"parties.trust"}),
            f"Nobody here has compared the fingerprint of {node.parties.name(party)}; “{title}” cannot be signed before.",
            f"/parties/{party}",
            "Compare it",
        )
    for found in second_people(node):
        wish = found["wish"]
        what = "one person to sign again" if wish.kind == "one-person" else f"“{found['title']}” signed"
        yield Item(
            "/agreements",
            signs,
            f"{wish.name} wants {what}; a second person has to agree.",
            found["path"],
            "Read it",
            wish.at,
            account=wish.account,
        )


def _tasks(node: Node) -> Iterable[Item]:
    for task in node.tasks.digests()[-_TASKS:]:
        if node.durable.task(task) is not None or not node.tasks.records.note(task).get("pending"):
            continue
        plan = node.tasks.plan(task)
        yield Item(
            "/tasks",
            frozenset({"tasks.approve"}),
            f"{node.parties.name(plan.request.requester)} asks to compute on your data: {plan.request.computation.kind}"
            f" for “{plan.request.purpose}”.",
            f"/tasks/{task}",
            "Read the plan",
            parse_rfc3339(plan.created),
        )
    since = node.clock.now() - _FAILED_DAYS * 86400
    cares: frozenset[Right] = frozenset({"tasks.approve", "tasks.ask"})
    refused = set()
    for item in _events(node, ("figures",), 300):
        figures = item.facts.get("figures") or {}
        if figures.get("gate") == "refused" and item.at >= since and item.task not in refused:
            refused.add(item.task)
            why = str(figures.get("why") or figures.get("check") or "a check did not hold")
            text = f"A release check here said no to a result: {why}".rstrip(".")[:300] + "."
            yield Item(
                "/tasks", cares, text, f"/tasks/{item.task}", "See the task", item.at, "warn", counted=False
            )
    for row in node.runner.tasks():
        if row.status == "failed" and row.updated >= since and row.id not in refused:
            title = str((row.failure or {}).get("title") or "no reason was given").rstrip(".")
            text = f"A task failed: {title}."
            yield Item(
                "/tasks", cares, text[:300], f"/tasks/{row.id}", "See why", row.updated, "warn", counted=False
            )


def _budgets(node: Node) -> Iterable[Item]:
    view = budgets_view(node)
    cares: frozenset[Right] = frozenset({"budgets.write", "datasets.write"})
    if view["trouble"] is not None:
        yield Item(
            "/datasets", cares, f"Nothing is spent of privacy budgets: {view['trouble']['title']}", "/datasets", "Look",
            kind="bad",
        )  # fmt: skip
    for item in view["populations"]:
        share = _share(item)
        if share < NEARLY or not item["datasets"]:
            continue
        yield Item(
            "/datasets",
            cares,
            f"The privacy budget of “{item['population']}” is {'spent' if share >= 1 else 'nearly spent'}:"
            f" epsilon {datasets_view.amount(item['spent']['epsilon'])} of {datasets_view.amount(item['limit']['epsilon'])}.",
            f"/datasets/own/{quote(item['datasets'][0])}#budget",
            "See what spent it",
            max((parse_rfc3339(charge["at"]) for charge in item["charges"]), default=None),
            "bad" if share >= 1 else "warn",
        )


def _share(item: Mapping[str, Any]) -> float:
    shares = [
        item["spent"][key] / item["limit"][key] for key in ("epsilon", "delta") if item["limit"][key] > 0
    ]
    return max(shares, default=0.0)


# What happened -------------------------------------------------------------------------------------------------------


def _events(node: Node, kinds: Iterable[str], limit: int) -> list[Event]:
    with node.durable.database.read() as tx:
        return Events(tx).latest(kinds, limit)


def happened(node: Node, may: Callable[[Right], bool]) -> list[Happening]:
    """What happened lately, newest first, as far as whoever looks may know of it."""
    kinds = [
        kind
        for kind in _TOLD
        if may("agreements.read" if kind.startswith("agreement") else "tasks.read")
        and (kind != "budget.charged" or may("budgets.read"))
    ]
    names = node.parties.names()
    found: list[Happening] = []
    seen: set[object] = set()
    for item in _events(node, kinds, 4 * _HAPPENED):
        told = _told(node, item, names)
        # Signatures and acts of an agreement come one by one, of each party: only how it stands now.
        agreed = item.kind.startswith("agreement.")
        key = (item.kind, item.facts.get("agreement"), item.facts.get("to")) if agreed else item.id
        if told is not None and key not in seen:
            seen.add(key)
            found.append(told)
    return found[:_HAPPENED]


def _told(node: Node, item: Event, names: Mapping[str, str]) -> Happening | None:
    facts = item.facts
    if item.kind.startswith("agreement."):
        digest = str(facts.get("agreement"))
        try:
            title = node.agreements.get(digest).terms.title
        except CloisterError:
            return None
        link = f"/agreements/{digest}"
        if item.kind == "agreement.signatures":
            signed = [names.get(party, party[:8]) for party in facts.get("signed") or ()]
            return Happening(item.at, f"“{title}” is signed by {', '.join(signed)}", link)
        if facts.get("to") not in {"finalized", "suspended", "revoked", "terminated"}:
            return None
        bad = "warn" if facts["to"] != "finalized" else "done"
        return Happening(item.at, f"“{title}” is {STATES[facts['to']][0]}", link, bad)
    if item.kind == "release.stored":
        return Happening(item.at, "A result was approved and is here", f"/tasks/{item.task}")
    words = in_words({"kind": item.kind, "facts": facts}, names)
    if not words:
        return None
    kinds = {"task.failed": "bad", "task.refused": "warn", "release.revoked": "warn", "task.stopped": "warn"}
    try:
        node.tasks.plan(item.task)
    except CloisterError:
        return None
    return Happening(
        item.at,
        f"Task {item.task.removeprefix('sha256:')[:8]}: {words}",
        f"/tasks/{item.task}",
        kinds.get(item.kind, "done"),
    )

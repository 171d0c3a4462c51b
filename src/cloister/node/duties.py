"""The duties that agreements lay on nodes (`agreements.clauses.Duty`), carried out without anybody's asking.

| Duty | What this node does |
|---|---|
| delete | so many days after a task ended: its candidate, and whatever of it was not released, is erased here |
| inform | nothing more: the release's program gives every owner the certificate when there is a release |
| attribute | nothing more: the text stands in the agreement that the certificate names |
| report | every so many days, an owner's people are told what was done under the agreement (an event here) |

Rules:
1. What is released to this node is not deleted, also where another task's unreleased result has the same bytes. Who
   holds a candidate and only the certificate of its release, being no recipient, deletes the candidate.
2. A duty that was carried out is a leaf of the log, in the transaction that did it.
"""

from __future__ import annotations

from typing import Any

from cloister.agreements.clauses import Duty
from cloister.agreements.terms import Terms
from cloister.foundation.clock import Clock
from cloister.foundation.errors import CloisterError
from cloister.journal.runner import Runner
from cloister.node.agreements_service import AgreementsService
from cloister.node.ledger_service import LedgerService
from cloister.node.tasks.contents import Contents
from cloister.node.tasks.service import TasksService
from cloister.storage.database import Database
from cloister.storage.events import Events
from cloister.storage.releases import Releases
from cloister.storage.settings import Settings
from cloister.storage.tasks import TaskRow

_DAY = 86_400


class Duties:
    """Carries out this node's duties; called now and then."""

    def __init__(
        self,
        party: str,
        database: Database,
        clock: Clock,
        agreements: AgreementsService,
        tasks: TasksService,
        runner: Runner,
        contents: Contents,
        ledger: LedgerService,
    ) -> None:
        self._party = party
        self._database = database
        self._clock = clock
        self._agreements = agreements
        self._tasks = tasks
        self._runner = runner
        self._contents = contents
        self._ledger = ledger

    def carry_out(self) -> None:
        """Does what is due."""
        rows = [row for row in self._runner.tasks() if row.status != "running"]
        for name in self._agreements.digests():
            terms = self._agreements.get(name).terms
            mine = [duty for duty in terms.duties if duty.by in (None, self._party)]
            ended = [row for row in rows if self._agreement(row.id) == name]
            for duty in mine:
                if duty.action == "delete":
                    self._delete(duty, ended)
                elif duty.action == "report":
                    self._report(duty, name, terms, ended)

    def _agreement(self, task: str) -> str | None:
        try:
            return self._tasks.plan(task).request.agreement
        except CloisterError:
            return None

    def _delete(self, duty: Duty, ended: list[TaskRow]) -> None:
        before = self._clock.now() - (duty.days or 0) * _DAY
        for row in ended:
            if row.updated > before:
                continue
            with self._database.transaction() as tx:
                settings = Settings(tx)
                kept: dict[str, Any] | None = settings.get(f"candidate/{row.id}")
                if kept is None:
                    continue
                settings.remove(f"candidate/{row.id}")
                # The plan's digest names the task whose remains are gone.
                self._ledger.append(tx, "task-event", row.id)
                Events(tx).add(row.id, self._clock.now(), "duty.deleted", {"days": duty.days})
                content = kept.get("content")
                released = None if content is None else Releases(tx).get(content)
                needed = content is None or (released is not None and bool(released.facts.get("here")))
                needed = needed or any(
                    (settings.get(other) or {}).get("content") == content
                    for other in settings.names("candidate/")
                )
            if not needed:
                self._contents.remove(str(content))

    def _report(self, duty: Duty, name: str, terms: Terms, ended: list[TaskRow]) -> None:
        if self._party not in terms.owners:
            return
        now, key = self._clock.now(), f"reported/{name}"
        with self._database.transaction() as tx:
            last = int(Settings(tx).get(key, 0))
            if now - last < (duty.days or 0) * _DAY:
                return
            Settings(tx).put(key, now)
            if last == 0 and not ended:
                return  # nothing has happened yet
            done = [row for row in ended if row.updated >= last]
            facts = {
                "agreement": name,
                "tasks": len(done),
                "done": sum(row.status == "done" for row in done),
                "releases": sum(len(Releases(tx).find(row.id)) for row in done),
            }
            Events(tx).add("", now, "duty.report", facts)

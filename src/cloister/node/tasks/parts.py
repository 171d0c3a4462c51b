"""The parts of other parties' computations: fetched for a plan, counted against its requester, and forgotten again.

Rules:
1. A part is asked for only while its requester's quota has room and its rate allows; a download in vain costs the rate too.
   None is pulled that is larger than all that the requester may leave here.
2. What came is compared with the plan's digest before it is counted, counted with its own size, and kept only then.
   A part that could not be kept is not counted.
3. Only what was fetched for a plan is ever deleted with one, and never what this party's own people added, a release or a
   candidate is made of, or a plan names that has begun or waits. Files that were here for other reasons stay.
4. Who names a part has to have it: each requester gives it once, also where the same bytes lie here already (another party's
   model, a release, the candidate of a task). So nobody learns by a digest what lies here, or has it worked with unseen.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable
from typing import Protocol

from cloister.claims.offers import Plan
from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest, same
from cloister.foundation.errors import CloisterError, Tampered
from cloister.foundation.quotas import Standing
from cloister.node.peers.quotas import Quotas
from cloister.node.tasks.contents import Contents
from cloister.node.tasks.records import TaskRecords
from cloister.storage.database import Database, Transaction
from cloister.storage.quotas import uncharge
from cloister.storage.releases import Releases
from cloister.storage.settings import Settings

CONTENT = "task.content"
CONTENT_SECONDS = 600.0
KIND = "parts of computations"
_FETCHED = "fetched/"
_SHOWN = "shown/"


class Calling(Protocol):
    """A call to another party's node through the transport, with its key and, for a large answer, the bytes of the largest."""

    def __call__(
        self, to: str, method: str, body: bytes, deadline: float, key: str, *, answer: int | None = None
    ) -> bytes:
        """See `transport.interface.Transport.call`."""
        ...


class Parts:
    """What lies here of other parties' computations.

    Args:
        database: the node's.
        records: its plans.
        contents: where parts lie.
        quotas: count them.
        call: see `Calling`.
        standing: of another party's plan.
    """

    def __init__(
        self,
        database: Database,
        records: TaskRecords,
        contents: Contents,
        quotas: Quotas,
        call: Calling,
        standing: Callable[[str], Standing],
    ) -> None:
        self._database = database
        self._records = records
        self._contents = contents
        self._quotas = quotas
        self._call = call
        self._standing = standing

    def fetch(self, plan: Plan) -> None:
        """Gets the parts of a plan's computation from its requester, but those that it gave before (rule 4).

        Raises:
            Refused: the requester's quota is used up (clause `quota`).
            Tampered: what came is not what the plan names.
            CloisterError: the requester did not give it.
        """
        for name in sorted(set(plan.request.computation.contents.values())):
            if not self._contents.has(name) or not self._shown(plan.request.requester, name):
                self._fetch(plan, name)

    def forget(self, names: Iterable[str]) -> None:
        """Deletes those that were fetched for plans and that nothing needs any more."""
        with self._database.transaction() as tx:
            self._forget(tx, names)

    # Inside --------------------------------------------------------------------------------------------------------

    def _shown(self, requester: str, name: str) -> bool:
        if not self._quotas.counts(requester):
            return True
        with self._database.read() as tx:
            return bool(Settings(tx).get(f"{_SHOWN}{name}/{requester}"))

    def _fetch(self, plan: Plan, name: str) -> None:
        requester, new = plan.request.requester, not self._contents.has(name)
        self._count(requester, name, 1, new=new)
        try:
            data = self._call(
                requester,
                CONTENT,
                canonical({"task": plan.digest, "content": name}),
                CONTENT_SECONDS,
                f"content/{plan.digest}/{name}/{secrets.token_hex(8)}",
                answer=self._quotas.most(KIND, requester),
            )
            if not same(digest(data), name):
                raise Tampered(
                    "A part of a computation is not what the plan names.",
                    "Its digest differs.",
                    "Ask for it again.",
                )
            new = new or not self._contents.has(name)  # it may have gone meanwhile
            if new:
                self._count(requester, name, len(data), new=True)
                self._contents.put(data, name)
            else:
                self._no_longer_count(requester, name)
            with self._database.transaction() as tx:
                Settings(tx).put(f"{_SHOWN}{name}/{requester}", True)
        except BaseException:
            with contextlib.suppress(CloisterError):
                self._no_longer_count(requester, name, new=new)
            raise

    def _count(self, requester: str, name: str, size: int, *, new: bool) -> None:
        with self._database.transaction() as tx:
            # What was counted of it before is counted anew.
            uncharge(tx, KIND, requester, name)
            self._forget(tx, self._quotas.take(KIND, requester, name, size, self._standing_part, tx=tx))
            if new:
                Settings(tx).put(f"{_FETCHED}{name}", requester)

    def _no_longer_count(self, requester: str, name: str, *, new: bool = False) -> None:
        with self._database.transaction() as tx:
            uncharge(tx, KIND, requester, name)
            settings = Settings(tx)
            # Another requester may have given it meanwhile: then it is that one's, and goes with its plans.
            if new and settings.get(f"{_FETCHED}{name}") == requester:
                settings.remove(f"{_FETCHED}{name}")

    def _forget(self, tx: Transaction, names: Iterable[str]) -> None:
        settings = Settings(tx)
        for name in names:
            requester = settings.get(f"{_FETCHED}{name}")
            if requester is not None and not self._kept(tx, name) and self._needed(name) == "spent":
                settings.remove(f"{_FETCHED}{name}")
                uncharge(tx, KIND, str(requester), name)
                for shown in settings.names(f"{_SHOWN}{name}/"):
                    settings.remove(shown)
                self._contents.remove(name)

    def _standing_part(self, name: str) -> Standing:
        """Of a part: used by what has begun, was released or was asked for here, or only by what still waits."""
        with self._database.read() as tx:
            if not self._contents.has(name) or self._kept(tx, name):
                return "taken"
        return self._needed(name)

    def _needed(self, name: str) -> Standing:
        """How the plan stands that needs it most; spent if there is none."""
        found = {self._standing(task) for task in self._tasks_with(name)}
        return "taken" if "taken" in found else "waiting" if "waiting" in found else "spent"

    def _tasks_with(self, part: str) -> list[str]:
        return [
            task
            for task in self._records.digests()
            if part in self._records.plan(task).request.computation.contents.values()
        ]

    @staticmethod
    def _kept(tx: Transaction, name: str) -> bool:
        """Whether it is this party's own, a release or a candidate."""
        settings = Settings(tx)
        if (settings.get(f"model/{name}") or {}).get("own") or Releases(tx).get(name) is not None:
            return True
        return any(
            (settings.get(other) or {}).get("content") == name for other in settings.names("candidate/")
        )

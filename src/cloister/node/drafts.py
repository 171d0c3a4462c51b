"""Agreements that are being written at this node: from a template's answers, or as a document by who knows the form.

A draft was shown to no other party. Rules:
1. What is kept as a draft can be signed: it has the one written form, and no clause that no node can enforce.
2. At most `MOST` drafts are kept; no draft of somebody else's goes for a new one.
3. A draft is changed and deleted by whoever wrote it, and by the operator of the machine. Everybody else who may write drafts reads
   it, and goes on with a copy.
"""

from __future__ import annotations

import secrets
from functools import lru_cache
from typing import Any

from cloister.agreements.signing import amend
from cloister.agreements.templates import new_from_template
from cloister.agreements.terms import Terms
from cloister.foundation.clock import Clock
from cloister.foundation.errors import NotFound, OutOfSpace, Refused
from cloister.node.protections import installed
from cloister.node.signing import Signer
from cloister.planner.satisfiable import Unmet, unmet
from cloister.storage.database import Database
from cloister.storage.signing import Draft, Drafts

MOST = 200
_EXAMPLE = {
    "title": "Example",
    "owners": [{"party": letter * 52, "name": letter, "dataset": "data"} for letter in "abc"],
    "researchers": [{"party": "d" * 52, "name": "d"}],
    "purposes": ["Example"],
    "starts": "2026-01-01T00:00:00Z",
}


@lru_cache(maxsize=64)
def not_built(template: str) -> tuple[Unmet, ...]:
    """What a template allows and no privacy method of this version can do, from planning an example of it."""
    return tuple(unmet(new_from_template(template, _EXAMPLE), installed()))


def kinds_of(template: str) -> tuple[str, ...]:
    """The kinds of work that a template allows."""
    return tuple(item.kind for item in new_from_template(template, _EXAMPLE).computations)


def may_change(draft: Draft, account: str | None) -> bool:
    """Whether an account may change a draft (rule 3); `None` is the operator of the machine."""
    return account is None or account == draft.account


class DraftsService:
    """Keeps drafts.

    Args:
        database: the node's.
        clock: tells the time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def from_template(
        self, template: str, answers: dict[str, Any], signer: Signer, draft: str | None = None
    ) -> Draft:
        """A draft of a template's answers (`agreements.inputs.Inputs` as JSON); in place of an earlier one, if named.

        Raises:
            BadInput: the answers do not fit the template.
            NotFound: there is no such earlier draft.
            Refused: it is somebody else's (clause `draft`).
            OutOfSpace: there are too many drafts.
        """
        terms = new_from_template(template, answers)
        return self._keep(terms, signer, draft, template, answers)

    def from_document(self, document: Any, signer: Signer, draft: str | None = None) -> Draft:
        """A draft of terms in their written form; in place of an earlier one, if named.

        Raises:
            BadInput, Refused: as `Terms.from_odrl`.
            NotFound, Refused, OutOfSpace: as `from_template`.
        """
        return self._keep(Terms.from_odrl(document), signer, draft, None, None)

    def next_version(self, old: Terms, signer: Signer) -> Draft:
        """A draft of the version after `old`, with nothing changed yet."""
        return self._keep(amend(old, {}), signer, None, None, None)

    def copy(self, name: str, signer: Signer) -> Draft:
        """A draft of one's own that says the same as another. Raises `NotFound`, `OutOfSpace`."""
        found = self.get(name)
        return self._keep(Terms.from_odrl(found.document), signer, None, found.template, found.answers)

    def own(self, name: str, signer: Signer) -> Draft:
        """A draft that this person may change (rule 3). Raises `NotFound`, or `Refused` (clause `draft`)."""
        found = self.get(name)
        if not may_change(found, signer.account):
            raise Refused(
                "This draft is somebody else's.",
                "Only whoever wrote a draft changes or deletes it.",
                "Make a copy of it, and change that.",
                clause="draft",
            )
        return found

    def delete(self, name: str, signer: Signer) -> None:
        """Forgets a draft on somebody's word (rule 3). Raises `NotFound`, or `Refused` (clause `draft`)."""
        self.remove(self.own(name, signer).id)

    def get(self, name: str) -> Draft:
        """A draft. Raises `NotFound`."""
        with self._database.read() as tx:
            found = Drafts(tx).get(name)
        if found is None:
            raise NotFound("There is no such draft here.", "It may have been signed.", "See the agreements.")
        return found

    def all(self) -> list[Draft]:
        """Every draft, the one changed last first."""
        with self._database.read() as tx:
            return Drafts(tx).all()

    def remove(self, name: str) -> None:
        """Forgets a draft that was signed; nothing happens if there is none."""
        with self._database.transaction() as tx:
            Drafts(tx).remove(name)

    def _keep(
        self,
        terms: Terms,
        signer: Signer,
        draft: str | None,
        template: str | None,
        answers: dict[str, Any] | None,
    ) -> Draft:
        name = self.own(draft, signer).id if draft is not None else secrets.token_hex(8)
        made = Draft(name, terms.to_odrl(), template, answers, signer.account, signer.name, self._clock.now())
        with self._database.transaction() as tx:
            drafts = Drafts(tx)
            if draft is None and len(drafts.all()) >= MOST:
                raise OutOfSpace(
                    "There are too many drafts of agreements.",
                    f"At most {MOST} are kept.",
                    "Delete those that are not needed.",
                )
            drafts.put(made)
        return made

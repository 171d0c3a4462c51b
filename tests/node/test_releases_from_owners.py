"""A release of what the owners hold, over whole nodes: who has the content, and for how long."""

from __future__ import annotations

import numpy as np
import pytest

from cloister.agreements.clauses import Duty
from cloister.agreements.terms import Terms
from cloister.foundation.canonical import canonical, parse
from cloister.foundation.clock import FixedClock
from cloister.foundation.digests import digest
from cloister.foundation.errors import NotFound
from cloister.journal.program import Candidate, Message, Phase, Program, Step
from cloister.node.reports import release_content, release_view, releases_view
from cloister.node.tasks.release_context import PATIENCE
from cloister.protections.federated import FederatedAveraging
from node.town import LAB, OWNERS, USER, town

DAYS = 3


class Held(FederatedAveraging):
    """Its owners agree on a model without sending it to anybody: it is the one that the tables were drawn from."""

    def offers(self, request, facts):
        return tuple(item.model_copy(update={"holder": "owner"}) for item in super().offers(request, facts))

    def program(self, offer, request, seat):
        if seat == "coordinator":
            return Program("listen", {"listen": Phase({"told": "owner"}, len(OWNERS), 60.0, self._listen)})
        model, to = request.computation.contents["model"], offer.seats["coordinator"][0]

        def make(local, _inbox):
            given = {
                "model": np.frombuffer(local.content(model), np.uint8),
                "weights": np.array([1.5, -1.0, 0.0], np.float32),
            }
            _, made = local.engine("jax").call("export", {}, given)
            content = made["model"].tobytes()
            facts = {"content": digest(content), "size": len(content)}
            told = Message(to, "told", canonical(facts))
            return Step(b"", None, (told,), Candidate("model", content, facts))

        return Program("make", {"make": Phase({}, 0, 60.0, make)})

    @staticmethod
    def _listen(_local, inbox):
        (facts,) = [parse(body) for body in {item.body for item in inbox}]
        return Step(b"", None, candidate=Candidate("model", b"", facts))


@pytest.fixture
def held(monkeypatch):
    monkeypatch.setattr("cloister.node.node.installed", lambda: (Held(),))


def test_only_recipients_may_use_what_owners_hold_and_the_coordinator_never_has_it(tmp_path, held):
    clock = FixedClock()
    with town(tmp_path, clock=clock) as here:
        here.start()
        here.meet()
        here.data()
        terms = Terms.from_odrl(here.terms())
        duty = Duty(action="delete", days=DAYS)
        agreement = here.agree(terms.model_copy(update={"duties": (duty,)}).to_odrl())
        here.catalogued()
        task = here.run(agreement, recipients=[here.party[USER]])
        # The longest that the coordinator's part may take, then four phases of the release.
        assert here[USER].shelf.context(task).waiting >= 60.0 + 4 * PATIENCE
        assert set(here.ended(task).values()) == {"done"}

        (shown,) = releases_view(here[USER])
        assert shown["here"]
        name = shown["release"]
        content = release_content(here[USER], name)
        assert digest(content) == name
        assert len(release_view(here[USER], name)["statement"]["subject"]) == 1
        for other in (LAB, *OWNERS):
            (shown,) = releases_view(here[other])
            assert not shown["here"]
            with pytest.raises(NotFound):
                release_content(here[other], name)
        assert not here[LAB].contents.has(name)
        assert all(here[owner].contents.has(name) for owner in OWNERS)
        stored = [event for event in here[USER].events(0, 0) if event["kind"] == "release.stored"]
        assert len(stored) == 1

        # Another task comes to the same bytes, and the coordinator is its recipient.
        again = here.run(agreement, recipients=[here.party[LAB]])
        assert set(here.ended(again, LAB, *OWNERS).values()) == {"done"}
        assert release_content(here[LAB], name) == content
        stored = [event for event in here[LAB].events(0, 0) if event["kind"] == "release.stored"]
        assert [event["facts"]["here"] for event in stored] == [False, True]

        # Owners that are no recipients held it to judge it; the agreement says for how long.
        clock.advance((DAYS + 1) * 86_400)
        for owner in (*OWNERS, LAB, USER):
            here[owner].duties.carry_out()
        assert not any(here[owner].contents.has(name) for owner in OWNERS)
        assert all(release_content(here[who], name) == content for who in (LAB, USER))

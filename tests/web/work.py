"""What the tests of ask, tasks, results and log share: a street whose organisations trust each other, hold data, and have an agreement."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import unescape
from typing import Any

from cloister.agreements.templates import new_from_template
from cloister.foundation.clock import rfc3339
from node.town import COLUMNS, LAB, PURPOSE, ROLES, USER, model, recipe, table, until
from web.street import House, street

OWNERS = ("Ash", "Birch", "Cedar")
PRIVATE = {"epsilon": 4.0, "delta": 1e-5, "unit": "record", "quality": None}
"""Answers to the template by which each owner's data has a privacy budget."""


@contextmanager
def working(
    names: Mapping[str, Sequence[str]] | None = None, *, agreed: bool = True, **answers: Any
) -> Iterator[Work]:
    """A street at work; `answers` are those to the agreement's template, instead of the usual ones."""
    with street(names) as houses:
        work = Work(houses, dict(names or ROLES))
        work.meet()
        if agreed:
            work.agreement = work.agree(**answers)
        yield work


class Work:
    """Houses of a street, and what they do together."""

    def __init__(self, houses: dict[str, House], roles: dict[str, Sequence[str]]) -> None:
        self.houses, self.roles = houses, roles
        self.agreement = ""
        self.asked = 0

    def __getitem__(self, name: str) -> House:
        return self.houses[name]

    def having(self, role: str) -> list[str]:
        """Names of those with a role."""
        return [name for name, roles in self.roles.items() if role in roles]

    def meet(self) -> None:
        """Everybody knows and trusts everybody."""
        nodes = [house.node for house in self.houses.values()]
        for node in nodes:
            for other in nodes:
                if other is not node:
                    node.parties.accept_chain(other.parties.chain(other.party))
                    node.parties.pin(other.party, other.party)
            node.steward.wake("documents")

    def agree(self, **answers: Any) -> str:
        """Data at each owner, and an agreement that everybody signed."""
        for seed, name in enumerate(self.having("owner")):
            node = self[name].node
            path = table(node.folder.root.parent / f"{name.lower()}.csv", seed)
            fields = {"name": "tests", "title": "Strength tests", "residency": "DE"}
            node.datasets.add(path, {**fields, "sensitivity": dict.fromkeys(COLUMNS, "internal")})
            node.steward.wake("documents")
        people = {
            role: [self._person(name) for name in self.having(role)]
            for role in ("owner", "researcher", "user")
        }
        given = {
            "title": "Strength together",
            "owners": [{**owner, "dataset": "tests"} for owner in people["owner"]],
            "researchers": people["researcher"],
            "users": people["user"],
            "purposes": [PURPOSE],
            "starts": rfc3339(self[LAB].node.clock.now() - 60),
            "days": 30,
            "quality": {"metric": "r2", "minimum": 0.5},
        }
        terms = new_from_template("factories-and-lab", given | answers)
        digest = self[LAB].node.agreements.propose(terms.to_odrl())
        for name, house in self.houses.items():
            if name != LAB:
                until(f"{name} to hold the agreement", lambda node=house.node: node.agreements.find(digest))
                house.node.agreements.sign(digest)
        for name, house in self.houses.items():
            until(
                f"the agreement at {name}",
                lambda node=house.node: str(node.agreements.state(digest)) == "finalized",
            )
        owners = {self[name].node.party for name in self.having("owner")}
        until(
            "the catalogue",
            lambda: {entry.owner for entry in self[LAB].node.datasets.catalogue().values()} >= owners,
        )
        return digest

    def _person(self, name: str) -> dict[str, str]:
        return {"party": self[name].node.party, "name": name}

    def ask(self, **preferences: Any) -> str:
        """The lab asks for a training; returns the task."""
        lab = self[LAB].node
        self.asked += 1
        known = lab.computations.add_model(model())["digest"]
        plan, _ = lab.computations.plan(
            {
                "agreement": self.agreement,
                "computation": {
                    "kind": "training",
                    "contents": {"model": known},
                    "settings": recipe(seed=self.asked),
                },
                "purpose": PURPOSE,
                "preferences": {"rounds": 2, "round_seconds": 60, "local_steps": 10} | preferences,
            }
        )
        lab.tasks.submit(plan)
        return plan.digest

    def asked_at(self, name: str, task: str) -> None:
        """Waits until a task waits for a person at a server."""
        node = self[name].node
        until(
            f"a question at {name}",
            lambda: node.tasks.records.known(task) and node.tasks.records.note(task).get("pending"),
        )

    def approve(self, task: str, *names: str) -> None:
        """Owners approve, without the page."""
        for name in names or self.having("owner"):
            self.asked_at(name, task)
            self[name].node.tasks.approve(task, with_records=True)

    def ended(self, task: str, seconds: float = 90) -> dict[str, str]:
        """How a task ended at each server."""
        for name, house in self.houses.items():
            until(
                f"the end at {name}",
                lambda node=house.node: (
                    (row := node.durable.task(task)) is not None and row.status != "running"
                ),
                seconds,
            )
        return {name: house.node.durable.task(task).status for name, house in self.houses.items()}

    def result(self) -> str:
        """A training from the question to the release; returns the release's digest."""
        task = self.ask()
        self.approve(task)
        assert set(self.ended(task).values()) == {"done"}
        return str(task)


def text_of(page: str) -> str:
    """What a page says, without its markup."""
    main = page.partition("<main")[2].partition("</main>")[0] or page
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", main)).split())


def hidden(page: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{re.escape(name)}" value="([^"]*)"', page)
    assert found is not None, f"the page has no field {name}"
    return unescape(found[1])


__all__ = [
    "LAB",
    "OWNERS",
    "PRIVATE",
    "PURPOSE",
    "USER",
    "Work",
    "hidden",
    "model",
    "text_of",
    "until",
    "working",
]

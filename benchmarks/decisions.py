"""What a task costs in deciding and signing: one node's decision on a plan, and the documents around it.

python benchmarks/decisions.py [--quick] [--json FILE|-]
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from cloister.agreements.decision import DecisionFacts, Permit, decide
from cloister.agreements.facts import Approval
from cloister.agreements.lifecycle import State
from cloister.agreements.signing import AgreementView, cosign_agreement, open_agreement, sign_terms
from cloister.agreements.templates import new_from_template
from cloister.agreements.terms import Terms
from cloister.applications.crystals.outlines_recipe import outlines_recipe
from cloister.claims.offers import PLAN_TYPE, Computation, Facts, Offer, Plan, Request
from cloister.data.schema import DatasetDescription, ImageFacts, UnitOfPrivacy
from cloister.foundation.clock import rfc3339
from cloister.identity.cards import genesis, read
from cloister.identity.directory import Directory
from cloister.identity.envelopes import Envelope, sign, verify
from cloister.identity.keys import SecretKeys
from cloister.planner.planner import make_plan
from cloister.protections.federated import FederatedAveraging
from measure import alternating, row, show

NOW = 1_800_000_000
NAMES = ("North", "River", "Valley", "Lab", "Coast")


class Cast:
    """Five parties, their cards, an agreement that all have signed, and a plan under it."""

    def __init__(self) -> None:
        self.keys = {name: SecretKeys.generate() for name in NAMES}
        self.directory = Directory()
        self.party: dict[str, str] = {}
        for name, keys in self.keys.items():
            card = genesis(name, ["owner"], keys, SecretKeys.generate().public, NOW)
            self.directory.accept(card, NOW)
            self.party[name] = read(card).party
        self.terms = self._terms()
        self.signed = self._signed()
        self.view: AgreementView = open_agreement(self.signed, self.directory, NOW)
        self.catalogue = {entry.commitment: entry for entry in map(self._entry, NAMES[:3])}
        self.request = Request(
            agreement=self.terms.digest,
            requester=self.party["Lab"],
            computation=Computation(
                kind="training",
                contents={"model": "sha256:" + "1" * 64},
                settings=outlines_recipe().model_dump(mode="json"),
            ),
            datasets={entry.owner: entry.commitment for entry in self.catalogue.values()},
            purpose="Count crystals",
            recipients=tuple(sorted((self.party["Lab"], self.party["Coast"]))),
        )
        self.facts = Facts(
            agreement=self.terms.to_odrl(),
            catalogue={name: entry.model_dump(mode="json") for name, entry in self.catalogue.items()},
            parameters=848_439,
        )

    def _terms(self) -> Terms:
        def named(name: str) -> dict[str, str]:
            return {"party": self.party[name], "name": name}

        return new_from_template(
            "factories-and-lab",
            {
                "title": "Counting together",
                "owners": [{**named(name), "dataset": "pictures"} for name in NAMES[:3]],
                "researchers": [named("Lab")],
                "users": [named("Coast")],
                "purposes": ["Count crystals"],
                "starts": rfc3339(NOW - 60),
            },
        )

    def _signed(self) -> Envelope:
        envelope = sign_terms(self.terms, self.party["Lab"], self.keys["Lab"])
        for name in NAMES:
            envelope = cosign_agreement(envelope, self.party[name], self.keys[name], NOW)
        return envelope

    def _entry(self, name: str) -> DatasetDescription:
        return DatasetDescription(
            name="pictures",
            title="Pictures",
            kind="image-points",
            image=ImageFacts(labels="centres"),
            unit_of_privacy=UnitOfPrivacy(kind="image"),
            residency="AT",
            owner=self.party[name],
            commitment="sha256:" + format(NAMES.index(name) + 2, "x") * 64,
            registered=rfc3339(NOW - 3600),
        )

    def plan(self) -> Plan:
        """The planner's plan."""
        return make_plan(self.request, self.facts, [FederatedAveraging()], now=NOW, nonce="0" * 32)

    def decide(self, plan: Plan) -> Permit:
        """North's decision."""
        approval = Approval(
            agreement=self.terms.digest,
            computation=self.request.computation.digest,
            by=self.party["North"],
            with_records=True,
            time=rfc3339(NOW),
        )
        found = decide(
            self.view,
            plan,
            DecisionFacts(
                now=NOW + 1,
                party=self.party["North"],
                state=State.FINALIZED,
                protections={"federated-averaging": "stable"},
                catalogue=self.catalogue,
                approvals=(approval,),
            ),
        )
        assert isinstance(found, Permit), found
        return found


def measured(work: Any, times: int) -> float:
    """Milliseconds of one call: the median of runs of `times` calls."""
    ours, _ = alternating(lambda: [work() for _ in range(times)], None)
    return ours / times * 1e3


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", metavar="FILE|-")
    options = parser.parse_args()
    times = 5 if options.quick else 40
    cast = Cast()
    plan = cast.plan()
    offer: Offer = plan.offer
    document = plan.model_dump(mode="json")
    lab, keys = cast.party["Lab"], cast.keys["Lab"]
    envelope = sign(PLAN_TYPE, document, lab, keys)
    rows = [
        row("make a plan", "ms", measured(cast.plan, times), target=50),
        row("decide on a plan (26 clauses)", "ms", measured(lambda: cast.decide(plan), times), target=5),
        row("sign a plan", "ms", measured(lambda: sign(PLAN_TYPE, document, lab, keys), times), target=10),
        row(
            "verify a signed plan",
            "ms",
            measured(lambda: verify(envelope, PLAN_TYPE, [lab], cast.directory), times),
            target=10,
        ),
        row(
            "open an agreement of five signers",
            "ms",
            measured(lambda: open_agreement(cast.signed, cast.directory, NOW), times),
            target=100,
        ),
        row(
            "make an owner's program",
            "ms",
            measured(lambda: FederatedAveraging().program(offer, cast.request, "owner"), times),
            target=5,
        ),
    ]
    show(rows, options.json)
    return 0 if all(item["holds"] for item in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

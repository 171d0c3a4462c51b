"""What every protection must keep, whatever it does. A protection's test module subclasses `ProtectionContract`.

```python
class TestMine(ProtectionContract):
    protection = Mine()
    table = Claims(...)          # the strongest that its protocol supports, and the gaps that it must name
    def request(self): ...       # one that it offers for, under `facts()`
    def facts(self): ...
    def others(self): ...        # offers for the same request whose parameters give other claims, if there are any
    def declined(self): ...      # name → (request, facts) that it must decline
    def world(self, **faults): ...  # a `Loop` with every seat's node
```
"""

from __future__ import annotations

import math
import random
import subprocess
import sys
from typing import Any

import pytest

from cloister.claims.offers import Declined, Facts, Offer, Plan, Request
from cloister.claims.vocabulary import Assumption, Claims, Disclosed
from cloister.foundation.canonical import canonical
from cloister.foundation.errors import CloisterError, Refused, TaskFailed
from cloister.journal.phases import NOTICE, View, judge
from cloister.journal.phases import Header as MessageHeader
from cloister.journal.program import Program, Received, Step
from cloister.journal.runner import POINTS
from cloister.release.messages import (
    CANDIDATE,
    CERTIFICATE,
    CONTENT,
    RELEASE,
    STORED,
    STORED_BY_OWNER,
    VOTE,
    WITHDRAWN,
)
from cloister.release.program import PHASES as RELEASE_PHASES
from cloister.storage.blobs import Kept
from cloister.storage.messages import Counters
from cloister.storage.tasks import TaskRow
from protections.boasts import HonestOffers
from protections.loop import Disk, Loop
from simulators.bus import Crash, Fate, Ports, run_task

RELEASE_KINDS = {
    *(CANDIDATE, CERTIFICATE, CONTENT, RELEASE, STORED, STORED_BY_OWNER, VOTE, WITHDRAWN),
    NOTICE,
}
STRANGER = "z" * 52


def garbage(body: bytes) -> list[bytes]:
    """Bytes that a step may meet in place of `body`."""
    middle = len(body) // 2
    flipped = bytes([*body[:middle], body[middle] ^ 0x55, *body[middle + 1 :]]) if body else b"\x01"
    return [
        b"",
        b"\x00",
        b"{}",
        b"[]" * 40,
        body[:-1],
        body[: len(body) // 2],
        body + b"\x00",
        flipped,
        bytes(reversed(body)),
        b"\xff" * 64,
        body[:4] + b"\xff\xff\xff\xff" + body[8:],
        body[:4] + b"\x00\x00\x00\x02{}",
    ]


def damages(disk):
    """What is left of a seat's state after its disk was damaged, in one place at a time."""
    yield from (Disk(damaged, disk.parts, disk.secrets) for damaged in garbage(disk.state))
    for name, part in disk.parts.items():
        yield from (
            Disk(disk.state, {**disk.parts, name: damaged}, disk.secrets) for damaged in garbage(part)
        )


class ProtectionContract(HonestOffers):
    """See the module."""

    protection: Any
    table: Claims
    heavy = ("jax", "onnx", "onnxruntime", "pyarrow", "skimage", "spu", "tenseal")

    def request(self) -> Request:
        raise NotImplementedError

    def facts(self) -> Facts:
        raise NotImplementedError

    def declined(self) -> dict[str, tuple[Request, Facts]]:
        raise NotImplementedError

    def world(self, **faults: Any) -> Loop:
        raise NotImplementedError

    # -- offers --------------------------------------------------------------------------------------------------

    def offer(self) -> Offer:
        found = [
            item for item in self.protection.offers(self.request(), self.facts()) if isinstance(item, Offer)
        ]
        assert found
        return found[0]

    def programs(self) -> dict[str, Program]:
        """Each seat's program; recipients have none, the release is theirs."""
        offer, request = self.offer(), self.request()
        seats = [seat for seat in offer.seats if seat != "recipient"]
        return {seat: self.protection.program(offer, request, seat) for seat in seats}

    def test_offers_are_pure_and_the_same_each_time(self, monkeypatch):
        request, facts = self.request(), self.facts()
        before = canonical(request.model_dump(mode="json")), canonical(facts.model_dump(mode="json"))
        first = self.protection.offers(request, facts)

        def no_io(*_args, **_kw):
            raise AssertionError("offers do no I/O and read no clock")

        for name in ("builtins.open", "socket.socket", "time.time", "os.urandom", "secrets.token_bytes"):
            monkeypatch.setattr(name, no_io)
        second = self.protection.offers(request, facts)
        monkeypatch.undo()
        assert first == second
        assert before == (
            canonical(request.model_dump(mode="json")),
            canonical(facts.model_dump(mode="json")),
        )

    def test_what_it_cannot_do_it_declines_with_a_reason(self):
        for name, (request, facts) in self.declined().items():
            answers = self.protection.offers(request, facts)
            assert answers, name
            for answer in answers:
                assert isinstance(answer, Declined), (name, answer)
                assert answer.protection == self.protection.name
                assert answer.reason, name

    def test_an_offer_survives_the_journey_as_json(self):
        offer = self.offer()
        plan = Plan(request=self.request(), offer=offer, created="2027-01-15T08:00:00Z", nonce="0" * 32)
        again = Plan.model_validate_json(canonical(plan.model_dump(mode="json")))
        assert again.digest == plan.digest
        for seat, program in self.programs().items():
            other = self.protection.program(again.offer, again.request, seat)
            assert set(other.phases) == set(program.phases)

    def test_an_offer_says_who_it_is_and_seats_nobody_twice(self):
        offer = self.offer()
        assert offer.protection == self.protection.name
        assert offer.maturity == self.protection.maturity
        seated = [party for parties in offer.seats.values() for party in parties]
        assert len(seated) == len(set(seated))
        assert set(self.request().datasets) <= set(seated)
        assert set(offer.discloses) <= set(offer.seats)

    def test_no_claim_is_stronger_than_the_table(self):
        claims = self.offer().claims
        accepted = frozenset(Assumption)
        for claim in claims.guarantees:
            bound = [item for item in self.table.guarantees if item.satisfies(claim, accepted)]
            assert bound, f"not supported: {claim}"
            assert any(item.assumption == claim.assumption for item in bound), f"assumption dropped: {claim}"

    def test_every_gap_in_the_table_is_named(self):
        claims = self.offer().claims
        for gap in self.table.guarantees:
            if isinstance(gap.reached, Disclosed):
                assert gap in claims.guarantees
        assert claims.not_protected

    @pytest.mark.parametrize("change", ["drop", "extra", "type"])
    def test_a_plan_with_other_parameters_is_refused(self, change):
        offer = self.offer()
        for key in [*offer.parameters, "unheard-of"]:
            parameters = dict(offer.parameters)
            if change == "drop":
                if parameters.pop(key, None) is None:
                    continue
            elif change == "extra":
                parameters[f"{key}-more"] = 1
            else:
                parameters[key] = {"never": ["this"]}
            wrong = offer.model_copy(update={"parameters": parameters})
            for seat in self.programs():
                try:
                    self.protection.program(wrong, self.request(), seat)
                except Refused:
                    continue
                assert change == "drop", key  # a default is no danger: it is what the plan meant

    def test_seats_that_it_does_not_have_are_refused(self):
        for seat in ("hub", "outsider", "", "recipient"):
            with pytest.raises(CloisterError):
                self.protection.program(self.offer(), self.request(), seat)
        for changed in ({"owner": ()}, {}):
            offer = self.offer().model_copy(update={"seats": changed})
            with pytest.raises(Refused):
                self.protection.program(offer, self.request(), next(iter(self.programs())))

    # -- programs ------------------------------------------------------------------------------------------------

    def test_phases_are_well_formed(self):
        seats = set(self.offer().seats)
        for program in self.programs().values():
            assert program.first in program.phases
            assert not set(program.phases) & RELEASE_PHASES
            for phase in program.phases.values():
                assert math.isfinite(phase.deadline)
                assert phase.deadline > 0
                assert set(phase.accepts.values()) <= seats
                assert not set(phase.accepts) & RELEASE_KINDS
                assert phase.quorum >= 1 if phase.accepts else phase.quorum == 0

    def test_a_kind_comes_from_one_seat_only(self):
        for program in self.programs().values():
            found: dict[str, str] = {}
            for phase in program.phases.values():
                for kind, seat in phase.accepts.items():
                    assert found.setdefault(kind, seat) == seat

    def test_messages_from_wrong_seats_and_strangers_are_refused(self):
        seats = self.offer().seats
        for seat, program in self.programs().items():
            for name, phase in program.phases.items():
                row = TaskRow("task", seat, seats, "p", name, Kept("sha256:" + "0" * 64, 0, b""))
                view = View(row, program, (), False, Counters(), None, (), {}, {})
                for kind, right in phase.accepts.items():
                    wrong = [party for other, parties in seats.items() if other != right for party in parties]
                    for sender in [*wrong, STRANGER]:
                        with pytest.raises(Refused):
                            judge(view, MessageHeader(sender, kind, 1, "sha256:" + "0" * 64))

    def test_every_phase_is_reached_and_the_candidate_comes_only_at_the_end(self):
        loop = self.world()
        loop.run()
        assert not [node.error for node in loop.nodes.values() if node.error]
        for seat, program in self.programs().items():
            visited = {name for node in loop.nodes.values() if node.seat == seat for name in node.visited}
            assert visited == set(program.phases)
        results = [node for node in loop.nodes.values() if node.candidate and node.candidate.content]
        assert {node.seat for node in results} == {self.offer().holder}
        assert all(node.phase is None for node in loop.nodes.values())
        canonical(dict(results[0].candidate.facts))

    def test_messages_go_only_to_seats_that_accept_them(self):
        loop = self.world()
        loop.run()
        programs = self.programs()
        for sender, message in loop.sent:
            to = loop.nodes[message.to]
            origin = loop.nodes[sender].seat
            assert any(
                phase.accepts.get(message.kind) == origin for phase in programs[to.seat].phases.values()
            )

    def test_a_crash_at_any_step_changes_nothing(self):
        calm, crashed = self.world(), self.world(crash=True)
        calm.run()
        crashed.run()
        assert calm.sent == crashed.sent
        for name, node in calm.nodes.items():
            assert crashed.nodes[name].candidate == node.candidate
            assert crashed.nodes[name].state == node.state

    def on_the_bus(self, **options):
        """The same task by the journal's own runner; the nodes of `world` lend what their steps may use."""
        nodes = self.world().nodes.values()
        seats = {seat: parties for seat, parties in self.offer().seats.items() if seat != "recipient"}
        ports = {
            node.party: Ports(datasets=node.ports, contents=node.contents, engines={"jax": node.worker})
            for node in nodes
        }
        for node in nodes:
            ports[node.party].signing = node.signing
        return run_task({node.party: node.program for node in nodes}, seats, ports, **options)

    def same_result(self, results):
        """All seats are done, with the result of an undisturbed run."""
        if not hasattr(self, "undisturbed"):
            loop = self.world()
            loop.run()
            type(self).undisturbed = {
                name: node.candidate.content for name, node in loop.nodes.items() if node.candidate
            }
        assert {result.status for result in results.values()} == {"done"}, {
            name: result.failure for name, result in results.items()
        }
        contents = {name: result.candidate.content for name, result in results.items() if result.candidate}
        assert contents == self.undisturbed

    def test_the_journals_runner_gets_the_same_result(self):
        self.same_result(self.on_the_bus())

    @pytest.mark.parametrize("seed", range(4))
    def test_lost_repeated_and_delayed_messages_change_nothing(self, seed):
        chance = random.Random(seed)

        def fate(sent):
            if sent.attempt > 4:
                return Fate.DELIVER
            return chance.choice(list(Fate))

        self.same_result(self.on_the_bus(fate=fate, seed=seed))

    @pytest.mark.parametrize("point", POINTS)
    def test_a_node_that_is_killed_and_restarted_gets_the_same_result(self, point):
        parties = [parties[0] for seat, parties in self.offer().seats.items() if seat != "recipient"]
        for nth in (1, 4):
            self.same_result(self.on_the_bus(crashes=[Crash(party, point, nth) for party in parties]))

    def test_a_step_runs_again_from_what_is_on_disk_alone(self):
        """A restarted node makes its program anew; nothing may live in the program object."""
        loop = self.world()
        loop.run()
        for node, phase, disk, inbox in loop.history:
            fresh = self.programs()[node.seat]
            node.restore(disk)
            first = fresh.phases[phase].step(node, inbox)
            again = self.programs()[node.seat].phases[phase].step(node, inbox)
            assert first == again

    def test_unknown_bytes_never_crash_a_step(self):
        loop = self.world()
        loop.run()
        for node, phase, disk, inbox in loop.history:
            for place, item in enumerate(inbox):
                for body in garbage(item.body):
                    changed = list(inbox)
                    changed[place] = Received(item.sender, item.seat, item.kind, body)
                    node.restore(disk)
                    try:
                        step = node.program.phases[phase].step(node, changed)
                    except CloisterError:
                        continue
                    assert isinstance(step, Step)

    def test_a_state_that_was_damaged_on_disk_is_an_error_and_no_crash(self):
        loop = self.world()
        loop.run()
        for node, phase, disk, inbox in loop.history:
            for damaged in damages(disk):
                node.restore(damaged)
                try:
                    node.program.phases[phase].step(node, inbox)
                except CloisterError:
                    continue

    def test_without_any_answer_the_task_fails_by_the_phases_name_and_has_no_candidate(self):
        for seat in self.programs():
            loop = self.world()
            loop.silent = {node.party for node in loop.nodes.values() if node.seat != seat}
            loop.run()
            for node in loop.nodes.values():
                if node.party in loop.silent:
                    continue
                assert isinstance(node.error, TaskFailed)
                assert node.error.detail["phase"] in node.program.phases
                assert node.candidate is None

    def test_planning_it_imports_nothing_heavy(self):
        module = type(self.protection).__module__
        code = f"import sys, {module}; print([m for m in {self.heavy!r} if m in sys.modules])"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert result.stdout.strip() == "[]"

"""Real processes killed while a candidate is judged, voted on and delivered: one release, the right one, or a clear no.

Nobody is killed by the clock. An owner's gate is held where it is by stopping its worker process, a recipient by
stopping its node; what is to be killed is then known to be in the phase that the test names.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cloister.cli.main import cli
from cloister.identity.envelopes import Envelope
from cloister.ledger.export import read_export, verify_export
from cloister.release.certificate import read_statement
from node.crew import Crew, crew
from node.plight import plight
from node.town import LAB, OWNERS, ROLES, USER, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers by /proc"),
]
QUORUM = 2
TRIES = 3


@pytest.fixture(scope="module")
def here():
    with crew(ROLES) as made:
        made.agreement = made.agree(quorum=QUORUM)
        yield made


# Holding things where they are --------------------------------------------------------------------------------------


def below(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(entry.name))
    found, left = [], [pid]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found


def send(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def entered(here: Crew, name: str, task: str, phase: str) -> bool:
    return any(item["facts"]["phase"] == phase for item in here.events(name, "phase.entered", task))


def accepted(here: Crew, name: str, task: str, kind: str) -> int:
    return sum(item["facts"]["kind"] == kind for item in here.events(name, "message.accepted", task))


def entered_release(here: Crew, task: str) -> bool:
    return here.clients[USER].task(task).get("phase") == "release"


def judged(here: Crew, name: str, task: str) -> bool:
    return any("gate" in item["facts"]["figures"] for item in here.events(name, "figures", task))


class Gates:
    """A task whose candidate has come to all owners, and the owners' workers, stopped: no gate gets on."""

    def __init__(self, here: Crew) -> None:
        self.here = here
        self.stopped: dict[str, list[int]] = {}
        for _ in range(TRIES):
            self.task = here.ask(here.agreement, rounds=2)
            if self._hold():
                return
            self.open()
            here.done(self.task)
        raise AssertionError("the gates were always faster")

    def _hold(self) -> bool:
        here = self.here
        for name in OWNERS:
            until(f"the training's end at {name}", lambda name=name: self._trained(name), 60)
            self.stopped[name] = below(here.processes[name].pid)
            send(self.stopped[name], signal.SIGSTOP)
        for name in OWNERS:
            until(f"the candidate at {name}", lambda name=name: accepted(here, name, self.task, "candidate"))
        return not any(judged(here, name, self.task) for name in OWNERS)

    def _trained(self, name: str) -> bool:
        return entered(self.here, name, self.task, "finish") or entered(
            self.here, name, self.task, "candidate"
        )

    def open(self, *names: str) -> None:
        for name in names or tuple(self.stopped):
            send(self.stopped.pop(name), signal.SIGCONT)

    def close(self) -> None:
        for pids in self.stopped.values():
            send(pids, signal.SIGKILL)


@contextlib.contextmanager
def gates(here: Crew) -> Iterator[Gates]:
    made = Gates(here)
    try:
        yield made
    finally:
        made.close()


def killed(here: Crew, name: str) -> None:
    """A node and its workers, also stopped ones."""
    workers = below(here.processes[name].pid)
    here.kill(name)
    send(workers, signal.SIGKILL)


# What must hold in the end ------------------------------------------------------------------------------------------


def one_release(here: Crew, task: str) -> frozenset[str]:
    """Everybody has the same, only certificate of the task, and the user its content. Returns who signed."""
    certificates = set()
    for name, client in here.clients.items():
        (item,) = [item for item in client.get("/releases") if item["task"] == task]
        shown = client.get(f"/releases/{item['release']}")
        envelope = Envelope.from_json(shown["certificate"])
        statement = read_statement(envelope)
        assert statement.predicate.task == task
        certificates.add(envelope.digest)
        assert name not in OWNERS or not item["here"]
        if name == USER:
            assert item["here"]
            content = client.download(f"/releases/{item['release']}/content")
            assert len(content) == statement.predicate.size
            signed = frozenset(item["signed_by"])
    assert len(certificates) == 1
    assert len(signed) >= QUORUM
    return signed


def ledgers_hold(here: Crew) -> None:
    for name, client in here.clients.items():
        exported = client.download("/ledger/export")
        read = read_export(exported.splitlines(keepends=True))
        report = verify_export(read, now=here.clock.now())
        assert report.ok, (name, report.words())


def ends_well(here: Crew, task: str) -> frozenset[str]:
    ends = here.done(task)
    assert set(ends.values()) == {"done"}, [
        item["facts"] for name in OWNERS for item in here.events(name, "figures", task)
    ]
    signed = one_release(here, task)
    ledgers_hold(here)
    return signed


# The tests ----------------------------------------------------------------------------------------------------------


def test_who_is_killed_between_candidate_and_certificate_ends_with_one_certificate(here):
    """The coordinator with the candidate sealed, an owner while its gate works, the coordinator before the certificate."""
    quick, slow = OWNERS[:2], OWNERS[2]
    with gates(here) as held:
        until("the votes' phase", lambda: here.phase(LAB, held.task) == "votes")
        assert not accepted(here, LAB, held.task, "vote")
        killed(here, LAB)
        here.restart(LAB)

        assert not judged(here, quick[0], held.task)
        killed(here, quick[0])
        held.stopped.pop(quick[0])
        here.restart(quick[0])

        held.open(quick[1])
        until("a quorum of votes", lambda: accepted(here, LAB, held.task, "vote") >= QUORUM, 90)
        # The third has its grace now, which begins anew with the process; its gate is still held.
        assert here.phase(LAB, held.task) == "votes"
        killed(here, LAB)
        here.restart(LAB)
        assert here.phase(LAB, held.task) == "votes"
        assert accepted(here, LAB, held.task, "vote") == QUORUM

        held.open(slow)
        assert ends_well(here, held.task) >= {here.party[name] for name in quick}
        assert all(accepted(here, name, held.task, "candidate") == 1 for name in OWNERS)


def test_who_is_killed_between_certificate_and_delivery_ends_with_one_release(here):
    """The coordinator before it could deliver, and the recipient as soon as it has the release."""
    task = here.ask(here.agreement, rounds=2)
    user = here.clients[USER]
    until("the recipient to wait", lambda: entered_release(here, task), 90)
    # Gone, not only stopped: what waits at a stopped one would still come to it after the coordinator's end.
    killed(here, USER)
    until("the certificate", lambda: here.phase(LAB, task) == "delivered", 90)
    killed(here, LAB)
    here.restart(USER)
    # Where the owners hold the result, the coordinator sends its certificate alone.
    assert not any(accepted(here, USER, task, kind) for kind in ("release", "certificate"))

    seen = max((int(item["id"]) for item in user.events(0)), default=0)
    here.restart(LAB)

    def delivered():
        nonlocal seen
        for item in user.events(seen, wait=1.0):
            seen = max(seen, int(item["id"]))
            if item["task"] == task and item["facts"].get("kind") in ("release", "certificate"):
                return True
        return False

    until(lambda: f"the release at the user\n{plight(here, task)}", delivered, 90)
    killed(here, USER)
    here.restart(USER)
    ends_well(here, task)
    assert len(here.events(USER, "release.stored", task)) == 1


def test_a_refusal_by_the_owners_survives_the_coordinators_death(here):
    """Of three owners one takes its approval back and one stops; the coordinator is killed as it hears of it."""
    with gates(here) as held:
        first, second = OWNERS[:2]
        told = CliRunner().invoke(
            cli,
            ["task", "withdraw", held.task, "--reason", "Not this one", "--folder", str(here.root / first)],
        )
        assert told.exit_code == 0, told.output
        assert "left the task" in told.output
        here.clients[second].post(f"/tasks/{held.task}/stop", {"reason": "Not this one"})
        killed(here, LAB)
        here.restart(LAB)
        held.open()
        ends = here.done(held.task)
        assert ends[LAB] == ends[USER] == "failed"
        assert ends[first] == ends[second] == "stopped"
        assert here.clients[first].task(held.task)["failure"]["clause"] == "approval-withdrawn"
        failure = here.clients[LAB].task(held.task)["failure"]
        assert failure["title"]
        assert failure["remedy"]
        assert not [
            item
            for client in here.clients.values()
            for item in client.get("/releases")
            if item["task"] == held.task
        ]
        ledgers_hold(here)

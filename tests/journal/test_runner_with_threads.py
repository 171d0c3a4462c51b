"""Runners with their own threads, on disk, in one process: no test here looks at how long anything takes."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from toys import LEADER, OWNERS, SEATS, programs

from cloister.foundation.digests import digest
from cloister.foundation.errors import NotFound, Refused, Unreachable
from cloister.journal.durable import Durable
from cloister.journal.ports import Taken
from cloister.journal.program import Inbox, Local, Phase, Program, Step
from cloister.journal.runner import Runner
from cloister.storage.tasks import TaskRow
from simulators.bus import Ports

PATIENCE = 60.0


class Node:
    """One party's runner; `others` is the network."""

    def __init__(
        self, folder: Path, party: str, program: Program, others: dict[str, Node], url: str | None = None
    ) -> None:
        self.others, self.made = others, program
        self.durable = Durable.open(folder / party[:8], bytes(32), url=url)
        self.runner = Runner(self.durable, party, self, self, self, self)
        self.party = party
        others[party] = self

    def send(
        self, to: str, task: str, phase: str, kind: str, sequence: int, body: bytes, known: str
    ) -> Taken:
        if to not in self.others:
            raise Unreachable("No answer.")
        return self.others[to].runner.deliver(task, self.party, phase, kind, sequence, body, known)

    def ports(self, _task: TaskRow) -> Ports:
        return Ports()

    def program(self, _task: TaskRow) -> Program:
        return self.made

    def later(self, _task: TaskRow) -> Sequence[Program]:
        return ()

    def append(self, tx: object, kind: str, digest: str) -> None:
        pass

    def close(self) -> None:
        self.others.pop(self.party, None)
        self.runner.close()
        self.durable.close()


def test_answers_are_weighed_beside_the_thread_that_looks_after_all_tasks(tmp_path: Path) -> None:
    """A phase that weighs for long, as with a whole candidate in its state, keeps no other task waiting."""
    weighing, go = threading.Event(), threading.Event()
    threads: set[str] = set()

    def slow(_state: bytes, _inbox: Inbox, _waits: Collection[str]) -> float | None:
        threads.add(threading.current_thread().name)
        weighing.set()
        go.wait(PATIENCE)
        return None

    made = programs(rounds=1)
    leader = made[LEADER]
    slowed = {
        name: replace(phase, enough=slow) if phase.accepts else phase for name, phase in leader.phases.items()
    }
    network: dict[str, Node] = {}
    nodes = [Node(tmp_path, party, program, network) for party, program in made.items()]
    first, second = (digest(name) for name in (b"first", b"second"))
    try:
        next(node for node in nodes if node.party == LEADER).made = Program(leader.first, slowed)
        for node in nodes:
            node.runner.start(first, "coordinator" if node.party == LEADER else "owner", SEATS, "toy")
        assert weighing.wait(PATIENCE)
        next(node for node in nodes if node.party == LEADER).made = leader
        for node in nodes:
            node.runner.start(second, "coordinator" if node.party == LEADER else "owner", SEATS, "toy")
        for node in nodes:
            assert node.runner.wait(second, PATIENCE).status == "done"
        assert network[LEADER].runner.task(first).status == "running"
        go.set()
        for node in nodes:
            assert node.runner.wait(first, PATIENCE).status == "done"
    finally:
        go.set()
        for node in nodes:
            node.close()
    assert all(name.startswith("journal-step") for name in threads)


def test_rule_8_of_phases_a_body_over_its_kinds_limit_is_refused_and_nothing_of_it_written(
    tmp_path: Path,
) -> None:
    made = programs(rounds=1)
    limited = {
        name: replace(phase, largest=dict.fromkeys(phase.accepts, 100_000)) if phase.accepts else phase
        for name, phase in made[LEADER].phases.items()
    }
    node = Node(tmp_path, LEADER, Program(made[LEADER].first, limited), {})
    task = digest(b"task")
    try:
        node.runner.start(task, "coordinator", SEATS, "toy")
        with pytest.raises(Refused) as error:
            node.runner.deliver(task, OWNERS[0], "x", "answer-1", 1, bytes(100_001))
        assert error.value.clause == "message-too-large"
        assert list(tmp_path.glob("*/blobs/*")) == []
        node.runner.deliver(task, OWNERS[0], "x", "answer-1", 1, bytes(100_000))
    finally:
        node.close()


def test_several_tasks_at_once_come_to_their_ends(tmp_path: Path) -> None:
    network: dict[str, Node] = {}
    nodes = [
        Node(tmp_path, party, program, network) for party, program in programs(rounds=2, size=70_000).items()
    ]
    tasks = [digest(str(number).encode()) for number in range(4)]
    for task in tasks:
        for node in nodes:
            node.runner.start(task, "coordinator" if node.party == LEADER else "owner", SEATS, "toy")
    for task in tasks:
        for node in nodes:
            assert node.runner.wait(task, PATIENCE).status == "done"
    for node in nodes:
        assert node.runner.resume() == []
        node.close()
    assert list(tmp_path.glob("*/blobs/*")) == []


def test_a_large_body_is_digested_once_where_it_is_made_and_never_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transport's digest is passed on to the recipient; what was just written is not read from disk again."""
    size = 100_000
    digested: list[int] = []

    def counting(body: bytes | memoryview) -> str:
        digested.append(len(body))
        return digest(body)

    for place in ("journal.reception", "storage.blobs"):
        monkeypatch.setattr(f"cloister.{place}.digest", counting)
    network: dict[str, Node] = {}
    nodes = [
        Node(tmp_path, party, program, network) for party, program in programs(rounds=2, size=size).items()
    ]
    task = digest(b"task")
    for node in nodes:
        node.runner.start(task, "coordinator" if node.party == LEADER else "owner", SEATS, "toy")
    for node in nodes:
        assert node.runner.wait(task, PATIENCE).status == "done"
    for node in nodes:
        node.close()
    # Two rounds: the leader's state and its question to all three, and three answers.
    assert len([length for length in digested if length >= size]) == 2 * (2 + 3)


def test_a_node_that_was_closed_goes_on_where_it_was(tmp_path: Path) -> None:
    network: dict[str, Node] = {}
    made = programs()
    nodes = {party: Node(tmp_path, party, program, network) for party, program in made.items()}
    task = digest(b"task")
    late = OWNERS[2]
    nodes[late].close()
    for party in [LEADER, *OWNERS[:2]]:
        nodes[party].runner.start(task, "coordinator" if party == LEADER else "owner", SEATS, "toy")
    nodes[LEADER].close()
    nodes[LEADER] = Node(tmp_path, LEADER, made[LEADER], network)
    assert nodes[LEADER].runner.resume() == [task]
    nodes[late] = Node(tmp_path, late, made[late], network)
    nodes[late].runner.start(task, "owner", SEATS, "toy")
    nodes[LEADER].runner.poke(late)
    for node in nodes.values():
        assert node.runner.wait(task, PATIENCE).status == "done"
    for node in nodes.values():
        node.close()


def test_what_a_running_step_returns_is_dropped_when_the_task_was_stopped(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def step(_local: Local, _inbox: Inbox) -> Step:
        begun.set()
        go_on.wait(PATIENCE)
        return Step(b"", None)

    node = Node(tmp_path, LEADER, Program("only", {"only": Phase({}, 0, 10.0, step)}), {})
    task = digest(b"task")
    node.runner.start(task, "coordinator", {"coordinator": (LEADER,)}, "toy")
    assert begun.wait(PATIENCE)
    assert node.runner.stop(task, Unreachable("Stopped by its owner."))
    go_on.set()
    node.close()
    with Durable.open(tmp_path / LEADER[:8], bytes(32)).read() as records:
        row = records.tasks.get(task)
        assert row is not None
        assert row.status == "stopped"
        assert records.tasks.steps(task) == []


def test_steps_of_one_task_never_run_side_by_side(tmp_path: Path) -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def step(local: Local, _inbox: Inbox) -> Step:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        count = int(local.state or b"0")
        with lock:
            running -= 1
        return Step(str(count + 1).encode(), "only" if count < 10 else None)

    node = Node(tmp_path, LEADER, Program("only", {"only": Phase({}, 0, 10.0, step)}), {})
    task = digest(b"task")
    node.runner.start(task, "coordinator", {"coordinator": (LEADER,)}, "toy")
    assert node.runner.wait(task, PATIENCE).position == 11
    assert most == 1
    with pytest.raises(NotFound):
        node.runner.stop(digest(b"another"), Unreachable("x"))
    node.close()


def test_a_task_can_be_started_within_another_transaction(tmp_path: Path) -> None:
    node = Node(
        tmp_path, LEADER, Program("only", {"only": Phase({}, 0, 10.0, lambda _l, _i: Step(b"", None))}), {}
    )
    seats = {"coordinator": (LEADER,)}
    with contextlib.suppress(KeyError), node.durable.database.transaction() as tx:
        node.runner.start(digest(b"undone"), "coordinator", seats, "toy", tx=tx)
        raise KeyError
    with pytest.raises(NotFound):
        node.runner.task(digest(b"undone"))
    with node.durable.database.transaction() as tx:
        node.runner.start(digest(b"done"), "coordinator", seats, "toy", tx=tx)
    assert node.runner.wait(digest(b"done"), PATIENCE).status == "done"
    node.close()


@pytest.mark.skipif(
    "CLOISTER_TEST_POSTGRES" not in os.environ, reason="CLOISTER_TEST_POSTGRES names no server"
)
def test_a_node_may_keep_its_journal_in_postgresql(tmp_path: Path) -> None:
    url = os.environ["CLOISTER_TEST_POSTGRES"]
    network: dict[str, Node] = {}
    made = programs(size=100_000)
    nodes = {
        party: Node(tmp_path, party, program, network, url if party == LEADER else None)
        for party, program in made.items()
    }
    task = digest(os.urandom(16))
    for party in [LEADER, *OWNERS[:2]]:
        nodes[party].runner.start(task, "coordinator" if party == LEADER else "owner", SEATS, "toy")
    nodes[LEADER].close()
    nodes[LEADER] = Node(tmp_path, LEADER, made[LEADER], network, url)
    assert nodes[LEADER].runner.resume() == [task]
    nodes[OWNERS[2]].runner.start(task, "owner", SEATS, "toy")
    for node in nodes.values():
        assert node.runner.wait(task, PATIENCE).status == "done"
    for node in nodes.values():
        node.close()

"""Whole tasks over a bus that drops, delays, repeats and kills."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toys import LEADER, OWNERS, SEATS, leader, owner, programs

from cloister.foundation.errors import NotTrusted, Refused, TaskFailed, Unreachable
from cloister.journal.durable import Durable
from cloister.journal.ports import Following, Taken
from cloister.journal.program import Inbox, Local, Message, Phase, PrivacyCost, Program, Step
from cloister.journal.runner import POINTS
from simulators.bus import TASK, Bus, Crash, Fate, Ports, Result, Sent, run_task

BIG = 100_000


def fault_free(**options: int) -> bytes:
    results = run_task(programs(**options, random=False), SEATS)
    assert results[LEADER].candidate is not None
    return results[LEADER].candidate.content


def check_consistent(results: dict[str, Result], bus: Bus) -> None:
    """Whatever happened: one body per sequence, no message read twice, every journal of consecutive steps."""
    bodies: dict[tuple[str, str, int], set[bytes]] = defaultdict(set)
    for sent in bus.transcript:
        bodies[sent.sender, sent.to, sent.sequence].add(sent.body)
    assert all(len(found) == 1 for found in bodies.values())
    for result in results.values():
        assert [record["position"] for record in result.journal] == list(range(len(result.journal)))
        read = [(item["from"], item["sequence"]) for record in result.journal for item in record["read"]]
        assert len(read) == len(set(read))


def test_everybody_ends_with_the_same_result() -> None:
    results = run_task(programs(), SEATS)
    assert {result.status for result in results.values()} == {"done"}
    total = results[LEADER].candidate
    assert total is not None
    for party in OWNERS:
        seen = results[party].candidate
        assert seen is not None
        assert seen.content.endswith(total.content)


def test_large_bodies_travel_like_small_ones_and_none_is_left_behind() -> None:
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    results = run_task(programs(size=BIG), SEATS, bus=bus)
    assert {result.status for result in results.values()} == {"done"}
    for seat in bus.seats.values():
        assert seat.durable.blobs.names() == []


@given(
    st.lists(st.sampled_from(list(Fate)), min_size=1, max_size=40),
    st.lists(
        st.builds(
            Crash,
            st.sampled_from([LEADER, *OWNERS]),
            st.sampled_from(POINTS),
            st.integers(min_value=1, max_value=4),
        ),
        max_size=4,
    ),
    st.integers(0, 1000),
    st.sampled_from([10, BIG]),
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_faults_change_nothing(fates: list[Fate], crashes: list[Crash], seed: int, size: int) -> None:
    turn = iter(fates)
    bus = Bus(lambda _sent: next(turn, Fate.DELIVER), seed)
    results = run_task(
        programs(size=size, random=False),
        SEATS,
        fate=bus.fate,
        crashes=crashes,
        seed=seed,
        bus=bus,
    )
    assert {result.status for result in results.values()} == {"done"}
    candidate = results[LEADER].candidate
    assert candidate is not None
    assert candidate.content == fault_free(size=size)
    check_consistent(results, bus)


@pytest.mark.parametrize("point", POINTS)
def test_a_node_killed_at_any_point_sends_the_same_bytes_again(point: str) -> None:
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    crashes = [Crash(LEADER, point, 1), Crash(LEADER, point, 3), Crash(OWNERS[1], point, 2)]
    results = run_task(programs(), SEATS, crashes=crashes, bus=bus)
    assert {result.status for result in results.values()} == {"done"}
    check_consistent(results, bus)


def test_with_a_quorum_the_deadline_lets_the_others_go_on() -> None:
    results = run_task(programs(quorum=2), SEATS, away=[OWNERS[2]])
    assert results[LEADER].status == "done"
    assert [figures["answers"] for figures in results[LEADER].figures] == [2, 2]
    assert list(results[LEADER].journal[1]["missed"]) == [OWNERS[2]]


def test_without_a_quorum_the_task_fails_by_the_phase_and_the_others_are_told() -> None:
    results = run_task(programs(quorum=3), SEATS, away=[OWNERS[2]])
    assert results[LEADER].status == "failed"
    assert results[LEADER].failure is not None
    assert results[LEADER].failure["phase"] == "collect-1"
    assert results[OWNERS[0]].status == "failed"
    assert "collect-1" in results[OWNERS[0]].failure["detail"]  # type: ignore[index]
    assert results[LEADER].candidate is None


def test_a_straggler_is_acknowledged_but_its_late_answer_is_dropped() -> None:
    slow = OWNERS[0]
    held = {"answer-1": True}

    def fate(sent: Sent) -> Fate:
        if sent.kind == "ask-2":
            held["answer-1"] = False
        return Fate.DROP if sent.sender == slow and held.get(sent.kind) else Fate.DELIVER

    results = run_task(programs(quorum=2), SEATS, fate=fate)
    assert {result.status for result in results.values()} == {"done"}
    late = [
        event for event in results[LEADER].events if event.kind == "message.accepted" and event.facts["late"]
    ]
    assert [(event.facts["from"], event.facts["kind"]) for event in late] == [(slow, "answer-1")]
    assert [figures["answers"] for figures in results[LEADER].figures] == [2, 3]


def _failing(error: Exception) -> Phase:
    def step(_local: Local, _inbox: Inbox) -> Step:
        raise error

    return Phase({"ask-1": "coordinator"}, 1, 60.0, step)


def test_an_owner_that_fails_ends_only_its_own_part_if_enough_are_left() -> None:
    broken = Program(
        "wait-1", {"wait-1": _failing(TaskFailed("This owner gives up.", "Private reason 4711."))}
    )
    results = run_task({**programs(quorum=2), OWNERS[0]: broken}, SEATS)
    assert results[OWNERS[0]].status == "failed"
    assert results[LEADER].status == results[OWNERS[1]].status == "done"
    assert [figures["answers"] for figures in results[LEADER].figures] == [2, 2]


def test_an_owner_that_fails_ends_the_task_at_once_if_too_few_are_left() -> None:
    broken = Program("wait-1", {"wait-1": _failing(TaskFailed("This owner gives up."))})
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    results = run_task({**programs(quorum=3), OWNERS[0]: broken}, SEATS, bus=bus)
    assert {result.status for result in results.values()} == {"failed"}
    assert bus.timer.time < 60.0, "nobody waited for a deadline"


def test_a_coordinator_that_fails_ends_the_task_for_all() -> None:
    def fails(_local: Local, _inbox: Inbox) -> Step:
        raise TaskFailed("Too few valid answers.", "Because.", phase="collect-1")

    program = leader()
    broken = Program(
        "start", {**program.phases, "collect-1": replace(program.phases["collect-1"], step=fails)}
    )
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    results = run_task({**programs(), LEADER: broken}, SEATS, bus=bus)
    assert {result.status for result in results.values()} == {"failed"}
    assert bus.timer.time < 60.0


def test_a_failure_notice_says_phase_and_kind_of_error_and_nothing_else() -> None:
    broken = Program("wait-1", {"wait-1": _failing(ValueError("record 4711 is not a number"))})
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    results = run_task({**programs(), OWNERS[0]: broken}, SEATS, bus=bus)
    notices = {sent.body for sent in bus.transcript if sent.sender == OWNERS[0]}
    assert notices == {b'{"error":"error","phase":"wait-1"}'}
    failure = json.dumps(results[OWNERS[0]].failure)
    assert "ValueError" in failure
    assert "4711" not in failure


def test_the_local_log_has_no_text_of_unexpected_errors(caplog: pytest.LogCaptureFixture) -> None:
    broken = Program("wait-1", {"wait-1": _failing(ValueError("record 4711 is not a number"))})
    run_task({**programs(), OWNERS[0]: broken}, SEATS)
    assert "ValueError" in caplog.text
    assert "4711" not in caplog.text


@pytest.mark.parametrize(
    "step",
    [
        Step(b"", "nowhere"),
        Step(b"", None, (Message("z" * 52, "answer-1", b""),)),
        Step(b"", None, (Message(OWNERS[0], "answer-1", b""),)),
        Step(b"", None, (Message(LEADER, "task.failed", b""),)),
        Step(b"", None, (Message(LEADER, "answer-1", "text"),)),  # type: ignore[arg-type]
        None,
    ],
)
def test_a_step_that_returns_what_it_may_not_fails_and_nothing_is_sent(step: Step) -> None:
    broken = Program("wait-1", {"wait-1": Phase({"ask-1": "coordinator"}, 1, 60.0, lambda _l, _i: step)})
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    results = run_task({**programs(quorum=2), OWNERS[0]: broken}, SEATS, bus=bus)
    assert results[OWNERS[0]].status == "failed"
    assert {sent.kind for sent in bus.transcript if sent.sender == OWNERS[0]} == {"task.failed"}


def test_secrets_are_the_same_when_a_step_runs_again_and_erased_at_the_end() -> None:
    seen: list[bytes] = []

    def step(local: Local, _inbox: Inbox) -> Step:
        seen.append(local.secret("key", 32))
        return Step(b"", None)

    program = Program("only", {"only": Phase({}, 0, 10.0, step)})
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    crashes = [Crash(LEADER, "step.after", 1), Crash(LEADER, "commit.inside", 1)]
    run_task({LEADER: program}, {"coordinator": (LEADER,)}, crashes=crashes, bus=bus)
    assert len(seen) == 3
    assert len(set(seen)) == 1
    assert bus.seats[LEADER].durable.secret(TASK, 1, "key", 32) != seen[0]


def test_a_charge_counts_once_however_often_the_step_runs() -> None:
    def step(local: Local, _inbox: Inbox) -> Step:
        local.charge(PrivacyCost("patients", b"", 0.5, 1e-6))
        return Step(b"", "again" if not local.state else None, ())

    program = Program(
        "only",
        {"only": Phase({}, 0, 10.0, step), "again": Phase({}, 0, 10.0, lambda _l, _i: Step(b"", None))},
    )
    ports = Ports()
    crashes = [Crash(LEADER, "step.after", 1), Crash(LEADER, "commit.inside", 1)]
    run_task({LEADER: program}, {"coordinator": (LEADER,)}, {LEADER: ports}, crashes=crashes)
    assert [charge.epsilon for charge in ports.spent] == [0.5]


def test_a_phase_that_is_visited_twice_is_charged_twice() -> None:
    def step(local: Local, _inbox: Inbox) -> Step:
        local.charge(PrivacyCost("patients", b"", 0.5, 1e-6))
        return Step(b"again", None if local.state else "only")

    ports = Ports()
    run_task(
        {LEADER: Program("only", {"only": Phase({}, 0, 10.0, step)})},
        {"coordinator": (LEADER,)},
        {LEADER: ports},
    )
    assert [charge.position for charge in ports.spent] == [0, 1]


def test_every_step_has_a_leaf_in_the_ledger() -> None:
    results = run_task(programs(), SEATS, crashes=[Crash(LEADER, "commit.inside", 2)])
    for result in results.values():
        assert [kind for kind, _ in result.ledger] == ["task.step"] * len(result.journal)


def _fresh_bus() -> Bus:
    """A bus with everybody started and nothing done yet."""
    bus = Bus(lambda _sent: Fate.DROP, 0)
    bus.settle = lambda most=0: None  # type: ignore[method-assign]
    run_task(programs(), SEATS, fate=bus.fate, bus=bus)
    del bus.settle
    return bus


def test_a_message_for_an_unknown_task_is_refused_and_its_sender_tries_again() -> None:
    runner = _fresh_bus().seats[LEADER].runner
    with pytest.raises(Refused) as caught:
        runner.deliver("sha256:" + "0" * 64, OWNERS[0], "wait-1", "answer-1", 1, b"")
    assert caught.value.clause == "unknown-task"


def test_stopping_a_task_tells_the_others_and_erases_what_it_held() -> None:
    bus = _fresh_bus()
    seat = bus.seats[OWNERS[0]]
    assert seat.runner.stop(TASK, Refused("The agreement was revoked.", clause="revoked"))
    assert not seat.runner.stop(TASK, Refused("Again."))
    bus.fate = lambda _sent: Fate.DELIVER
    bus.settle()
    row = seat.runner.task(TASK)
    assert row.status == "stopped"
    assert row.state.size == 0
    left = [event for event in bus.seats[LEADER].runner.events() if event.kind == "party.left"]
    assert [event.facts["error"] for event in left] == ["refused"]
    assert bus.seats[LEADER].runner.task(TASK).status == "failed"


def test_starting_the_same_task_again_has_no_effect_and_another_one_under_its_name_is_refused() -> None:
    runner = _fresh_bus().seats[LEADER].runner
    runner.start(TASK, "coordinator", SEATS, "simulated")
    with pytest.raises(Exception, match="started twice"):
        runner.start(TASK, "coordinator", SEATS, "simulated", attempt=2)


def test_a_program_may_be_followed_by_another_in_the_same_transaction() -> None:
    done: list[str] = []

    def gate(local: Local, _inbox: Inbox) -> Step:
        done.append(local.state.decode())
        return Step(b"", None)

    following = Program("propose", {"propose": Phase({}, 0, 10.0, gate)})
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    bus.settle = lambda most=0: None  # type: ignore[method-assign]
    run_task(
        {LEADER: Program("only", {"only": Phase({}, 0, 10.0, lambda _l, _i: Step(b"", None))})},
        {"coordinator": (LEADER,)},
        crashes=[Crash(LEADER, "commit.inside", 1), Crash(LEADER, "commit.after", 1)],
        bus=bus,
    )
    del bus.settle
    seat = bus.seats[LEADER]
    first = seat._program
    seat.program = lambda task: following if task.program == "release" else first  # type: ignore[method-assign]
    seat.finished = lambda _tx, task, _candidate: (  # type: ignore[method-assign]
        None
        if task.program == "release"
        else Following("release", b"x" * BIG, seats={"coordinator": (LEADER,)})
    )
    bus.settle()
    assert done == ["x" * BIG]
    row = seat.runner.task(TASK)
    assert (row.program, row.status, row.position) == ("release", "done", 2)


def test_a_message_for_the_program_that_follows_waits() -> None:
    bus = _fresh_bus()
    seat = bus.seats[LEADER]
    seat.later = lambda _task: [
        Program("votes", {"votes": Phase({"vote": "owner"}, 1, 10.0, lambda _l, _i: Step(b"", None))})
    ]  # type: ignore[method-assign]
    assert seat.runner.deliver(TASK, OWNERS[0], "candidate", "vote", 1, b"") is Taken.LATER


def test_a_recipient_that_comes_back_is_tried_at_once() -> None:
    bus = _fresh_bus()
    seat = bus.seats[LEADER]
    for _ in range(3):
        seat.runner.work()
    before = len(bus.transcript)
    assert not seat.runner.work(), "everything waits for its next try"
    seat.runner.poke(OWNERS[0])
    seat.runner.work()
    assert [sent.to for sent in bus.transcript[before:]] == [OWNERS[0]]


def test_retries_come_ever_more_rarely_up_to_five_seconds() -> None:
    bus = _fresh_bus()
    seat = bus.seats[LEADER]
    times = []
    for _ in range(40):
        while seat.runner.work():
            pass
        times.append(bus.timer.time)
        due = seat.runner.next_due()
        assert due is not None
        if due >= 60.0:
            break
        bus.timer.time = due
    gaps = [round(later - earlier, 3) for earlier, later in pairwise(times)]
    assert gaps[:4] == [0.05, 0.1, 0.2, 0.4]
    assert max(gaps) == 5.0


@pytest.mark.parametrize(
    "answer",
    [
        Refused("Clock.", clause="clock-behind-checkpoint"),
        Refused("Unknown.", clause="unknown-task"),
        NotTrusted("A signature does not hold.", clause="signature"),
        Unreachable("No."),
        KeyError("x"),
    ],
)
def test_only_the_journals_own_refusals_make_a_sender_give_up(answer: Exception) -> None:
    bus = _fresh_bus()
    seat = bus.seats[LEADER]
    answers = [answer] * 3

    def send(*_args: object) -> Taken:
        if answers:
            raise answers.pop()
        return Taken.ACCEPTED

    seat.send = send  # type: ignore[method-assign]
    while (due := seat.runner.next_due()) is not None and due < 60.0:
        bus.timer.time = max(bus.timer.time, due)
        seat.runner.work()
    assert not answers
    kinds = [event.kind for event in seat.runner.events()]
    assert kinds.count("message.delivered") == 3
    assert "message.refused" not in kinds


def test_a_message_without_effect_is_dropped_and_shown() -> None:
    bus = _fresh_bus()
    seat = bus.seats[LEADER]

    def send(*_args: object) -> Taken:
        raise Refused("A message was refused.", clause="task-over")

    seat.send = send  # type: ignore[method-assign]
    for _ in range(3):
        seat.runner.work()
    refused = [event for event in seat.runner.events() if event.kind == "message.refused"]
    assert {event.facts["clause"] for event in refused} == {"task-over"}
    assert len(refused) == 3


def test_the_feed_can_be_followed_by_number() -> None:
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    run_task(programs(), SEATS, bus=bus)
    runner = bus.seats[LEADER].runner
    everything = runner.events()
    assert runner.events(everything[4].id) == everything[5:]
    assert [event.kind for event in everything][:2] == ["task.started", "phase.entered"]


def test_a_program_with_other_phases_after_an_update_fails_instead_of_hanging() -> None:
    bus = _fresh_bus()
    seat = bus.seats[OWNERS[0]]
    changed = Program("begin", {"begin": Phase({}, 0, 1.0, lambda _l, _i: Step(b"", None))})
    seat.program = lambda _task: changed  # type: ignore[method-assign]
    seat.restart()
    assert seat.runner.task(TASK).status == "failed"


@pytest.mark.parametrize(
    "program",
    [
        Program("x", {}),
        Program("x", {"x": Phase({"task.failed": "owner"}, 1, 1.0, lambda _l, _i: Step(b"", None))}),
        Program("x", {"x": Phase({}, -1, 1.0, lambda _l, _i: Step(b"", None))}),
        Program("x", {"x": Phase({}, 0, 0.0, lambda _l, _i: Step(b"", None))}),
    ],
)
def test_a_program_that_cannot_be_run_is_refused_at_the_start(program: Program) -> None:
    with pytest.raises(Exception, match="cannot be run"):
        run_task({LEADER: program}, {"coordinator": (LEADER,)})


def test_a_party_with_two_seats_or_none_is_refused_at_the_start() -> None:
    runner = _fresh_bus().seats[LEADER].runner
    other = TASK.replace("a", "b")
    for seats in ({"coordinator": (LEADER,), "owner": (LEADER,)}, {"coordinator": (OWNERS[0],)}):
        with pytest.raises(Exception, match="seats do not fit"):
            runner.start(other, "coordinator", seats, "simulated")


def test_an_owner_that_waits_sees_its_state_again() -> None:
    results = run_task(
        {**programs(), OWNERS[0]: owner()}, SEATS, crashes=[Crash(OWNERS[0], "accept.after", 2)]
    )
    assert results[OWNERS[0]].status == "done"


def test_a_broken_chain_ends_the_task_instead_of_repeating_its_step() -> None:
    runs = []

    def step(_local: Local, _inbox: Inbox) -> Step:
        runs.append(1)
        return Step(b"", None)

    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    bus.settle = lambda most=0: None  # type: ignore[method-assign]
    only = Program("only", {"only": Phase({}, 0, 10.0, step)})
    run_task({LEADER: only}, {"coordinator": (LEADER,)}, bus=bus)
    del bus.settle

    def broken(*_args: object) -> None:
        raise KeyError("record 4711")

    bus.seats[LEADER].finished = broken  # type: ignore[method-assign]
    bus.settle()
    row = bus.seats[LEADER].runner.task(TASK)
    assert row.status == "failed"
    assert runs == [1]


def test_an_error_while_writing_a_step_down_is_tried_again_ever_more_rarely() -> None:
    times = []
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    bus.settle = lambda most=0: None  # type: ignore[method-assign]
    only = Program("only", {"only": Phase({}, 0, 10.0, lambda _l, _i: Step(b"", None))})
    run_task({LEADER: only}, {"coordinator": (LEADER,)}, bus=bus)
    del bus.settle

    def busy(*_args: object) -> None:
        times.append(bus.timer.time)
        if len(times) < 4:
            raise Refused("The clock is behind.", clause="clock-behind-checkpoint")

    bus.seats[LEADER].finished = busy  # type: ignore[method-assign]
    bus.settle()
    assert bus.seats[LEADER].runner.task(TASK).status == "done"
    assert times == [0.0, 1.0, 3.0, 7.0]


def test_an_inbox_that_was_closed_at_the_deadline_stays_closed_over_a_crash() -> None:
    slow = OWNERS[0]
    restarted = []

    def fate(sent: Sent) -> Fate:
        return (
            Fate.DROP if sent.sender == slow and sent.kind == "answer-1" and not restarted else Fate.DELIVER
        )

    bus = Bus(fate, 0)
    bus.settle = lambda most=0: None  # type: ignore[method-assign]
    run_task(programs(quorum=2), SEATS, fate=fate, crashes=[Crash(LEADER, "step.before", 2)], bus=bus)
    del bus.settle
    seat = bus.seats[LEADER]
    restart = seat.restart

    def restart_and_hear_the_slow_one() -> None:
        restart()
        restarted.append(True)
        row = seat.runner.task(TASK)
        assert row.closed
        assert seat.runner.deliver(TASK, slow, "wait-1", "answer-1", 1, b"late") is Taken.LATER

    seat.restart = restart_and_hear_the_slow_one  # type: ignore[method-assign]
    bus.settle()
    assert restarted
    with seat.durable.read() as records:
        first = records.tasks.steps(TASK)[1][2]
    assert [item["from"] for item in first["read"]] == list(OWNERS[1:])


def test_bodies_are_let_go_once_their_step_is_committed_and_messages_dropped_when_a_task_fails() -> None:
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    bus.settle = lambda most=0: None  # type: ignore[method-assign]
    run_task(programs(size=BIG), SEATS, bus=bus)
    del bus.settle
    seat = bus.seats[OWNERS[0]]
    while seat.runner.task(TASK).position == 0:
        for other in bus.seats.values():
            other.runner.work()
    with seat.durable.read() as records:
        assert records.messages.inbox(TASK, 0) == []
    bus.away = {LEADER}
    seat.runner.stop(TASK, Refused("Revoked.", clause="revoked"))
    with seat.durable.read() as records:
        waiting = records.outbox.waiting(TASK, LEADER)
    assert {message.kind for message in waiting} == {"task.failed"}


def test_what_was_not_sent_yet_is_dropped_when_a_task_ends_early() -> None:
    bus = _fresh_bus()
    seat = bus.seats[LEADER]
    seat.runner.work()
    with seat.durable.read() as records:
        assert {message.kind for message in records.outbox.waiting(TASK, OWNERS[0])} == {"ask-1"}
    seat.runner.stop(TASK, Refused("Revoked.", clause="revoked"))
    with seat.durable.read() as records:
        assert {message.kind for message in records.outbox.waiting(TASK, OWNERS[0])} == {"task.failed"}


@pytest.mark.parametrize("size", [10, BIG])
def test_no_body_goes_before_the_note_that_it_arrived_is_sure_to_last(monkeypatch, size: int) -> None:
    """A loss of power may take back what was not forced: then the message is sent again, and its body must be there."""
    noted: list[bool] = []
    went: list[bool] = []
    begin, collect = Durable.transaction, Durable.collect

    def transaction(self: Durable, *, forced: bool = True):
        noted.append(forced)
        return begin(self, forced=forced)

    def checked(self: Durable, names=None) -> int:
        if names:
            went.append(noted[-1])
        return collect(self, names)

    monkeypatch.setattr(Durable, "transaction", transaction)
    monkeypatch.setattr(Durable, "collect", checked)
    results = run_task(programs(size=size), SEATS)
    assert {result.status for result in results.values()} == {"done"}
    assert all(went)
    assert bool(went) == (size == BIG)
    if size < BIG:
        assert False in noted, "small bodies are in the row, and their acknowledgements wait for nothing"

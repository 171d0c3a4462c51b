"""Large pieces of a task's state, which stay while steps go by; and secrets that are forgotten on the way."""

from __future__ import annotations

import pytest
from toys import LEADER

from cloister.journal.program import Inbox, Local, Phase, Program, Step
from cloister.journal.runner import POINTS
from simulators.bus import TASK, Bus, Crash, Fate, run_task

SEAT = {"coordinator": (LEADER,)}
LARGE = bytes(100_000)


def walk(*steps):
    """A program of one seat whose phases run these, one after the other."""
    last = len(steps) - 1
    phases = {}
    for number, does in enumerate(steps):

        def step(local: Local, _inbox: Inbox, number=number, does=does) -> Step:
            parts, forget = does(local) or ({}, ())
            return Step(b"", None if number == last else str(number + 1), parts=parts, forget=forget)

        phases[str(number)] = Phase({}, 0, 10.0, step)
    return Program("0", phases)


def run(program, crashes=()):
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    return run_task({LEADER: program}, SEAT, crashes=list(crashes), bus=bus)[LEADER], bus.seats[LEADER]


@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith(("step", "commit"))])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_part_stays_until_another_is_given_whatever_dies_on_the_way(point, at):
    seen = []

    def look(local):
        seen.append((local.part("weights"), local.part("moments")))

    program = walk(
        lambda _local: ({"weights": LARGE + b"1", "moments": b"m"}, ()),
        look,
        lambda _local: ({"weights": LARGE + b"2"}, ()),
        look,
        lambda _local: None,
    )
    result, seat = run(program, [Crash(LEADER, point, at)])
    assert result.status == "done"
    assert list(dict.fromkeys(seen)) == [(LARGE + b"1", b"m"), (LARGE + b"2", b"m")]
    assert seat.durable.blobs.names() == []
    assert seat.durable.part(TASK, "weights") is None


def test_a_part_that_is_replaced_leaves_no_file_behind():
    left = []
    program = walk(
        lambda _local: ({"weights": LARGE + b"1"}, ()),
        lambda _local: ({"weights": LARGE + b"2"}, ()),
        lambda local: left.append(len(local._durable.blobs.names())),
        lambda _local: None,
    )
    assert run(program)[0].status == "done"
    assert left == [1]


def test_every_step_of_the_journal_names_the_parts_that_it_gave():
    result, _ = run(walk(lambda _local: ({"weights": LARGE}, ()), lambda _local: None))
    first, last = result.journal
    assert list(first["parts"]) == ["weights"]
    assert last["parts"] == {}


@pytest.mark.parametrize(
    "parts", [{"weights": "text"}, {"": b""}, {str(number): b"" for number in range(17)}]
)
def test_what_is_no_part_ends_the_task(parts):
    assert run(walk(lambda _local: (parts, ()), lambda _local: None))[0].status == "failed"


def test_a_part_that_nobody_gave_or_that_is_given_at_the_end_ends_the_task():
    assert run(walk(lambda local: local.part("weights"), lambda _local: None))[0].status == "failed"
    assert run(walk(lambda _local: ({"weights": b""}, ())))[0].status == "failed"


@pytest.mark.parametrize("point", ["step.after", "commit.before", "commit.inside"])
def test_a_forgotten_secret_is_the_same_until_its_step_is_on_disk_and_gone_after_it(point):
    seen, after = [], []

    def use(local):
        seen.append((local.secret("key", 32), local.secret("other", 32)))
        return {}, ("key",)

    program = walk(
        use,
        lambda local: after.append((local.secret("key", 32), local.secret("other", 32))),
        lambda _local: None,
    )
    assert run(program, [Crash(LEADER, point, 1)])[0].status == "done"
    assert len(seen) == 2
    assert len(set(seen)) == 1
    assert after[0][0] != seen[0][0]
    assert after[0][1] == seen[0][1]


@pytest.mark.parametrize("point", ["step.after", "commit.inside", "commit.after"])
def test_a_secret_that_a_step_gives_is_there_for_those_after_it_and_sealed_on_disk(tmp_path, point):
    value, seen, found = b"the key of the next round, 32 by", [], []

    def give(_local, _inbox):
        return Step(b"", "use", secrets={"next": value})

    def use(local, _inbox):
        seen.append(local.secret("next", 32))
        found.extend(path for path in tmp_path.rglob("*") if path.is_file() and value in path.read_bytes())
        return Step(b"", None)

    program = Program("give", {"give": Phase({}, 0, 10.0, give), "use": Phase({}, 0, 10.0, use)})
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    result = run_task({LEADER: program}, SEAT, crashes=[Crash(LEADER, point, 1)], bus=bus, folder=tmp_path)
    assert result[LEADER].status == "done"
    assert set(seen) == {value}
    assert found == []
    assert any(path.stat().st_size for path in tmp_path.rglob("*.db"))

"""Training behind secure sums with noise, as processes: killed and frozen in its phases, it ends right and is charged once.

What crossed is written down at each node before it leaves. After each run no owner has sent two masked vectors for one round,
nor any message twice in different words.
"""

from __future__ import annotations

import os
import signal
import time

import pytest

from node.crew import Crew, crew
from node.plight import plight
from node.town import LAB, USER, until
from simulators.crossed import second_vectors

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
OWNERS = ("Ash", "Birch", "Cedar")
ROLES = {LAB: ["researcher"], **{name: ["owner"] for name in OWNERS}, USER: ["user"]}
STAGES = ("gather", "relay", "collect", "confirm", "total")
BUDGET = {"epsilon": 900.0, "delta": 1e-3, "unit": "record", "owners_per_unit": 1}


@pytest.fixture(scope="module")
def here():
    with crew(ROLES) as made:
        made.agreement = made.agree(budget=BUDGET)
        yield made


def started(here: Crew, rounds: int) -> str:
    return here.ask(here.agreement, rounds, epsilon=4.0, units=160, batch=40)


def reached(here: Crew, task: str, number: int, stage: str) -> None:
    """Waits until the coordinator has done a stage of a round, or is past it."""
    wanted = number, STAGES.index(stage)

    def seen() -> bool:
        figures = [item["facts"]["figures"] for item in here.events(LAB, "figures", task)]
        done = [(item["round"], STAGES.index(item["stage"])) for item in figures if "stage" in item]
        ended = here.clients[LAB].task(task)["status"] in ("done", "failed", "stopped", "refused")
        return ended or any(item >= wanted for item in done)

    until(lambda: f"stage {stage} of round {number}\n{plight(here, task)}", seen, 120)


def spent(here: Crew) -> dict[str, float]:
    return {name: here.clients[name].get("/budgets")["populations"][0]["spent"]["epsilon"] for name in OWNERS}


def masks_once(here: Crew, task: str, rounds: int) -> None:
    """No second vector under the same masks, and no message in other words than before."""
    crossed = here.crossed(task)
    masked = {(sender, kind) for sender, _, _, kind, _ in crossed if kind.startswith("mask-")}
    assert masked == {(name, f"mask-{number}") for name in OWNERS for number in range(1, rounds + 1)}
    assert not second_vectors(crossed)
    said: dict[tuple[str, str, str], bytes] = {}
    for sender, to, _, kind, body in crossed:
        assert said.setdefault((sender, to, kind), body) == body, f"two bodies of {kind} from {sender}"


def ended_right(here: Crew, task: str, before: dict[str, float], rounds: int) -> None:
    """Done at everybody, released once, the same at all, each budget charged once, and masks used once."""
    assert set(here.done(task, 240).values()) == {"done"}
    released = [item for item in here.clients[USER].get("/releases") if item["task"] == task]
    assert len(released) == 1
    assert released[0]["here"]
    for name, epsilon in spent(here).items():
        assert epsilon - before[name] == pytest.approx(4.0, rel=0.02), name
    masks_once(here, task, rounds)


def test_owner_coordinator_relay_and_all_of_them_killed_in_one_training(here):
    before = dict.fromkeys(OWNERS, 0.0)
    task = started(here, 8)
    for number, stage, victims in (
        (1, "relay", ("Ash",)),
        (3, "collect", (LAB,)),
        (5, "confirm", ("Relay",)),
        (6, "gather", ("Relay", LAB, *OWNERS)),
    ):
        reached(here, task, number, stage)
        here.kill(*victims)
        time.sleep(0.3)
        here.restart(*victims)
    ended_right(here, task, before, 8)


def test_a_frozen_owner_is_waited_for_and_charged_once(here):
    before = spent(here)
    task = started(here, 4)
    reached(here, task, 2, "relay")
    os.killpg(here.processes["Birch"].pid, signal.SIGSTOP)
    time.sleep(3)
    assert here.clients[LAB].task(task)["status"] == "running"
    os.killpg(here.processes["Birch"].pid, signal.SIGCONT)
    ended_right(here, task, before, 4)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("victim", ["Ash", LAB, "Relay"])
@pytest.mark.parametrize("stage", STAGES)
def test_each_party_killed_and_frozen_after_every_stage(here, victim, stage):
    before = spent(here)
    task = started(here, 4)
    reached(here, task, 2, stage)
    here.kill(victim)
    here.restart(victim)
    reached(here, task, 3, stage)
    os.killpg(here.processes[victim].pid, signal.SIGSTOP)
    time.sleep(5)
    os.killpg(here.processes[victim].pid, signal.SIGCONT)
    ended_right(here, task, before, 4)


FAULT = """
import contextlib, os, time
from cloister.foundation.errors import CloisterError
from cloister.journal.commit import Committer
from cloister.node.messages import Courier
from cloister.protections.federated import contribution

journalled, begin, commit, couriers = contribution.secret, Courier.__init__, Committer.step, []

def remembered(self, *args, **options):
    begin(self, *args, **options)
    couriers.append(self)

def drawn_anew(local, label):
    return os.urandom(32) if label.startswith("noise-") else journalled(local, label)

def hasty(self, row, program, step, *rest):
    for message in step.send:
        if message.kind == "mask-2":
            with contextlib.suppress(CloisterError):
                couriers[0].send(message.to, row.id, row.phase, message.kind, 1 << 40, message.body, "sha256:" + 64 * "0")
            time.sleep(4)
    return commit(self, row, program, step, *rest)

Courier.__init__, contribution.secret, Committer.step = remembered, drawn_anew, hasty
"""
"""A node that sends its masked vector before that is on disk, and draws its noise anew when the step runs again."""


@pytest.mark.soak
def test_a_second_noisy_vector_under_the_same_masks_would_be_found(here, tmp_path):
    here.faults["Ash"] = tmp_path / "fault.py"
    here.faults["Ash"].write_text(FAULT)
    here.kill("Ash")
    here.restart("Ash")
    try:
        task = started(here, 4)
        sent = ("Ash", "mask-2")
        until(
            lambda: f"the vector\n{plight(here, task)}",
            lambda: any((sender, kind) == sent for sender, _, _, kind, _ in here.crossed(task)),
            120,
        )
        here.kill("Ash")
        here.restart("Ash")
        here.done(task, 240)
        assert second_vectors(here.crossed(task)) == [("Ash", task, "mask-2")]
        with pytest.raises(AssertionError):
            masks_once(here, task, 4)
    finally:
        del here.faults["Ash"]
        here.kill("Ash")
        here.restart("Ash")

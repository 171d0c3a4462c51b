"""Training behind secure sums with noise, as processes: killed and frozen in its phases, it ends right and is charged once."""

from __future__ import annotations

import os
import signal
import time

import pytest

from node.crew import Crew, crew
from node.plight import plight
from node.town import LAB, USER, until

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


def ended_right(here: Crew, task: str, before: dict[str, float]) -> None:
    """Done at everybody, released once, the same at all, and each budget charged once."""
    assert set(here.done(task, 240).values()) == {"done"}
    released = [item for item in here.clients[USER].get("/releases") if item["task"] == task]
    assert len(released) == 1
    assert released[0]["here"]
    for name, epsilon in spent(here).items():
        assert epsilon - before[name] == pytest.approx(4.0, rel=0.02), name


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
    ended_right(here, task, before)


def test_a_frozen_owner_is_waited_for_and_charged_once(here):
    before = spent(here)
    task = started(here, 4)
    reached(here, task, 2, "relay")
    os.killpg(here.processes["Birch"].pid, signal.SIGSTOP)
    time.sleep(3)
    assert here.clients[LAB].task(task)["status"] == "running"
    os.killpg(here.processes["Birch"].pid, signal.SIGCONT)
    ended_right(here, task, before)


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
    ended_right(here, task, before)

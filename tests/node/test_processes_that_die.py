"""Nodes and relay as processes: killed, frozen, in each other's way, and every task still ends as it should."""

from __future__ import annotations

import os
import shutil
import signal
import time

import pytest

from cloister.node.rotation import rotate_keys
from node.crew import UNLOCK, Crew, crew
from node.plight import plight
from node.town import LAB, USER, until

pytestmark = pytest.mark.slow
ROLES = {LAB: ["researcher"], "Ash": ["owner"], USER: ["user"]}


@pytest.fixture(scope="module")
def here():
    with crew(ROLES) as made:
        made.agreement = made.agree()
        yield made


def begun(here: Crew, task: str, steps: int) -> None:
    def seen() -> bool:
        events = [item for item in here.clients["Ash"].events(0) if item["task"] == task]
        return sum(item["kind"].startswith("task.") for item in events) >= steps

    until("some steps", seen, 90)


@pytest.mark.parametrize(
    "victims", [("Ash",), (LAB,), ("Relay",), ("Relay", "Ash"), ("Relay", LAB, "Ash", USER)], ids="+".join
)
def test_who_is_killed_while_training_goes_on_and_finishes(here, victims):
    task = here.ask(here.agreement, rounds=12)
    begun(here, task, 5)
    assert here.clients[LAB].task(task)["status"] in ("running", "admitted")
    here.kill(*victims)
    time.sleep(0.5)
    here.restart(*victims)
    assert set(here.done(task).values()) == {"done"}
    released = [item for item in here.clients[USER].get("/releases") if item["task"] == task]
    assert len(released) == 1
    assert released[0]["here"]


def test_a_frozen_node_is_waited_for(here):
    task = here.ask(here.agreement, rounds=12)
    begun(here, task, 5)
    os.killpg(here.processes["Ash"].pid, signal.SIGSTOP)
    time.sleep(4)
    assert here.clients[LAB].task(task)["status"] == "running"
    os.killpg(here.processes["Ash"].pid, signal.SIGCONT)
    assert set(here.done(task).values()) == {"done"}


def test_who_is_killed_between_admission_and_start_finishes(here):
    """The journal knows nothing of the task yet; the requester starts it again."""
    lab = here.clients[LAB]
    here.kill(USER)
    task = here.ask(here.agreement, rounds=2)
    here.kill(LAB)
    here.restart(LAB, USER)
    assert lab.task(task)["task"] == task
    assert set(here.done(task).values()) == {"done"}


def test_keys_are_rotated_and_the_relay_and_the_others_learn_of_it(here):
    here.kill("Ash")
    assert rotate_keys(here.root / "Ash", UNLOCK, here.clock).sequence >= 1
    here.restart("Ash")
    until(
        lambda: f"the lab to hold the new card\n{plight(here)}",
        lambda: any(
            item["party"] == here.party["Ash"] and item["sequence"] >= 1
            for item in here.clients[LAB].get("/parties")
        ),
        90,
    )
    task = here.ask(here.agreement, rounds=2)
    assert set(here.done(task).values()) == {"done"}


def test_a_second_node_with_the_same_identity_refuses_to_start(here):
    copy = here.root / "Twin"
    shutil.copytree(here.root / "Ash", copy, ignore=shutil.ignore_patterns("node.sock", ".lock"))
    here.start("Twin")
    assert here.processes["Twin"].wait(60) == 3
    said = here.log("Twin")
    assert "Another server is running with this identity" in said
    assert "Stop the other one" in said


def test_a_second_process_on_one_folder_refuses_to_start(here):
    running = here.processes["Ash"]
    here.start("Ash")
    second = here.processes["Ash"]
    here.processes["Ash"] = running
    assert second.wait(60) == 3
    assert "Another process uses the folder" in here.log("Ash")
    assert here.clients["Ash"].status()["party"] == here.party["Ash"]


def test_a_relay_whose_port_is_taken_says_so(here):
    running = here.processes["Relay"]
    second = here.root / "relay2"
    shutil.copytree(here.root / "relay", second, ignore=shutil.ignore_patterns(".lock", "running.json"))
    first = here.root / "relay"
    first.rename(here.root / "relay1")
    second.rename(first)
    try:
        here.start("Relay")
        code = here.processes["Relay"].wait(60)
    finally:
        here.processes["Relay"] = running
        first.rename(second)
        (here.root / "relay1").rename(first)
    assert code != 0
    assert "port" in here.log("Relay").lower()

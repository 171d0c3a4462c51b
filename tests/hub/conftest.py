"""Fixtures over `hub_town`: a hub in this process, or one as a process with nodes around it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hub_town import UNLOCK, Someone, Town, eventually, joined

from cloister.hub.server import Hub, create_hub
from cloister.transport.hub_client import HubClient
from simulators.lock_order import watched


@pytest.fixture(scope="session")
def people() -> dict[str, Someone]:
    return {name: Someone(name) for name in ("anna", "bert", "carl", "dora")}


@pytest.fixture
def folder(tmp_path) -> Path:
    create_hub(tmp_path / "hub", UNLOCK)
    return tmp_path / "hub"


@pytest.fixture
def hub(folder):
    with (
        watched(),
        Hub(folder, UNLOCK, host="127.0.0.1", port=0, enrol_port=0, names=["127.0.0.1"]) as hub,
    ):
        yield hub


@pytest.fixture
def opened():
    """Transports that are closed at the end."""
    with contextlib.ExitStack() as stack:
        yield stack.enter_context


@pytest.fixture
def client(hub, people, opened):
    """A party's client of the hub."""

    def client(name: str) -> HubClient:
        transport = opened(joined(people[name], hub.invite(), list(people.values())))
        eventually(lambda: hub.party in transport.here())
        return HubClient(transport, hub.party)

    return client


@pytest.fixture
def town(folder, people, tmp_path):
    town = Town(folder, people, tmp_path)
    yield town
    town.close()

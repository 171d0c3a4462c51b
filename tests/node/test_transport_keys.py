"""The key and the certificate that a node shows at the relay stay together, whenever it dies (`peers.hub_link`)."""

from __future__ import annotations

import shutil

import pytest

from cloister.foundation.clock import SystemClock
from cloister.foundation.errors import Unreachable
from cloister.identity import enrolment
from cloister.identity.directory import Directory
from cloister.identity.enrolment import belongs
from cloister.identity.keystore import Keystore
from cloister.node.folder import Folder
from cloister.node.peers import hub_link
from cloister.node.peers.hub_link import connect_to_hub, connected, credentials
from cloister.node.setup import init_node
from cloister.transport.hub_client import Enrolled
from cloister.transport.invitation import Invitation
from cloister.transport.zenoh_settings import Credentials
from node.town import UNLOCK

CLOCK = SystemClock()
WRITES = 6
"""Of one enrolment: key, authority, certificate, key in its place, the other one gone, the hub's file."""


class Died(BaseException):
    """The process ended here."""


class Dying:
    """A keystore and the writing of files, which end the process before a certain write."""

    def __init__(self, monkeypatch, folder: Folder) -> None:
        self.left = -1
        self.keystore = Keystore.open(folder.secrets, UNLOCK)
        for owner, name in (
            (self.keystore, "put"), (self.keystore, "remove"), (hub_link, "write_atomically"), (Folder, "write_json"),
        ):  # fmt: skip
            monkeypatch.setattr(owner, name, self._before(getattr(owner, name)))

    def _before(self, write):
        def writing(*arguments, **named):
            if self.left == 0:
                raise Died
            self.left -= 1
            return write(*arguments, **named)

        return writing


@pytest.fixture
def hub(monkeypatch):
    """An authority that enrols whoever asks, as long as it is there."""
    authority = enrolment.create_authority(CLOCK.now())
    state = {"here": True, "asked": 0}

    def enrol(_invitation, party, keys, cards, now):
        if not state["here"]:
            raise Unreachable("The relay does not answer.")
        state["asked"] += 1
        directory = Directory()
        directory.accept_chain(cards, now)
        key, csr = enrolment.make_csr(party)
        asked = enrolment.request(party, keys, csr, authority.certificate, now)
        certificate = enrolment.issue(authority, csr, asked, directory.live(now), now)
        return Enrolled(Credentials(authority.certificate, certificate, key), ())

    monkeypatch.setattr(hub_link, "enrol", enrol)
    return state


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = tmp_path_factory.mktemp("node")
    init_node(place / "node", "Ash", ["owner"], UNLOCK, UNLOCK, CLOCK)
    return place / "node"


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made, tmp_path / "node")
    return Folder(tmp_path / "node")


@pytest.fixture
def invitation(folder):
    return Invitation(
        relay="127.0.0.1:1", enrol="127.0.0.1:2", hub=folder.config().party, code="c" * 26, expires="2027-01-01T00:00:00Z",
        authority=enrolment.create_authority(CLOCK.now()).certificate.decode(),
    )  # fmt: skip


@pytest.mark.parametrize("writes", range(WRITES))
def test_a_node_that_dies_while_it_renews_has_a_key_for_its_certificate(
    folder, invitation, hub, monkeypatch, writes
):
    """Rule 1."""
    connect_to_hub(folder, Keystore.open(folder.secrets, UNLOCK), invitation, CLOCK)
    dying = Dying(monkeypatch, folder)
    dying.left = writes
    with pytest.raises(Died):
        connect_to_hub(folder, dying.keystore, invitation, CLOCK)
    dying.left = -1
    hub["here"] = False
    for _ in range(2):  # also where it was found once
        found = credentials(folder, Keystore.open(folder.secrets, UNLOCK), CLOCK)
        assert belongs(found.key, found.certificate)


def test_all_writes_of_an_enrolment_are_tried(folder, invitation, hub, monkeypatch):
    dying = Dying(monkeypatch, folder)
    dying.left = WRITES
    connect_to_hub(folder, dying.keystore, invitation, CLOCK)
    assert dying.left == 0


@pytest.mark.parametrize("writes", range(WRITES))
def test_a_node_that_dies_while_it_is_enrolled_can_be_enrolled_again(
    folder, invitation, hub, monkeypatch, writes
):
    dying = Dying(monkeypatch, folder)
    dying.left = writes
    with pytest.raises(Died):
        connect_to_hub(folder, dying.keystore, invitation, CLOCK)
    dying.left = -1
    assert not connected(folder)
    connect_to_hub(folder, dying.keystore, invitation, CLOCK)
    found = credentials(folder, dying.keystore, CLOCK)
    assert belongs(found.key, found.certificate)
    assert hub["asked"] == 2


def test_a_certificate_whose_key_is_lost_is_replaced_before_it_is_used(folder, invitation, hub):
    """Rule 1."""
    keystore = Keystore.open(folder.secrets, UNLOCK)
    connect_to_hub(folder, keystore, invitation, CLOCK)
    keystore.put("transport-key", enrolment.make_csr(folder.config().party)[0])
    found = credentials(folder, keystore, CLOCK)
    assert belongs(found.key, found.certificate)
    assert hub["asked"] == 2

"""Parties with real keys, and transports over each carrier."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

import pytest

from cloister.foundation.clock import FixedClock
from cloister.foundation.errors import NotTrusted
from cloister.hub.router import Router
from cloister.identity import enrolment
from cloister.identity.keys import PublicKeys, SecretKeys, party_id
from cloister.transport.memory import MemoryHub
from cloister.transport.messenger import Messenger, Tuning
from cloister.transport.zenoh import connect, wait_for
from cloister.transport.zenoh_settings import Credentials


@dataclass(frozen=True)
class Member:
    name: str
    id: str
    keys: SecretKeys


class Book:
    """The simplest `Peers`: a dictionary from which parties can be struck."""

    def __init__(self) -> None:
        self.known: dict[str, PublicKeys] = {}

    def add(self, member: Member) -> None:
        self.known[member.id] = member.keys.public

    def keys_for(self, party: str) -> PublicKeys:
        try:
            return self.known[party]
        except KeyError:
            raise NotTrusted("A party is not known here.", clause="unknown") from None

    def keys(self, party: str, keyset: str) -> PublicKeys:
        keys = self.keys_for(party)
        if keys.keyset != keyset:
            raise NotTrusted("A party does not use these keys.", clause="unknown")
        return keys

    @property
    def directory(self) -> Book:
        return self


def member(name: str) -> Member:
    keys = SecretKeys.generate()
    return Member(name, party_id(keys.public, "sha256:" + hashlib.sha256(name.encode()).hexdigest()), keys)


@pytest.fixture(scope="session")
def members() -> dict[str, Member]:
    return {name: member(name) for name in ("anna", "bert", "carl")}


@pytest.fixture
def book(members) -> Book:
    book = Book()
    for item in members.values():
        book.add(item)
    return book


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


class MemoryNet:
    """Transports over one in-memory hub."""

    def __init__(self, members: dict[str, Member], book: Book) -> None:
        self.members, self.book = members, book
        self.hub = MemoryHub()
        self.opened: list[Messenger] = []

    def open(self, name: str, **tuning) -> Messenger:
        who = self.members[name]
        transport = self.hub.transport(who.id, who.keys, self.book, tuning=Tuning(**tuning))
        self.opened.append(transport)
        return transport

    def close(self) -> None:
        for transport in self.opened:
            transport.close()


class ZenohNet:
    """Transports through an embedded router with certificates, all in this process."""

    def __init__(self, members: dict[str, Member], book: Book) -> None:
        self.members, self.book = members, book
        self.now = int(time.time())
        self.authority = enrolment.create_authority(self.now)
        key, certificate = enrolment.issue_server(self.authority, ["127.0.0.1"], self.now)
        server = Credentials(self.authority.certificate, certificate, key)
        self.router = Router("127.0.0.1", 0, server, [item.id for item in members.values()])
        self.router.start()
        self.opened: list[Messenger] = []

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.router.port}"

    def credentials(self, who: Member) -> Credentials:
        key, csr = enrolment.make_csr(who.id)
        asked = enrolment.request(who.id, who.keys, csr, self.authority.certificate, self.now)
        book = Book()
        book.add(who)
        certificate = enrolment.issue(self.authority, csr, asked, book, self.now)
        return Credentials(self.authority.certificate, certificate, key)

    def open(self, name: str, **tuning) -> Messenger:
        who = self.members[name]
        transport = connect(
            who.id,
            who.keys,
            self.book,
            endpoint=self.endpoint,
            credentials=self.credentials(who),
            tuning=Tuning(**tuning),
        )
        self.opened.append(transport)
        wait_for(transport, who.id, 15)
        return transport

    def close(self) -> None:
        for transport in self.opened:
            transport.close()


@pytest.fixture(scope="session")
def zenoh_net(members):
    """One router for all tests: opening it takes half a second."""
    net = ZenohNet(members, Book())
    yield net
    net.router.close()


@pytest.fixture(params=["memory", "zenoh"])
def net(request, members, book):
    if request.param == "memory":
        net = MemoryNet(members, book)
    else:
        net = request.getfixturevalue("zenoh_net")
        net.book, net.opened = book, []
    yield net
    net.close()

"""Parties with real keys, and transports over each carrier."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pytest

from cloister.foundation.clock import FixedClock
from cloister.foundation.errors import NotTrusted
from cloister.identity.keys import PublicKeys, SecretKeys, party_id
from cloister.transport.memory import MemoryHub
from cloister.transport.messenger import Messenger, Tuning


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


@pytest.fixture(params=["memory"])
def net(request, members, book):
    net = MemoryNet(members, book)
    yield net
    net.close()

"""The hub's methods, served through the same transport as everything between nodes.

A call that arrives here is signed by an enrolled party with its present keys: the transport asks `Members`, which
knows no others. Every body is canonical JSON of exactly the expected fields, or a single envelope.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.foundation.canonical import JSON, canonical, parse_canonical
from cloister.foundation.digests import DIGEST_PATTERN
from cloister.foundation.errors import BadInput
from cloister.hub.logbook import Logbook
from cloister.hub.registry import MAX_DOCUMENT, Registry
from cloister.hub.state import Members
from cloister.hub.traffic import TrafficBook
from cloister.identity.keys import PARTY_PATTERN, b64, unb64
from cloister.transport.interface import Call, Transport

MAX_ASKED = 2 << 20
_NUMBER = Field(ge=0, lt=2**48)


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Kind = TypeVar("Kind", bound=_Asked)


class _Nothing(_Asked):
    pass


class _List(_Asked):
    since: int = _NUMBER
    kind: str | None = Field(max_length=128)


class _Fetch(_Asked):
    digest: str = Field(pattern=DIGEST_PATTERN)


class _Cards(_Asked):
    party: str | None = Field(pattern=PARTY_PATTERN)


class _Leaf(_Asked):
    leaf: str = Field(max_length=2048)


class _Range(_Asked):
    start: int = _NUMBER
    end: int = _NUMBER


class _Inclusion(_Asked):
    index: int = _NUMBER
    size: int = _NUMBER


class _Consistency(_Asked):
    old: int = _NUMBER
    new: int = _NUMBER


class _Note(_Asked):
    note: str = Field(max_length=1 << 20)


class _Witness(_Note):
    old_size: int = _NUMBER
    proof: list[str] = Field(max_length=70)


class _Traffic(_Asked):
    peers: dict[str, list[int]] = Field(max_length=1000)


def serve(
    transport: Transport, members: Members, registry: Registry, logbook: Logbook, traffic: TrafficBook
) -> None:
    """Serves the hub's methods on its transport."""

    def offer(method: str, kind: type[_Asked], answer: Callable[[str, Any], Mapping[str, JSON]]) -> None:
        def handler(call: Call) -> bytes:
            return canonical(answer(call.sender, _read(kind, call.body)))

        transport.serve(method, handler, largest=MAX_ASKED)

    def report(sender: str, asked: _Traffic) -> Mapping[str, JSON]:
        traffic.report(sender, asked.peers)
        return {}

    def cosign(sender: str, asked: _Note) -> Mapping[str, JSON]:
        logbook.cosign(sender, unb64(asked.note))
        return {}

    def witness(sender: str, asked: _Witness) -> Mapping[str, JSON]:
        proof = [unb64(item) for item in asked.proof]
        return {"note": b64(logbook.witness(sender, unb64(asked.note), asked.old_size, proof))}

    def cards(_: str, asked: _Cards) -> Mapping[str, JSON]:
        chains = members.chains(asked.party)
        return {"chains": [[card.model_dump(mode="json") for card in chain] for chain in chains]}

    def fetch(call: Call) -> bytes:
        asked = _read(_Fetch, call.body)
        return registry.fetch(asked.digest)

    def publish(call: Call) -> bytes:
        return canonical({"number": registry.publish(call.sender, call.body)})

    transport.serve("registry.publish", publish, largest=MAX_DOCUMENT)
    transport.serve("registry.fetch", fetch, largest=MAX_ASKED)
    offer("registry.list", _List, lambda _, asked: {"documents": registry.listed(asked.since, asked.kind)})
    offer("registry.cards", _Cards, cards)
    offer("log.append", _Leaf, lambda sender, asked: {"index": logbook.append(sender, unb64(asked.leaf))})
    offer("log.head", _Nothing, lambda _, __: {"note": b64(logbook.head())})
    offer("log.entries", _Range, lambda _, asked: _encoded("leaves", logbook.entries(asked.start, asked.end)))
    offer(
        "log.inclusion",
        _Inclusion,
        lambda _, asked: _encoded("proof", logbook.inclusion(asked.index, asked.size)),
    )
    offer(
        "log.consistency",
        _Consistency,
        lambda _, asked: _encoded("proof", logbook.consistency(asked.old, asked.new)),
    )
    offer("log.cosign", _Note, cosign)
    offer("log.witness", _Witness, witness)
    offer("log.heads", _Nothing, lambda _, __: {"heads": {k: b64(v) for k, v in logbook.heads().items()}})
    offer("traffic.report", _Traffic, report)


def _encoded(name: str, values: list[bytes]) -> Mapping[str, JSON]:
    return {name: [b64(item) for item in values]}


def _read(kind: type[Kind], body: bytes) -> Kind:
    try:
        return kind.model_validate(parse_canonical(body, max_bytes=MAX_ASKED))
    except ValidationError:
        raise BadInput(
            "A request to the relay could not be read.",
            "Fields are missing, unknown or of the wrong kind.",
            "Use the same release of Cloister at the relay and here.",
        ) from None

"""The parties that a node knows: their cards, and whose fingerprint a person has compared.

Rules:
1. A party enters by its genesis card; every later card is checked against the one before (`cards`).
2. Cards only move on. An older card than the one held is *rolled back* and refused; the same card again is fine.
3. Two genuine cards of one party with one sequence are a *fork*: whoever holds the keys tells different stories. The
   second is refused and kept as evidence, and the party is refused altogether until its recovery keys speak or it is
   revoked. Keys that a later card calls compromised, or that recovery keys replaced, can no longer make a fork.
4. A card signed by the recovery keys may follow any earlier card; cards that others signed after that one are
   dropped, and with them the keys that a thief announced. This ends a fork. Two different stories by the recovery
   keys are a fork that only a revocation ends. Nothing undoes a revocation, whoever made it.
5. A person compares fingerprints: only `pin`, with the fingerprint as read out by the other side, makes a known
   party trusted. Cards from the hub or from files make it known, no more.
6. What signatures are worth after keys change. There is no trusted time inside a signature, so a thief can date one
   back at will. Hence three views:
   - `live(now)`: the keys of the current, fresh, unrevoked card only. For messages and new documents.
   - the directory itself (`keys`): also earlier keysets of the chain, for documents signed before a routine rotation;
     never keysets that a later card calls compromised, never those of a revoked party.
   - `as_of(seen)`: for documents that are proven to have existed at `seen` (in a ledger under a cosigned checkpoint):
     the keys that were current then, also of parties revoked or compromised after `seen`. Without such proof, old
     documents of a revoked party count for nothing.
7. What is loaded from storage is checked like what comes from outside.
8. Of a card's signatures those are kept that count, and of a card that is held the ones it came with: nobody makes what is
   held larger, or unfit to be loaded again, by sending a card with other entries.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn, TypeAlias

from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.digests import same
from cloister.foundation.errors import BadInput, CloisterError, NotFound, NotTrusted
from cloister.identity.cards import Card, bare, check_genesis, check_next, read
from cloister.identity.envelopes import Envelope, KeyDirectory
from cloister.identity.keys import PublicKeys, grouped

Trust: TypeAlias = Literal["pinned", "unpinned"]
MAX_CHAIN = 1000
MAX_PARTIES = 10_000
_FOREVER = 1 << 60


@dataclass(frozen=True)
class Record:
    """What the directory holds about one party: its chain, whether a person pinned it, and evidence of a fork."""

    cards: tuple[Card, ...]
    envelopes: tuple[Envelope, ...]
    trust: Trust = "unpinned"
    fork: Envelope | None = None

    @property
    def latest(self) -> Card:
        """The last card of the chain, whatever its state."""
        return self.cards[-1]


class Directory:
    """Card chains by party, in memory. Implements `envelopes.KeyDirectory` (see rule 6).

    Attributes:
        changes: grows with every change of what is held, after the change; the same number, the same directory.
    """

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self.changes = 0

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._records))

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, party: object) -> bool:
        return party in self._records

    def record(self, party: str) -> Record:
        """All that is held about a party. Raises `NotFound`."""
        try:
            return self._records[party]
        except KeyError:
            raise NotFound(
                "This party is not known here.",
                "No card of it has been accepted.",
                "Ask the party for its card and add it with `cloister party add`.",
            ) from None

    def card(self, party: str) -> Card:
        """The latest card whatever its state, for showing. Raises `NotFound`."""
        return self.record(party).latest

    def chain(self, party: str) -> tuple[Envelope, ...]:
        """The party's cards from genesis on, as handed to others. Raises `NotFound`."""
        return self.record(party).envelopes

    def current(self, party: str, now: int) -> Card:
        """The card that speaks for the party at `now`. Raises `NotTrusted` if unknown, expired, revoked or forked."""
        record = self._known(party)
        record.latest.usable(now)
        return record.latest

    def trust(self, party: str) -> Trust:
        """`pinned` once a person compared the fingerprint. Raises `NotFound`."""
        return self.record(party).trust

    def trusted(self, party: str, now: int) -> bool:
        """Whether the party is pinned and its card speaks for it now."""
        try:
            self.current(party, now)
        except NotTrusted:
            return False
        return self._records[party].trust == "pinned"

    def pin(self, party: str, compared: str) -> None:
        """Records that a person compared fingerprints. Raises `NotTrusted` when `compared` is another one.

        Args:
            party: a known party.
            compared: the fingerprint as the other side read it out; spaces, hyphens and case do not matter.
        """
        record = self.record(party)
        if not same(re.sub(r"[\s-]", "", compared).lower(), party):
            raise NotTrusted(
                "The fingerprints differ.",
                f"This card's fingerprint is {grouped(party)}.",
                "Do not trust this card; ask the party for its card by another way.",
                clause="fingerprint",
            )
        self._hold(party, replace(record, trust="pinned"))

    def unpin(self, party: str) -> None:
        """Takes a person's trust back; the party stays known."""
        self._hold(party, replace(self.record(party), trust="unpinned"))

    def accept(self, envelope: Envelope, now: int) -> Card:
        """Takes in a card: a genesis card, the next card of a known party, or the one already held.

        Raises:
            NotTrusted: forged, rolled back, forked, out of chain, after a revocation. Nothing changes, except that
                a genuine fork is kept as evidence.
            BadInput: it is no card.
        """
        card = read(envelope)
        record = self._records.get(card.party)
        if record is None or envelope.digest == record.latest.digest:
            return self.accept_chain([envelope], now)
        if record.latest.status == "revoked":
            record.latest.usable(now)
        anchor = self._anchor(record, card)
        if anchor is None:
            raise self._misplaced(record, card)
        return self.accept_chain([*record.envelopes[: anchor + 1], envelope], now)

    def accept_chain(self, envelopes: Iterable[Envelope], now: int) -> Card:
        """Takes in a party's cards from genesis on, or only the latest one if it is held.

        The chain is checked as a whole before any of it is believed, so a chain in which the recovery keys end a fork
        is taken even where only the other side of the fork was known.

        Raises:
            NotTrusted: as `accept`; also when the chain ends before the card held (rolled back).
            BadInput: it is no chain of one party's cards.
        """
        offered = list(envelopes)
        if not 1 <= len(offered) <= MAX_CHAIN:
            raise BadInput(
                "A chain of cards is empty or too long.",
                f"Between 1 and {MAX_CHAIN} cards are expected.",
                "Ask the party for its cards again.",
            )
        record = self._records.get(read(offered[0]).party)
        if record is not None and len(offered) == 1 and offered[0].digest == record.latest.digest:
            return record.latest
        if (
            record is not None
            and record.latest.status == "revoked"
            and offered[-1].digest != record.latest.digest
        ):
            record.latest.usable(now)
        cards, kept = _checked(offered, record, now)
        if record is None:
            self._room()
            self._hold(cards[0].party, Record(cards, kept))
        elif [card.digest for card in cards] != [card.digest for card in record.cards]:
            self._merge(record, cards, kept)
        return cards[-1]

    def _merge(self, record: Record, cards: tuple[Card, ...], envelopes: tuple[Envelope, ...]) -> None:
        """Rules 2 to 4, for a chain that holds in itself and begins with the same card."""
        held = record.latest
        common = 0
        while (
            common < min(len(cards), len(record.cards))
            and cards[common].digest == record.cards[common].digest
        ):
            common += 1
        ours, theirs = record.cards[common:], cards[common:]
        recovered = any(card.recovered for card in theirs)
        if not theirs:
            raise _rolled_back(held, cards[-1])
        if not ours:
            if record.fork is not None and not recovered and cards[-1].status == "active":
                raise _forked(held)
        elif any(card.recovered for card in ours):
            if not recovered:
                raise _rolled_back(held, cards[-1])
            # Two stories by the recovery keys: nobody is left to tell which is true.
            self._fork(record, envelopes[common])
        elif not recovered:
            if any(card.compromised_since is not None for card in ours):
                raise _rolled_back(held, cards[-1])
            self._fork(record, envelopes[common])
        self._hold(held.party, Record(cards, envelopes, record.trust))

    def _fork(self, record: Record, evidence: Envelope) -> NoReturn:
        self._hold(record.latest.party, replace(record, fork=record.fork or evidence))
        raise _forked(record.latest)

    def keys(self, party: str, keyset: str) -> PublicKeys:
        """A keyset of the chain for verifying documents (rule 6). Raises `NotTrusted`."""
        record = self._known(party)
        if record.latest.status == "revoked":
            record.latest.usable(0)
        return self._keyset(record, keyset, None)

    def live(self, now: int) -> KeyDirectory:
        """A view with only the keys that speak at `now`: for messages and new documents."""
        return _Live(self, now)

    def as_of(self, seen: int) -> KeyDirectory:
        """A view for documents *proven* to have existed at `seen`, for example in a cosigned ledger."""
        return _AsOf(self, seen)

    def export(self) -> dict[str, Any]:
        """The whole directory as a JSON value, for storage."""
        return {
            "type": "cloister/directory@1",
            "parties": [
                {
                    "party": party,
                    "trust": record.trust,
                    "cards": [item.model_dump(mode="json") for item in record.envelopes],
                    "fork": None if record.fork is None else record.fork.model_dump(mode="json"),
                }
                for party, record in sorted(self._records.items())
            ],
        }

    @classmethod
    def load(cls, value: Any, now: int) -> Directory:
        """The directory that `export` wrote, every card checked again. Raises `BadInput` or `NotTrusted`."""
        directory = cls()
        try:
            if value["type"] != "cloister/directory@1":
                raise KeyError("type")
            entries = [(str(e["party"]), e["trust"], list(e["cards"]), e["fork"]) for e in value["parties"]]
        except (KeyError, TypeError, AttributeError):
            raise _unreadable() from None
        for party, trust, cards, fork in entries:
            if trust not in {"pinned", "unpinned"} or not cards:
                raise _unreadable()
            card = directory.accept_chain([Envelope.from_json(item) for item in cards], now)
            if card.party != party:
                raise _unreadable()
            evidence = None if fork is None else Envelope.from_json(fork)
            directory._hold(party, replace(directory._records[party], trust=trust, fork=evidence))
        return directory

    def _hold(self, party: str, record: Record) -> None:
        if self._records.get(party) != record:
            self._records[party] = record
            self.changes += 1

    def _known(self, party: str) -> Record:
        record = self._records.get(party)
        if record is None:
            raise NotTrusted(
                "A document is by a party that is not known here.",
                "No card of it has been accepted.",
                "Ask the party for its card, compare fingerprints, and add it.",
                clause="party-unknown",
                party=party,
            )
        if record.fork is not None:
            raise _forked(record.latest)
        return record

    def _keyset(self, record: Record, keyset: str, seen: int | None) -> PublicKeys:
        """The keyset, if some card of the chain gives it force (at `seen`, where that is known)."""
        for position, card in enumerate(record.cards):
            if card.keys.keyset != keyset or card.status == "revoked":
                continue
            later = record.cards[position + 1 :]
            if seen is None:
                # Any later word that keys before it were compromised voids them, where nothing proves their time.
                if any(item.compromised_since is not None for item in later):
                    continue
                return card.keys
            ends = min((_force_until(item) for item in later), default=_FOREVER)
            if card.issued_at <= seen < min(ends, card.expires_at):
                return card.keys
        raise NotTrusted(
            "A signature is by keys that do not speak for the party.",
            "They were never announced, were replaced, have expired, or are called compromised by a later card.",
            "Ask the signer for its latest card, or to sign again.",
            clause="keys-not-in-force",
            party=record.latest.party,
        )

    def _anchor(self, record: Record, card: Card) -> int | None:
        for position, item in enumerate(record.cards):
            if card.previous == item.digest and card.sequence == item.sequence + 1:
                return position
        return None

    def _misplaced(self, record: Record, card: Card) -> CloisterError:
        held = record.latest
        if card.sequence > held.sequence + 1:
            return NotTrusted(
                f"Cards of {held.name} are missing.",
                f"This is number {card.sequence}; the last one held is number {held.sequence}.",
                "Ask the party for all its cards.",
                clause="card-gap",
                party=held.party,
            )
        if card.sequence > held.sequence:
            return NotTrusted(
                "A party card is not genuine.",
                "It does not follow the card held.",
                "Ask the party for all its cards again and compare fingerprints.",
                clause="card-chain",
                party=held.party,
            )
        return _rolled_back(held, card)

    def _room(self) -> None:
        if len(self._records) >= MAX_PARTIES:
            raise BadInput(
                "The directory is full.",
                f"The limit is {MAX_PARTIES} parties.",
                "Remove parties that are not needed.",
            )


def _checked(
    offered: list[Envelope], record: Record | None, now: int
) -> tuple[tuple[Card, ...], tuple[Envelope, ...]]:
    """The cards of a chain, each checked against the one before, and as they are kept (rule 8).

    Those already held were checked when taken in.
    """
    cards: list[Card] = []
    kept: list[Envelope] = []
    for position, envelope in enumerate(offered):
        if (
            record is not None
            and position < len(record.cards)
            and record.cards[position].digest == envelope.digest
        ):
            cards.append(record.cards[position])
            kept.append(record.envelopes[position])
            continue
        previous = cards[-1] if cards else None
        card = check_genesis(envelope, now) if previous is None else check_next(previous, envelope, now)
        cards.append(card)
        kept.append(bare(envelope, card, previous))
    if record is not None and cards[0].digest != record.cards[0].digest:
        raise _rolled_back(record.latest, cards[0])
    return tuple(cards), tuple(kept)


class _Live:
    def __init__(self, directory: Directory, now: int) -> None:
        self._directory, self._now = directory, now

    def keys(self, party: str, keyset: str) -> PublicKeys:
        card = self._directory.current(party, self._now)
        if card.keys.keyset != keyset:
            raise NotTrusted(
                "A signature is by keys that are not the party's current ones.",
                "They were replaced, or were never announced.",
                "Ask the sender to update, or fetch its latest card.",
                clause="keys-not-current",
                party=party,
            )
        return card.keys


class _AsOf:
    def __init__(self, directory: Directory, seen: int) -> None:
        self._directory, self._seen = directory, seen

    def keys(self, party: str, keyset: str) -> PublicKeys:
        return self._directory._keyset(self._directory._known(party), keyset, self._seen)  # noqa: SLF001 - one module


def _force_until(later: Card) -> int:
    """When the keys before `later` lost their force; a renewal with the same keys is found on its own card."""
    return parse_rfc3339(later.compromised_since) if later.compromised_since else later.issued_at


def _rolled_back(held: Card, card: Card) -> NotTrusted:
    return NotTrusted(
        f"An outdated card of {held.name} was shown.",
        f"It is number {card.sequence}; number {held.sequence} is already known.",
        "Ask the party for its latest card; if it is the one shown, its server was restored from an old backup.",
        clause="card-rolled-back",
        party=held.party,
    )


def _forked(held: Card) -> NotTrusted:
    return NotTrusted(
        f"Two different cards of {held.name} carry the same number.",
        "Whoever holds its keys tells different parties different things.",
        "Call them; they can settle it with a card signed by their recovery keys.",
        clause="card-forked",
        party=held.party,
    )


def _unreadable() -> BadInput:
    return BadInput(
        "The stored directory of parties could not be read.",
        "Its form is not the one written.",
        "Restore it from a backup.",
    )

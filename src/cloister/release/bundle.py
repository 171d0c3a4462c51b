"""A release certificate with the cards of its signers, as one file: checked offline, by anyone.

Rules:
1. The file comes from anybody: whatever does not fit is refused, nothing else is raised.
2. The owners and the quorum are those that the verifier names. Where it names none, they are the certificate's own,
   and the answer says so: such a check shows that the named fingerprints signed, not that they are the right ones.
3. The log heads among its evidence are checked against the cards in the file, and the answer says of which that was
   not possible (see `release.evidence`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from cloister.foundation.canonical import parse
from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import BadInput
from cloister.foundation.text import party_name
from cloister.identity.directory import Directory
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import grouped
from cloister.ledger.export import keysets
from cloister.release.certificate import Certificate, Expectations, in_words, read_statement, verify_statement
from cloister.release.evidence import Head, check_heads

BUNDLE_LIMIT = 16 << 20
_MAX_CARDS = 1000


@dataclass(frozen=True)
class Checked:
    """A certificate that holds, the names its signers' cards give them, and the log heads it names."""

    certificate: Certificate
    names: dict[str, str]
    named_by_verifier: bool
    heads: tuple[Head, ...] = ()

    def words(self) -> str:
        """For a person: the certificate, and the fingerprints to compare."""
        lines = [in_words(self.certificate, self.names), "", "Signed by:"]
        lines += [
            f"  {self.names.get(party, '?')}  {grouped(party)}"
            for party in sorted(self.certificate.signed_by)
        ]
        if not self.named_by_verifier:
            lines += [
                (
                    "The owners are those that the certificate itself names. Compare the fingerprints, or name those that"
                    " you trust with --owner."
                )
            ]
        if self.heads:
            lines += ["", "Evidence to hold against the log:", *(self._head(head) for head in self.heads)]
        return "\n".join(lines)

    def _head(self, head: Head) -> str:
        name = party_name(head.party, self.names)
        text = f"  {name}'s log had {head.size:,} entries, root {head.root}: "
        if not head.checked:
            return text + "not checked, since the file has no card of that party"
        text += "signed by that log" + (f" at {rfc3339(head.at)}" if head.at is not None else "")
        seen = ", ".join(party_name(party, self.names) for party in head.cosigned_by)
        return text + (f", cosigned by {seen}" if seen else "")


def check_bundle(data: bytes, now: int, *, owners: Sequence[str] = (), quorum: int | None = None) -> Checked:
    """Checks a file `{"certificate": envelope, "cards": [chain, …]}`.

    Args:
        data: the file.
        now: seconds since the epoch.
        owners: fingerprints of the owners whose signatures count; the certificate's own if none.
        quorum: how many of them it takes; the certificate's own if absent, never fewer than one.

    Raises:
        BadInput: it is no such file.
        NotTrusted: a signature, a card or a rule of certificates does not hold.
    """
    if len(data) > BUNDLE_LIMIT:
        raise BadInput(
            "The certificate file is too large.", f"The limit is {BUNDLE_LIMIT} bytes.", "Check it."
        )
    value = parse(data)
    cards = value.get("cards") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(cards, list) or "certificate" not in value:
        raise BadInput(
            "This is no certificate file.",
            "It must hold a certificate and its signers' cards.",
            "Write one with: cloister release save",
        )
    directory = Directory()
    names: dict[str, str] = {}
    for chain in cards[:_MAX_CARDS]:
        if not isinstance(chain, list):
            raise BadInput("This is no certificate file.", "Its cards are no lists.", "Save it again.")
        card = directory.accept_chain([Envelope.from_json(item) for item in chain[:_MAX_CARDS]], now)
        names[card.party] = card.name
    envelope = Envelope.from_json(value["certificate"])
    gates = read_statement(envelope).predicate.gates
    wanted = frozenset("".join(owner.split()).lower() for owner in owners)
    found = verify_statement(
        envelope,
        directory,
        Expectations(
            wanted or frozenset(gates.owners), max(1, gates.quorum if quorum is None else quorum), now
        ),
    )
    heads = check_heads(found.predicate.evidence.checkpoints, partial(keysets, directory))
    return Checked(found, names, bool(wanted), heads)

"""Makes an agreement binding: every party signs the same bytes, with both algorithms of its keys.

Rules:
1. Nobody signs what no node can enforce: each signature first reads the document, and refuses unknown clauses by name.
2. Only parties to the agreement sign it.
3. An agreement binds when every party's signature holds; half-signed is not signed.
4. Whoever changes one byte after signing has a document that nobody signed.
5. An agreement that has ended is not signed, and not opened for use.
6. An amendment is a new version that names the digest of the one before, and is signed by everybody again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from cloister.agreements.terms import Terms
from cloister.foundation.canonical import canonical, parse_canonical
from cloister.foundation.clock import rfc3339
from cloister.foundation.documents import invalid
from cloister.foundation.errors import NotTrusted, Refused
from cloister.identity import envelopes
from cloister.identity.envelopes import Envelope, KeyDirectory
from cloister.identity.keys import SecretKeys

AGREEMENT_TYPE = "application/vnd.cloister.agreement+json"
_REMEMBERED, _REMEMBERED_BYTES = 128, 64 << 10  # agreements, and the size of the largest


@dataclass(frozen=True)
class AgreementView:
    """An agreement as a node holds it, after its signatures were checked.

    Attributes:
        terms: what it says.
        digest: its name: the digest of its canonical document.
        signed_by: the parties whose signatures hold; only members count.
    """

    terms: Terms
    digest: str
    signed_by: frozenset[str]

    @property
    def missing(self) -> tuple[str, ...]:
        """The parties that have not signed yet, in the agreement's order."""
        return tuple(party for party in self.terms.parties if party not in self.signed_by)

    @property
    def complete(self) -> bool:
        """Whether every party has signed."""
        return not self.missing


def sign_terms(terms: Terms, party: str, keys: SecretKeys) -> Envelope:
    """A new envelope over the terms with the first signature. Raises `Refused` unless `party` is a member."""
    _require_member(terms, party)
    return envelopes.sign(AGREEMENT_TYPE, terms.to_odrl(), party, keys)


def cosign_agreement(envelope: Envelope, party: str, keys: SecretKeys, now: int) -> Envelope:
    """The same agreement with one more party's signature.

    Raises:
        Refused: not a member, already ended, or clauses that no node can enforce (named).
        BadInput, NotTrusted: not an agreement, or malformed.
    """
    terms = read_terms(envelope)
    _require_member(terms, party)
    _require_not_ended(terms, now)
    return envelopes.cosign(envelope, party, keys)


def read_terms(envelope: Envelope) -> Terms:
    """What an agreement says, whoever signed it; for showing before signing. Raises `NotTrusted` or `Refused`."""
    if envelope.payloadType != AGREEMENT_TYPE:
        raise NotTrusted(
            "This is not an agreement.",
            f"Expected {AGREEMENT_TYPE}.",
            "Choose the agreement's file.",
            clause="payload-type",
        )
    if len(envelope.content) > _REMEMBERED_BYTES:
        return Terms.from_odrl(envelope.document())
    return _terms(envelope.content)


@lru_cache(maxsize=_REMEMBERED)
def _terms(content: bytes) -> Terms:
    # Terms cannot change, and nothing but the bytes decides what they say: a running node reads the same ones all the time.
    return Terms.from_odrl(parse_canonical(content))


def view(envelope: Envelope, directory: KeyDirectory) -> AgreementView:
    """The agreement and who has signed it so far."""
    terms = read_terms(envelope)
    signed = envelopes.signers(envelope, AGREEMENT_TYPE, directory)
    return AgreementView(terms, envelope.digest, signed & set(terms.parties))


def open_agreement(envelope: Envelope, directory: KeyDirectory, now: int | None = None) -> AgreementView:
    """The agreement, once every party is found to have signed it and, if `now` is given, it has not ended.

    Raises:
        NotTrusted: a signature is missing or does not hold; `clause` is `signatures`.
        Refused: it has ended (`validity`), or has clauses that no node can enforce (named).
    """
    found = view(envelope, directory)
    if found.missing:
        claimed = {item.keyid.partition("/")[0] for item in envelope.signatures}
        broken = [party for party in found.missing if party in claimed]
        names = ", ".join(found.terms.name_of(party) for party in broken or found.missing)
        why = (
            f"The signature of {names} does not hold: the document was changed after signing, or the keys are not "
            "that party's."
            if broken
            else f"Not signed by: {names}."
        )
        raise NotTrusted(
            "The agreement is not signed by every party.",
            why,
            "Ask for the missing signatures on the same document, and compare fingerprints.",
            clause="signatures",
        )
    if now is not None:
        _require_not_ended(found.terms, now)
    return found


def amend(old: Terms, changes: dict[str, Any]) -> Terms:
    """The next version of an agreement, with some terms changed; to be signed by everybody again.

    Args:
        old: the version in force.
        changes: term → new value, as in `Terms`; `uid`, `version` and `previous` are set here.

    Raises:
        BadInput: the changed terms contradict themselves.
    """
    data = old.model_dump() | {key: _plain(value) for key, value in changes.items()}
    data |= {"uid": old.uid, "version": old.version + 1, "previous": old.digest}
    try:
        return Terms.model_validate_json(canonical(_plain(data)))
    except ValidationError as error:
        raise invalid(error, "The amended agreement") from None


def check_amendment(old: AgreementView, new: Terms) -> None:
    """Raises `Refused` unless `new` is the next version of exactly `old`."""
    if new.uid != old.terms.uid or new.version != old.terms.version + 1 or new.previous != old.digest:
        raise Refused(
            "This is not the next version of that agreement.",
            "It must have the same name, the next version number and the digest of the version before.",
            "Amend the version that is in force.",
            clause="previous",
        )


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _require_member(terms: Terms, party: str) -> None:
    if terms.member(party) is None:
        raise Refused(
            "This party is not named in the agreement.",
            "Only the agreement's parties sign it.",
            "Have the agreement name this party, or sign with the party that it names.",
            clause="parties",
        )


def _require_not_ended(terms: Terms, now: int) -> None:
    if now >= terms.valid.stop:
        raise Refused(
            "The agreement has ended.",
            f"It was valid until {rfc3339(terms.valid.stop)}.",
            "Agree on a new version with a later end.",
            clause="validity",
        )


__all__ = [
    "AGREEMENT_TYPE",
    "AgreementView",
    "amend",
    "check_amendment",
    "cosign_agreement",
    "open_agreement",
    "read_terms",
    "sign_terms",
    "view",
]

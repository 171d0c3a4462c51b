"""Enrolment: invitations with codes that work once, and certificates for those who bring one.

Rules:
1. An invitation's code is a random name, an expiry and a MAC over both under the hub's key: no list of codes to
   keep, and none can be guessed. It enrols one party; the same party may use it again, another may not.
2. An enrolled party needs no code to renew its certificate; its signed request is enough.
3. The party shows its card chain from genesis on; its fingerprint follows from it, and the request must be signed by
   its current keys (`identity.enrolment`). A revoked or expired party gets nothing.
4. Dropped parties need a new invitation; the one they came with is spent.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from cloister.foundation.clock import Clock, rfc3339
from cloister.foundation.digests import same
from cloister.foundation.errors import BadInput, Refused
from cloister.hub.state import Members, code_used
from cloister.identity import enrolment
from cloister.identity.cards import read
from cloister.identity.directory import Directory
from cloister.identity.enrolment import Authority
from cloister.identity.envelopes import Envelope
from cloister.transport.invitation import Invitation

INVITATION_LIFETIME = 7 * 86_400
MAX_CARDS = 64


class EnrolmentDesk:
    """Issues invitations and certificates.

    Args:
        authority: the hub's enrolment authority.
        secret: 32 bytes, for the codes.
        members: the hub's parties.
        clock: tells the time.
    """

    def __init__(self, authority: Authority, secret: bytes, members: Members, clock: Clock) -> None:
        self._authority, self._secret = authority, secret
        self._members, self._clock = members, clock

    def invite(self, hub: str, relay: str, enrol: str, lifetime: int = INVITATION_LIFETIME) -> Invitation:
        """A new invitation for one party.

        Args:
            hub: the hub's fingerprint.
            relay: `host:port` of the relay, as nodes reach it.
            enrol: `host:port` of the enrolment service, as nodes reach it.
            lifetime: seconds.
        """
        expires = self._clock.now() + lifetime
        name = secrets.token_hex(16)
        return Invitation(
            hub=hub,
            relay=relay,
            enrol=enrol,
            authority=self._authority.certificate.decode("ascii"),
            code=f"{name}.{expires}.{self._mac(name, expires)}",
            expires=rfc3339(expires),
        )

    def enrol(self, code: str, csr: bytes, request: Envelope, cards: Sequence[Envelope]) -> tuple[str, bytes]:
        """Enrols a party, or renews its certificate; returns its fingerprint and the certificate (PEM).

        Raises:
            Refused: a code that is wrong, used or expired (clause `invitation`).
            NotTrusted: cards or request do not hold.
            BadInput: malformed.
        """
        if not 1 <= len(cards) <= MAX_CARDS:
            raise BadInput(
                "An enrolment needs the party's cards.",
                f"Between 1 and {MAX_CARDS} cards are expected.",
                "Send the card chain from the first card on.",
            )
        now = self._clock.now()
        party = read(cards[0]).party
        # Checked apart from what the hub knows, so that nothing is taken in from somebody without a code.
        shown = Directory()
        shown.accept_chain(cards, now)
        certificate = enrolment.issue(self._authority, csr, request, shown.live(now), now)
        if enrolment.common_name(certificate) != party:
            raise BadInput("The request and the cards are of different parties.", "", "Send one party's.")
        used = None
        if party not in self._members.permitted():
            used = self._check(code, party)
        self._members.enrol(party, cards, used)
        return party, certificate

    def _check(self, code: str, party: str) -> str:
        name, _, rest = code.partition(".")
        expires, _, tag = rest.partition(".")
        if not expires.isdecimal() or len(expires) > 12 or not same(tag, self._mac(name, int(expires))):
            raise _refused("It is not one of this relay's.")
        if int(expires) < self._clock.now():
            raise _refused("It has expired.")
        if self._members.code_used_by(name) not in {None, party}:
            raise code_used()
        return name

    def _mac(self, name: str, expires: int) -> str:
        text = f"cloister/invitation@1 {name} {expires}"
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


def _refused(why: str) -> Refused:
    return Refused(
        "The invitation's code is not accepted.",
        why,
        "Ask the relay's operator for a new invitation.",
        clause="invitation",
    )

"""A recipient's seat in a release: it takes certificate and content, verified, or the news that there is none.

Rule 4 of `program` is kept here. Where the owners hold the candidate, the coordinator sends the certificate and they the
content (see `delivery`).
"""

from __future__ import annotations

from cloister.foundation.errors import NotTrusted
from cloister.journal.program import Inbox, Local, Message, Phase, Program, Step
from cloister.release import delivery, messages
from cloister.release.certificate import Certificate
from cloister.release.context import Release, ReleaseContext
from cloister.release.exchange import held_by_owners, receive
from cloister.release.messages import CERTIFICATE, RELEASE, STORED, WITHDRAWN


class Recipient:
    """A recipient's program."""

    def __init__(self, context: ReleaseContext) -> None:
        self.context = context
        self.held_by_owners = held_by_owners(context.plan)

    def program(self) -> Program:
        """Its phases."""
        kinds = [CERTIFICATE if self.held_by_owners else RELEASE, WITHDRAWN]
        step = self.certificate if self.held_by_owners else self.release
        phases = {"release": Phase(dict.fromkeys(kinds, "coordinator"), 1, self.context.waiting, step)}
        if self.held_by_owners:
            phases[delivery.ARRIVAL] = delivery.arrival(self.context, self._stored)
        return Program("release", phases)

    def release(self, _local: Local, inbox: Inbox) -> Step:
        """Takes the certificate with its content."""
        certificate, content = receive(self.context, inbox)
        if content is None:
            raise NotTrusted(
                "A release came without its content.", "", "Ask for it again.", clause="certificate-content"
            )
        self.context.store(Release(certificate, content))
        return self._stored(certificate)

    def certificate(self, _local: Local, inbox: Inbox) -> Step:
        """Takes the certificate; owners send the content."""
        certificate, _ = receive(self.context, inbox)
        return Step(delivery.awaiting(certificate), delivery.ARRIVAL)

    def _stored(self, certificate: Certificate) -> Step:
        """Tells the coordinator that the release is on this node's shelf."""
        answer = messages.write(messages.StoredHeader(content=certificate.content_digest))
        coordinator = self.context.plan.offer.seats["coordinator"][0]
        return Step(b"", None, (Message(coordinator, STORED, answer),))

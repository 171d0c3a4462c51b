"""The release as programs: candidate to the owners, votes back, certificate and content to those who may have them.

Where the coordinator holds the candidate (`Offer.holder`), it shows it to the owners and sends it to recipients:

```
coordinator   propose ─► votes ─► delivered            (or ─► refused)
owner         candidate ─► certificate
recipient     release
```

Where the owners hold it, the coordinator proposes and certifies what it never sees, and owners send it to recipients:

```
coordinator   propose ─► votes [─► content] ─► delivered     (content: if it is a recipient)
owner         candidate ─► certificate
recipient     release ─► content
```

Rules:
1. Content goes to recipients only after a quorum of valid votes; below it, everybody is told that there is no release,
   and of the reasons only what tells nothing private.
2. Each owner writes the statement itself and signs only what its own gate has passed.
3. The coordinator counts a vote only if it is on the statement that it wrote itself and has exactly one signature, the
   sender's, which holds; that very one goes into the certificate.
4. Recipients and owners verify the quorum themselves, against owners and quorum from their own documents.
5. Every owner gets the certificate, and notices if it is about another candidate than the one that it judged.
6. Nobody is waited for in vain: once a quorum of valid permits is there, the others have `ReleaseContext.grace` seconds
   to add theirs; once a quorum is out of reach the release is refused at once. A vote that comes later is acknowledged
   and counts for nothing; its sender gets the certificate, or the refusal, like everybody.
7. Of a candidate that the owners hold, nothing but digest, size and facts goes to the coordinator unless it is a
   recipient, and each owner judges its own: what the coordinator says of it must be what the owner would say.

How a content that owners hold reaches the recipients is ruled in `delivery`.
"""

from __future__ import annotations

from cloister.foundation.errors import Refused
from cloister.journal.program import Program
from cloister.release.context import ReleaseContext
from cloister.release.coordinator import Coordinator
from cloister.release.delivery import ARRIVAL
from cloister.release.owner import VOTED, Owner
from cloister.release.recipient import Recipient

__all__ = ["PHASES", "VOTED", "release_program"]

PHASES = frozenset({"propose", "votes", "refused", "delivered", "candidate", VOTED, "release", ARRIVAL})
"""All phases of the release; a protection's phases have other names."""


def release_program(seat: str, context: ReleaseContext) -> Program:
    """One seat's part in the release of a task. Raises `Refused` for a seat that has none."""
    if seat == "coordinator":
        return Coordinator(context).program()
    if seat == "owner":
        return Owner(context).program()
    if seat == "recipient":
        return Recipient(context).program()
    raise Refused(
        "A seat has no part in a release.",
        f"There is no seat {seat[:40]}.",
        "Have the task planned again.",
        clause="release-seat",
    )

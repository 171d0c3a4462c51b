"""Secure aggregation: the sum of vectors that nobody sees one by one, and that their coordinator does not see at all.

Each participant's vector leaves under masks that cancel out in the sum (one for each pair of participants), a mask of
its own whose seed the survivors open together, and an outer mask under a key that only the participants have. So the
coordinator adds up what it cannot read, and the owners open the sum. No I/O here: a program of a task calls one method
for each message, commits what comes back, and sends it.

Bonawitz et al. 2017, own code, with post-quantum key agreement, one endorsed set of survivors per attempt, and a check
value that shows the sum to be right. What is guaranteed, against whom, and why: `docs/proofs/secure-aggregation.md`.

Files: `thresholds` and `encoding` (how many, which ring), `context` (what all must have in common), `participant` and
`coordinator` (the two state machines), `messages`, `transcript`, `turns`, `states` (what travels, what it is checked
against, what is kept), `parcels`, `keys`, `shamir`, `ring`, `integrity`, `vectors`, `signing` (the parts).
"""

from cloister.aggregation.context import Context
from cloister.aggregation.coordinator import Coordinator
from cloister.aggregation.encoding import Encoding, floats, integers
from cloister.aggregation.participant import Participant
from cloister.aggregation.signing import PartySigning, Signing, Verifying
from cloister.aggregation.thresholds import Thresholds, choose
from cloister.aggregation.turns import Opened, Turn

PARTICIPANT_STAGES = ("announce", "share", "mask", "endorse", "reveal", "open")
"""A participant's methods in the order in which they are called, one for each phase of a program."""

COORDINATOR_STAGES = ("gather", "relay", "collect", "confirm", "total")
"""The coordinator's: each answers the participants' stage of the same place."""

__all__ = [
    "COORDINATOR_STAGES",
    "PARTICIPANT_STAGES",
    "Context",
    "Coordinator",
    "Encoding",
    "Opened",
    "Participant",
    "PartySigning",
    "Signing",
    "Thresholds",
    "Turn",
    "Verifying",
    "choose",
    "floats",
    "integers",
]

"""Release: what stands between a candidate and its recipients.

`gate` is what each owner's node asks before it signs, `certificate` the signed statement that a quorum of owners makes
about a result, `program` how candidate, votes and certificate travel (its rules; one file for each seat: `coordinator`,
`owner`, `recipient`), `quality` how good a result is and what may be told of it, `delivery` how a content that owners hold gets to its recipients, `exchange` what the seats share,
`inspection` what the sandboxed worker is asked about a model, `messages` what is sent, `context` what a node lends to all
this.
"""

from __future__ import annotations

from cloister.release.certificate import Certificate, Expectations, verify_certificate
from cloister.release.context import Release, ReleaseContext
from cloister.release.gate import CHECKS, Failed, Gate, Passed, Submission
from cloister.release.program import release_program

__all__ = [
    "CHECKS",
    "Certificate",
    "Expectations",
    "Failed",
    "Gate",
    "Passed",
    "Release",
    "ReleaseContext",
    "Submission",
    "release_program",
    "verify_certificate",
]

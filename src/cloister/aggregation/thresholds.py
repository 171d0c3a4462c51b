"""How many must take part, answer and agree in one secure aggregation, or why it cannot be done.

With n participants, of whom d may drop out and c may collude (with each other, the coordinator and the hub), a
*threshold* t says how many shares open a secret and how many endorsements make a set of survivors final.

Rules:
1. t ≤ n - d: the survivors of d dropouts can open what has to be opened.
2. 2t > n + c: of two sets of survivors, each endorsed by t participants of whom c may endorse both, one would need
   an honest participant to endorse twice. So there is one set, and nobody opens both secrets of one participant.
3. At least c + 2 survivors: a sum always has two inputs that the colluders do not know. As c ≥ 1, that is at least 3.

Source: Bonawitz et al. 2017, "Practical Secure Aggregation for Privacy-Preserving Machine Learning", section 6.2
(Theorem 6.5), with the colluders stated apart from the threshold.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from cloister.foundation.documents import Document
from cloister.foundation.errors import Refused

MAX_PARTICIPANTS = 128

_Count = Annotated[int, Field(ge=0, le=MAX_PARTICIPANTS)]


class Thresholds(Document):
    """The numbers of one aggregation; only consistent ones can be made.

    Attributes:
        participants: n, who are on the roster.
        dropouts: d, how many may be missing at the end.
        colluders: c ≥ 1, how many may pool what they hold, the coordinator and the hub with them.
        threshold: t, shares that open a secret and endorsements that make a set of survivors final.
        survivors: the fewest whose inputs may be summed.
    """

    participants: _Count
    dropouts: _Count
    colluders: Annotated[int, Field(ge=1, le=MAX_PARTICIPANTS)]
    threshold: _Count
    survivors: _Count

    @model_validator(mode="after")
    def _rules(self) -> Thresholds:
        if self.threshold > self.participants - self.dropouts:
            raise ValueError("rule 1: more shares are needed than survivors are certain")
        if 2 * self.threshold <= self.participants + self.colluders:
            raise ValueError("rule 2: two sets of survivors could be endorsed")
        if self.survivors < max(self.threshold, self.colluders + 2):
            raise ValueError("rule 3: too few inputs would be summed")
        if self.survivors > self.participants - self.dropouts:
            raise ValueError("rule 3: the dropouts leave too few")
        return self


def choose(participants: int, *, colluders: int = 1, dropouts: int = 0) -> Thresholds:
    """The thresholds for `participants` of whom `dropouts` may be missing and `colluders` may collude.

    The largest t that rule 1 allows: it costs nothing while nobody drops out, and the more shares open a secret, the
    more participants would have to break the rules together.

    Raises:
        Refused: there are none; `why` says which rule stands in the way, `remedy` what would fit.
    """
    if not 1 <= colluders <= MAX_PARTICIPANTS or not 0 <= dropouts <= MAX_PARTICIPANTS:
        raise _refused(
            "The number of colluders must be at least 1, that of dropouts at least 0.",
            "State how many participants may collude, and how many may drop out.",
        )
    if participants > MAX_PARTICIPANTS:
        raise _refused(
            f"There are {participants} participants; the limit is {MAX_PARTICIPANTS}.",
            "Form groups, and sum their sums.",
        )
    fewest = colluders + 2
    if participants < fewest:
        raise _refused(
            f"With {participants} participants of whom {colluders} may collude, a sum tells them the one input that "
            "they do not know.",
            f"Take part with at least {fewest}, or state fewer colluders.",
        )
    threshold = participants - dropouts
    least = (participants + colluders) // 2 + 1
    if threshold < max(least, fewest):
        most = participants - max(least, fewest)
        raise _refused(
            f"With {participants} participants and {colluders} colluding, {dropouts} dropouts would let two different "
            "sums be opened, or one over too few inputs.",
            f"Permit at most {most} dropouts, or take part with more."
            if most >= 0
            else "State fewer colluders, or take part with more.",
        )
    return Thresholds(
        participants=participants,
        dropouts=dropouts,
        colluders=colluders,
        threshold=threshold,
        survivors=threshold,
    )


def _refused(why: str, remedy: str) -> Refused:
    return Refused("These parties cannot aggregate securely.", why, remedy, clause="aggregation-thresholds")

"""The context of one aggregation: everything that all its participants must have in common, in one signed document.

Each participant writes the context from what it knows itself (the agreed plan, the weights it holds) and compares
digests; it never takes one over from the coordinator. Whatever is signed, sealed or derived is bound to its digest.

Rules:
1. Weights, computation, hyperparameters, roster, attempt are in it: participants that would compute on something
   else than the others have another context, and go no further (a coordinator that sends different weights to
   different participants would otherwise learn single inputs from a sum).
2. The roster is sorted and without repetition; places are counted along it from 1.
3. A new attempt is a new context: nothing from the one before is valid in it.

Sources: Bonawitz et al. 2017, section 4; Pasquini et al. 2022, "Eluding Secure Aggregation in Federated Learning via
Model Inconsistency" (rule 1).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field, model_validator

from cloister.aggregation.encoding import Encoding
from cloister.aggregation.thresholds import MAX_PARTICIPANTS, Thresholds
from cloister.foundation.digests import DIGEST_PATTERN, raw
from cloister.foundation.documents import Document
from cloister.identity.keys import PartyId

Digest = Annotated[str, Field(pattern=DIGEST_PATTERN)]
MAX_ATTEMPT = 1_000_000


class Context(Document):
    """See the module.

    Attributes:
        task: the task's id, or another name of what this is part of.
        label: which of the task's aggregations, for example `round-3`; never the same for two of one attempt, as keys,
            and so masks, belong to a context.
        attempt: from 1.
        computation: digest of what is computed.
        hyperparameters: digest of its settings.
        weights: digest of what it is computed on top of, for example a round's weights.
        coordinator: who relays and sums.
        roster: the participants.
        thresholds: how many may drop out, collude, must agree.
        encoding: how vectors are added up.
    """

    type: Literal["cloister/aggregation@1"] = "cloister/aggregation@1"
    task: Annotated[str, Field(min_length=1, max_length=120)]
    label: Annotated[str, Field(min_length=1, max_length=120)]
    attempt: Annotated[int, Field(ge=1, le=MAX_ATTEMPT)]
    computation: Digest
    hyperparameters: Digest
    weights: Digest
    coordinator: PartyId
    roster: Annotated[tuple[PartyId, ...], Field(strict=False, min_length=3, max_length=MAX_PARTICIPANTS)]
    thresholds: Thresholds
    encoding: Encoding

    @model_validator(mode="after")
    def _rule_2(self) -> Context:
        if list(self.roster) != sorted(set(self.roster)):
            raise ValueError("the roster must be sorted and without repetition")
        if self.coordinator in self.roster:
            raise ValueError("the coordinator takes no part in the sum")
        if not len(self.roster) == self.thresholds.participants == self.encoding.participants:
            raise ValueError("thresholds and encoding must be for as many as are on the roster")
        return self

    @property
    def name(self) -> str:
        """The digest, as documents cite it."""
        return _name(self)

    @property
    def id(self) -> bytes:
        """The digest's 32 bytes."""
        return raw(self.name)

    def place(self, party: str) -> int:
        """A participant's place on the roster, from 1."""
        return self.roster.index(party) + 1

    @property
    def outer(self) -> tuple[str, ...]:
        """Who adds the outer mask: so many that at least one of them is among any t survivors."""
        return self.roster[: len(self.roster) - self.thresholds.threshold + 1]


# By value, outside the model: what is kept in an instance goes along with a changed copy of it.
@lru_cache(maxsize=64)
def _name(context: Context) -> str:
    return context.digest()

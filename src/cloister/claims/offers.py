"""Requests, the public facts that a plan may rest on, offers, and the plan that everybody signs.

A *request* says what a person wants. *Facts* are what is publicly known: agreements, catalogue entries, cost figures.
A protection answers with an *offer* or declines with a reason. The planner turns the chosen offer into a *plan*; its
digest is the task's id.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cloister.claims.vocabulary import Claims, Words
from cloister.foundation.canonical import canonical
from cloister.foundation.digests import DIGEST_PATTERN, digest
from cloister.identity.keys import PartyId

DOCUMENT = ConfigDict(frozen=True, extra="forbid", strict=True)
Digest = Annotated[str, Field(pattern=DIGEST_PATTERN)]
SeatName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]

PLAN_TYPE = "application/vnd.cloister.plan+json"
ADMISSION_TYPE = "application/vnd.cloister.admission+json"


class Computation(BaseModel):
    """An inert description of work. Its digest is what agreements allow and owners approve.

    Attributes:
        kind: what sort of work, for example `training`.
        contents: name → digest of the parts that travel beside it (for example `model` → an ONNX file).
        settings: the rest, by kind; for `training` a `training.recipe.TrainingRecipe`.
    """

    model_config = DOCUMENT

    kind: Literal["training", "query", "join", "scoring", "statement"]
    contents: dict[str, Digest] = Field(max_length=16)
    settings: dict[str, Any]

    @property
    def digest(self) -> str:
        """Digest of the canonical form."""
        return digest(canonical(self.model_dump(mode="json")))


class Request(BaseModel):
    """What a person asks for under an agreement.

    Attributes:
        agreement: digest of the agreement's terms.
        requester: who asks.
        computation: the work.
        datasets: owner → commitment of the dataset of theirs that is to be used.
        purpose: one of the agreement's purposes.
        recipients: who is to receive what is released.
        preferences: what-if wishes for the planner, for example rounds or deadline; public constants.
    """

    model_config = DOCUMENT

    agreement: Digest
    requester: PartyId
    computation: Computation
    datasets: dict[PartyId, Digest] = Field(min_length=1, max_length=1000)
    purpose: Words = Field(max_length=200)
    recipients: tuple[PartyId, ...] = Field(max_length=1000, strict=False)
    preferences: dict[str, Any] = Field(default_factory=dict)


class Facts(BaseModel):
    """Public facts a plan may rest on; never data or anything computed on it.

    Attributes:
        agreement: the agreement's terms document, as signed.
        catalogue: commitment → catalogue entry.
        sizes: digest of a computation's part → bytes.
        parameters: how many numbers the model's trainable weights have, if it is a model.
        trained: how many of them the computation's recipe trains.
        bench: this node's cost figures, for example `{"bytes_per_second": …}`.
    """

    model_config = DOCUMENT

    agreement: dict[str, Any]
    catalogue: dict[Digest, dict[str, Any]] = Field(default_factory=dict)
    sizes: dict[Digest, int] = Field(default_factory=dict)
    parameters: int | None = None
    trained: int | None = None
    bench: dict[str, float] = Field(default_factory=dict)


class Cost(BaseModel):
    """What an offer costs: seconds and bytes as estimated, epsilon as it would be charged."""

    model_config = DOCUMENT

    seconds: float = Field(ge=0)
    bytes_up: int = Field(ge=0)
    bytes_down: int = Field(ge=0)
    epsilon: float = Field(default=0.0, ge=0)


class Prediction(BaseModel):
    """What the noise of an offer is expected to do to its result: an estimate on public constants, no promise.

    Attributes:
        noise: the noise's size over the whole run, as a share of the largest signal that there could be; 0.1 is little,
            above 1 the noise outweighs whatever is learned.
        sentences: the same for people, with what it rests on.
    """

    model_config = DOCUMENT

    noise: float = Field(ge=0, allow_inf_nan=False)
    sentences: tuple[Annotated[Words, Field(max_length=400)], ...] = Field(strict=False, max_length=8)


class Offer(BaseModel):
    """How one protection would do it.

    Attributes:
        protection: its name.
        variant: how this offer differs from the protection's others, for people, for example `with secure sums`.
        parameters: signed with the plan; all public constants.
        seats: who sits where.
        discloses: seat → what it learns on the way.
        claims: what is guaranteed and what is not protected.
        cost: what it costs.
        maturity: `experimental` runs only where the agreement names it.
        holder: the seat whose parties have the result before its release. Where owners hold it, the coordinator never
            sees it unless it is a recipient.
        prediction: what its noise is expected to do to the result, if it adds any.
    """

    model_config = DOCUMENT

    protection: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    variant: Annotated[Words, Field(max_length=80)] = ""
    parameters: dict[str, Any]
    seats: dict[SeatName, tuple[PartyId, ...]]
    discloses: dict[SeatName, tuple[Words, ...]]
    claims: Claims
    cost: Cost
    maturity: Literal["stable", "experimental"] = "stable"
    holder: Literal["coordinator", "owner"] = "coordinator"
    prediction: Prediction | None = None

    @property
    def title(self) -> str:
        """The protection and its variant, for people."""
        return f"{self.protection} {self.variant}".rstrip()

    def seat_of(self, party: str) -> str | None:
        """The seat that a party has, or `None`. A party has at most one seat of a plan's protocol."""
        return next((seat for seat, parties in self.seats.items() if party in parties), None)


class Declined(BaseModel):
    """Why a protection does not offer, in words, and what would change that."""

    model_config = DOCUMENT

    protection: Annotated[Words, Field(max_length=40)]
    variant: Annotated[Words, Field(max_length=80)] = ""
    reason: Words = Field(max_length=1000)
    remedy: Words = Field(default="", max_length=1000)

    @property
    def title(self) -> str:
        """The protection and its variant, for people."""
        return f"{self.protection} {self.variant}".rstrip()


class Plan(BaseModel):
    """What every seat's node decides on, and signs as admitted. Its digest is the task's id."""

    model_config = DOCUMENT

    type: Literal["cloister/plan@1"] = "cloister/plan@1"
    request: Request
    offer: Offer
    alternatives: tuple[Declined, ...] = Field(default=(), strict=False, max_length=64)
    created: Time
    nonce: str = Field(pattern=r"^[0-9a-f]{32}$")

    @property
    def digest(self) -> str:
        """The task's id."""
        return digest(canonical(self.model_dump(mode="json")))

    @property
    def parties(self) -> frozenset[str]:
        """Everyone with a seat, the requester and the recipients."""
        seated = {party for parties in self.offer.seats.values() for party in parties}
        return frozenset(seated | {self.request.requester} | set(self.request.recipients))

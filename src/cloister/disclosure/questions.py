"""Questions about a tool's figures on an owner's labelled pictures, and their answers, both signed.

A researcher has a tool (a file: pictures in, counts and outlines out) and asks an owner how well it does on pictures that stay there.
What comes back is a few rounded figures, if the owner's gate lets them out, or a refusal. Rules:
1. A question counts with the researcher's signature, an answer with the owner's that the question names.
2. A question names the tool by its digest and the dataset by its commitment: what was measured with what cannot be exchanged.
3. What is asked of one dataset with one tool is one question (`subject`), whoever asks, whenever and for whatever purpose: it is
   measured once, and its answer is given again. Asking again tells nothing more.
4. An answer holds means over pictures, each between 0 and 1, in whole steps of `step`; never a picture's figure.
5. A refusal says which rule refused, and nothing that was measured.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import Field, ValidationError, model_validator

from cloister.agreements.clauses import Instant, Line
from cloister.data.schema import Digest
from cloister.data.schema import Name as DatasetName
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import parse_rfc3339, rfc3339
from cloister.foundation.digests import digest_json
from cloister.foundation.documents import Document, invalid
from cloister.foundation.errors import BadInput, NotTrusted
from cloister.identity import envelopes
from cloister.identity.envelopes import Envelope, KeyDirectory
from cloister.identity.keys import PartyId, SecretKeys

QUESTION_TYPE = "application/vnd.cloister.figures-question+json"
ANSWER_TYPE = "application/vnd.cloister.figures-answer+json"
TOLERANCE = 300
"""Seconds by which the time of another party's document may be ahead of the reader's clock."""

Figure: TypeAlias = Literal["count-accuracy", "f1", "d50-accuracy"]
FIGURES: tuple[Figure, ...] = ("count-accuracy", "f1", "d50-accuracy")
"""Each is a mean over pictures of scores between 0 and 1; see `node.figures.scoring`."""
Refusal: TypeAlias = Literal[
    "a-person", "too-few-records", "agreement", "budget", "number-of-questions", "dataset", "tool"
]


class Question(Document):
    """What a researcher asks.

    Attributes:
        researcher, owner: fingerprints.
        dataset, commitment: whose pictures: its name at the owner, and exactly this version.
        tool: digest of the tool's file.
        figures: which, in the order of `FIGURES`.
        purpose: what for.
        epsilon: how much of the privacy budget it may cost where the pictures have one; None: a question that costs nothing.
        made: when.
    """

    type: Literal["cloister/figures-question@1"] = "cloister/figures-question@1"
    researcher: PartyId
    owner: PartyId
    dataset: DatasetName
    commitment: Digest
    tool: Digest
    figures: Annotated[tuple[Figure, ...], Field(min_length=1, max_length=len(FIGURES))]
    purpose: Line
    epsilon: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] | None = None
    made: Instant

    @model_validator(mode="after")
    def _coherent(self) -> Question:
        if self.researcher == self.owner:
            raise ValueError("owner and researcher are the same party")
        if self.figures != tuple(name for name in FIGURES if name in self.figures):
            raise ValueError("figures are named once each, in their order")
        return self


class Noise(Document):
    """The differential privacy of an answer, add-or-remove one picture."""

    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    delta: Annotated[float, Field(ge=0, lt=1)]


class Answer(Document):
    """What the owner lets out.

    Attributes:
        question: its digest.
        owner: who answers, and signs.
        refused: by which rule; None: answered.
        figures: name → mean over pictures, 0 to 1.
        records: of how many pictures, in tens, rounded down; with noise in it where the figures have some.
        step: what the figures are rounded to.
        noise: where they have noise.
        made: when.
    """

    type: Literal["cloister/figures-answer@1"] = "cloister/figures-answer@1"
    question: Digest
    owner: PartyId
    refused: Refusal | None = None
    figures: dict[Figure, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict, max_length=len(FIGURES)
    )
    records: Annotated[int, Field(ge=0, le=1 << 40)] | None = None
    step: Annotated[float, Field(gt=0, le=1)] | None = None
    noise: Noise | None = None
    made: Instant

    @model_validator(mode="after")
    def _coherent(self) -> Answer:
        told = (bool(self.figures), self.records is not None, self.step is not None)
        if any(item != (self.refused is None) for item in told) or (self.refused and self.noise):
            raise ValueError("an answer has figures, their number and step, and a refusal has none")
        return self


AnyDocument = TypeVar("AnyDocument", Question, Answer)


def subject(commitment: str, tool: str) -> str:
    """What a question is about (rule 3); all figures are measured at once, so that which were asked for makes no other question."""
    return digest_json(["cloister/figures@1", commitment, tool])


def sign_question(question: Question, keys: SecretKeys) -> Envelope:
    """The question, signed by its researcher."""
    return envelopes.sign(QUESTION_TYPE, question.model_dump(mode="json"), question.researcher, keys)


def sign_answer(answer: Answer, keys: SecretKeys) -> Envelope:
    """The answer, signed by its owner."""
    return envelopes.sign(ANSWER_TYPE, answer.model_dump(mode="json"), answer.owner, keys)


def open_question(envelope: Envelope, owner: str, directory: KeyDirectory, now: int) -> Question:
    """A question to `owner`, signed by the researcher that it names. Raises `BadInput` or `NotTrusted`."""
    found = read_question(envelope)
    if found.owner != owner:
        raise _by_another("A question about figures is to another party.")
    envelopes.verify(envelope, QUESTION_TYPE, [found.researcher], directory)
    if parse_rfc3339(found.made) > now + TOLERANCE:
        raise NotTrusted(
            "A question is from the future.",
            f"It bears the time {found.made}; this machine's clock says {rfc3339(now)}.",
            "Check both clocks.",
            clause="question-time",
        )
    return found


def open_answer(envelope: Envelope, question: Envelope, directory: KeyDirectory) -> Answer:
    """The answer to `question`, signed by the owner that it was put to. Raises `BadInput` or `NotTrusted`."""
    asked, found = read_question(question), read_answer(envelope)
    if found.question != question.digest:
        raise BadInput("An answer is to another question.", "It names another digest.", "Ask its owner.")
    if found.owner != asked.owner:
        raise _by_another("An answer is by another party than was asked.")
    envelopes.verify(envelope, ANSWER_TYPE, [asked.owner], directory)
    if found.refused is None and tuple(name for name in FIGURES if name in found.figures) != asked.figures:
        raise BadInput("An answer has other figures than were asked for.", "", "Ask its owner.")
    return found


def read_question(envelope: Envelope) -> Question:
    """The question in an envelope, its signature not looked at. Raises `BadInput`."""
    return _read(Question, envelope, "A question about figures")


def read_answer(envelope: Envelope) -> Answer:
    """The answer in an envelope, its signature not looked at. Raises `BadInput`."""
    return _read(Answer, envelope, "An answer about figures")


def _read(cls: type[AnyDocument], envelope: Envelope, what: str) -> AnyDocument:
    try:
        return cls.model_validate_json(canonical(envelope.document()))
    except ValidationError as error:
        raise invalid(error, what) from None


def _by_another(what: str) -> NotTrusted:
    return NotTrusted(what, "", "Ask the party that it names.", clause="question-party")

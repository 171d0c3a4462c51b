"""The researcher's half: a question about a tool is signed, sent with the tool until the owner's server has it, its answer kept.

Rules:
1. A question goes to one owner, about a dataset of its catalogue that is known here, with the tool that it names.
2. It is sent again until the owner's server confirms it; one that is refused is not. What the owner's server says of it is one of
   the known states, or taken as waiting. Of an owner that fails, the others' questions do not suffer: it is asked no more in that round.
3. An answer counts with the owner's signature, and only to the question that it names; the first one stays.
4. Question and answer stand in the log.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cloister.disclosure.questions import (
    ANSWER_TYPE,
    FIGURES,
    QUESTION_TYPE,
    Question,
    open_answer,
    read_answer,
    read_question,
    sign_question,
)
from cloister.foundation.canonical import parse
from cloister.foundation.clock import Clock, rfc3339
from cloister.foundation.documents import invalid
from cloister.foundation.errors import BadInput, CloisterError, NotFound, NotTrusted, Refused
from cloister.foundation.files import read_limited, write_atomically
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import SecretKeys
from cloister.node.datasets_service import DatasetsService
from cloister.node.disclosures.sending import Caller
from cloister.node.ledger_service import LedgerService
from cloister.node.peers.parties import Parties
from cloister.storage.database import Database, Transaction
from cloister.storage.documents import Documents
from cloister.storage.events import Events
from cloister.storage.settings import Settings
from cloister.tools.package import unpack

ASK, ANSWER = "figures.ask", "figures.answer"
MAX_TOOL = 64 << 20
MAX_DOCUMENT = 16 << 10
_ASKED = "figures/asked/"
_SECONDS = 600.0
_STATES = ("waiting", "approved", "refusing", "refused", "answered")


@dataclass(frozen=True)
class Wanted:
    """What a person asks.

    Attributes:
        owner: fingerprint.
        dataset: its name at the owner.
        tool: the tool's file.
        figures: which of `FIGURES`; all if empty.
        purpose: what for.
        epsilon: what it may cost of a privacy budget.
        by: the account's name.
    """

    owner: str
    dataset: str
    tool: bytes
    figures: Sequence[str]
    purpose: str
    epsilon: float | None
    by: str


class Asking:
    """Questions of this party's researchers."""

    def __init__(
        self,
        folder: Path,
        database: Database,
        clock: Clock,
        keys: SecretKeys,
        parties: Parties,
        datasets: DatasetsService,
        ledger: LedgerService,
        call: Caller,
    ) -> None:
        self._folder = folder / "asked"
        self._database = database
        self._clock = clock
        self._keys = keys
        self._parties = parties
        self._datasets = datasets
        self._ledger = ledger
        self._call = call

    def ask(self, wanted: Wanted) -> dict[str, Any]:
        """Signs a question; `tell` sends it. Returns it as `one`.

        Raises:
            BadInput: the tool is none, or too large; a figure or purpose that there is not.
            NotFound: the owner has no such dataset in its catalogue, as far as it is known here.
            Refused: the owner's fingerprint was not compared here.
        """
        self._ledger.require_unlocked()
        self._parties.require_trusted([wanted.owner])
        if len(wanted.tool) > MAX_TOOL:
            raise BadInput(
                "The tool is too large for a question.",
                f"The limit is {MAX_TOOL >> 20} MiB.",
                "Use a smaller model.",
            )
        tool = unpack(wanted.tool, "The tool").tool
        unknown = set(wanted.figures) - set(FIGURES)
        if unknown:
            raise BadInput(
                "There is no such figure.", f"Figures are {', '.join(FIGURES)}.", "Choose among them."
            )
        try:
            question = Question(
                researcher=self._parties.own.party,
                owner=wanted.owner,
                dataset=wanted.dataset,
                commitment=self._commitment(wanted.owner, wanted.dataset),
                tool=tool.digest,
                figures=tuple(name for name in FIGURES if not wanted.figures or name in wanted.figures),
                purpose=wanted.purpose,
                epsilon=wanted.epsilon,
                made=rfc3339(self._clock.now()),
            )
        except ValidationError as error:
            raise invalid(error, "The question") from None
        envelope, now = sign_question(question, self._keys), self._clock.now()
        name = envelope.digest
        write_atomically(self._place(name), wanted.tool, private=True)
        with self._database.transaction() as tx:
            if Documents(tx).get(name) is None:
                Documents(tx).put(
                    name,
                    QUESTION_TYPE,
                    envelope.encode(),
                    now,
                    owner=wanted.owner,
                    researcher=question.researcher,
                )
                self._ledger.append(tx, "disclosure", name)
                Settings(tx).put(_ASKED + name, {"by": wanted.by, "state": "unsent", "why": ""})
        return self.one(name)

    def tell(self) -> None:
        """Sends the questions that their owners' servers have not confirmed."""
        failed = set[str]()
        for name, note in self._notes().items():
            if note["state"] != "unsent":
                continue
            with self._database.read() as tx:
                envelope = self._question(tx, name)
            owner = read_question(envelope).owner
            if owner in failed:
                continue
            try:
                signed, tool = envelope.encode(), read_limited(self._place(name), MAX_TOOL)
                body = struct.pack(">I", len(signed)) + signed + tool
                state, why = _state(self._call(owner, ASK, body, _SECONDS, f"figures/{name}")), ""
            except (Refused, BadInput, NotFound) as error:
                state, why = "refused", " ".join(filter(None, (error.what, error.why, error.remedy)))[:600]
            except CloisterError:
                failed.add(owner)
                continue
            with self._database.transaction() as tx:
                found = Settings(tx).get(_ASKED + name)
                if found["state"] == "unsent":
                    Settings(tx).put(_ASKED + name, {**found, "state": state, "why": why})
            self._place(name).unlink(missing_ok=True)

    def on_answer(self, sender: str, body: bytes) -> bytes:
        """An owner's server sends its answer. Raises `BadInput`, `NotFound` or `NotTrusted`."""
        if len(body) > MAX_DOCUMENT:
            raise BadInput("An answer is too large.", f"The limit is {MAX_DOCUMENT} bytes.", "Report this.")
        envelope, now = Envelope.decode(body), self._clock.now()
        name = read_answer(envelope).question
        with self._database.read() as tx:
            question = self._question(tx, name)
            known = self._answer(tx, name) is not None
        answer = open_answer(envelope, question, self._parties.directory)
        if sender != answer.owner:
            raise NotTrusted("An answer came from another party than its signer.", "", "", clause="sender")
        if known:
            return b"{}"
        with self._database.transaction() as tx:
            Documents(tx).put(envelope.digest, ANSWER_TYPE, envelope.encode(), now, question=name)
            self._ledger.append(tx, "disclosure", envelope.digest)
            Events(tx).add("", now, "figures.answered", {"question": name})
        return b"{}"

    def listing(self) -> list[dict[str, Any]]:
        """The questions asked here, oldest first."""
        return [self.one(name) for name in self._notes()]

    def one(self, name: str) -> dict[str, Any]:
        """One of them, with its answer if there is one. Raises `NotFound`."""
        with self._database.read() as tx:
            note = Settings(tx).get(_ASKED + name)
            if note is None:
                raise _no_such()
            question, answer = self._question(tx, name), self._answer(tx, name)
        state = note["state"]
        if answer is not None:
            state = "refused" if read_answer(answer).refused else "answered"
        return {
            **view(question, answer, self._parties.names()),
            "side": "asked",
            "state": state,
            "why": note["why"],
            "asked_by": note["by"],
        }

    def _commitment(self, owner: str, dataset: str) -> str:
        for commitment, entry in self._datasets.catalogue().items():
            if entry.owner == owner and entry.name == dataset:
                return commitment
        raise NotFound(
            "The owner has no such dataset in its catalogue.",
            "As far as it is known at this server; entries come while both servers are connected.",
            "See what is known: cloister dataset catalogue",
        )

    def _question(self, tx: Transaction, name: str) -> Envelope:
        data = Documents(tx).get(name)
        if data is None or (found := Envelope.stored(data)).payloadType != QUESTION_TYPE:
            raise _no_such()
        return found

    def _answer(self, tx: Transaction, name: str) -> Envelope | None:
        found = Documents(tx).find(ANSWER_TYPE, question=name)
        return Envelope.stored(found[0][1]) if found else None

    def _notes(self) -> dict[str, dict[str, Any]]:
        with self._database.read() as tx:
            settings = Settings(tx)
            return {key.removeprefix(_ASKED): settings.get(key) for key in settings.names(_ASKED)}

    def _place(self, name: str) -> Path:
        return self._folder / f"{name.removeprefix('sha256:')}.tool"


def _state(said: bytes) -> str:
    """How an owner's server says that a question stands. Foreign bytes: it has the question, whatever it says."""
    try:
        told = parse(said)
    except BadInput:
        return "waiting"
    state = told.get("state") if isinstance(told, dict) else None
    return state if isinstance(state, str) and state in _STATES else "waiting"


def view(question: Envelope, answer: Envelope | None, names: dict[str, str]) -> dict[str, Any]:
    """A question and its answer as JSON for programs and people."""
    asked = read_question(question)
    told = None if answer is None else read_answer(answer)
    return {
        "question": question.digest,
        "researcher": asked.researcher,
        "researcher_name": names.get(asked.researcher, ""),
        "owner": asked.owner,
        "owner_name": names.get(asked.owner, ""),
        "dataset": asked.dataset,
        "commitment": asked.commitment,
        "tool": asked.tool,
        "asked_for": list(asked.figures),
        "purpose": asked.purpose,
        "epsilon": asked.epsilon,
        "made": asked.made,
        "refused": None if told is None else told.refused,
        "figures": {} if told is None else dict(told.figures),
        "records": None if told is None else told.records,
        "step": None if told is None else told.step,
        "noise": None if told is None or told.noise is None else told.noise.model_dump(),
        "answered": None if told is None else told.made,
    }


def _no_such() -> NotFound:
    return NotFound("There is no such question at this server.", "", "See: cloister ask figures")

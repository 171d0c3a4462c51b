"""The owner's half, its gate: questions taken in, decided by an agreement's clause or a person, measured once, answered.

Rules:
1. A question is taken from a party whose fingerprint was compared here, signed by it. It is counted against that party's quota before
   it is looked at; what an agreement forbids (`disclosure.figure_permission`), or is no tool, is refused at once, and its count against
   the rate stays: a refusal tells something, too. The owner's people see that there was such a question.
2. Unless every governing agreement's clause permits it, when it comes and when it is measured, it waits for a person with the right
   to approve tasks, for as long as it takes. Questions are decided one after the other: none finds room that another takes.
   The decision, with the account's name, is kept and logged. Nobody's silence is a yes.
3. What is the same question (`questions.subject`) is measured once; its figures are kept, and told again to whoever is permitted.
   So asking again averages no noise away, and spends nothing.
4. Where the pictures belong to a population with a budget, the noise's secret is on disk first, then the charge, then the figures.
   Without an agreement whose budget pays, nothing is told of them.
5. Everything that looks at pictures is done in a confined worker (`measuring`). Of the pictures themselves nothing is kept.
6. An answer is signed, logged, and sent until it is confirmed. How long it takes depends on the pictures and the tool, and is not
   hidden: whoever asks again sees it change, and `made` says it to the second.
"""

from __future__ import annotations

import secrets
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloister.agreements.clauses import Budget
from cloister.agreements.terms import Terms
from cloister.data.schema import DatasetDescription
from cloister.disclosure.figure_permission import Permitted, permit
from cloister.disclosure.permission import Known, Wish
from cloister.disclosure.questions import (
    ANSWER_TYPE,
    FIGURES,
    QUESTION_TYPE,
    Answer,
    Noise,
    Question,
    Refusal,
    open_question,
    read_question,
    sign_answer,
    subject,
)
from cloister.foundation.canonical import JSON, canonical
from cloister.foundation.clock import Clock, rfc3339
from cloister.foundation.digests import digest_json, same
from cloister.foundation.errors import (
    BadInput,
    CloisterError,
    Conflict,
    NotFound,
    NotTrusted,
    Refused,
    TaskFailed,
)
from cloister.foundation.files import read_limited, write_atomically
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import SecretKeys
from cloister.node.agreements_service import AgreementsService
from cloister.node.budgets import BudgetsService
from cloister.node.datasets_service import DatasetsService
from cloister.node.disclosures.sending import Caller
from cloister.node.figures.asking import ANSWER, MAX_DOCUMENT, MAX_TOOL, view
from cloister.node.figures.measuring import Looker, measure
from cloister.node.ledger_service import LedgerService
from cloister.node.peers.parties import Parties
from cloister.node.peers.quotas import Quotas
from cloister.privacy.filters import Loss
from cloister.release import figures as gate
from cloister.storage.database import Database, Transaction
from cloister.storage.documents import Documents
from cloister.storage.events import Events
from cloister.storage.settings import Settings
from cloister.tools.package import unpack

_TAKEN, _MEASURED, _SECRET = "figures/taken/", "figures/measured/", "figures/secret/"
_QUOTA = "questions about figures"
_DECIDED = {
    "approved": "It was let out, or an agreement did so; it is being measured.",
    "refusing": "It was refused.",
    "refused": "It was refused, and whoever asked is told.",
    "answered": "It is answered. What has left cannot be taken back.",
}
_DELTA = 1e-6
_SECONDS = 20.0


@dataclass(frozen=True)
class Stand:
    """How a question that waits stands.

    Attributes:
        agreements: digests of those that govern it.
        noisy: whether the figures would leave with noise, paid by a budget.
        refused: why it would be refused whatever people say.
    """

    agreements: tuple[str, ...]
    noisy: bool
    refused: Refused | None


class Answering:
    """Questions to this party."""

    def __init__(
        self,
        folder: Path,
        database: Database,
        clock: Clock,
        keys: SecretKeys,
        parties: Parties,
        datasets: DatasetsService,
        agreements: AgreementsService,
        budgets: BudgetsService,
        ledger: LedgerService,
        quotas: Quotas,
        call: Caller,
        looker: Callable[[], Looker],
    ) -> None:
        self._folder = folder / "taken"
        self._database = database
        self._clock = clock
        self._keys = keys
        self._parties = parties
        self._datasets = datasets
        self._agreements = agreements
        self._budgets = budgets
        self._ledger = ledger
        self._quotas = quotas
        self._call = call
        self._make_looker = looker
        self._closing = threading.Event()
        self._working = threading.Lock()
        # Taken before a transaction begins, never within one.
        self._deciding = threading.Lock()

    # Questions come ------------------------------------------------------------------------------------------------

    def on_question(self, sender: str, body: bytes) -> bytes:
        """A researcher's server asks. Answers how it stands. Raises `BadInput`, `NotTrusted`, `Refused`."""
        self._parties.require_trusted([sender])
        envelope, tool = _taken_apart(body)
        question = open_question(
            envelope, self._parties.own.party, self._parties.directory, self._clock.now()
        )
        if question.researcher != sender:
            raise NotTrusted("A question came from another party than its signer.", "", "", clause="sender")
        name = envelope.digest
        with self._database.read() as tx:
            note = Settings(tx).get(_TAKEN + name)
        if note is None:
            self._quotas.take(_QUOTA, sender, name, len(tool))
            try:
                note = self._take(envelope, question, tool)
            except CloisterError as error:
                self._turned_away(question, name, error)
                raise
        return canonical({"state": note["state"]})

    def _turned_away(self, question: Question, name: str, error: CloisterError) -> None:
        """It is not held here; that it came still counts against the rate, and is seen here."""
        self._quotas.give_back(_QUOTA, question.researcher, name)
        facts: dict[str, JSON] = {
            "researcher": question.researcher,
            "dataset": question.dataset,
            "why": f"{error.what} {error.why}"[:300],
        }
        with self._database.transaction() as tx:
            Events(tx).add("", self._clock.now(), "figures.forbidden", facts)

    def _take(self, envelope: Envelope, question: Question, tool: bytes) -> dict[str, Any]:
        if not same(unpack(tool, "The tool").tool.digest, question.tool):
            raise BadInput("A question came with another tool than it names.", "", "Ask again.")
        with self._deciding:
            # One at a time: two questions at once would each find room under the agreements.
            return self._note(envelope, question, tool)

    def _note(self, envelope: Envelope, question: Question, tool: bytes) -> dict[str, Any]:
        name, now = envelope.digest, self._clock.now()
        with self._database.read() as tx:
            known: dict[str, Any] | None = Settings(tx).get(_TAKEN + name)
        if known is not None:
            return known
        permitted = self._permitted(question)
        note: dict[str, JSON] = {
            "state": "approved" if permitted.asks_nobody else "waiting",
            "by": None,
            "under": list(permitted.agreements) if permitted.asks_nobody else [],
            "told": False,
        }
        write_atomically(self._place(name), tool, private=True)
        with self._database.transaction() as tx:
            Documents(tx).put(
                name,
                QUESTION_TYPE,
                envelope.encode(),
                now,
                owner=question.owner,
                researcher=question.researcher,
            )
            self._ledger.append(tx, "disclosure", name)
            Settings(tx).put(_TAKEN + name, note)
            Events(tx).add("", now, "figures.asked", {"question": name})
        return note

    # Deciding ------------------------------------------------------------------------------------------------------

    def decide(self, name: str, by: str, *, approve: bool) -> dict[str, Any]:
        """A person lets a question be answered, or refuses it for good. Returns it as `one`.

        Raises:
            NotFound: there is no such question.
            Conflict: it was decided before.
            Refused: an agreement forbids it, whatever people say.
        """
        self._ledger.require_unlocked()
        now = self._clock.now()
        with self._database.read() as tx:
            envelope = self._question(tx, name)
        act: dict[str, JSON] = {
            "type": "cloister/figures-decision@1",
            "question": name,
            "approved": approve,
            "by": by,
            "at": now,
        }
        with self._deciding:
            if approve:
                self._permitted(read_question(envelope))
            with self._database.transaction() as tx:
                note = Settings(tx).get(_TAKEN + name)
                if note["state"] != "waiting":
                    raise Conflict(
                        "This question was decided before.",
                        _DECIDED[note["state"]],
                        "See: cloister ask figures",
                    )
                Settings(tx).put(
                    _TAKEN + name, {**note, "state": "approved" if approve else "refusing", "by": by}
                )
                self._ledger.append(tx, "decision", digest_json(act))
        return self.one(name)

    def _permitted(self, question: Question) -> Permitted:
        entry = self._entry(question)
        about = subject(question.commitment, question.tool)
        measured, under = self._history(question.commitment)
        wish = Wish(question.owner, question.researcher, entry, (), question.purpose, self._clock.now())
        known = [
            Known(
                name,
                self._agreements.get(name).terms,
                self._agreements.state(name),
                frozenset(under.get(name, ())),
            )
            for name in self._agreements.digests()
        ]
        return permit(wish, known, about, measured)

    def _entry(self, question: Question) -> DatasetDescription:
        registration = self._datasets.named(question.dataset)
        if (
            registration is None
            or registration.description.commitment != question.commitment
            or registration.description.kind != "image-points"
        ):
            raise Refused(
                "The question is about no present dataset of pictures.",
                "There is none of that name and commitment.",
                "Ask about one in the owner's catalogue.",
                clause="dataset",
            )
        return registration.description

    def _history(self, commitment: str) -> tuple[frozenset[str], dict[str, set[str]]]:
        """The subjects of a dataset that were taken up, and those that agreements permitted by themselves."""
        measured, under = set[str](), dict[str, set[str]]()
        with self._database.read() as tx:
            settings = Settings(tx)
            for key in settings.names(_TAKEN):
                note, asked = settings.get(key), read_question(self._question(tx, key.removeprefix(_TAKEN)))
                if asked.commitment != commitment or note["state"] in ("waiting", "refusing"):
                    continue
                about = subject(asked.commitment, asked.tool)
                if note["state"] == "approved" or settings.get(_MEASURED + about) is not None:
                    measured.add(about)
                for agreement in note["under"]:
                    under.setdefault(agreement, set()).add(about)
        return frozenset(measured), under

    # Answering -----------------------------------------------------------------------------------------------------

    def work(self) -> None:
        """Answers what is approved or refused; what fails for a passing reason is tried again."""
        # Two at once would measure, and look at the pictures, twice.
        with self._working:
            self._work()

    def _work(self) -> None:
        for name, note in self._notes().items():
            if note["state"] not in ("approved", "refusing") or self._closing.is_set():
                continue
            with self._database.read() as tx:
                question = read_question(self._question(tx, name))
            if note["state"] == "refusing":
                self._answer(name, question, refused="a-person")
                continue
            try:
                if note["by"] is None and not self._still_asks_nobody(question, name):
                    continue
                kept = self._figures(question, name)
            except Refused as error:
                self._answer(name, question, refused=_refusal(error))
            except BadInput:
                self._answer(name, question, refused="tool")
            except CloisterError:
                continue
            else:
                self._answer(name, question, kept=kept)

    def _still_asks_nobody(self, question: Question, name: str) -> bool:
        """Whether a question that no person let out needs none now; else it waits for one. Raises `Refused`."""
        with self._deciding:
            if self._permitted(question).asks_nobody:
                return True
            with self._database.transaction() as tx:
                note = Settings(tx).get(_TAKEN + name)
                Settings(tx).put(_TAKEN + name, {**note, "state": "waiting", "under": []})
        return False

    def _figures(self, question: Question, name: str) -> dict[str, Any]:
        """What was measured, now or before. Raises `Refused`, or `BadInput` if the tool is none that runs."""
        about = subject(question.commitment, question.tool)
        self._permitted(question)
        with self._database.read() as tx:
            known: dict[str, Any] | None = Settings(tx).get(_MEASURED + about)
        if known is not None:
            if known.get("too_few"):
                raise Refused("There are too few pictures.", "", "", clause="too-few-records")
            if known["noise"] is None and self._budgets.charges.protected(question.commitment):
                raise _unpaid("They were measured before the pictures belonged to a protected population.")
            return known
        package = unpack(read_limited(self._place(name), MAX_TOOL), "The tool")
        looker = self._make_looker()
        try:
            try:
                looker.check(package)
            except TaskFailed as error:
                raise BadInput("The tool cannot be loaded.", error.why, "") from None
            return self._measure(question, about, looker, package)
        finally:
            looker.close()

    def _measure(self, question: Question, about: str, looker: Looker, package: Any) -> dict[str, Any]:
        paying = self._paying(question)
        secret = self._secret(about)
        noise: Noise | None = None
        if paying is not None:
            # Charged before a picture is looked at: what comes of looking could not be taken back.
            loss = self._budgets.charges.charge_question(
                question.commitment, paying, about, lambda clause: _plan(question, clause)[1]
            )
            clause = paying.budget(question.owner, question.dataset)
            assert clause is not None
            mechanism, _ = _plan(question, clause)
            noise = Noise(epsilon=_epsilon(question), delta=_delta(clause))
            assert loss == _plan(question, clause)[1]
        registration = self._datasets.for_use(question.commitment).registration
        found = measure(looker, package, registration, lambda: not self._closing.is_set())
        try:
            told = gate.exact(found) if paying is None else gate.noisy(found, mechanism, secret)
            kept: dict[str, JSON] = {
                "figures": dict(told.figures),
                "records": told.records,
                "step": told.step,
                "noise": None if noise is None else noise.model_dump(),
            }
        except Refused:
            kept = {"too_few": True}
        with self._database.transaction() as tx:
            Settings(tx).put(_MEASURED + about, kept)
        if kept.get("too_few"):
            raise Refused("There are too few pictures.", "", "", clause="too-few-records")
        return kept

    def _paying(self, question: Question) -> Terms | None:
        """The agreement whose budget pays; None where the pictures have no budget. Raises `Refused` (clause `budget`)."""
        entry = self._entry(question)
        found = []
        for name in self._permitted(question).agreements:
            terms = self._agreements.get(name).terms
            usable = terms.dataset(question.owner, question.commitment, entry)
            if usable is not None and terms.budget(question.owner, usable.name) is not None:
                found.append(terms)
        if not found and not self._budgets.charges.protected(question.commitment):
            return None
        if not found:
            raise _unpaid("The pictures belong to a protected population, and no agreement's budget pays.")
        if question.epsilon is None:
            raise _unpaid("The question does not say what it may cost.")
        return found[0]

    def _secret(self, about: str) -> bytes:
        with self._database.transaction() as tx:
            kept = Settings(tx).get(_SECRET + about)
            if kept is None:
                kept = secrets.token_hex(32)
                Settings(tx).put(_SECRET + about, kept)
        return bytes.fromhex(kept)

    def _answer(
        self,
        name: str,
        question: Question,
        *,
        refused: Refusal | None = None,
        kept: dict[str, Any] | None = None,
    ) -> None:
        now = self._clock.now()
        told = (
            {}
            if kept is None
            else {
                "figures": {key: kept["figures"][key] for key in question.figures},
                "records": kept["records"],
                "step": kept["step"],
                "noise": None if kept["noise"] is None else Noise.model_validate(kept["noise"]),
            }
        )
        answer = Answer.model_validate(
            {"question": name, "owner": question.owner, "refused": refused, "made": rfc3339(now), **told}
        )
        envelope = sign_answer(answer, self._keys)
        with self._database.transaction() as tx:
            note = Settings(tx).get(_TAKEN + name)
            Documents(tx).put(envelope.digest, ANSWER_TYPE, envelope.encode(), now, question=name)
            self._ledger.append(tx, "disclosure", envelope.digest)
            Settings(tx).put(_TAKEN + name, {**note, "state": "refused" if refused else "answered"})
        self._place(name).unlink(missing_ok=True)
        self._quotas.give_back(_QUOTA, question.researcher, name)

    def tell(self) -> None:
        """Sends the answers that researchers' servers have not confirmed."""
        for name, note in self._notes().items():
            if note["state"] not in ("answered", "refused") or note["told"]:
                continue
            with self._database.read() as tx:
                question, answer = read_question(self._question(tx, name)), self._given(tx, name)
            if answer is None:
                continue
            try:
                self._call(question.researcher, ANSWER, answer.encode(), _SECONDS)
            except CloisterError:
                continue
            with self._database.transaction() as tx:
                Settings(tx).put(_TAKEN + name, {**Settings(tx).get(_TAKEN + name), "told": True})

    def close(self) -> None:
        """Ends what is being measured; it begins anew at the next start."""
        self._closing.set()

    # For people ----------------------------------------------------------------------------------------------------

    def listing(self) -> list[dict[str, Any]]:
        """The questions put to this party, oldest first."""
        measured = dict[str, int]()
        return [self._one(name, measured) for name in self._notes()]

    def waiting(self) -> list[dict[str, Any]]:
        """The questions that a person here has to decide, oldest first, without what was measured before."""
        names = self._parties.names()
        with self._database.read() as tx:
            settings = Settings(tx)
            found = [
                key.removeprefix(_TAKEN)
                for key in settings.names(_TAKEN)
                if settings.get(key)["state"] == "waiting"
            ]
            told = [view(self._question(tx, name), None, names) for name in found]
        return sorted(told, key=lambda item: str(item["made"]))

    def stand(self, name: str) -> Stand:
        """What a person who decides has to know. Raises `NotFound`."""
        with self._database.read() as tx:
            question = read_question(self._question(tx, name))
        try:
            permitted = self._permitted(question)
            paying = self._paying(question)
        except Refused as error:
            return Stand((), False, error)
        return Stand(permitted.agreements, paying is not None, None)

    def one(self, name: str) -> dict[str, Any]:
        """One of them, and how many different questions were measured on its pictures. Raises `NotFound`."""
        return self._one(name, {})

    def _one(self, name: str, measured: dict[str, int]) -> dict[str, Any]:
        """The same; how many were measured of each commitment is kept in `measured`, as it takes a look at all questions."""
        with self._database.read() as tx:
            question, answer = self._question(tx, name), self._given(tx, name)
            note = Settings(tx).get(_TAKEN + name)
        if note is None:
            raise _no_such()
        commitment = read_question(question).commitment
        if commitment not in measured:
            measured[commitment] = len(self._history(commitment)[0])
        return {
            **view(question, answer, self._parties.names()),
            "side": "to-answer",
            "state": note["state"],
            "why": "",
            "decided_by": note["by"],
            "under": list(note["under"]),
            "measured": measured[commitment],
        }

    def _question(self, tx: Transaction, name: str) -> Envelope:
        data = Documents(tx).get(name)
        if data is None or (found := Envelope.stored(data)).payloadType != QUESTION_TYPE:
            raise _no_such()
        return found

    def _given(self, tx: Transaction, name: str) -> Envelope | None:
        found = Documents(tx).find(ANSWER_TYPE, question=name)
        return Envelope.stored(found[0][1]) if found else None

    def _notes(self) -> dict[str, dict[str, Any]]:
        with self._database.read() as tx:
            settings = Settings(tx)
            return {key.removeprefix(_TAKEN): settings.get(key) for key in settings.names(_TAKEN)}

    def _place(self, name: str) -> Path:
        return self._folder / f"{name.removeprefix('sha256:')}.tool"


def _taken_apart(body: bytes) -> tuple[Envelope, bytes]:
    if len(body) < 4 or (size := struct.unpack_from(">I", body)[0]) > MAX_DOCUMENT or len(body) < 4 + size:
        raise BadInput("A question about figures could not be read.", "It was cut short.", "Ask again.")
    return Envelope.decode(body[4 : 4 + size]), body[4 + size :]


def _plan(question: Question, clause: Budget) -> tuple[Any, Loss]:
    return gate.plan(len(FIGURES), _epsilon(question), _delta(clause))


def _epsilon(question: Question) -> float:
    assert question.epsilon is not None
    return question.epsilon


def _delta(clause: Budget) -> float:
    if clause.delta <= 0:
        raise _unpaid("The agreement's budget has no delta, and this noise needs a little of it.")
    return min(_DELTA, clause.delta / 10)


def _refusal(error: Refused) -> Refusal:
    if error.clause in ("too-few-records", "number-of-questions", "dataset", "budget"):
        return error.clause  # type: ignore[return-value]  # each is one of them
    if error.clause.startswith(("budget", "population", "noise", "charge")):
        return "budget"
    return "dataset" if error.clause == "dataset-known" else "agreement"


def _unpaid(why: str) -> Refused:
    return Refused(
        "The question cannot be paid for.",
        why,
        "Ask with an epsilon, under an agreement with a budget for these pictures.",
        clause="budget",
    )


def _no_such() -> NotFound:
    return NotFound("There is no such question at this server.", "", "See: cloister ask figures")

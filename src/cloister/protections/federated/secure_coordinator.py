"""The coordinator's seat where only sums are seen, and not by it: it relays, adds up masked vectors, and learns which model came out.

```
gather-1 ─► relay-1 ─► collect-1 ─► confirm-1 ─► total-1 ─► gather-2 … total-R ─► finish
```

Rules:
1. It holds no weights, no update and no sum. What it relays is signed by owners and checked by them.
2. Its context of a round takes the weights' digest that most owners name; who names another is left out (`secure`, rule 2).
3. Every stage needs as many owners as the plan; with fewer the task fails by the phase's name.
4. The candidate is named, not held: as many owners as the plan needs must have told the same of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cloister.aggregation import Context, Coordinator, Turn
from cloister.claims.offers import Digest, Request
from cloister.foundation.canonical import canonical
from cloister.foundation.errors import CloisterError, TaskFailed
from cloister.identity.keys import PartyId
from cloister.journal.program import Candidate, Inbox, Local, Message, Party, Phase, Program, Step
from cloister.protections.federated import secure
from cloister.protections.federated.messages import MAX_OWNERS, MAX_ROUNDS
from cloister.protections.federated.secure import RESULT, AnnounceHeader, ResultHeader, named
from cloister.protections.federated.secure_owner import facts
from cloister.protections.federated.settings import Settings

_STAGES = (
    ("gather", "announce"),
    ("relay", "share"),
    ("collect", "mask"),
    ("confirm", "endorse"),
    ("total", "reveal"),
)
"""Each stage and the owners' message that it answers."""
_SUM = "masked sum"
_NO_WEIGHTS = "sha256:" + "0" * 64
_HEADERS = 1 << 20


_Parties = Annotated[tuple[PartyId, ...], Field(strict=False, max_length=MAX_OWNERS)]


class _State(BaseModel):
    """Beside it: the aggregation's own state. As a part that stays for a round: the masked sum.

    Attributes:
        round: the present one.
        roster: who was on it at its beginning.
        weights: digest of what it is computed on.
        asked: whose answers are waited for.
        survivors: whose vectors are in its sum; nobody before that is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    round: int = Field(ge=1, le=MAX_ROUNDS)
    roster: _Parties
    weights: Digest
    asked: _Parties
    survivors: _Parties


def coordinator(settings: Settings, request: Request, party: str) -> Program:
    """The coordinator's program.

    Args:
        settings: from the plan.
        request: its datasets name the owners.
        party: whose seat this is.
    """
    seat = _Coordinator(settings, request, party)
    wait, fewest = float(settings.round_seconds), settings.minimum_answers
    phases = {}
    for number in range(1, settings.rounds + 1):
        for stage, heard in _STAGES:
            accepts = {named(heard, number): "owner"}
            phases[named(stage, number)] = Phase(
                accepts,
                fewest,
                wait,
                partial(seat.stage, stage, number),
                # Whoever was left out is not waited for again and again.
                seat.all_here if settings.dropouts else None,
                dict.fromkeys(accepts, seat.largest(stage)),
            )
    phases["finish"] = Phase(
        {RESULT: "owner"}, fewest, 2 * wait, seat.finish, seat.enough, {RESULT: _HEADERS}
    )
    return Program(named("gather", 1), phases)


class _Coordinator:
    def __init__(self, settings: Settings, request: Request, party: str) -> None:
        self.settings, self.request, self.party = settings, request, party
        self.owners = tuple(sorted(request.datasets))
        self.model = request.computation.contents["model"]

    def largest(self, stage: str) -> int:
        """Bytes of an owner's message at most."""
        limit = secure.documents_limit(len(self.owners))
        return limit + secure.vector_limit(self.settings, len(self.owners)) if stage == "collect" else limit

    def all_here(self, state: bytes, inbox: Inbox, _waits: Collection[Party]) -> float | None:
        """Everybody who was asked has answered."""
        asked = secure.split(_State, state)[0].asked if state else self.owners
        return 0.0 if set(asked) <= {item.sender for item in inbox} else None

    def enough(self, _state: bytes, inbox: Inbox, _waits: Collection[Party]) -> float | None:
        """As many owners as the plan needs tell of the same model."""
        said, count = self._result(inbox)
        return 0.0 if said is not None and count >= self.settings.minimum_answers else None

    # Steps ---------------------------------------------------------------------------------------------------------

    def stage(self, stage: str, number: int, local: Local, inbox: Inbox) -> Step:
        bodies = {item.sender: item.body for item in inbox}
        if stage == "gather":
            # Of a round's sum are those who go on to the next.
            roster = secure.split(_State, local.state)[0].survivors if local.state else self.owners
            weights, bodies = self._agreed(number, {p: body for p, body in bodies.items() if p in roster})
            state = _State(round=number, roster=roster, weights=weights, asked=(), survivors=())
            turn = self._aggregation(local, state).gather(bodies)
        else:
            state, kept = secure.split(_State, local.state)
            node = self._aggregation(local, state)
            does: Mapping[str, Callable[[bytes, Mapping[str, bytes]], Turn]] = {
                "relay": node.relay, "collect": node.collect, "confirm": node.confirm,
                "total": lambda before, shares: node.total(before, shares, local.part(_SUM)),
            }  # fmt: skip
            turn = does[stage](kept, bodies)
        asked = tuple(sorted(turn.send))
        local.report(
            {"round": number, "stage": stage, "answers": len(asked), "left_out": dict(turn.left_out)}
        )
        state = state.model_copy(update={"asked": asked})
        if stage == "collect":
            state = state.model_copy(update={"survivors": asked})
        elif stage == "total":
            state = state.model_copy(update={"asked": state.survivors})
        messages = tuple(Message(to, named(stage, number), body) for to, body in turn.send.items())
        # The sum is written once, and read again two steps later.
        parts = {_SUM: turn.vector} if turn.vector else {}
        return Step(secure.join(state, turn.state), self._after(stage, number), messages, parts=parts)

    def finish(self, local: Local, inbox: Inbox) -> Step:
        said, count = self._result(inbox)
        local.report({"results": len(inbox), "alike": count})
        if said is None or count < self.settings.minimum_answers:
            raise TaskFailed(
                "The owners did not end with the same model.",
                f"{count} of them told of the same one; the plan needs {self.settings.minimum_answers}.",
                "Compare the owners' versions of Cloister, and start the task again.",
                phase="finish",
            )
        return Step(b"", None, candidate=Candidate("model", b"", facts(self.settings, self.model, said)))

    # Parts ---------------------------------------------------------------------------------------------------------

    def _agreed(self, number: int, bodies: Mapping[str, bytes]) -> tuple[str, dict[str, bytes]]:
        """The weights that most owners name, and the announcements of those (rule 2)."""
        found: dict[str, tuple[str, bytes]] = {}
        for party, body in sorted(bodies.items()):
            try:
                header, payload = secure.split(AnnounceHeader, body)
            except CloisterError:
                continue
            if header.round == number:
                found[party] = (header.weights, payload)
        counted = Counter(weights for weights, _ in found.values())
        if not counted:
            return _NO_WEIGHTS, {}
        weights = min(counted, key=lambda item: (-counted[item], item))
        return weights, {party: payload for party, (named_, payload) in found.items() if named_ == weights}

    def _result(self, inbox: Inbox) -> tuple[ResultHeader | None, int]:
        told: dict[bytes, list[ResultHeader]] = {}
        for item in inbox:
            try:
                header, rest = secure.split(ResultHeader, item.body)
            except CloisterError:
                continue
            if not rest:
                told.setdefault(canonical(header.model_dump(mode="json")), []).append(header)
        if not told:
            return None, 0
        best = min(told, key=lambda key: (-len(told[key]), key))
        return told[best][0], len(told[best])

    def _aggregation(self, local: Local, state: _State) -> Coordinator:
        of: Context = secure.context(
            self.settings,
            self.request,
            local.task,
            local.attempt,
            self.party,
            state.roster,
            state.round,
            state.weights,
        )
        return Coordinator(of, local.signing)

    def _after(self, stage: str, number: int) -> str:
        place = [name for name, _ in _STAGES].index(stage) + 1
        if place < len(_STAGES):
            return named(_STAGES[place][0], number)
        return named("gather", number + 1) if number < self.settings.rounds else "finish"

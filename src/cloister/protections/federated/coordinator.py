"""The coordinator's seat: sends weights, waits for updates, averages; ends with a candidate for the owners' gates.

```
start ─► collect-1 ─► collect-2 … collect-R ─► finish
```

Rules:
1. Every round needs the plan's minimum of valid answers; with fewer the task fails by the phase's name.
2. An answer counts only if it is on this round's weights, of the agreed length, finite and within the norm limit.
3. Weights that no owner changed are never a candidate.
4. A step run again after a crash gives the same bytes: there is no clock and no randomness in it.

Source: McMahan et al. 2017, Algorithm 1, server; Reddi et al. 2021, Algorithm 2 (see `server`).
"""

from __future__ import annotations

from functools import partial

from pydantic import BaseModel, ConfigDict, Field

from cloister.claims.offers import Digest
from cloister.foundation.errors import BadInput, TaskFailed
from cloister.journal.program import Candidate, Inbox, Local, Message, Phase, Program, Step
from cloister.protections.federated import averaging, robust, server, worker
from cloister.protections.federated.framing import Vector, decode, encode, vector_digest
from cloister.protections.federated.messages import (
    FINISHED,
    MAX_ROUNDS,
    Answered,
    FinishedHeader,
    Trail,
    UpdateHeader,
    WeightsHeader,
    commitment,
    link,
    parse_header,
    read,
    update_kind,
    weights_kind,
    write,
)
from cloister.protections.federated.settings import Settings


class _State(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    round: int = Field(ge=1, le=MAX_ROUNDS)
    trail: Trail
    answered: Answered
    counts: tuple[int, ...] = Field(strict=False, max_length=MAX_ROUNDS)


def coordinator(settings: Settings, model: Digest, owners: tuple[str, ...]) -> Program:
    """The coordinator's program.

    Args:
        settings: from the plan.
        model: digest of the ONNX model among the computation's contents.
        owners: who trains.
    """
    seat = _Coordinator(settings, model, owners)
    phases = {"start": Phase({}, 0, float(settings.round_seconds), seat.start)}
    for number in range(1, settings.rounds + 1):
        phases[f"collect-{number}"] = Phase(
            {update_kind(number): "owner"},
            settings.minimum_answers,
            float(settings.round_seconds),
            partial(seat.collect, number),
        )
    phases["finish"] = Phase({}, 0, float(settings.round_seconds), seat.finish)
    return Program("start", phases)


class _Coordinator:
    def __init__(self, settings: Settings, model: Digest, owners: tuple[str, ...]) -> None:
        self.settings, self.model, self.owners = settings, model, owners

    def start(self, local: Local, _inbox: Inbox) -> Step:
        weights = worker.initial_weights(local, self.model, self.settings.parameters)
        state = _State(round=1, trail=(link(vector_digest(weights), {}),), answered={}, counts=())
        return self._send(local, state, weights, server.start(self.settings.server, len(weights)))

    def collect(self, number: int, local: Local, inbox: Inbox) -> Step:
        state, weights, moments = self._load(local)
        updates: dict[str, Vector] = {}
        answered: dict[str, str] = {}
        left_out: dict[str, str] = {}
        for item in inbox:
            try:
                header, update = self._answer(number, state, local, item.body)
            except BadInput as error:
                left_out[item.sender] = error.why
                continue
            updates[item.sender] = update
            answered[item.sender] = commitment(header.salt, update)
        local.report({"round": number, "answers": len(updates), "left_out": left_out})
        if len(updates) < self.settings.minimum_answers:
            raise TaskFailed(
                "Too few owners answered a training round.",
                f"Round {number} has {len(updates)} valid answers; the plan needs {self.settings.minimum_answers}.",
                "See which servers are connected, and start the task again.",
                phase=f"collect-{number}",
            )
        try:
            combined = robust.combine(self.settings, updates, self.settings.shares(self.owners))
        except BadInput as error:
            raise TaskFailed(error.what, error.why, error.remedy, phase=f"collect-{number}") from None
        told = combined.told()
        if told:
            local.report({"round": number, "rule": self.settings.combining, "cut": told})
        weights, moments = server.advance(
            self.settings.server, number, self.settings.rounds, weights, combined, moments
        )
        state = _State(
            round=number + 1 if number < self.settings.rounds else number,
            trail=(*state.trail, link(vector_digest(weights), answered)),
            answered=answered,
            counts=(*state.counts, len(updates)),
        )
        if number < self.settings.rounds:
            return self._send(local, state, weights, moments)
        if state.trail[-1].weights == state.trail[0].weights:
            raise TaskFailed(
                "The training changed nothing.",
                "After the last round the weights are those of the model file.",
                "Check learning rate, steps and datasets; an untrained model is never released.",
                phase=f"collect-{number}",
            )
        return Step(_dump(state, weights, moments), "finish")

    def finish(self, local: Local, _inbox: Inbox) -> Step:
        state, weights, moments = self._load(local)
        content = worker.export(local, self.model, weights)
        header = FinishedHeader(
            rounds=self.settings.rounds, attempt=local.attempt, trail=state.trail, answered=state.answered
        )
        body = write(header)
        candidate = Candidate(
            kind="model",
            content=content,
            facts={
                "model": self.model,
                "algorithm": self.settings.algorithm,
                "server": self.settings.server.model_dump(mode="json"),
                "rounds": self.settings.rounds,
                "local_steps": self.settings.local_steps,
                "answers": list(state.counts),
                "weights": state.trail[-1].weights,
                "trail": [item.model_dump(mode="json") for item in state.trail],
            },
        )
        told = tuple(Message(owner, FINISHED, body) for owner in self.owners)
        return Step(_dump(state, weights, moments), None, told, candidate)

    def _answer(self, number: int, state: _State, local: Local, body: bytes) -> tuple[UpdateHeader, Vector]:
        header, update = read(UpdateHeader, body, length=self.settings.parameters)
        if header.round != number or header.attempt != local.attempt:
            raise BadInput(
                "An answer is of another round.",
                "Its round or attempt is not the present one.",
                "Nothing: the owner's server answers the present round by itself.",
            )
        if header.on != state.trail[-1].weights:
            raise BadInput(
                "An answer is on other weights.",
                "It does not start from this round's weights.",
                "Ask the owner whether its server was restored from a backup, and start the task again.",
            )
        averaging.check(update, self.settings.parameters, self.settings.norm_limit)
        return header, update

    def _send(self, local: Local, state: _State, weights: Vector, moments: Vector) -> Step:
        header = WeightsHeader(
            round=state.round, attempt=local.attempt, trail=state.trail, answered=state.answered
        )
        body = write(header, weights)
        kind = weights_kind(state.round)
        return Step(
            _dump(state, weights, moments),
            f"collect-{state.round}",
            tuple(Message(owner, kind, body) for owner in self.owners),
        )

    def _load(self, local: Local) -> tuple[_State, Vector, Vector]:
        length = self.settings.parameters
        kept = length * (1 + server.MOMENTS[self.settings.server.name])
        fields, vector = decode(local.state, max_length=kept)
        return parse_header(_State, fields), vector[:length], vector[length:]


def _dump(state: _State, weights: Vector, moments: Vector) -> bytes:
    return encode(state.model_dump(mode="json"), weights, moments)

"""An owner's seat where only sums are seen: it holds the weights, gives its part under masks, opens the sum, goes on.

```
start ─► share-1 ─► mask-1 ─► endorse-1 ─► reveal-1 ─► open-1 ─► share-2 … open-R ─► done
```

Rules:
1. The first weights are those of the agreed model file, which the owner computes itself. Every later ones follow from sums
   that its node opened itself; from the coordinator it takes no number.
2. The masked vector is made once for each round and attempt, committed before it is sent: a resumed node sends the same.
3. A sum counts if it is over as many owners as the plan needs. An owner that is not in it has been missed, and leaves.
4. Weights that the training left where they were are no candidate; weights that are not finite end the task.
5. A sum that is longer than so many updates of the agreed norm can make it ends the task, and nothing of it is used.
6. The seat ends with the model, which goes to this owner's own gate; the coordinator is told its digest and size.
7. A round's secrets (noise, masks, key shares held for others) are erased with the step that opens it: each round has a key of
   its own, sealed on disk, from which the one before cannot be found, and the task's first secret is forgotten at once.

Sources: Bonawitz et al. 2017 (`cloister.aggregation`); McMahan et al. 2017, Algorithm 1; Abadi et al. 2016, Algorithm 1;
Kairouz, Liu, Steinke 2021, "The distributed discrete Gaussian mechanism for federated learning with secure aggregation".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from cloister.aggregation import Opened, Participant, Turn
from cloister.claims.offers import Digest, Request
from cloister.foundation.canonical import JSON
from cloister.foundation.digests import digest
from cloister.foundation.errors import Tampered, TaskFailed
from cloister.identity.keys import PartyId
from cloister.journal.program import Candidate, Inbox, Local, Message, Phase, Program, Step
from cloister.protections.federated import contribution, robust, secure, server, worker
from cloister.protections.federated.contribution import picked, placed
from cloister.protections.federated.framing import Vector, decode, encode, vector_digest
from cloister.protections.federated.messages import MAX_OWNERS, MAX_ROUNDS
from cloister.protections.federated.secure import RESULT, AnnounceHeader, ResultHeader, named
from cloister.protections.federated.settings import Settings

_VECTORS = "weights and moments"
_Range = Annotated[tuple[int, int], Field(strict=False)]


class _State(BaseModel):
    """Beside it: the aggregation's own state. As a part that stays for a round: weights and the server's moments.

    Attributes:
        round: the present one, from 1.
        roster: who takes part in it.
        initial: digest of the weights that the training began with.
        weights: digest of the round's.
        trained: ranges of the trained numbers among all.
        answers: how many were in the sum of each round before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    round: int = Field(ge=1, le=MAX_ROUNDS)
    roster: tuple[PartyId, ...] = Field(strict=False, max_length=MAX_OWNERS)
    initial: Digest
    weights: Digest
    trained: tuple[_Range, ...] = Field(strict=False, max_length=10_000)
    answers: tuple[int, ...] = Field(strict=False, max_length=MAX_ROUNDS)


def owner(settings: Settings, request: Request, coordinator: str) -> Program:
    """An owner's program.

    Args:
        settings: from the plan.
        request: its computation names model and recipe, its datasets the owners.
        coordinator: who relays.
    """
    seat = _Owner(settings, request, coordinator)
    # The coordinator may wait a whole deadline for the others before it answers.
    patience = 2.0 * settings.round_seconds + 60.0
    phases = {"start": Phase({}, 0, patience, seat.start)}
    for number in range(1, settings.rounds + 1):
        for stage, heard in (
            ("share", "gather"), ("mask", "relay"), ("endorse", "collect"), ("reveal", "confirm"), ("open", "total"),
        ):  # fmt: skip
            accepts = {named(heard, number): "coordinator"}
            if stage in {"endorse", "reveal"}:
                # Whom the others went on without is told the sum where it waited for something else.
                accepts[named("total", number)] = "coordinator"
            limits = {kind: seat.largest(kind) for kind in accepts}
            phases[named(stage, number)] = Phase(
                accepts, 1, patience, partial(seat.stage, stage, number), largest=limits
            )
    return Program("start", phases)


class _Owner:
    def __init__(self, settings: Settings, request: Request, coordinator: str) -> None:
        self.settings, self.request, self.coordinator = settings, request, coordinator
        self.model = request.computation.contents["model"]
        self.recipe = request.computation.settings

    def largest(self, kind: str) -> int:
        """Bytes of a coordinator's message at most."""
        owners = len(self.request.datasets)
        limit = secure.documents_limit(owners)
        return limit + secure.vector_limit(self.settings, owners) if kind.startswith("total-") else limit

    # Steps ---------------------------------------------------------------------------------------------------------

    def start(self, local: Local, _inbox: Inbox) -> Step:
        settings = self.settings
        weights, ranges = worker.initial_trained(
            local, self.model, self.recipe, settings.parameters, settings.trained
        )
        begun = vector_digest(weights)
        state = _State(
            round=1,
            roster=tuple(sorted(self.request.datasets)),
            initial=begun,
            weights=begun,
            trained=ranges,
            answers=(),
        )
        first, moments = contribution.first_key(local), server.start(settings.server, settings.trained)
        step = self._announce(local, state, first, weights, moments)
        step = replace(step, secrets={_key(1): first}, forget=(contribution.ROOT,))
        # Last, so that a plan which cannot be run costs nothing; no record was read for the above.
        contribution.charge(local, settings, self.request.datasets[local.party])
        return step

    def stage(self, stage: str, number: int, local: Local, inbox: Inbox) -> Step:
        state, kept = self._load(local.state)
        if state.round != number:
            raise _damaged()
        key = local.secret(_key(number), 32)
        node = self._participant(local, state, key)
        total = [item.body for item in inbox if item.kind == named("total", number)]
        if total:
            return self._open(local, state, key, node.open(kept, total[0]))
        body = inbox[0].body
        if stage == "mask":
            vector = self._vector(local, state, key, self._vectors(local, state)[0])
            return self._go_on(state, node.mask(kept, body, vector), "mask", "endorse")
        does: dict[str, tuple[Callable[[bytes, bytes], Turn], str]] = {
            "share": (node.share, "mask"),
            "endorse": (node.endorse, "reveal"),
            "reveal": (node.reveal, "open"),
        }
        do, following = does[stage]
        return self._go_on(state, do(kept, body), stage, following)

    # A round -------------------------------------------------------------------------------------------------------

    def _announce(self, local: Local, state: _State, key: bytes, weights: Vector, moments: Vector) -> Step:
        turn = self._participant(local, state, key).announce()
        header = AnnounceHeader(round=state.round, weights=state.weights)
        body = secure.join(header, turn.send[self.coordinator])
        message = Message(self.coordinator, named("announce", state.round), body)
        following = named("share", state.round)
        return Step(
            secure.join(state, turn.state),
            following,
            (message,),
            parts={_VECTORS: encode({}, weights, moments)},
        )

    def _go_on(self, state: _State, turn: Turn, stage: str, following: str) -> Step:
        message = Message(self.coordinator, named(stage, state.round), turn.send[self.coordinator])
        return Step(secure.join(state, turn.state), named(following, state.round), (message,))

    def _vector(self, local: Local, state: _State, key: bytes, weights: Vector) -> NDArray[np.generic]:
        settings, data, number = self.settings, local.data(self.request.datasets[local.party]), state.round
        if settings.private is not None:
            return contribution.noisy_sum(
                local, settings, settings.private, self.model, self.recipe, data, weights, number, key
            )
        found = contribution.update(local, settings, self.model, self.recipe, data, weights, number, key)
        assert settings.secure is not None
        weighed = picked(found, state.trained) * np.float32(self._share(local.party))
        return contribution.shortened(weighed, settings.secure.update_norm)

    def _open(self, local: Local, state: _State, key: bytes, opened: Opened) -> Step:
        settings, number = self.settings, state.round
        local.report({"round": number, "answers": len(opened.contributors)})
        if local.party not in opened.contributors:
            raise TaskFailed(
                "This server was too late for a round of the training.",
                f"The others went on without it in round {number}.",
                "Nothing is wrong with the result; see why this server was slow, or agree on longer rounds.",
                phase=named("open", number),
            )
        if settings.private is not None:
            step = contribution.step_of(settings.private, opened.total, len(opened.contributors))
        else:
            assert settings.secure is not None
            robust.check_sum(opened.total, len(opened.contributors), settings.secure.update_norm)
            step = opened.total / sum(self._share(party) for party in opened.contributors)
        weights, moments = self._vectors(local, state)
        moved, moments = server.advance(
            settings.server, number, settings.rounds, picked(weights, state.trained), step, moments
        )
        weights = placed(weights, moved, state.trained)
        answers = (*state.answers, len(opened.contributors))
        reached = vector_digest(weights)
        if number < settings.rounds:
            following = state.model_copy(
                update={
                    "round": number + 1,
                    "roster": opened.contributors,
                    "weights": reached,
                    "answers": answers,
                }
            )
            after = contribution.next_key(key)
            step_on = self._announce(local, following, after, weights, moments)
            return replace(step_on, secrets={_key(number + 1): after}, forget=(_key(number),))
        return self._finish(local, state.initial, weights, reached, answers)

    def _finish(
        self, local: Local, initial: str, weights: Vector, reached: str, answers: tuple[int, ...]
    ) -> Step:
        if reached == initial:
            raise TaskFailed(
                "The training changed nothing.",
                "After the last round the weights are those of the model file.",
                "Check learning rate, steps and datasets; an untrained model is never released.",
                phase=named("open", self.settings.rounds),
            )
        content = worker.export(local, self.model, weights)
        header = ResultHeader(content=digest(content), size=len(content), weights=reached, answers=answers)
        message = Message(self.coordinator, RESULT, secure.join(header, b""))
        candidate = Candidate("model", content, facts(self.settings, self.model, header))
        return Step(b"", None, (message,), candidate)

    # What is kept --------------------------------------------------------------------------------------------------

    def _participant(self, local: Local, state: _State, key: bytes) -> Participant:
        of = secure.context(
            self.settings,
            self.request,
            local.task,
            local.attempt,
            self.coordinator,
            state.roster,
            state.round,
            state.weights,
        )
        secret = contribution.secret(key, f"aggregation-{state.round}-{state.weights}")
        return Participant(of, local.party, local.signing, secret)

    def _share(self, party: str) -> float:
        """An owner's public weight, at most 1, so that what it gives stays within the agreed norm."""
        shares = self.settings.shares(tuple(sorted(self.request.datasets)))
        return shares[party] / max(shares.values())

    def _load(self, data: bytes) -> tuple[_State, bytes]:
        state, payload = secure.split(_State, data)
        _require_apart(state.trained, self.settings)
        return state, payload

    def _vectors(self, local: Local, state: _State) -> tuple[Vector, Vector]:
        """The round's weights and the server's moments, as the step that announced the round left them."""
        settings = self.settings
        kept = settings.trained * server.MOMENTS[settings.server.name]
        fields, vector = decode(local.part(_VECTORS), max_length=settings.parameters + kept)
        if fields or vector.shape != (settings.parameters + kept,):
            raise _damaged()
        weights = vector[: settings.parameters]
        if vector_digest(weights) != state.weights:
            raise _damaged()
        return weights, vector[settings.parameters :]


def facts(settings: Settings, model: str, result: ResultHeader) -> dict[str, JSON]:
    """What is said of the making of a model, the same at every owner and at the coordinator."""
    return {
        "model": model,
        "algorithm": settings.algorithm,
        "server": settings.server.model_dump(mode="json"),
        "rounds": settings.rounds,
        "local_steps": settings.local_steps,
        "answers": list(result.answers),
        "weights": result.weights,
        "content": result.content,
        "size": result.size,
    }


def _key(number: int) -> str:
    """The label of a round's key."""
    return f"training-{number}"


def _require_apart(ranges: tuple[tuple[int, int], ...], settings: Settings) -> None:
    reached = total = 0
    for start, stop in ranges:
        if not reached <= start < stop <= settings.parameters:
            raise _damaged()
        reached, total = stop, total + stop - start
    if total != settings.trained:
        raise _damaged()


def _damaged() -> Tampered:
    return Tampered(
        "A server's own state of a training is not what it left.",
        "It is of another round, or was damaged on disk.",
        "Start the task again, as a new attempt; look after this server's disk.",
        clause="training-state",
    )


__all__ = ["facts", "owner"]

"""An owner's seat: checks the round's weights and the trail, trains on its own records, sends what changed.

```
round-1 ─► round-2 … round-R ─► finish        (a round that was missed is skipped)
```

Rules:
1. The first weights are those of the agreed model file, which the owner computes itself; every later trail continues
   the one it saw before, its own answers are in it as it sent them, and each round that it is shown has as many
   answers as the plan needs, of the plan's owners. Otherwise: `Tampered`.
2. Weights are what the trail's last link says.
3. What it gives is an update or, with noise, one private step (`contribution`).
4. No loss, count or time leaves; they are shown to the owner's own people only.
5. The seat ends with what it saw (a candidate of kind `trail`), which its own gate holds the model against.

Sources: McMahan et al. 2017, Algorithm 1, client; Li et al. 2020, "Federated Optimization in Heterogeneous
Networks", Algorithm 2 (the proximal term, in the training engine).
"""

from __future__ import annotations

from functools import partial

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from cloister.claims.offers import Digest
from cloister.foundation.canonical import JSON
from cloister.foundation.errors import Tampered
from cloister.journal.program import (
    Candidate,
    DataPort,
    Inbox,
    Local,
    Message,
    Phase,
    Program,
    Received,
    Step,
)
from cloister.protections.federated import contribution, worker
from cloister.protections.federated.contribution import placed
from cloister.protections.federated.framing import Vector, decode, encode, vector_digest
from cloister.protections.federated.messages import (
    FINISHED,
    MAX_ROUNDS,
    FinishedHeader,
    Link,
    Trail,
    UpdateHeader,
    WeightsHeader,
    commitment,
    continues,
    link,
    parse_header,
    read,
    update_kind,
    weights_kind,
    write,
)
from cloister.protections.federated.settings import Settings

Sent = dict[int, str]


class _State(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    trail: Trail
    sent: tuple[tuple[int, Digest], ...] = Field(strict=False, max_length=MAX_ROUNDS)


def owner(
    settings: Settings, model: Digest, recipe: dict[str, JSON], datasets: dict[str, str], coordinator: str
) -> Program:
    """An owner's program.

    Args:
        settings: from the plan.
        model: digest of the ONNX model among the computation's contents.
        recipe: the computation's settings, as the training engine takes them.
        datasets: owner → commitment of its dataset.
        coordinator: who averages.
    """
    seat = _Owner(settings, model, recipe, datasets, coordinator)
    # The coordinator may wait a whole deadline for the others of a round before it sends the next one's weights.
    patience = 2.0 * settings.round_seconds + 60.0
    phases = {}
    for number in range(1, settings.rounds + 1):
        # A node that was away for some rounds takes up the newest one it is told of.
        kinds = [weights_kind(later) for later in range(number, settings.rounds + 1)]
        phases[f"round-{number}"] = Phase(
            dict.fromkeys([*kinds, FINISHED], "coordinator"), 1, patience, partial(seat.round, number)
        )
    phases["finish"] = Phase({FINISHED: "coordinator"}, 1, patience, seat.finish)
    return Program("round-1", phases)


class _Owner:
    def __init__(
        self,
        settings: Settings,
        model: Digest,
        recipe: dict[str, JSON],
        datasets: dict[str, str],
        coordinator: str,
    ) -> None:
        self.settings, self.model, self.recipe = settings, model, recipe
        self.datasets, self.coordinator = datasets, coordinator

    def round(self, number: int, local: Local, inbox: Inbox) -> Step:
        if any(item.kind == FINISHED for item in inbox):
            return self.finish(local, inbox)
        newest = max(inbox, key=_number_of)
        now = _number_of(newest)
        header, weights = read(WeightsHeader, newest.body, length=self.settings.parameters)
        if (
            header.round != now
            or header.attempt != local.attempt
            or not number <= now <= self.settings.rounds
        ):
            raise _tampered("The message is of another round or attempt than it was sent as.")
        if len(header.trail) != now or vector_digest(weights) != header.trail[-1].weights:
            raise _tampered("The weights are not those that their trail names.")
        sent = self._check_trail(local, header.trail, header.answered)

        if not local.state:
            contribution.charge(local, self.settings, self.datasets[local.party])
        update = self._update(local, local.data(self.datasets[local.party]), weights, now)
        salt = contribution.secret(contribution.root(local), f"salt-{now}").hex()
        body = write(
            UpdateHeader(round=now, attempt=local.attempt, on=header.trail[-1].weights, salt=salt), update
        )
        sent[now] = commitment(salt, update)
        following = f"round-{now + 1}" if now < self.settings.rounds else "finish"
        message = Message(self.coordinator, update_kind(now), body)
        return Step(_dump(header.trail, sent), following, (message,))

    def _update(self, local: Local, data: DataPort, weights: Vector, number: int) -> Vector:
        settings, key = self.settings, contribution.root(local)
        if settings.private is None:
            return contribution.update(local, settings, self.model, self.recipe, data, weights, number, key)
        _, ranges = worker.initial_trained(
            local, self.model, self.recipe, settings.parameters, settings.trained
        )
        noisy = contribution.noisy_sum(
            local, settings, settings.private, self.model, self.recipe, data, weights, number, key
        )
        step = contribution.step_of(settings.private, noisy, 1).astype(np.float32)
        return placed(np.zeros_like(weights), step, ranges)

    def finish(self, local: Local, inbox: Inbox) -> Step:
        body = next(item.body for item in inbox if item.kind == FINISHED)
        header, _ = read(FinishedHeader, body, length=0)
        if (
            header.rounds != self.settings.rounds
            or header.attempt != local.attempt
            or len(header.trail) != header.rounds + 1
        ):
            raise _tampered("The training is said to have had another number of rounds than planned.")
        sent = self._check_trail(local, header.trail, header.answered)
        facts: dict[str, JSON] = {"trail": [item.model_dump(mode="json") for item in header.trail]}
        return Step(_dump(header.trail, sent), None, candidate=Candidate("trail", b"", facts))

    def _check_trail(self, local: Local, trail: tuple[Link, ...], answered: dict[str, str]) -> Sent:
        """Rule 1. Returns what this owner has sent so far."""
        if local.state:
            fields, _ = decode(local.state, max_length=0)
            state = parse_header(_State, fields)
            seen, sent = state.trail, dict(state.sent)
        else:
            initial = worker.initial_weights(local, self.model, self.settings.parameters)
            seen, sent = (link(vector_digest(initial), {}),), {}
        if not continues(seen, trail):
            raise _tampered("The weights do not follow from those that this server was shown before.")
        last = len(trail) - 1
        if trail[-1] != link(trail[-1].weights, answered):
            raise _tampered("The list of answers is not the one that the trail names.")
        if last and (
            len(answered) < self.settings.minimum_answers or not set(answered) <= set(self.datasets)
        ):
            raise _tampered("A round has fewer answers than the plan needs, or answers of strangers.")
        mine = answered.get(local.party)
        if mine is not None and mine != sent.get(last):
            raise _tampered("An answer is listed as this server's that it did not send.")
        if last in sent:
            local.report({"round": last, "counted": mine is not None})
        return sent


def _number_of(item: Received) -> int:
    return int(item.kind.rpartition("-")[2])


def _dump(trail: tuple[Link, ...], sent: Sent) -> bytes:
    return encode(_State(trail=trail, sent=tuple(sorted(sent.items()))).model_dump(mode="json"))


def _tampered(why: str) -> Tampered:
    return Tampered(
        "The coordinator of a training shows something that cannot be.",
        why,
        "This server leaves the task. Compare with the other owners, and tell the coordinator's people.",
        clause="training-trail",
    )

"""Honest runs: the sum is right, whoever drops out when, and the coordinator does not see it."""

from __future__ import annotations

import numpy as np
import pytest

from aggregation.world import COORDINATOR, MANY, NAMES, World, context, vectors
from cloister import aggregation
from cloister.aggregation import PARTICIPANT_STAGES
from cloister.aggregation.messages import Total, read
from cloister.aggregation.vectors import Blinded, wire_size


def world(n=3, **options):
    of = context(n, **options)
    return World(of, vectors(of))


@pytest.mark.parametrize("n", [3, 5, 10])
def test_everybody_gets_the_sum_of_all(n):
    run = world(n, colluders=1 if n == 3 else 2).run()
    assert not run.errors
    assert set(run.opened) == set(NAMES[:n])
    assert run.right(NAMES[:n])


def test_the_coordinator_gets_no_sum_but_one_under_the_outer_mask():
    run = world(3).run()
    of = run.context.encoding
    body = next(body for stage, sender, _, body in run.said if stage == "total" and sender == COORDINATOR)
    seen = Blinded.unpack(read(Total, body, wire_size(of))[1], of).values
    hidden = of.embed(run.sum(NAMES[:3])) & np.uint32(2**of.bits - 1)
    assert np.mean(seen == hidden) < 0.3


@pytest.mark.parametrize("stage", PARTICIPANT_STAGES)
@pytest.mark.parametrize("gone", [[0], [3], [0, 4]])
def test_dropouts_at_any_stage_leave_the_sum_of_the_survivors(stage, gone):
    run = world(7, dropouts=2)
    parties = [run.context.roster[index] for index in gone]
    run.drop = dict.fromkeys(parties, stage)
    run.run()
    assert not run.errors
    early = PARTICIPANT_STAGES.index(stage) <= PARTICIPANT_STAGES.index("mask")
    contributors = [party for party in run.context.roster if not early or party not in parties]
    assert run.right(contributors)
    assert set(run.opened) == set(run.context.roster) - set(parties)


def test_floats_are_summed_within_the_stated_error():
    encoding = aggregation.floats(1000, 5, 1.5)
    of = context(5, encoding=encoding)
    chance = np.random.default_rng(1)
    given = {party: chance.uniform(-1.5, 1.5, 1000).astype(np.float32) for party in of.roster}
    run = World(of, given).run()
    exact = sum(vector.astype(np.float64) for vector in given.values())
    for opened in run.opened.values():
        assert np.abs(opened.total - exact).max() <= encoding.error
    assert encoding.error < 1e-7


@pytest.mark.soak
def test_thirty_participants_with_dropouts_at_every_stage():
    n, dropouts = 30, 10
    of = context(n, roster=tuple(MANY[:n]), dropouts=dropouts, length=1_000_000)
    run = World(of, vectors(of))
    run.drop = {MANY[3 * place]: stage for place, stage in enumerate(PARTICIPANT_STAGES)}
    run.run()
    assert not run.errors
    assert len(run.opened) == n - len(PARTICIPANT_STAGES)
    assert run.right()

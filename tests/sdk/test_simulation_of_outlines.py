"""The model that outlines crystals, trained by three factories with different cameras through everything: agreement, plan, secure sums with
noise, release; and what comes out is the tool's model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cloister
from cloister.applications.crystals.factories import FEDERATION
from cloister.applications.crystals.outlines_recipe import LAST_BLOCK
from cloister.applications.crystals.outlining import outliner
from cloister.applications.crystals.synthesis import synthesise, write_dataset
from cloister.applications.trainings import tool_training
from cloister.models.execute import load_model

FACTORIES = ("North", "River", "Valley")
PICTURES = 8


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_three_factories_train_the_outlines_with_noise_and_get_a_tool(tmp_path: Path) -> None:
    content, recipe = tool_training("crystals", private=True)
    recipe["preparation"]["patch"] = 64
    with cloister.simulate(
        {"North": ["owner"], "River": ["owner"], "Valley": ["owner"], "Lab": ["researcher"]}
    ) as town:
        for name, factory in zip(FACTORIES, FEDERATION, strict=True):
            write_dataset(tmp_path / name, replace(factory, width=160, height=128), PICTURES, 1)
            town.party(name).datasets.add("micrographs", tmp_path / name, residency="DE", title="Micrographs")
        town.settle()
        lab = town.party("Lab")
        terms = lab.agreements.draft(
            "factories-and-lab",
            title="Crystals together",
            owners=dict.fromkeys(FACTORIES, "micrographs"),
            researchers=["Lab"],
            purposes=["Outline crystals"],
            epsilon=8.0,
            delta=1e-5,
            unit="image",
            owners_per_unit=1,
        )
        agreement = town.sign(lab.agreements.propose(terms))
        plan = lab.ask.train(
            agreement,
            model=content,
            recipe=recipe,
            rounds=1,
            units=PICTURES,
            batch=PICTURES // 2,
            clipping=1.0,
        )
        assert "the crystal model that comes with Cloister" in str(plan)
        made = plan.submit()
        town.approve(made)
        made.wait(300)
        assert made.status == "done"
        released = made.result().content()
    before, after = load_model(content), load_model(released)
    start, end = before.unflatten(before.flatten()), after.unflatten(after.flatten())
    moved = {name for name in start if not np.array_equal(start[name], end[name])}
    assert moved
    assert all(name.startswith(LAST_BLOCK) for name in moved)
    assert len(outliner(released)(synthesise(replace(FEDERATION[1], width=320, height=256), 5).image)) > 0

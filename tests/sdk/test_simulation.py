"""A simulation from nothing to a model in use, as a researcher does it: the same API, many organisations in one process."""

from __future__ import annotations

import ast
import asyncio
import base64
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import cloister
from cloister.foundation.errors import BadInput, NotFound, Refused, Unreachable
from cloister.sdk import simulation as simulating
from node.town import model, recipe

PARTIES = {"Ash": ["owner"], "Birch": ["owner"], "Lab": ["researcher"]}


def table(seed: int, rows: int = 160) -> dict:
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 2))
    y = x @ np.array([1.5, -1.0]) + 0.05 * random.normal(size=rows)
    return {"heat": x[:, 0], "time": x[:, 1], "strength": y}


@pytest.fixture(scope="module")
def town():
    with cloister.simulate(PARTIES) as made:
        yield made


@pytest.fixture(scope="module")
def agreement(town):
    for seed, name in enumerate(("Ash", "Birch")):
        town.party(name).datasets.add("tests", table(seed), residency="DE", title="Strength tests")
    town.settle()
    lab = town.party("Lab")
    terms = lab.agreements.draft(
        "one-researcher-one-owner",
        title="Strength together",
        owners={"Ash": "tests", "Birch": "tests"},
        researchers=["Lab"],
        purposes=["Predict strength"],
        quality={"r2": 0.5},
    )
    assert "Predict strength" in lab.agreements.read(terms)
    return town.sign(lab.agreements.propose(terms))


@pytest.fixture(scope="module")
def task(town, agreement):
    plan = town.party("Lab").ask.train(agreement, model=model(), recipe=recipe(), rounds=2, local_steps=10)
    assert "not protected" in str(plan).lower()
    made = plan.submit()
    town.approve(made, with_records=True)
    return made.wait(120)


def test_the_result_is_approved_and_its_model_is_used_at_once(task, tmp_path):
    assert task.status == "done"
    release = task.result()
    (answer,) = release.model().run(None, {"x": np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)})
    assert answer[:, 0] == pytest.approx([1.5, -1.0], abs=0.2)
    saved = release.save(tmp_path / "strength.onnx")
    assert saved.read_bytes() == release.content()
    assert "Approved" in release.text or "approved" in release.text


def test_what_was_saved_is_verified_without_a_server(task, town, tmp_path):
    saved = task.result().save(tmp_path / "strength.onnx")
    owners = [town.party(name).status()["party"] for name in ("Ash", "Birch")]
    verify = [str(Path(sys.executable).parent / "cloister"), "release", "verify", str(saved), "--quorum", "2"]
    for owner in owners:
        verify += ["--owner", owner]
    done = subprocess.run(verify, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    saved.write_bytes(saved.read_bytes() + b"x")
    assert subprocess.run(verify, capture_output=True, timeout=120, check=False).returncode == 3


def test_what_happened_is_told_in_order_and_ends(task):
    kinds = [event["kind"] for event in task.events()]
    assert kinds[0] == "task.proposed"
    assert "task.finished" in kinds


def test_an_owner_sees_its_own_data_and_of_others_what_they_tell(town, agreement):
    ash = town.party("Ash")
    (own,) = ash.datasets.list()
    assert own.private["records"] == 160
    other = next(item for item in ash.datasets.catalogue() if item.owner_name == "Birch")
    assert not hasattr(other, "private")
    assert ash.datasets.check("tests")


def test_lists_are_tables(town, task):
    listed = town.party("Lab").tasks.list()
    arrow = listed.to_arrow()
    assert isinstance(arrow, pa.Table)
    assert arrow.column("task").to_pylist() == [task.id]
    assert "Predict strength" in repr(listed)
    assert listed[0].status == "done"
    if importlib.util.find_spec("pandas") is None:
        with pytest.raises(BadInput, match="pandas"):
            listed.to_pandas()
    else:
        assert list(listed.to_pandas()["task"]) == [task.id]


def test_errors_are_the_same_everywhere(town, agreement):
    lab = town.party("Lab")
    with pytest.raises(NotFound):
        lab.tasks.get("sha256:" + "0" * 64)
    with pytest.raises(NotFound):
        town.party("Oak")
    with pytest.raises(BadInput):
        lab.ask.train(agreement, model=b"no model", recipe=recipe())
    with pytest.raises(Refused) as caught:
        lab.ask.train(agreement, model=model(), recipe=recipe(), purpose="Something else").submit()
    assert caught.value.clause == "purpose"
    with pytest.raises(Unreachable):
        lab.agreements.get("sha256:" + "0" * 64, wait=0.3)


def test_a_task_that_is_refused_says_who_and_why(town, agreement):
    task = town.party("Lab").ask.train(agreement, model=model(3), recipe=recipe(seed=8), rounds=2).submit()
    held = town.party("Ash").tasks.get(task.id, wait=30)
    held.refuse("not this week")
    with pytest.raises(Refused, match="Ash"):
        task.wait(60)


def test_the_same_calls_are_awaited(town, task):
    async def several():
        async with await cloister.connect_async(town._sites["Lab"].folder.root) as lab:
            status, tasks, head = await asyncio.gather(lab.status(), lab.tasks.list(), lab.log.head())
            one = await lab.tasks.get(task.id)
            kinds = [event["kind"] async for event in one.events()]
            release = await one.result()
            return status, tasks, head, kinds, await release.content()

    status, tasks, head, kinds, content = asyncio.run(several())
    assert status["name"] == "Lab"
    assert tasks[0].id == task.id
    assert head["size"] > 0
    assert "task.finished" in kinds
    assert content == task.result().content()


def test_a_simulation_says_what_it_is(town):
    assert "no isolation" in repr(town)
    assert "There is no isolation between the organisations" in " ".join(simulating.__doc__.split())
    assert list(town) == list(PARTIES)
    with pytest.raises(BadInput):
        cloister.simulate([])
    with pytest.raises(BadInput):
        cloister.simulate(["Ash"], workers="elsewhere")


def test_the_folders_of_a_simulation_go_with_it():
    with cloister.simulate(["Ash"]) as made:
        folder = made.folder
        assert made["Ash"].status()["name"] == "Ash"
    assert not folder.exists()


@pytest.mark.slow
def test_workers_are_confined_where_one_asks_for_it():
    with cloister.simulate(["Ash"], workers="sandboxed") as made:
        lab = made["Ash"]
        added = lab._client.post("/models", {"content": base64.b64encode(model()).decode()})
        assert added["digest"].startswith("sha256:")
        assert "not confined" not in str(lab.status()["engines"])


def test_what_is_offered_is_little_documented_and_light():
    assert len(cloister.__all__) < 20
    for name in cloister.__all__:
        assert inspect.getdoc(getattr(cloister, name)), name
    assert not hasattr(cloister, "nothing")
    light = (
        "import sys, cloister; cloister.__all__; "
        "print(sorted({'httpx','numpy','pydantic','cryptography','sqlalchemy','jax','fastapi','pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", light], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_type_checkers_are_told_the_same_names():
    stub = cloister.__file__.replace("__init__.py", "__init__.pyi")
    told = ast.literal_eval(Path(stub).read_text().partition("__all__ = ")[2])
    assert sorted(told) == sorted(cloister.__all__)

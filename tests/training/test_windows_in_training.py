"""Windows in a recipe: examples are windows, a tool makes the same features, and privacy is claimed for whole machines only."""

from __future__ import annotations

import numpy as np
import pytest

from cloister.applications.maintenance import plants, work
from cloister.applications.maintenance.faults import STATES
from cloister.data.schema import Column, DatasetDescription, UnitOfPrivacy
from cloister.data.windows import Windows, windows_of
from cloister.foundation.canonical import canonical
from cloister.foundation.documents import parse_document
from cloister.foundation.errors import BadInput
from cloister.tools import types as t
from cloister.tools.check import parameters_of
from cloister.tools.making import make_tool
from cloister.tools.steps import find_step
from cloister.tools.steps.base import Context
from cloister.training.fitting import check_schema, columns_read, read_recipe
from cloister.training.preparation import prepare

RECIPE = read_recipe(work.recipe(validation=0.0))
MACHINES = plants.machines("north", 3, count=4, days=40)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path_factory.mktemp("rows") / "pumps.parquet"
    pq.write_table(pa.table(plants.table(MACHINES)), path)
    return path


def as_table(found):
    rows = plants.table(found)
    return t.Table(
        {
            name: np.array(
                [np.nan if value is None else value for value in values],
                np.float64 if name in plants.UNITS else object,
            )
            for name, values in rows.items()
        }
    )


def in_the_tool(table):
    """The columns that the tool gives to its model."""
    uses = {
        use.name: use
        for use in make_tool(work.description(), {"states": work.network()}).tool.manifest.pipeline
    }
    for name in ("windows", "scaled"):
        table = find_step(uses[name].step).run(Context(), parameters_of(uses[name]), table=table)
    return np.stack([table.columns[column] for column in uses["scored"].parameters["columns"]], axis=1)


def test_the_model_sees_in_the_tool_what_it_saw_in_training(source):
    examples = prepare(RECIPE, source)
    np.testing.assert_allclose(in_the_tool(as_table(MACHINES)), examples.train["input"], rtol=1e-5, atol=1e-5)


def test_a_windows_label_is_that_of_its_last_row(source):
    examples = prepare(RECIPE, source)
    plan = parse_document(Windows, canonical(work.WINDOWS), "Windows")
    expected = []
    for machine in sorted(MACHINES, key=lambda item: item.name):
        made = windows_of(plan, [machine.name] * len(machine.days), machine.readings)
        expected += [STATES.index(machine.states[place]) for place in made.last]
    assert examples.train["target"].tolist() == expected


def test_privacy_is_claimed_only_where_a_unit_is_a_machine(source):
    with pytest.raises(BadInput, match="unit of privacy"):
        prepare(RECIPE, source, alone=True)
    with pytest.raises(BadInput, match="unit of privacy"):
        prepare(RECIPE, source, "state", alone=True)
    examples = prepare(RECIPE, source, "machine", alone=True)
    assert examples.units == len(MACHINES)


def test_one_machine_more_leaves_the_examples_of_the_others_as_they_were(tmp_path):
    """What differential privacy rests on: a unit's examples depend on that unit alone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = []
    for number, found in enumerate((MACHINES, MACHINES[:-1])):
        pq.write_table(pa.table(plants.table(found)), tmp_path / f"{number}.parquet")
        examples = prepare(RECIPE, tmp_path / f"{number}.parquet", "machine", alone=True)
        made.append({examples.train["input"][group].tobytes() for group in examples.groups})
    assert len(made[0] - made[1]) == 1
    assert made[1] <= made[0]


def described(**changes):
    kinds = (
        {"time": "text", "machine": "text", "state": "text"} | dict.fromkeys(plants.UNITS, "real") | changes
    )
    return DatasetDescription(
        name="pumps",
        title="Pumps",
        kind="table",
        columns=tuple(Column(name=name, kind=kind) for name, kind in kinds.items() if kind),
        unit_of_privacy=UnitOfPrivacy(kind="record"),
        residency="AT",
        owner="north",
        commitment="sha256:" + "0" * 64,
        registered="2026-01-05T00:00:00Z",
    )


def test_a_dataset_has_to_have_what_windows_are_made_of():
    check_schema(RECIPE, described())
    assert set(columns_read(RECIPE)) == {"machine", "state", *plants.UNITS}
    for wrong, place in (
        ({"machine": None}, "windows.by"),
        ({"vibration": None}, r"windows.features.0.column"),
        ({"pressure": "text"}, r"windows.features.6.column"),
    ):
        with pytest.raises(BadInput, match=place):
            check_schema(RECIPE, described(**wrong))

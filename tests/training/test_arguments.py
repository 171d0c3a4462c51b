"""What a worker is told of a dataset names its units of privacy, or nothing is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.foundation.errors import BadInput
from cloister.training.arguments import of_dataset
from protections.federation import FakePort


def port(unit=None):
    description = {} if unit is None else {"unit_of_privacy": unit}
    return FakePort("sha256:" + "1" * 64, Path("/data/x"), description)


def test_rows_that_share_a_value_are_named_by_their_column():
    told = of_dataset(port({"kind": "column", "column": "customer"}))
    assert told == {"dataset": "/data/x", "dataset_digest": "sha256:" + "1" * 64, "unit_column": "customer"}


@pytest.mark.parametrize("kind", ["record", "image"])
def test_records_and_images_are_units_by_themselves(kind):
    assert "unit_column" not in of_dataset(port({"kind": kind, "column": None}))


@pytest.mark.parametrize("unit", [{"kind": "household"}, "record", {}])
def test_a_unit_that_is_not_known_here_is_no_unit_at_all(unit):
    with pytest.raises(BadInput):
        of_dataset(port(unit))


def test_a_table_is_read_as_it_was_when_it_was_registered():
    told = of_dataset(
        FakePort("sha256:" + "1" * 64, Path("/data/x"), {}, {"kinds": {"a": "text"}, "decimal": ","})
    )
    assert told["reading"] == {"kinds": {"a": "text"}, "decimal": ","}

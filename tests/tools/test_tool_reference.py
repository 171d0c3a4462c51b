"""The reference page says what the allow-list is."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.foundation.errors import BadInput
from cloister.tools.manifest import Manifest
from cloister.tools.reference import BEGIN, steps_reference, updated
from cloister.tools.steps import STEPS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "tools.md"


def test_the_reference_of_steps_is_up_to_date():
    page = PAGE.read_text(encoding="utf-8")
    assert updated(page) == page, "run: python -m cloister.tools.reference docs/reference/tools.md"


def test_every_step_and_parameter_is_in_the_reference():
    told = steps_reference()
    for key, step in STEPS.items():
        assert f"### `{key}`" in told
        for name in step.parameters.model_fields:
            assert f"| `{name}` |" in told


def test_every_field_of_a_manifest_is_in_the_reference():
    page = PAGE.read_text(encoding="utf-8")
    for name in Manifest.model_fields:
        assert f"`{name}`" in page


def test_a_page_without_the_marks_is_refused():
    for page in ("", BEGIN):
        with pytest.raises(BadInput):
            updated(page)

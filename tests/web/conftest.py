"""One street for all tests of pages that do not change who is there."""

from __future__ import annotations

import pytest

from web.street import street


@pytest.fixture(scope="module")
def houses():
    with street() as made:
        yield made

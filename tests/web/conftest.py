"""What tests of the page share: one street for all tests of pages that do not change who is there, and a real browser."""

from __future__ import annotations

import pytest

from web.browser import chromium, visit
from web.street import street


@pytest.fixture(scope="module")
def houses():
    with street() as made:
        yield made


__all__ = ["chromium", "houses", "visit"]

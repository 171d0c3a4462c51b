"""Commands in advice can be copied: they name this node's folder and digests as the lists show them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.cli.copying import copyable

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("advice", "copied"),
    [
        ("See: cloister dataset list", "See: cloister dataset list --folder north"),
        ("See `cloister doctor`.", "See `cloister doctor --folder north`."),
        ("cloister doctor tells why", "cloister doctor --folder north tells why"),
        (
            f"Look at it (cloister task show {DIGEST}), then: cloister task approve {DIGEST} --with-records",
            (
                f"Look at it (cloister task show {'ab' * 8} --folder north),"
                f" then: cloister task approve {'ab' * 8} --with-records --folder north"
            ),
        ),
        ("cloister node up --folder here", "cloister node up --folder here"),
        ("cloister model check FILE", "cloister model check FILE"),
        ("cloister hub up", "cloister hub up"),
        ("cloister nonsense here", "cloister nonsense here"),
        (f"The digest {DIGEST} alone stays.", f"The digest {DIGEST} alone stays."),
    ],
)
def test_advice_names_the_folder_and_short_digests(advice, copied):
    assert copyable(advice, Path("north")) == copied


def test_a_folder_that_is_found_anyway_is_not_named(monkeypatch):
    monkeypatch.setenv("CLOISTER_FOLDER", "north")
    assert copyable("See: cloister dataset list", Path("north")) == "See: cloister dataset list"
    assert copyable("See: cloister dataset list", None) == "See: cloister dataset list"

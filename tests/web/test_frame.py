"""What every screen shares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.web import filters
from cloister.web.frame import here_only


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/a\r\nset-cookie: x=1",
        "/\t/evil.example",
        "",
        "tasks",
        "/\x7f",
        "/\x80",
        "//[",
        "/" + "a" * 3000,
    ],
)
def test_nobody_is_led_to_another_site(path):
    assert here_only(path) == "/"


@given(st.text())
def test_whatever_is_asked_for_the_way_on_stays_here(text):
    path = here_only(text)
    assert path.startswith("/")
    assert not path.startswith(("//", "/\\"))
    assert path.isprintable()


def test_a_path_of_this_site_is_kept():
    assert here_only("/tasks/sha256:ab?x=1") == "/tasks/sha256:ab?x=1"


def test_values_are_written_for_people():
    assert filters.size(999) == "999 bytes"
    assert filters.size(1_250_000) == "1.2 MB"
    assert filters.size(None) == "unknown"
    assert filters.seconds(0.012) == "12 ms"
    assert filters.seconds(7200) == "2 hours"
    assert [filters.pressure(share) for share in (0.79, 0.8, 0.999, 1.0)] == ["", "warn", "warn", "bad"]
    assert filters.short("sha256:" + "ab" * 32) == "abababababab"
    written = '<time datetime="1970-01-01T00:00:00Z" data-when>1 Jan 1970 00:00 UTC</time>'
    assert str(filters.when(0)) == str(filters.when("1970-01-01T00:00:00Z")) == written
    advice = filters.advice("3 of 9 lie outside (8 to 90 pixels): try --set scale=0.75")
    assert advice.endswith(": try again with “Scale” set to 0.75, under “Calibration and settings”.")
    assert filters.advice("Nothing to set.") == "Nothing to set."
    assert "5.0 s ago" in filters.ago(100, now=105)

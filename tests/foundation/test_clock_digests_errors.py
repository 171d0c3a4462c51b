from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.foundation import errors
from cloister.foundation.clock import FixedClock, FloorClock, SystemClock, parse_rfc3339, rfc3339
from cloister.foundation.digests import digest, digest_file, digest_json, digest_stream, raw, same
from cloister.foundation.errors import BadInput, CloisterError, Refused


@given(st.integers(0, 253_402_300_799))
def test_times_survive_being_written(seconds: int) -> None:
    assert parse_rfc3339(rfc3339(seconds)) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-22",
        "2026-11-22T14:00:00",
        "2026-11-22T14:00:00+00:00",
        "2026-11-22T14:00:00.5Z",
        "2026-02-30T00:00:00Z",
    ],
)
def test_a_time_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_rfc3339(text)


def test_a_clock_behind_the_floor_is_refused_and_a_little_drift_is_not() -> None:
    inner = FixedClock(1000)
    clock = FloorClock(inner, floor=1100, tolerance=120)
    assert clock.now() == 1100
    inner.advance(500)
    assert clock.now() == 1500
    clock.raise_floor(2000)
    clock.raise_floor(1700)
    with pytest.raises(Refused) as caught:
        clock.now()
    assert caught.value.clause == "clock-behind-checkpoint"
    inner.advance(380)
    assert clock.now() == 2000


def test_the_system_clock_tells_whole_seconds() -> None:
    assert isinstance(SystemClock().now(), int)


def test_digests_agree_however_the_bytes_come(tmp_path: Path) -> None:
    data = b'{"a":1}'
    expected = "sha256:" + hashlib.sha256(data).hexdigest()
    path = tmp_path / "file"
    path.write_bytes(data)
    assert (
        digest(data)
        == digest_json({"a": 1})
        == digest_stream([b'{"a"', b":1}"])
        == digest_file(path)
        == expected
    )
    assert raw(expected) == hashlib.sha256(data).digest()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "sha256:" + "g" * 64,
        "sha256:" + "A" * 64,
        "sha1:" + "0" * 64,
        "sha256:" + "0" * 64 + "\n",
    ],
)
def test_a_malformed_digest_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        raw(text)


def test_comparison_takes_text_and_bytes() -> None:
    assert same("a", b"a")
    assert not same("a", "b")
    assert not same(b"a", b"aa")


def test_an_error_tells_what_why_and_remedy_to_people_and_programs() -> None:
    error = Refused("No.", "A rule says so.", "Ask.", clause="rule-1", figure=3)
    assert str(error) == "No. A rule says so. Ask."
    document = error.problem()
    assert document["type"] == "urn:cloister:problem:refused"
    assert document["status"] == 403
    assert (document["title"], document["detail"], document["remedy"]) == ("No.", "A rule says so.", "Ask.")
    assert (document["clause"], document["figure"]) == ("rule-1", 3)


@pytest.mark.parametrize("kind", sorted(errors._BY_TYPE))
def test_every_error_survives_the_way_to_another_party(kind: str) -> None:
    cls = errors._BY_TYPE[kind]
    back = errors.from_problem(cls("What.", "Why.", "Remedy.").problem())
    assert type(back) is cls
    assert (back.what, back.why, back.remedy) == ("What.", "Why.", "Remedy.")


def test_a_problem_of_an_unknown_type_is_still_an_error() -> None:
    back = errors.from_problem({"type": "urn:other", "title": "x" * 5000, "extra": 1})
    assert type(back) is CloisterError
    assert len(back.what) == 2000
    assert back.detail == {"extra": 1}


def test_a_detail_cannot_pass_for_a_reserved_member() -> None:
    error = CloisterError("What.", "Why.", "Remedy.", status=200, title="Fine.")
    assert error.problem()["status"] == 500
    assert error.problem()["title"] == "What."

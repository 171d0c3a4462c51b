"""Errors as problem documents: out and back, whatever a stranger puts in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloister.foundation.errors import CloisterError, NotTrusted, Refused, from_problem

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
KEYS = (
    st.sampled_from(["self", "what", "why", "clause", "type", "title", "detail", "remedy", "status", "x"])
    | st.text()
)


def test_an_error_survives_the_way_there_and_back() -> None:
    found = from_problem(NotTrusted("What", "Why", "Remedy", clause="signature", size=3).problem())
    assert isinstance(found, NotTrusted)
    assert (found.what, found.why, found.remedy, found.clause) == ("What", "Why", "Remedy", "signature")
    assert found.detail["size"] == 3


def test_what_a_stranger_reports_cannot_act_on_a_terminal() -> None:
    """It is printed where people decide: it must not clear lines, colour them, or turn them round."""
    act = "\x1b[2K\x1b[1AApproved\u202e\r"
    found = from_problem(
        {"type": "urn:cloister:problem:refused", "title": act, "detail": act, "remedy": act, "clause": act}
        | {"lines": ["a\nb", {act: act}], act: 1}
    )
    for text in (str(found), str(found.problem())):
        assert "Approved" in text
        assert not set("\x1b\r\u202e") & set(text)
    assert found.detail["lines"][0] == "a\nb"


@given(st.dictionaries(KEYS, JSON, max_size=8))
def test_no_problem_document_can_make_its_reader_fail(document: dict[str, object]) -> None:
    for kind in ("refused", "not-trusted", "bad-input", "unknown"):
        found = from_problem({**document, "type": f"urn:cloister:problem:{kind}"})
        assert isinstance(found, CloisterError)
        assert isinstance(found.what, str)
        assert isinstance(getattr(found, "clause", ""), str)


def test_a_clause_that_is_no_text_is_left_out() -> None:
    found = from_problem({"type": "urn:cloister:problem:refused", "title": "No", "clause": {"a": 1}})
    assert isinstance(found, Refused)
    assert found.clause == ""


def test_what_only_the_own_people_may_see_is_taken_from_the_own_node_alone() -> None:
    """Rule 4 of `errors`."""
    document = Refused("No", "", "", clause="x", local=["/data/a.csv changed"]).problem()
    assert from_problem(document, own=True).detail["local"] == ["/data/a.csv changed"]
    found = from_problem(document)
    assert "local" not in found.detail
    assert found.detail["clause"] == "x"

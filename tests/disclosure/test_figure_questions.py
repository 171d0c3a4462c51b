"""Questions about figures and their answers: signed, about one tool and one version, parsed in one form, permitted by rules."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.data.labels import Labels
from cloister.disclosure.questions import (
    FIGURES,
    Answer,
    Question,
    open_answer,
    open_question,
    read_answer,
    sign_answer,
    sign_question,
    subject,
)
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import BadInput, CloisterError, NotTrusted
from cloister.identity.envelopes import Envelope
from cloister.node.figures.scoring import scores
from disclosure.disclosure_cases import NOW, directory, keys, party

TOOL, DATA = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def question(**changes) -> Question:
    fields = {
        "researcher": party("researcher"),
        "owner": party("owner"),
        "dataset": "photos",
        "commitment": DATA,
        "tool": TOOL,
        "figures": ("count-accuracy", "f1"),
        "purpose": "Tune",
        "made": rfc3339(NOW),
    }
    return Question(**fields | changes)


def answer(of, **changes) -> Answer:
    fields = {
        "question": of.digest,
        "owner": party("owner"),
        "figures": {"count-accuracy": 0.9, "f1": 0.8},
        "records": 20,
        "step": 0.05,
        "made": rfc3339(NOW),
    }
    return Answer(**fields | changes)


def test_a_question_counts_with_its_researchers_signature_for_its_owner_and_not_from_the_future():
    signed = sign_question(question(), keys("researcher"))
    assert open_question(signed, party("owner"), directory(), NOW) == question()
    with pytest.raises(NotTrusted):
        open_question(sign_question(question(), keys("stranger")), party("owner"), directory(), NOW)
    with pytest.raises(NotTrusted):
        open_question(signed, party("stranger"), directory(), NOW)
    with pytest.raises(NotTrusted):
        open_question(signed, party("owner"), directory(), NOW - 1000)


def test_an_answer_counts_with_the_owners_signature_to_the_question_that_it_names():
    asked = sign_question(question(), keys("researcher"))
    assert open_answer(sign_answer(answer(asked), keys("owner")), asked, directory()).figures["f1"] == 0.8
    with pytest.raises(NotTrusted):
        open_answer(sign_answer(answer(asked), keys("stranger")), asked, directory())
    other = sign_question(question(purpose="Else"), keys("researcher"))
    with pytest.raises(BadInput):
        open_answer(sign_answer(answer(asked), keys("owner")), other, directory())
    with pytest.raises(BadInput):
        open_answer(sign_answer(answer(asked, figures={"f1": 0.8}), keys("owner")), asked, directory())
    by_stranger = answer(asked, owner=party("stranger"))
    with pytest.raises(NotTrusted):
        open_answer(sign_answer(by_stranger, keys("stranger")), asked, directory())


@pytest.mark.parametrize(
    "change",
    [{"refused": "tool"}, {"figures": {}}, {"records": None}, {"step": None}, {"figures": {"f1": 1.5}}],
)
def test_an_answer_has_figures_or_a_refusal(change):
    asked = sign_question(question(), keys("researcher"))
    with pytest.raises(ValueError):
        answer(asked, **change)


def test_what_is_asked_with_one_tool_of_one_version_is_one_question():
    assert subject(DATA, TOOL) == subject(DATA, TOOL)
    assert len({subject(DATA, TOOL), subject(TOOL, DATA), subject(DATA, DATA)}) == 3


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_an_answer_of_other_bytes_is_refused_or_reads_as_one(data):
    asked = sign_question(question(), keys("researcher"))
    good = sign_answer(answer(asked), keys("owner"))
    text = bytearray(canonical(good.document()))
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(32, 126))
    with contextlib.suppress(CloisterError):
        from cloister.identity.keys import b64

        forged = Envelope.from_json({**good.model_dump(mode="json"), "payload": b64(bytes(text))})
        found = read_answer(forged)
        assert all(0 <= value <= 1 for value in found.figures.values())
        if bytes(text) != canonical(good.document()):
            with pytest.raises(CloisterError):
                open_answer(forged, asked, directory())


TABLE = b"number,x (px),y (px),diameter (px)\n1,10,10,8\n2,30.5,30,12\n3,90,90,10\n"


def test_scores_of_one_picture_by_hand():
    labels = Labels(((10.0, 11.0), (30.0, 30.0)), (8.0, 10.0))
    found = scores(labels, 3, TABLE)
    assert found["count-accuracy"] == 0.5
    assert found["f1"] == pytest.approx(2 * 2 / (3 + 2))
    assert found["d50-accuracy"] == pytest.approx(1 - 1 / 9)
    assert scores(Labels((), ()), 0, TABLE.splitlines(keepends=True)[0]) == dict.fromkeys(FIGURES, 1.0)
    assert scores(labels, None, b"") == dict.fromkeys(FIGURES, 0.0)


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200) | st.text(max_size=100).map(lambda text: TABLE + text.encode()),
    st.integers(-5, 10**9),
)
def test_whatever_a_foreign_tool_answers_scores_lie_between_0_and_1(table, count):
    labels = Labels(((10.0, 11.0), (30.0, 30.0)), (8.0, 10.0))
    for value in scores(labels, count, table).values():
        assert 0 <= value <= 1

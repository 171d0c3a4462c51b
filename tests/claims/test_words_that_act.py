"""A plan is written by its requester and read by those who approve it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from cloister.claims.offers import Declined
from cloister.claims.vocabulary import Adversary, Claims, DifferentiallyPrivate, Disclosed

ACTS = ["\x1b[2K\x1b[1Anothing is disclosed", "a\rb", "a\u202eb", "a\nb", "a\x00b"]


@pytest.mark.parametrize("text", ACTS)
def test_words_of_a_plan_that_would_act_on_a_terminal_are_refused(text):
    for made in (
        lambda: Disclosed(what=text),
        lambda: Claims(not_protected=(text,)),
        lambda: Declined(protection="x", reason=text),
        lambda: Declined(protection="x", reason="x", remedy=text),
        lambda: Declined(protection=text, reason="x"),
        lambda: Adversary(seats=(text,)),
        lambda: DifferentiallyPrivate(epsilon=1.0, delta=0.0, unit=text, mechanism="x"),
    ):
        with pytest.raises(ValidationError):
            made()

"""What an organisation is called."""

from __future__ import annotations

from cloister.foundation.text import party_name


def test_an_organisation_without_a_name_here_is_told_by_the_start_of_its_fingerprint():
    party = "0123456789abcdef"
    assert party_name(party, {party: "Ash"}) == "Ash"
    assert party_name(party, {}) == "01234567…"
    assert party_name(party, {party: ""}) == "01234567…"

"""Countries are known by their codes and their names, whole, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.data.countries import COUNTRIES, countries, country
from cloister.foundation.errors import BadInput

_SYSTEM = Path("/usr/share/zoneinfo/iso3166.tab")


@pytest.mark.parametrize("typed", ["Austria", "austria ", "AT", "at", " At"])
def test_a_country_is_known_by_its_name_or_its_code(typed: str) -> None:
    assert country(typed) == "AT"


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("Côte d\u2019Ivoire", "CI"),
        ("Cote d'Ivoire", "CI"),
        ("Türkiye", "TR"),
        ("UK", "GB"),
        ("United States", "US"),
        ("Korea, Republic of", "KR"),
        ("the netherlands", "NL"),
    ],
)
def test_accents_capitals_and_usual_names_do_not_matter(typed: str, code: str) -> None:
    assert country(typed) == code


@pytest.mark.parametrize(
    "typed", ["", "A", "Aus", "Austri", "Austriaa", "XX", "EU", "Korea", "x" * 5000, "\x00"]
)
def test_what_is_none_is_refused_and_not_guessed(typed: str) -> None:
    with pytest.raises(BadInput, match="no country"):
        country(typed)


def test_several_countries_are_read_by_name_and_by_code() -> None:
    assert countries("Germany, fr;New Zealand\nGermany") == ["DE", "FR", "NZ"]
    assert countries("DE FR at") == ["DE", "FR", "AT"]
    assert countries(" , ") == []
    with pytest.raises(BadInput):
        countries("Germany France")


def test_every_country_of_the_standard_is_there_once_and_is_its_own_name() -> None:
    assert len(COUNTRIES) == 249
    assert len(set(COUNTRIES.values())) == 249
    assert all(country(name) == code == country(code) for code, name in COUNTRIES.items())


@pytest.mark.skipif(not _SYSTEM.exists(), reason="this system has no table of countries")
def test_the_codes_are_those_of_the_systems_own_table() -> None:
    rows = [line for line in _SYSTEM.read_text("utf-8").splitlines() if not line.startswith("#")]
    assert {row[:2] for row in rows} == set(COUNTRIES)

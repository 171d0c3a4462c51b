"""Published settings: signed ranges from which others draw pictures like a factory's, and nothing that could harm them."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cloister.applications.crystals.factories import COAST, FEDERATION, PUBLIC, SEED_LIKE, Factory
from cloister.applications.crystals.published import (
    BOUNDS,
    SETTINGS_TYPE,
    FactorySettings,
    PublishedSettings,
    open_settings,
    settings_of,
    sign_settings,
)
from cloister.applications.crystals.synthesis import synthesise
from cloister.foundation.errors import BadInput, CloisterError, NotTrusted
from cloister.identity.envelopes import sign
from disclosure.disclosure_cases import NOW, directory, keys, party


def published(ranges: FactorySettings, signer: str = "owner") -> PublishedSettings:
    made = sign_settings("our-plant", "Our plant", ranges, party("owner"), keys(signer), NOW, 0.8)
    return open_settings(made, directory())


def test_every_field_of_a_factory_can_be_published_and_nothing_else():
    fields = {item.name for item in dataclasses.fields(Factory)} - {"name"}
    assert set(FactorySettings.model_fields) == fields
    assert set(BOUNDS) == fields - {
        "width",
        "height",
        "lights",
        "habits",
        "odd_crystals",
        "grid",
        "rim",
        "round_field",
        "lettering",
        "grey",
    }


@pytest.mark.parametrize("factory", [SEED_LIKE, PUBLIC, COAST, *FEDERATION], ids=lambda item: item.name)
def test_a_factory_survives_being_published(factory):
    found = published(settings_of(factory)).factory()
    assert found == dataclasses.replace(factory, name="our-plant")


def test_pictures_drawn_from_published_settings_are_those_of_the_factory():
    small = dataclasses.replace(SEED_LIKE, width=160, height=128)
    ours = synthesise(published(settings_of(small)).factory(), (3, 1))
    theirs = synthesise(dataclasses.replace(small, name="our-plant"), (3, 1))
    assert np.array_equal(ours.image, theirs.image)
    assert ours.labels() == theirs.labels()


def test_what_is_not_told_is_as_usual():
    found = published(FactorySettings(diameter=(20, 30), habits={"cube": 1.0})).factory()
    assert found.diameter == (20, 30)
    assert found.habits == {"cube": 1.0}
    assert found.lights == Factory("x").lights
    assert found.noise == Factory("x").noise


@pytest.mark.parametrize(
    "wrong",
    [
        {"crystals": (1, 1e9)},
        {"crystals": (30, 20)},
        {"diameter": (float("nan"), 30.0)},
        {"diameter": (20.0, float("inf"))},
        {"dust": (-1, 5)},
        {"width": 100_000},
        {"width": 4096, "height": 4096},
        {"habits": {"cube": 0.5}},
        {"habits": {"teapot": 1.0}},
        {"lights": {}},
        {"rim": 2.0},
        {"code": "import os"},
    ],
)
def test_what_would_harm_or_means_nothing_is_refused(wrong):
    with pytest.raises(ValidationError):
        FactorySettings(**wrong)


def test_only_the_owners_signature_counts():
    with pytest.raises(NotTrusted):
        published(FactorySettings(), signer="stranger")
    with pytest.raises(BadInput):
        sign_settings("No Name!", "x", FactorySettings(), party("owner"), keys("owner"), NOW)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["owner", "settings", "type"]), inner, max_size=3)
        ),
        max_leaves=6,
    )
)
def test_any_json_in_place_of_settings_is_refused_and_never_crashes(value):
    with pytest.raises(CloisterError):
        open_settings(sign(SETTINGS_TYPE, value, party("owner"), keys("owner")), directory())


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(BOUNDS)), st.tuples(st.floats(), st.floats()), max_size=4))
def test_whatever_is_accepted_lies_within_its_bounds(ranges):
    with contextlib.suppress(ValidationError):
        found = FactorySettings(**ranges)
        for name in ranges:
            low, high = getattr(found, name)
            assert BOUNDS[name][0] <= low <= high <= BOUNDS[name][1]

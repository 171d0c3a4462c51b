"""What a sample's page says of its figures, in words."""

from __future__ import annotations

import pytest

from cloister.web.views.samples import bars, figure_told


@pytest.mark.parametrize(
    ("edges", "texts"),
    [
        ((91.02, 95.9, 100.74), ["91.0 to 95.9", "95.9 to 100.7"]),
        ((0.1, 0.35, 0.6), ["0.10 to 0.35", "0.35 to 0.60"]),
        ((0.0, 48.0, 96.0), ["0 to 48", "48 to 96"]),
        ((5.0, 5.0), ["5 to 5"]),
    ],
)
def test_bars_have_as_many_decimals_as_tell_neighbours_apart(edges, texts):
    assert bars(edges) == texts


def test_figures_say_what_they_mean():
    assert figure_told("diameter_d10") == "Diameter D10: one tenth is smaller"
    assert figure_told("diameter_measured") == "With a diameter"
    assert figure_told("diameter_mean") == "Diameter mean"

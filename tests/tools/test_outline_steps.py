"""Outlines from a model's answer to table, picture and files, with a model that answers perfectly for bright discs."""

from __future__ import annotations

import io
import json
from dataclasses import fields
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cloister.data.stars import CHANNELS, FOLDED, RAYS, RAYS_FROM, UNIT, Stars
from cloister.foundation.errors import BadInput
from cloister.sizing.descriptors import extents
from cloister.sizing.frame import miles_lantuejoul
from cloister.tools import types as t
from cloister.tools.steps.base import Context
from cloister.tools.steps.imaging import NoParameters, normalise
from cloister.tools.steps.outlined import COLUMNS, measure_outlines
from cloister.tools.steps.overlay import Overlay, overlay
from cloister.tools.steps.reporting import Report, report
from cloister.tools.steps.size_figures import SizeFigures, size_figures
from cloister.tools.steps.stars import FindStars, FitScale, fit_scale, stars
from cloister.tools.steps.tiling import Tile, tile

SCENE = [
    (60.0, 50.0, 14.0),
    (100.0, 50.0, 14.0),
    (200.3, 140.6, 30.0),
    (300.0, 60.0, 9.0),
    (5.0, 200.0, 16.0),
]


class Seer:
    """Sees bright discs, as far as their middle lies in what it is given: by their pixels, not by what is known of the scene."""

    rank = 4
    channels_in = 1
    channels_out = CHANNELS
    columns_in = None

    def __call__(self, batch):
        from scipy import ndimage

        values = batch[0, 0]
        height, width = values.shape
        numbers, count = ndimage.label(values > 0.3)
        heat = np.full((height // 2, width // 2), -8.0)
        made = np.zeros((1, CHANNELS, height // 4, width // 4), np.float32)
        v, u = np.mgrid[: height // 2, : width // 2] * 2 + 0.5
        cv, cu = np.mgrid[: height // 4, : width // 4] * 4 + 1.5
        for number in range(1, count + 1):
            rows, columns = np.nonzero(numbers == number)
            if len(rows) < 12:
                continue
            x, y, r = columns.mean(), rows.mean(), np.sqrt(len(rows) / np.pi)
            heat = np.maximum(heat, 4.0 - ((u - x) ** 2 + (v - y) ** 2) / (0.02 * r * r + 2))
            inside = (cu - x) ** 2 + (cv - y) ** 2 < (r + 4) ** 2
            made[0, RAYS_FROM : RAYS_FROM + RAYS, inside] = np.log(r / UNIT)
            made[0, RAYS_FROM + RAYS + 1, inside] = 5.0 if x < 150 else -5.0
        folded = heat.reshape(height // 4, 2, width // 4, 2).transpose(1, 3, 0, 2)
        made[0, :4] = folded.reshape(4, height // 4, width // 4)
        assert made[0, 4:FOLDED].max() == 0
        return made


def scene(width=400, height=260, places=SCENE, factor=1.0):
    v, u = np.mgrid[:height, :width]
    values = np.zeros((height, width), np.float32)
    for x, y, r in places:
        inside = (u - factor * x) ** 2 + (v - factor * y) ** 2 <= (factor * r) ** 2
        values[inside] = 1.0
    return values


CONTEXT = Context(models={"m": Seer()})


def found(size=4096, overlap=0, values=None):
    field = t.Field((scene() if values is None else values)[:, :, None])
    tiles = tile(CONTEXT, Tile(size=size, overlap=overlap, multiple=16), field=field)
    return stars(CONTEXT, FindStars(model="m"), tiles=tiles)


def test_every_disc_is_outlined_once_with_its_size():
    outlines = found()
    assert len(outlines.stars) == len(SCENE)
    table = measure_outlines(CONTEXT, NoParameters(), outlines=outlines)
    assert tuple(table.columns) == COLUMNS
    for x, y, r in SCENE[:4]:
        near = int(np.argmin(np.hypot(table.columns["x"] - x, table.columns["y"] - y)))
        assert table.columns["diameter"][near] == pytest.approx(2 * r, rel=0.02)
        assert table.columns["circularity"][near] == pytest.approx(1.0, abs=0.01)
        assert table.columns["border"][near] == 0
    assert table.columns["border"].sum() == 1


@settings(max_examples=12, deadline=None)
@given(st.sampled_from([160, 208, 256]), st.sampled_from([64, 80]))
def test_tiles_outline_what_the_whole_picture_would(size, overlap):
    """The Seer needs an object whole: the overlap is above the largest, so each is whole in the tile that decides about it."""
    places = [(60.0, 50.0, 14.0), (100.0, 50.0, 14.0), (200.3, 140.6, 15.0), (300.0, 60.0, 9.0)]
    whole, parts = found(values=scene(places=places)), found(size, overlap, scene(places=places))
    assert len(whole.stars) == len(parts.stars) == len(places)
    for name in ("x", "y"):
        np.testing.assert_allclose(
            np.sort(getattr(whole.stars, name)), np.sort(getattr(parts.stars, name)), atol=0.6
        )


def test_touching_objects_that_say_so_are_one_agglomerate():
    places = [(60.0, 50.0, 14.0), (89.5, 50.0, 14.0), (300.0, 60.0, 14.0)]
    values = scene(places=places)
    values[:, 75] = 0.0
    table = measure_outlines(CONTEXT, NoParameters(), outlines=found(values=values))
    groups = dict(zip(np.rint(table.columns["x"]), table.columns["agglomerate"], strict=True))
    assert sorted(groups.values()) == [0, 1, 1]


def test_lengths_are_in_micrometres_where_a_pixel_is_known_and_places_stay_in_pixels():
    in_pixels = measure_outlines(CONTEXT, NoParameters(), outlines=found())
    scaled = Context(models=CONTEXT.models, micrometres_per_pixel=2.5)
    table = measure_outlines(scaled, NoParameters(), outlines=found())
    np.testing.assert_allclose(table.columns["feret"], 2.5 * in_pixels.columns["feret"])
    np.testing.assert_allclose(table.columns["area"], 6.25 * in_pixels.columns["area"])
    np.testing.assert_allclose(table.columns["x"], in_pixels.columns["x"])
    assert table.units["area"] == "µm²"
    assert table.units["x"] == "px"


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0, 6.0])
def test_a_picture_is_brought_to_the_scale_that_the_model_knows_and_places_are_those_of_the_given_picture(
    factor,
):
    """Sizes of 28 pixels in the middle, drawn `factor` times as large."""
    places = [(60, 50, 14), (100, 50, 14), (200, 140, 16), (300, 60, 13), (320, 200, 15), (60, 200, 14)]
    values = scene(round(400 * factor), round(260 * factor), places, factor)
    given = t.Image(np.rint(40 + 200 * values).astype(np.uint8))
    sized = fit_scale(CONTEXT, FitScale(model="m", typical=28.0), image=given)
    assert 1 / sized.scale * factor == pytest.approx(1.0, rel=0.2 if factor != 0.4 else 0.55)
    field = t.Field((sized.pixels / 255.0 > 0.5).astype(np.float32)[:, :, None], sized.scale)
    tiles = tile(CONTEXT, Tile(size=4096, overlap=0, multiple=16), field=field)
    outlines = stars(CONTEXT, FindStars(model="m"), tiles=tiles)
    assert len(outlines.stars) == len(places)
    assert (outlines.height, outlines.width) == pytest.approx(given.shape, abs=2 * factor)
    for x, y, r in places:
        gap = np.hypot(outlines.stars.x - factor * x, outlines.stars.y - factor * y)
        assert gap.min() < 1.2 * max(1.0, factor)
        assert outlines.stars.rays[int(gap.argmin())].mean() == pytest.approx(factor * r, rel=0.1)


class Counted(Seer):
    """Counts the pixels that it was asked about."""

    def __init__(self):
        self.pixels = 0

    def __call__(self, batch):
        self.pixels += batch.size
        return super().__call__(batch)


class Forgets(dict):
    """A run's memory that keeps nothing."""

    def __setitem__(self, key, value):
        pass


def brought_to_scale(context, image):
    return fit_scale(context, FitScale(model="m", typical=30.0), image=image)


def seen_closely(context, image, model="m"):
    field = normalise(context, NoParameters(), image=image)
    tiles = tile(context, Tile(size=4096, overlap=0, multiple=16), field=field)
    return stars(context, FindStars(model=model), tiles=tiles)


def as_picture(places, size=(1210, 806)):
    return t.Image(np.rint(40 + 200 * scene(*size, places)).astype(np.uint8))


PLACES = [(80 * n, 90 * m + 40 * (n % 2), 15) for n in range(1, 12) for m in range(1, 8)]


def test_a_picture_of_the_right_scale_is_looked_at_closely_once_and_answers_as_if_it_were_looked_at_anew():
    model = Counted()
    image = as_picture(PLACES)
    context = Context(models={"m": model})
    seen = seen_closely(context, brought_to_scale(context, image))
    assert model.pixels < 1.3 * 1210 * 816
    forgetful = Context(models={"m": Seer()}, memory=Forgets())
    anew = seen_closely(forgetful, brought_to_scale(forgetful, image))
    assert len(seen.stars) == len(PLACES)
    for field in fields(Stars):
        np.testing.assert_array_equal(getattr(seen.stars, field.name), getattr(anew.stars, field.name))


def test_a_picture_is_not_made_smaller_because_only_its_largest_objects_are_seen_from_afar():
    class Coarse(Seer):
        def __call__(self, batch):
            from scipy import ndimage

            large = ndimage.binary_opening(batch[0, 0] > 0.3, np.ones((9, 9)))
            return super().__call__(np.where(ndimage.binary_dilation(large, iterations=4), batch, 0.0))

    places = [(x, y, 20 if n % 4 == 0 else 10) for n, (x, y, _) in enumerate(PLACES)]
    context = Context(models={"m": Coarse()})
    sized = fit_scale(context, FitScale(model="m", typical=26.0), image=as_picture(places))
    assert sized.scale <= 1.0


def test_what_was_seen_of_one_picture_is_never_told_of_another():
    context = Context(models={"m": Seer()})
    brought_to_scale(context, as_picture(PLACES))
    assert context.memory
    assert len(seen_closely(context, as_picture(PLACES[:40])).stars) == 40


def test_what_one_model_saw_is_never_taken_for_another_s_answer():
    class Blind(Seer):
        def __call__(self, batch):
            return super().__call__(np.zeros_like(batch))

    context = Context(models={"m": Seer(), "n": Blind()})
    image = as_picture(PLACES)
    brought_to_scale(context, image)
    assert len(seen_closely(context, image, model="n").stars) == 0


def test_an_empty_picture_and_one_pixel_have_no_objects():
    for shape in ((1, 1), (40, 70)):
        image = t.Image(np.full(shape, 128, np.uint8))
        sized = fit_scale(CONTEXT, FitScale(model="m", typical=28.0), image=image)
        assert sized is image
        outlines = found(values=np.zeros(shape, np.float32))
        table = measure_outlines(CONTEXT, NoParameters(), outlines=outlines)
        assert table.rows == 0
        drawn = overlay(CONTEXT, Overlay(), image=image, outlines=outlines, table=table)
        assert Image.open(io.BytesIO(drawn.data)).size == shape[::-1]


def test_a_model_of_another_kind_is_refused():
    class Other(Seer):
        def __call__(self, batch):
            return super().__call__(batch)[:, :-1]

    context = Context(models={"m": Other()})
    tiles = tile(
        context, Tile(size=64, overlap=0, multiple=16), field=t.Field(np.zeros((64, 64, 1), np.float32))
    )
    with pytest.raises(BadInput, match="outlines"):
        stars(context, FindStars(model="m"), tiles=tiles)


def test_a_report_brings_outlines_for_programs_and_for_people():
    outlines = found()
    table = measure_outlines(CONTEXT, NoParameters(), outlines=outlines)
    figures = t.Figures({"count": table.rows})
    context = Context(subject="</title><script>.png", micrometres_per_pixel=None)
    made = report(context, Report(counted="discs"), figures=figures, table=table, outlines=outlines)
    told = json.loads(made.files["outlines.json"])
    assert (told["width"], told["height"], len(told["objects"])) == (400, 260, 5)
    assert all(len(one["points"]) == RAYS and one["diameter"] > 0 for one in told["objects"])
    drawing = ET.fromstring(made.files["outlines.svg"])
    polygons = drawing.findall(".//{http://www.w3.org/2000/svg}polygon")
    assert len(polygons) == 5
    first = np.array([pair.split(",") for pair in polygons[0].attrib["points"].split()], float)
    np.testing.assert_allclose(first, told["objects"][0]["points"], atol=0.06)
    assert b"<script>" not in made.files["outlines.svg"]


def test_the_overlay_draws_on_the_outlines_and_nowhere_else():
    outlines = found()
    table = measure_outlines(CONTEXT, NoParameters(), outlines=outlines)
    image = t.Image(np.zeros((260, 400), np.uint8))
    drawn = overlay(CONTEXT, Overlay(numbers=False, thickness=1), image=image, outlines=outlines, table=table)
    pixels = np.asarray(Image.open(io.BytesIO(drawn.data)))
    rows, columns = np.nonzero(pixels.any(axis=2))
    gaps = [
        np.abs(np.hypot(columns - x, rows - y) - r.mean())
        for x, y, r in zip(outlines.stars.x, outlines.stars.y, outlines.stars.rays, strict=True)
    ]
    assert np.min(gaps, axis=0).max() < 2.5
    assert len(rows) > 200


def figures_of(values, **parameters):
    outlines = found(values=values)
    table = measure_outlines(CONTEXT, NoParameters(), outlines=outlines)
    return size_figures(CONTEXT, SizeFigures(**parameters), outlines=outlines, table=table), table


def test_figures_give_count_range_and_sizes_by_number_and_volume():
    places = [(60.0, 50.0, 10.0), (120.0, 50.0, 10.0), (200.0, 60.0, 10.0), (280.0, 180.0, 30.0)]
    made, table = figures_of(scene(places=places))
    values = made.values
    assert (values["count"], values["diameter_measured"]) == (4, 4)
    assert values["count_low"] <= 4 <= values["count_estimate"] <= values["count_high"] <= 6
    assert values["diameter_d50"] == pytest.approx(20.0, rel=0.03)
    assert values["diameter_by_volume_d50"] > 50.0
    sizes = table.columns["diameter"]
    assert min(sizes) < values["diameter_sauter"] < values["diameter_brouckere"] <= max(sizes)
    # Discs pass the sieve of their own diameter; nine tenths of the mass is in the largest.
    assert values["mean_aperture"] > 50.0
    assert made.units["diameter_by_volume_d50"] == "px"
    assert sum(made.histograms["diameter"][1]) == 4


def test_what_hides_more_leaves_more_doubt_and_the_range_holds_what_was_found():
    places = [(40.0 + 55 * i, 40.0 + 55 * j, 24.0) for i in range(6) for j in range(4)]
    seen = scene(places=places)
    wide, narrow = figures_of(seen, reach=1.0)[0].values, figures_of(seen, reach=0.1)[0].values
    # Discs in rows, none on another: the model of random places takes some to be hidden, which is not so.
    assert wide["count_low"] == 24 < wide["count_estimate"] < wide["count_high"]
    assert wide["count_high"] - wide["count_low"] > narrow["count_high"] - narrow["count_low"]
    assert wide["count"] == narrow["count"] == 24


def test_a_finder_that_errs_gives_a_range_to_both_sides_of_what_it_found():
    places = [(40.0 + 55 * i, 40.0 + 55 * j, 8.0) for i in range(6) for j in range(4)]
    seen = scene(places=places)
    sure, erring = (figures_of(seen, reach=0.1, error=error)[0].values for error in (0.0, 0.1))
    assert sure["count_low"] == sure["count"] == erring["count"] == 24
    # 1.96 x 0.1 x 24 is 4.7; above, what is hidden adds as an independent error does.
    assert erring["count_low"] == 19
    assert 29 <= erring["count_high"] <= sure["count_high"] + 5
    assert figures_of(scene(places=[]), error=0.1)[0].values["count_low"] == 0


def test_large_objects_that_the_edge_cuts_more_often_are_made_up_for():
    """Discs at random, also across the edge: without the correction the mean of whole ones is too small."""
    rng = np.random.default_rng(4)
    corrected, plain, true = [], [], []
    for _ in range(300):
        n = 12
        radius = rng.choice([12.0, 55.0], n)
        x, y = rng.uniform(-60, 460, n), rng.uniform(-60, 320, n)
        inside = (x >= -0.5) & (x < 399.5) & (y >= -0.5) & (y < 259.5)
        if not inside.any():
            continue
        true.append((radius[inside].sum(), inside.sum()))
        rays = np.repeat(radius[inside, None], RAYS, axis=1)
        ones = np.ones(inside.sum())
        outlines = t.Outlines(Stars(x[inside], y[inside], ones, rays, ones, 0 * ones, 0 * ones), 260, 400)
        table = measure_outlines(CONTEXT, NoParameters(), outlines=outlines)
        whole = table.columns["border"] == 0
        widths, heights = extents(outlines.stars.polygons())
        weights = miles_lantuejoul(widths, heights, ~whole, (400.0, 260.0))
        corrected.append(((weights * radius[inside]).sum(), weights.sum()))
        plain.append((radius[inside][whole].sum(), whole.sum()))
    wanted, made, naive = (np.sum(part, axis=0) for part in (true, corrected, plain))
    assert made[0] / made[1] == pytest.approx(wanted[0] / wanted[1], rel=0.05)
    assert naive[0] / naive[1] < 0.9 * wanted[0] / wanted[1]


def test_one_object_as_large_as_the_picture_is_measured_all_the_same():
    made, _ = figures_of(scene(width=64, height=64, places=[(31.5, 31.5, 31.0)]))
    assert made.values["count"] == 1
    assert made.values["diameter_measured"] in (0, 1)


def test_no_objects_have_no_sizes_and_no_error():
    values = figures_of(np.zeros((40, 60), np.float32))[0].values
    assert values["count"] == 0
    assert values["diameter_d50"] is None
    assert values["mean_aperture"] is None
    assert values["count_low"] == 0

"""A house with a small tool that outlines bright discs, for the tests of the viewer and of corrections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from onnx import helper

from cloister.data.stars import BLUR, CHANNELS, FOLDED, GROWN, HIDDEN, RAYS, RAYS_FROM, UNIT
from cloister.tools.install import InstalledTools
from cloister.tools.package import Package
from cloister.tools.templates import Outlining, outlining_tool
from cloister.tools.tool import Tool
from tools.toolmaking import discs, png, serialise, spread_centres
from web.street import EVA, PASSWORD, House, new_house

RADIUS = 12.0
"""Of the discs that the tool knows, pixels."""
ABOUT = {
    "name": "outlined",
    "version": "1.0.0",
    "title": "Outlined discs",
    "licence": "Apache-2.0",
    "description": "Outlines bright discs of one size.",
    "intended_use": "Pictures made for tests.",
    "limits": ["Anything else."],
}


def outlining_model() -> bytes:
    """A network that finds bright discs of `RADIUS` by a matched filter, and says that each is one, alone."""
    side = 29
    v, u = np.mgrid[:side, :side] - side // 2
    gap = np.hypot(u, v)
    inside, around = gap <= RADIUS - 2, (gap > RADIUS) & (gap <= 14)
    kernel = (inside / inside.sum() - around / around.sum()).astype(np.float32)
    # Two folded rows and columns of each cell look half a cell to either side.
    weights = np.zeros((CHANNELS, 1, side + 3, side + 3), np.float32)
    bias = np.full(CHANNELS, -8.0, np.float32)
    for row in range(2):
        for column in range(2):
            weights[2 * row + column, 0, 2 * row : 2 * row + side, 2 * column : 2 * column + side] = (
                40.0 * kernel
            )
            bias[2 * row + column] = -20.0
    bias[4:FOLDED] = -8.0
    bias[RAYS_FROM : RAYS_FROM + RAYS] = np.log(RADIUS / UNIT)
    bias[BLUR], bias[GROWN], bias[HIDDEN] = 0.0, -5.0, -5.0
    node = helper.make_node(
        "Conv", ["image", "w", "b"], ["answers"], kernel_shape=[side + 3] * 2, strides=[4, 4], pads=[14] * 4
    )
    ins, outs = {"image": ["n", 1, "h", "w"]}, {"answers": ["n", CHANNELS, "r", "c"]}
    return serialise([node], ins, outs, {"w": weights, "b": bias})


def outlined_tool() -> Tool:
    """The tool; it looks at pictures at their own scale only."""
    parameters = Outlining(tile=256, overlap=64, typical=2 * RADIUS, counted="discs")
    return outlining_tool(outlining_model(), parameters, ABOUT)


def outlined_picture(count: int = 9, width: int = 400, height: int = 300) -> bytes:
    """A picture of so many discs that the tool knows."""
    return png(discs(width, height, places(count, width, height), RADIUS))


def places(count: int = 9, width: int = 400, height: int = 300) -> list[tuple[float, float]]:
    """Where they are."""
    return spread_centres(width, height, count, gap=40, margin=24)


@contextmanager
def outline_house(folder: Path, *, people: bool = False) -> Iterator[House]:
    """A house with the tool; with `people`, Eva has its first account."""
    installed = InstalledTools(folder / "tools")
    installed.install(Package(outlined_tool()), now=1_800_000_000, verify=lambda *_: None)
    with new_house(folder) as house:
        if people:
            house.site.accounts.first(EVA, PASSWORD, house.site.accounts.start_key)
        yield house

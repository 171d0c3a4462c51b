"""A house with a small tool on its shelf, for the tests of the tools' screens; nobody has an account unless a test makes one."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from cloister.tools.install import InstalledTools
from cloister.tools.package import Package, pack
from tools.toolmaking import discs, discs_tool, png, spread_centres
from web.street import EVA, PASSWORD, House, new_house

NINE = 9
PLAIN = png(discs(200, 150, spread_centres(200, 150, NINE)))
ABOUT = {
    "title": "Bright discs",
    "description": "Counts bright discs on a dark ground.",
    "intended_use": "Pictures made for tests.",
}


@contextmanager
def tool_house(folder: Path, *, people: bool = False) -> Iterator[House]:
    """A house with the tool `discs`; with `people`, Eva has its first account."""
    InstalledTools(folder / "tools").install(
        Package(discs_tool(about=ABOUT)), now=1_800_000_000, verify=lambda *_: None
    )
    with new_house(folder) as house:
        if people:
            house.site.accounts.first(EVA, PASSWORD, house.site.accounts.start_key)
        yield house


def tool_file(version: str = "1.1.0", **changes: object) -> bytes:
    """The small tool as a file."""
    return pack(Package(discs_tool(about={**ABOUT, "version": version, **changes})))


def picture(count: int) -> bytes:
    """A picture with so many discs."""
    return png(discs(200, 150, spread_centres(200, 150, count)))


def photograph() -> bytes:
    """A JPEG as a camera writes it: turned, with the place in it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "CameraOfTheHouse"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0)})
    stream = io.BytesIO()
    Image.open(io.BytesIO(PLAIN)).save(stream, format="JPEG", quality=95, exif=exif)
    return stream.getvalue()

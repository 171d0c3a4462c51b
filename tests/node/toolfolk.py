"""A tool room with a small tool, and the people who use it."""

from __future__ import annotations

from cloister.foundation.clock import FixedClock
from cloister.node.toolroom.limits import RoomLimits
from cloister.node.toolroom.room import ToolRoom, Who
from cloister.storage.database import Database
from cloister.tools.install import InstalledTools
from cloister.tools.package import Package, pack
from tools.toolmaking import discs, discs_tool, png, spread_centres

ADA = Who("account:ada", "Ada", "192.0.2.1")
BEN = Who("account:ben", "Ben", "192.0.2.2")
CENTRES = spread_centres(200, 150, 9)
PLAIN = png(discs(200, 150, CENTRES))
NINE = 9


def room_in(folder, limits=None, install=True, **changes):
    """A room whose folder has the tool `discs`."""
    if install:
        tools = InstalledTools(folder / "tools")
        tools.install(Package(discs_tool()), now=1_800_000_000, verify=lambda *_: None)
    return ToolRoom(
        folder / "tools", Database.memory(), FixedClock(), limits=limits or RoomLimits(), **changes
    )


def packed(version="1.1.0", name="discs", certificate=None, **changes):
    """The small tool as a file."""
    return pack(Package(discs_tool(about={"version": version, "name": name} | changes), certificate))

"""Tools, which run at the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cloister.foundation.files import read_limited
from cloister.sdk.client import Client
from cloister.sdk.records import Sample, Tool
from cloister.sdk.tables import Table


class Tools:
    """Tools that are installed at this server; they run there, in a confined worker."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> Table[Tool]:
        """All of them."""
        return Table(Tool(item) for item in self._client.get("/tools"))

    def get(self, name: str) -> Tool:
        """One, with its settings and its manifest. Raises `NotFound`."""
        return Tool(self._client.get(f"/tools/{name}"))

    def install(self, file: str | Path) -> Tool:
        """Installs a tool at this server from its file, once its models and its certificate were looked at there.

        Raises:
            BadInput: the file is no tool, or the tool cannot run.
            NotTrusted: its certificate does not hold.
        """
        path = Path(file)
        offer = self._client.send_file("/tool-offers", path.name, read_limited(path, 512 << 20))
        self._client.post(f"/tool-offers/{offer['id']}/install", once=True)
        return self.get(offer["manifest"]["name"])

    def run(
        self,
        name: str,
        file: str | Path,
        *,
        um_per_pixel: float | None = None,
        calibration: str | None = None,
        **settings: Any,
    ) -> Sample:
        """Runs a tool on one file; nothing is kept of it unless somebody says so.

        Args:
            name: the tool's.
            file: a picture, or a table, as the tool takes it.
            um_per_pixel: of a picture.
            calibration: instead, the name of a calibration that the server keeps.
            settings: the tool's own.
        """
        path = Path(file)
        fields = {f"set-{key}": str(value) for key, value in settings.items()}
        if um_per_pixel is not None:
            fields["um_per_pixel"] = str(um_per_pixel)
        if calibration is not None:
            fields["calibration"] = calibration
        data = read_limited(path, 512 << 20)
        return Sample(self._client.send_file(f"/tools/{name}/samples", path.name, data, fields))

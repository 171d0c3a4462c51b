"""A client that adds a constant and gives it under the masks of SecAgg+."""

from __future__ import annotations

from typing import Any

import numpy as np
from flwr.client import NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp


class Adds(NumPyClient):
    def fit(self, parameters: list[Any], _config: Any) -> tuple[list[Any], int, dict[str, Any]]:
        return [array + np.float32(0.5) for array in parameters], 1, {}


app = ClientApp(client_fn=lambda _context: Adds().to_client(), mods=[secaggplus_mod])

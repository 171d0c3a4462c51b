"""A foreign tool on an owner's labelled pictures: in a confined worker, picture by picture, nothing but scores kept.

Rules:
1. The worker reads nothing of this machine and has no network (`toolroom.workers`); it gets one picture's bytes at a time, under a
   name that tells nothing, and is ended after the question.
2. The tool is a pipeline of known steps and models that are data (`tools`); no code of the asker runs.
3. What comes back is foreign, too: a count and a table, parsed within limits, made into scores, and forgotten.
4. Whether the tool can be loaded at all is found before any picture is touched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cloister.data.registry import Registration
from cloister.disclosure.questions import FIGURES
from cloister.foundation.errors import CloisterError, Refused
from cloister.foundation.files import read_limited
from cloister.node.figures.scoring import nothing, scores
from cloister.node.toolroom.limits import LIMITS
from cloister.node.toolroom.workers import Looked, Workers
from cloister.tools.package import Package

MAX_PICTURES = 2000


class Looker(Protocol):
    """Runs tools (`toolroom.workers.Workers`)."""

    def check(self, package: Package) -> dict[str, str]:
        """Loads a tool; raises `BadInput` if it cannot run."""
        ...

    def look(
        self, package: Package, owner: str, name: str, data: bytes, arguments: dict[str, object]
    ) -> Looked:
        """Runs it on one file."""
        ...

    def forget(self, tool: str) -> None:
        """Ends its workers."""
        ...

    def close(self) -> None:
        """Ends all of them."""
        ...


def workers() -> Looker:
    """Confined processes, as the tool room has them."""
    return Workers(LIMITS)  # type: ignore[return-value]  # its arguments are JSON values


def labelled(registration: Registration) -> int:
    """How many pictures have labels."""
    return sum(image.labels is not None for image in registration.images())


def measure(
    looker: Looker, package: Package, registration: Registration, goes_on: Callable[[], bool]
) -> dict[str, NDArray[np.float64]]:
    """The scores of each labelled picture, in registered order: name → (pictures,).

    Args:
        looker: runs the tool.
        package: the tool, loaded before (`Looker.check`).
        registration: of an own dataset, checked to be unchanged just before.
        goes_on: asked before each picture; False ends it.

    Raises:
        Refused: more pictures than are measured for one question (clause `dataset`).
        CloisterError: it was ended.
    """
    found = []
    images = [image for image in registration.images() if image.labels is not None]
    if len(images) > MAX_PICTURES:
        raise Refused(
            "There are too many labelled pictures for one question.",
            f"The limit is {MAX_PICTURES}.",
            "Register a part of them as a dataset of its own.",
            clause="dataset",
        )
    try:
        for image in images:
            if not goes_on():
                raise CloisterError("The measuring was ended.", "The server is stopping.", "It begins anew.")
            assert image.labels is not None
            try:
                data = read_limited(image.path, LIMITS.file_bytes)
                looked = looker.look(
                    package, "figures", "a picture", data, {"settings": {}, "um_per_pixel": None}
                )
                found.append(scores(image.labels, looked.told.count, looked.files.get("table.csv", b"")))
            except CloisterError:
                found.append(nothing())
    finally:
        looker.forget(package.tool.digest)
    return {name: np.array([item[name] for item in found], dtype=np.float64) for name in FIGURES}

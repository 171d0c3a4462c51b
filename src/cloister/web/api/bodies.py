"""What the routes share: bodies that know no unknown field, and the node, which may be closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from cloister.node.node import Node

OpenNode: TypeAlias = Callable[[], Node]
"""The node. Raises `Conflict` while it is closed, or there is none."""


class Body(BaseModel):
    """A request's body: a field that is not known is an error, not a wish that is ignored."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Reason(Body):
    """Why somebody does something, for those whom it concerns."""

    reason: str = Field(default="", max_length=200)

"""What the routes share: bodies that know no unknown field, who asks, and the node, which may be closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field

from cloister.node.node import Node
from cloister.web.guard import Caller, caller_of

OpenNode: TypeAlias = Callable[[], Node]
"""The node. Raises `Conflict` while it is closed, or there is none."""
Asker: TypeAlias = Annotated[Caller, Depends(caller_of)]
"""Who asks, in a route's arguments."""


class Body(BaseModel):
    """A request's body: a field that is not known is an error, not a wish that is ignored."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Reason(Body):
    """Why somebody does something, for those whom it concerns."""

    reason: str = Field(default="", max_length=200)

"""The two ways a model is turned down, with the node and the reason."""

from __future__ import annotations

from cloister.foundation.errors import BadInput, Refused


class ModelRefused(Refused):
    """The model asks for something that is not allowed or not known here. `detail` has `node` and `reason`."""

    def __init__(
        self, what: str, why: str = "", remedy: str = "", *, clause: str = "model", **detail: object
    ) -> None:
        super().__init__(what, why, remedy, clause=clause, **detail)


class ModelUnusable(BadInput):
    """The bytes are no readable ONNX model, or the values given do not fit it."""


def refuse(node: str, reason: str, remedy: str = "Change the model and export it again.") -> ModelRefused:
    """The refusal of one node."""
    return ModelRefused(f"The model is refused at {node}.", reason, remedy, node=node, reason=reason)

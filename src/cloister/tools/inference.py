"""Models run by ONNX Runtime on the user's processor: parsed by the allow-list first, then computed with bounded threads.

The parser (`models.parse`) is the guard: ONNX Runtime sees only files whose every operator is known, that refer to no
other file, and that stay within limits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput, CloisterError
from cloister.models.graph import Limits
from cloister.models.parse import parse

LIMITS = Limits()


class OnnxModel:
    """A model with one input and one output, float32: [N, channels, H, W] or [N, columns].

    Args:
        data: the ONNX file.
        name: what errors call it.
        threads: processor threads at most; 0 lets ONNX Runtime choose.

    Raises:
        BadInput: refused by the parser, or of another shape.
    """

    def __init__(self, data: bytes, name: str, *, threads: int = 0, limits: Limits = LIMITS) -> None:
        graph = parse(data, limits)
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise BadInput(
                f"The model {name} cannot be used in a tool.",
                f"It has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; tools take one of each.",
                "Export it with one input and one output.",
            )
        taken, given = graph.inputs[0], graph.outputs[0]
        shape = taken.shape
        if taken.dtype != "float32" or shape is None or len(shape) not in (2, 4):
            raise BadInput(
                f"The model {name} cannot be used in a tool.",
                f"Its input is {taken.dtype} of shape {shape}; tools give float32 [N, channels, H, W] or [N, columns].",
                "Export it with such an input.",
            )
        self.name = name
        self.channels_in = shape[1] if len(shape) == 4 and isinstance(shape[1], int) else None
        self.columns_in = shape[1] if len(shape) == 2 and isinstance(shape[1], int) else None
        self.rank = len(shape)
        out = given.shape
        self.channels_out = out[1] if out is not None and len(out) == 4 and isinstance(out[1], int) else None
        self._input = taken.name
        self._session = _session(data, name, threads)

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The output for a batch. Raises `BadInput` if the model fails on it."""
        if batch.ndim != self.rank:
            raise BadInput(
                f"The model {self.name} does not fit.",
                f"It takes {self.rank} dimensions, not {batch.ndim}.",
                "Use another model.",
            )
        try:
            made = self._session.run(None, {self._input: batch})[0]
        except Exception as error:
            # The runtime's own message can quote shapes only, but is written for programmers: keep its kind.
            raise BadInput(
                f"The model {self.name} failed on this input of shape {list(batch.shape)}.",
                f"The runtime stopped ({type(error).__name__}).",
                "Check the tile size against the multiples that the model needs.",
            ) from None
        result = np.asarray(made, dtype=np.float32)
        # One value that is none makes the sum none; the sum alone may also be too large.
        if not np.isfinite(result.sum(dtype=np.float32)) and not np.isfinite(result).all():
            raise BadInput(
                f"The model {self.name} gave a value that is not a number.",
                "Its weights may be damaged.",
                "Install the tool again, or go back to its earlier version.",
            )
        return result


def _session(data: bytes, name: str, threads: int) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # The arena uses a tile's memory again for the next: fresh pages from the system cost a sixth of the time of a tile, and layers
    # that share one arena need less at once. A plan of each input's memory beside it would need half as much again.
    options.enable_cpu_mem_arena = True
    options.enable_mem_pattern = False
    options.log_severity_level = 4
    # Idle threads must not spin: other work on the user's machine matters more than microseconds between operators.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except CloisterError:
        raise
    except Exception as error:
        raise BadInput(
            f"The model {name} cannot be loaded.",
            f"ONNX Runtime refused it ({type(error).__name__}).",
            "Export it again with opset 21 or lower and IR version 10 or lower.",
        ) from None

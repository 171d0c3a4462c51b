"""A model with new weights, written back as ONNX: the same graph and opset, IR at most 10, so that every runtime reads it."""

from __future__ import annotations

import numpy as np
import onnx

from cloister.foundation.errors import Refused
from cloister.models.execute import Model
from cloister.models.graph import Array

IR_VERSION = 10
PRODUCER = "cloister"


def export(model: Model, vector: Array, *, document: str = "") -> bytes:
    """The model's ONNX bytes with the parameters replaced.

    Only the trainable constants change; what the file said about its producer, its documentation and its metadata is left
    behind, because a release says only what its owners approved. The same inputs give the same bytes.

    Args:
        model: the model.
        vector: float32, length `model.size`, finite.
        document: a text to carry along.

    Raises:
        ModelUnusable: the vector does not fit.
        Refused: a weight is not finite.
    """
    params = model.unflatten(np.asarray(vector, np.float32))
    if not all(np.isfinite(value).all() for value in params.values()):
        raise Refused(
            "The model is not written.",
            "A weight is not finite.",
            "Train again from finite weights.",
            clause="finite-weights",
        )
    proto = onnx.ModelProto()
    proto.ParseFromString(model.data)
    for constant in proto.graph.initializer:
        if constant.name in params:
            constant.CopyFrom(
                onnx.numpy_helper.from_array(np.ascontiguousarray(params[constant.name]), constant.name)
            )
    # In old IR versions constants are listed among the inputs; runtimes then treat them as optional inputs.
    inputs = [value for value in proto.graph.input if value.name not in model.graph.constants]
    del proto.graph.input[:]
    proto.graph.input.extend(inputs)
    computed = model.analyse().outputs
    for value in proto.graph.output:
        if not value.type.tensor_type.HasField("shape"):
            # ONNX's checker wants the number of dimensions; their sizes may vary.
            value.type.tensor_type.shape.SetInParent()
            for _ in computed[value.name]:
                value.type.tensor_type.shape.dim.add()
    # Declared shapes inside the graph were never believed; they are not passed on either.
    del proto.graph.value_info[:]
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    for node in proto.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    used = [entry for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]
    del proto.opset_import[:]
    proto.opset_import.extend(used)
    proto.ir_version = IR_VERSION
    proto.producer_name, proto.producer_version, proto.domain = PRODUCER, "", ""
    proto.doc_string, proto.graph.doc_string, proto.model_version = document, "", 0
    return bytes(proto.SerializeToString(deterministic=True))

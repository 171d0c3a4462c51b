"""ONNX bytes to a `Graph`, or a refusal that names the node and the reason.

Rules:
1. The file, every tensor, the number of operators and the longest path are inside `Limits` before anything is built.
2. Only ONNX's own domain, in opset versions that are claimed; no functions, no subgraphs (If, Loop, Scan), no strings,
   sequences or optionals, no external data, no sparse tensors, no training information.
3. Every operator is in the allow-list, in a form that its handler understands, with attributes and a number of inputs that
   ONNX's schema knows.
4. Nothing that is declared about sizes is believed: `execute.analyse` works sizes out itself before anything runs.
5. What must be known before running (shapes, axes, scales) does not depend on data.
6. Whatever the bytes, the outcome is a `Graph` or a `CloisterError`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto

from cloister.foundation.errors import CloisterError
from cloister.models.errors import ModelRefused, ModelUnusable, refuse
from cloister.models.graph import DTYPES, Graph, Limits, Node, TensorType
from cloister.models.operators.catalogue import EARLIEST_OPSET, LATEST_OPSET, OPERATORS, Operator

DEFAULT_LIMITS = Limits()
_IR_VERSIONS = range(3, 15)
_ITEM_LIMIT = 65536


def parse(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Graph:
    """The graph in `data`.

    Raises:
        ModelUnusable: the bytes are no ONNX model.
        ModelRefused: the model breaks a rule above; `detail` has `node` and `reason`.
    """
    if len(data) > limits.file_bytes:
        raise ModelUnusable(
            "The model file is too large.",
            f"It has {len(data)} bytes; the limit is {limits.file_bytes}.",
            "Use a smaller model.",
        )
    model = onnx.ModelProto()
    try:
        model.ParseFromString(bytes(data))
    except Exception:
        raise ModelUnusable(
            "The model could not be read.", "The bytes are not an ONNX model.", "Export it as ONNX."
        ) from None
    try:
        return _graph(model, limits)
    except CloisterError:
        raise
    except Exception as error:
        # Rule 6: onnx's own helpers raise many things on malformed fields.
        raise ModelUnusable(
            "The model could not be read.", f"It is malformed ({type(error).__name__}).", "Export it again."
        ) from None


def survey(data: bytes, limits: Limits = DEFAULT_LIMITS) -> list[ModelRefused]:
    """Every reason for which `parse` would refuse these bytes; empty if it would not.

    Raises:
        ModelUnusable: the bytes are no ONNX model.
    """
    try:
        parse(data, limits)
    except ModelRefused as first:
        model = onnx.ModelProto()
        model.ParseFromString(bytes(data))
        found: list[ModelRefused] = []
        for proto in model.graph.node[: limits.nodes]:
            try:
                _node(proto, _opset(model), OPERATORS, limits)
            except ModelRefused as refusal:
                found.append(refusal)
            except Exception:  # malformed in a way that `parse` reports as a whole
                return [first]
        return found if any(str(refusal) == str(first) for refusal in found) else [first, *found]
    return []


def _whole(reason: str, remedy: str = "Export the model without it.") -> ModelRefused:
    return ModelRefused("The model is refused.", reason, remedy, node="", reason=reason)


def _graph(model: Any, limits: Limits) -> Graph:
    if model.ir_version not in _IR_VERSIONS or not model.HasField("graph"):
        raise ModelUnusable(
            "The model could not be read.",
            "It has no graph, or a format version that is not known.",
            "Export it as ONNX.",
        )
    if model.functions:
        raise _whole("It defines functions of its own.", "Inline them (onnx.inliner) and export again.")
    if model.training_info:
        raise _whole("It carries its own training steps.")
    opset = _opset(model)
    graph = model.graph
    if graph.sparse_initializer:
        raise _whole("It holds sparse tensors.")
    if len(graph.node) > limits.nodes:
        raise _whole(
            f"It has {len(graph.node)} operators; the limit is {limits.nodes}.", "Use a smaller model."
        )
    constants: dict[str, np.ndarray] = {}
    for proto in graph.initializer:
        if not proto.name or proto.name in constants:
            raise _whole("Two of its constants have one name, or one has none.")
        constants[proto.name] = tensor(proto, f"constant {proto.name[:80]!a}", limits)
    inputs = tuple(_typed(value, limits) for value in graph.input if value.name not in constants)
    operators = OPERATORS
    nodes = tuple(_node(proto, opset, operators, limits) for proto in graph.node)
    _connected(nodes, inputs, constants, [value.name for value in graph.output], limits)
    outputs = tuple(_typed(value, limits, output=True) for value in graph.output)
    fixed = _known_before_running(nodes, {value.name for value in inputs}, operators)
    trainable = tuple(
        name
        for name, value in constants.items()
        if value.dtype == np.float32 and value.ndim > 0 and value.size and name not in fixed
    )
    return Graph(nodes, inputs, outputs, constants, trainable, opset, int(model.ir_version))


def _opset(model: Any) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if len(versions) != 1:
        raise _whole("It does not say which opset of ONNX it uses.")
    if not EARLIEST_OPSET <= versions[0] <= LATEST_OPSET:
        raise _whole(
            f"It uses opset {versions[0]}; {EARLIEST_OPSET} to {LATEST_OPSET} are supported.",
            "Convert it to a supported opset (17, say).",
        )
    return int(versions[0])


def dtype_of(number: int, where: str) -> np.dtype[Any]:
    """The dtype of ONNX's number, if models may use it."""
    try:
        dtype: np.dtype[Any] = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(number))
    except (KeyError, ValueError, TypeError):
        raise refuse(where, f"Its data type ({int(number)}) is not known.") from None
    if dtype.name not in DTYPES:
        raise refuse(where, f"Its data type ({dtype.name}) is not supported.")
    return dtype


def tensor(proto: Any, where: str, limits: Limits) -> np.ndarray:
    """The value of a tensor in the file."""
    if proto.data_location == TensorProto.EXTERNAL or proto.external_data:
        raise refuse(where, "It keeps data outside the file.", "Save the model with its weights inside.")
    if proto.HasField("segment"):
        raise refuse(where, "It is stored in segments.")
    dtype = dtype_of(proto.data_type, where)
    dims = [int(size) for size in proto.dims]
    if len(dims) > limits.rank or any(size < 0 for size in dims):
        raise refuse(where, "Its dimensions are out of range.")
    count = math.prod(dims)
    if count * dtype.itemsize > limits.tensor_bytes:
        raise refuse(
            where,
            f"It would take {count * dtype.itemsize} bytes; the limit is {limits.tensor_bytes}.",
            "Use a smaller model.",
        )
    stored = len(proto.raw_data) if proto.HasField("raw_data") else None
    if stored is not None and stored != count * dtype.itemsize:
        raise refuse(where, "Its bytes do not fit its dimensions.")
    value = np.ascontiguousarray(onnx.numpy_helper.to_array(proto)).reshape(dims)
    value.setflags(write=False)
    return value


def _typed(value: Any, limits: Limits, *, output: bool = False) -> TensorType:
    where = f"{'output' if output else 'input'} {value.name[:80]!a}"
    if value.type.WhichOneof("value") != "tensor_type":
        raise refuse(where, "It is not a tensor.")
    dtype = dtype_of(value.type.tensor_type.elem_type, where).name
    if not value.type.tensor_type.HasField("shape"):
        if output:
            return TensorType(value.name, dtype, None)
        raise refuse(
            where, "It has no shape.", "Export the model with the number of dimensions of its inputs."
        )
    shape: list[int | str] = []
    for i, dimension in enumerate(value.type.tensor_type.shape.dim):
        if dimension.WhichOneof("value") == "dim_value":
            if dimension.dim_value < 0:
                raise refuse(where, "Its dimensions are out of range.")
            shape.append(int(dimension.dim_value))
        else:
            shape.append(str(dimension.dim_param)[:80] or f"axis{i}")
    if len(shape) > limits.rank:
        raise refuse(where, f"It has {len(shape)} dimensions; the limit is {limits.rank}.")
    return TensorType(value.name, dtype, tuple(shape))


def _node(proto: Any, opset: int, operators: dict[str, Operator], limits: Limits) -> Node:
    kind = ascii(proto.op_type[:60]).strip("'")
    where = f"{kind} {(proto.name or (proto.output[0] if proto.output else ''))[:80]!a}"
    if proto.domain not in ("", "ai.onnx"):
        raise refuse(
            where, f"It is an operator of the domain {proto.domain[:60]!a}; only ONNX's own are allowed."
        )
    if any(attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for attribute in proto.attribute):
        raise refuse(where, "It runs a graph inside the graph (control flow).", "Unroll it and export again.")
    known = operators.get(proto.op_type)
    if known is None:
        raise refuse(where, "This operator is not supported.", "See the list of supported operators.")
    schema = onnx.defs.get_schema(proto.op_type, opset, "")
    if schema.deprecated or schema.since_version < known.since:
        raise refuse(
            where,
            f"This form of the operator (opset {opset}) is not supported.",
            "Convert the model to a newer opset.",
        )
    if len(proto.input) > _ITEM_LIMIT or len(proto.output) > _ITEM_LIMIT:
        raise refuse(where, "It has too many inputs or outputs.")
    if (
        not schema.min_input <= len(proto.input) <= schema.max_input
        or not 1 <= len(proto.output) <= schema.max_output
    ):
        raise refuse(where, "It has a number of inputs or outputs that ONNX does not allow.")
    attributes: dict[str, Any] = {}
    for attribute in proto.attribute:
        if attribute.name not in schema.attributes or attribute.name in attributes:
            raise refuse(
                where, f"ONNX knows no attribute {attribute.name[:60]!a} here, or it is given twice."
            )
        if int(schema.attributes[attribute.name].type.value) != attribute.type:
            raise refuse(where, f"Attribute {attribute.name[:60]!a} has the wrong type.")
        attributes[attribute.name] = _attribute(attribute, where, limits)
    for name, definition in schema.attributes.items():
        if definition.required and name not in attributes:
            raise refuse(where, f"It lacks the attribute {name}.")
    node = Node(
        proto.name,
        proto.op_type,
        int(schema.since_version),
        tuple(proto.input),
        tuple(proto.output),
        attributes,
    )
    if any(not node.inputs[i] for i in range(schema.min_input)):
        raise refuse(where, "An input that it needs is left out.")
    reason = known.refuses(node)
    if reason:
        raise refuse(where, reason)
    return node


def _attribute(attribute: Any, where: str, limits: Limits) -> Any:
    if attribute.ref_attr_name:
        raise refuse(where, "An attribute refers to a function's.")
    if attribute.type == AttributeProto.TENSOR:
        return tensor(attribute.t, where, limits)
    if attribute.type not in (
        AttributeProto.INT,
        AttributeProto.FLOAT,
        AttributeProto.STRING,
        AttributeProto.INTS,
        AttributeProto.FLOATS,
    ):
        raise refuse(where, f"Attribute {attribute.name[:60]!a} has a kind that is not supported.")
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.type in (AttributeProto.INTS, AttributeProto.FLOATS):
        value = tuple(value)
        if len(value) > _ITEM_LIMIT:
            raise refuse(where, "An attribute is too long.")
    return value


def _connected(
    nodes: tuple[Node, ...],
    inputs: tuple[TensorType, ...],
    constants: dict[str, np.ndarray],
    outputs: list[str],
    limits: Limits,
) -> None:
    """Every value is made once, before it is used; the longest path is inside the limit."""
    depth: dict[str, int] = dict.fromkeys(constants, 0)
    for value in inputs:
        if not value.name or value.name in depth:
            raise _whole("Two of its inputs have one name, or one has none.")
        depth[value.name] = 0
    for node in nodes:
        level = 0
        for name in node.inputs:
            if name and name not in depth:
                raise refuse(node.label, f"Its input {name[:80]!a} is not made before it.")
            level = max(level, depth[name] if name else 0)
        for name in node.outputs:
            if name in depth:
                raise refuse(node.label, f"It makes {name[:80]!a}, which exists already.")
            if name:
                depth[name] = level + 1
        if level + 1 > limits.depth:
            raise refuse(node.label, f"It lies deeper than {limits.depth} operators.")
    if not outputs or len(set(outputs)) != len(outputs):
        raise _whole("It has no outputs, or one of them twice.")
    for name in outputs:
        if name not in depth:
            raise _whole(f"Its output {name[:80]!a} is never made.")


def _known_before_running(
    nodes: tuple[Node, ...], inputs: set[str], operators: dict[str, Operator]
) -> set[str]:
    """The names of values that must be known before running, with all that they are computed from, and of buffers."""
    needed: set[str] = set()
    buffers: set[str] = set()
    for node in reversed(nodes):
        rule = operators[node.operator]
        buffers.update(name for i, name in enumerate(node.inputs) if name and i in rule.buffers)
        described = node.operator in ("Shape", "Size")  # these need only the dimensions of what they look at
        inherits = not described and any(name in needed for name in node.outputs)
        for i, name in enumerate(node.inputs):
            if not name or not (inherits or i in rule.static):
                continue
            if name in inputs:
                reason = f"It must know {name[:80]!a} before running, but that is given with the data."
                raise refuse(node.label, reason, "Make it a constant of the model.")
            needed.add(name)
    return needed | buffers

"""Operators that move, repeat or describe values without computing on them. They fold to numpy where inputs are known."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from cloister.models.errors import refuse
from cloister.models.graph import Array, Node, attribute_text
from cloister.models.operators.arrays import axes_of, axis_of, guard, module, numbers
from cloister.models.operators.mathematics import dtype_named
from cloister.models.operators.registry import operator


@operator("Identity")
def identity(_node: Node, x: Array) -> Array:
    """The value itself."""
    return x


@operator("Shape")
def shape(node: Node, x: Array) -> Array:
    """The dimensions, known before running."""
    size = x.ndim
    start, end = node.attributes.get("start", 0), node.attributes.get("end", size)
    start, end = (min(max(value + size if value < 0 else value, 0), size) for value in (start, end))
    return np.asarray(x.shape[start:end], np.int64)


@operator("Size")
def size(_node: Node, x: Array) -> Array:
    """The number of elements, known before running."""
    return np.asarray(int(np.prod(x.shape, dtype=np.int64)), np.int64)


@operator("Reshape")
def reshape(node: Node, x: Array, wanted: Array) -> Array:
    """Other dimensions for the same elements; 0 keeps one, -1 is worked out."""
    target = numbers(node, wanted, "shape")
    if not node.attributes.get("allowzero", 0):
        if any(value == 0 and i >= x.ndim for i, value in enumerate(target)):
            raise refuse(node.label, "It keeps a dimension that does not exist.")
        target = [x.shape[i] if value == 0 else value for i, value in enumerate(target)]
    if target.count(-1) > 1 or any(value < -1 for value in target):
        raise refuse(node.label, "Its shape is not possible.")
    return x.reshape(target)


@operator("Flatten")
def flatten(node: Node, x: Array) -> Array:
    """Two dimensions: what is before an axis, and what is from it on."""
    axis = node.attributes.get("axis", 1)
    if not -x.ndim <= axis <= x.ndim:
        raise refuse(node.label, f"Axis {axis} does not exist.")
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(
        int(np.prod(x.shape[:axis], dtype=np.int64)), int(np.prod(x.shape[axis:], dtype=np.int64))
    )


@operator("Transpose")
def transpose(node: Node, x: Array) -> Array:
    """Dimensions in another order; reversed by default."""
    order = node.attributes.get("perm", tuple(reversed(range(x.ndim))))
    if sorted(order) != list(range(x.ndim)):
        raise refuse(node.label, "Its perm is no order of the dimensions.")
    return module(x).transpose(x, order)


@operator("Squeeze")
def squeeze(node: Node, x: Array, axes: Array | None = None) -> Array:
    """Drops dimensions of size one."""
    wanted = numbers(node, axes, "axes") if axes is not None else list(node.attributes.get("axes", ()))
    if not wanted and axes is None and "axes" not in node.attributes:
        wanted = [i for i, length in enumerate(x.shape) if length == 1]
    return module(x).squeeze(x, axes_of(node, wanted, x.ndim))


@operator("Unsqueeze")
def unsqueeze(node: Node, x: Array, axes: Array | None = None) -> Array:
    """Adds dimensions of size one."""
    wanted = numbers(node, axes, "axes") if axes is not None else list(node.attributes.get("axes", ()))
    return module(x).expand_dims(x, axes_of(node, wanted, x.ndim + len(wanted)))


@operator("Concat")
def concat(node: Node, *inputs: Array) -> Array:
    """Joins along an axis."""
    axis = axis_of(node, node.attributes["axis"], inputs[0].ndim)
    total = list(inputs[0].shape)
    total[axis] = sum(item.shape[axis] for item in inputs)
    guard(node, total, *inputs)
    return module(*inputs).concatenate(inputs, axis)


@operator("Split")
def split(node: Node, x: Array, lengths: Array | None = None) -> tuple[Array, ...]:
    """Cuts along an axis into given lengths, or into equal parts (the last one smaller)."""
    axis = axis_of(node, node.attributes.get("axis", 0), x.ndim)
    if lengths is not None:
        sizes = numbers(node, lengths, "split")
    elif "split" in node.attributes:
        sizes = list(node.attributes["split"])
    else:
        parts = node.attributes.get("num_outputs", len(node.outputs))
        if not 1 <= parts <= 4096:
            raise refuse(node.label, "Its number of parts is out of range.")
        chunk = -(-x.shape[axis] // parts)
        sizes = [max(0, min(chunk, x.shape[axis] - i * chunk)) for i in range(parts)]
    if sum(sizes) != x.shape[axis] or any(value < 0 for value in sizes) or len(sizes) != len(node.outputs):
        raise refuse(node.label, "Its parts do not make up the whole.")
    return tuple(module(x).split(x, np.cumsum(sizes[:-1]).tolist(), axis))


@operator("Expand")
def expand(node: Node, x: Array, wanted: Array) -> Array:
    """Broadcasts to a shape."""
    target = numbers(node, wanted, "shape")
    guard(node, target, x)
    try:
        target_shape = np.broadcast_shapes(tuple(x.shape), tuple(target))
    except ValueError:
        raise refuse(node.label, "The value does not broadcast to its shape.") from None
    guard(node, target_shape, x)
    return module(x).broadcast_to(x, target_shape)


@operator("Tile")
def tile(node: Node, x: Array, repeats: Array) -> Array:
    """Repeats along each axis."""
    times = numbers(node, repeats, "repeats")
    if len(times) != x.ndim:
        raise refuse(node.label, "Its repeats do not fit the dimensions.")
    guard(node, [length * count for length, count in zip(x.shape, times, strict=True)], x)
    return module(x).tile(x, times)


@operator("Pad")
def pad(
    node: Node, x: Array, pads: Array | None = None, fill: Array | None = None, axes: Array | None = None
) -> Array:
    """Adds (or, with negative numbers, cuts) elements before and after each axis."""
    amounts = numbers(node, pads, "pads") if pads is not None else list(node.attributes.get("pads", ()))
    along = axes_of(node, numbers(node, axes, "axes"), x.ndim) if axes is not None else tuple(range(x.ndim))
    if len(amounts) != 2 * len(along):
        raise refuse(node.label, "Its pads do not fit its axes.")
    before, after = [0] * x.ndim, [0] * x.ndim
    for i, axis in enumerate(along):
        before[axis], after[axis] = amounts[i], amounts[i + len(along)]
    cut = tuple(
        slice(max(0, -b), length - max(0, -a)) for b, a, length in zip(before, after, x.shape, strict=True)
    )
    x = x[cut]
    widths = [(max(0, b), max(0, a)) for b, a in zip(before, after, strict=True)]
    guard(node, [length + sum(width) for length, width in zip(x.shape, widths, strict=True)], x)
    mode = attribute_text(node.attributes.get("mode", "constant"))
    if mode != "constant":
        if any(max(width) > 64 * max(length, 1) for width, length in zip(widths, x.shape, strict=True)):
            raise refuse(node.label, "It pads far beyond the value.")
        return module(x).pad(x, widths, mode=mode)
    value = fill.reshape(()) if fill is not None and fill.size else node.attributes.get("value", 0.0)
    return module(x).pad(x, widths, constant_values=np.asarray(value).astype(x.dtype))


@operator("Constant")
def constant(node: Node) -> Array:
    """A value written in the model."""
    attributes = node.attributes
    for name, dtype in (
        ("value_float", np.float32),
        ("value_floats", np.float32),
        ("value_int", np.int64),
        ("value_ints", np.int64),
    ):
        if name in attributes:
            return np.asarray(attributes[name], dtype)
    if "value" in attributes:
        return attributes["value"]
    raise refuse(node.label, "Its value has a form that is not supported.")


@operator("ConstantOfShape")
def constant_of_shape(node: Node, wanted: Array) -> Array:
    """One number, repeated over a shape."""
    target = numbers(node, wanted, "shape")
    value = node.attributes.get("value", np.zeros(1, np.float32)).reshape(-1)
    if value.size != 1:
        raise refuse(node.label, "Its value is not one number.")
    guard(node, target)
    return np.full(target, value[0], value.dtype)


@operator("Range")
def range_(node: Node, start: Array, limit: Array, step: Array) -> Array:
    """Numbers from start up to limit, known before running."""
    first, last, delta = (value.reshape(-1)[0] for value in (start, limit, step))
    if delta == 0 or not all(np.isfinite(np.float64(value)) for value in (first, last, delta)):
        raise refuse(node.label, "Its step is zero or a bound is not finite.")
    count = max(0, int(np.ceil((np.float64(last) - np.float64(first)) / np.float64(delta))))
    guard(node, (count,))
    # ONNX defines element i as start + i * step, in the type of the inputs.
    return (first + np.arange(count).astype(start.dtype) * delta).astype(start.dtype)


@operator("EyeLike")
def eye_like(node: Node, x: Array) -> Array:
    """Ones on a diagonal, in the shape of another value."""
    dtype = dtype_named(node, node.attributes["dtype"]) if "dtype" in node.attributes else x.dtype
    if x.ndim != 2:
        raise refuse(node.label, "It needs a matrix.")
    guard(node, x.shape)
    return np.eye(int(x.shape[0]), int(x.shape[1]), k=node.attributes.get("k", 0), dtype=dtype)


@operator("DepthToSpace")
def depth_to_space(node: Node, x: Array) -> Array:
    """Moves blocks of channels into space (Shi et al. 2016)."""
    n, c, h, w = _four(node, x)
    block = _block(node)
    if c % (block * block):
        raise refuse(node.label, "Its channels do not divide into blocks.")
    if attribute_text(node.attributes.get("mode", "DCR")) == "DCR":
        y = x.reshape(n, block, block, c // block**2, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        y = x.reshape(n, c // block**2, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
    return y.reshape(n, c // block**2, h * block, w * block)


@operator("SpaceToDepth")
def space_to_depth(node: Node, x: Array) -> Array:
    """Moves blocks of space into channels."""
    n, c, h, w = _four(node, x)
    block = _block(node)
    if h % block or w % block:
        raise refuse(node.label, "Its space does not divide into blocks.")
    if attribute_text(node.attributes.get("mode", "DCR")) == "CRD":
        y = x.reshape(n, c, h // block, block, w // block, block).transpose(0, 1, 3, 5, 2, 4)
    else:
        y = x.reshape(n, c, h // block, block, w // block, block).transpose(0, 3, 5, 1, 2, 4)
    return y.reshape(n, c * block**2, h // block, w // block)


def _four(node: Node, x: Array) -> tuple[int, int, int, int]:
    if x.ndim != 4:
        raise refuse(node.label, "It needs four dimensions.")
    n, c, h, w = x.shape
    return n, c, h, w


def _block(node: Node) -> int:
    block = int(node.attributes["blocksize"])
    if not 1 <= block <= 64:
        raise refuse(node.label, "Its block size is out of range.")
    return block


@operator("CenterCropPad")
def centre_crop_pad(node: Node, x: Array, wanted: Array) -> Array:
    """Cuts or pads with zeros around the centre to a shape."""
    target = numbers(node, wanted, "shape")
    axes = axes_of(node, node.attributes.get("axes", range(x.ndim)), x.ndim)
    if len(target) != len(axes):
        raise refuse(node.label, "Its shape does not fit its axes.")
    cuts, widths = [slice(None)] * x.ndim, [(0, 0)] * x.ndim
    for axis, length in zip(axes, target, strict=True):
        difference = length - x.shape[axis]
        if difference < 0:
            start = -difference // 2
            cuts[axis] = slice(start, start + length)
        else:
            widths[axis] = (difference // 2, difference - difference // 2)
    guard(node, target, x)
    return jnp.pad(x[tuple(cuts)], widths)


@operator("Trilu")
def triangle(node: Node, x: Array, offset: Array | None = None) -> Array:
    """The upper or lower triangle of matrices."""
    k = numbers(node, offset, "k")[0] if offset is not None else 0
    k = max(min(k, 1 << 20), -(1 << 20))
    keep = jnp.triu if node.attributes.get("upper", 1) else jnp.tril
    return jax.lax.select(
        jnp.broadcast_to(keep(jnp.ones(x.shape[-2:], bool), k), x.shape),
        jnp.asarray(x),
        jnp.zeros(x.shape, x.dtype),
    )

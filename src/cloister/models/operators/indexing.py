"""Operators that pick or place elements: Slice, Gather*, Scatter*, OneHot, TopK, Compress, ReverseSequence."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from cloister.models.errors import refuse
from cloister.models.graph import Array, Node, attribute_text
from cloister.models.operators.arrays import axes_of, axis_of, guard, module, numbers
from cloister.models.operators.refusals import PLACEMENTS
from cloister.models.operators.registry import operator


@operator("Slice")
def slice_(
    node: Node,
    x: Array,
    starts: Array | None = None,
    ends: Array | None = None,
    axes: Array | None = None,
    steps: Array | None = None,
) -> Array:
    """Slices as in numpy, on given axes."""
    if node.version < 10:
        first, last = list(node.attributes["starts"]), list(node.attributes["ends"])
        along = list(node.attributes.get("axes", range(len(first))))
        step = [1] * len(first)
    else:
        first, last = numbers(node, starts, "starts"), numbers(node, ends, "ends")
        along = numbers(node, axes, "axes") if axes is not None else list(range(len(first)))
        step = numbers(node, steps, "steps") if steps is not None else [1] * len(first)
    if not len(first) == len(last) == len(along) == len(step) or 0 in step:
        raise refuse(node.label, "Its starts, ends, axes and steps do not fit together.")
    cut = [slice(None)] * x.ndim
    for axis, begin, end, stride in zip(axes_of(node, along, x.ndim), first, last, step, strict=True):
        length = x.shape[axis]
        begin = begin + length if begin < 0 else begin
        end = end + length if end < 0 else end
        if stride > 0:
            cut[axis] = slice(min(max(begin, 0), length), min(max(end, 0), length), stride)
        else:
            stop = min(max(end, -1), length - 1)
            cut[axis] = slice(min(max(begin, 0), length - 1), None if stop < 0 else stop, stride)
    return x[tuple(cut)]


def _wrapped(indices: Array, length: int) -> Array:
    """Negative indices count from the end."""
    xp = module(indices)
    return xp.where(indices < 0, indices + np.asarray(length, indices.dtype), indices)


@operator("Gather")
def gather(node: Node, x: Array, indices: Array) -> Array:
    """numpy.take along an axis. Indices out of range give the nearest element rather than reading elsewhere."""
    axis = axis_of(node, node.attributes.get("axis", 0), x.ndim)
    guard(node, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x, indices)
    if x.shape[axis] == 0:
        raise refuse(node.label, "It picks from nothing.")
    xp = module(x, indices)
    return xp.take(x, _wrapped(indices, x.shape[axis]), axis, mode="clip")


@operator("GatherElements")
def gather_elements(node: Node, x: Array, indices: Array) -> Array:
    """Picks one element of an axis for each place."""
    axis = axis_of(node, node.attributes.get("axis", 0), x.ndim)
    if indices.ndim != x.ndim:
        raise refuse(node.label, "Its indices have another number of dimensions.")
    grid = list(jnp.meshgrid(*(jnp.arange(length) for length in indices.shape), indexing="ij", sparse=True))
    grid[axis] = _wrapped(jnp.asarray(indices), x.shape[axis])
    return jnp.asarray(x).at[tuple(grid)].get(mode="clip")


@operator("GatherND")
def gather_nd(node: Node, x: Array, indices: Array) -> Array:
    """Picks elements or slices by lists of coordinates."""
    batch = node.attributes.get("batch_dims", 0)
    if not 0 <= batch < min(x.ndim, indices.ndim) or indices.shape[-1] > x.ndim - batch:
        raise refuse(node.label, "Its coordinates do not fit the value.")

    def pick(values: Array, coordinates: Array) -> Array:
        parts = tuple(_wrapped(coordinates[..., i], values.shape[i]) for i in range(coordinates.shape[-1]))
        return values.at[parts].get(mode="clip")

    for _ in range(batch):
        pick = jax.vmap(pick)
    return pick(jnp.asarray(x), jnp.asarray(indices))


@operator("ScatterElements")
def scatter_elements(node: Node, x: Array, indices: Array, updates: Array) -> Array:
    """Places one element of an axis for each update."""
    axis = axis_of(node, node.attributes.get("axis", 0), x.ndim)
    if indices.ndim != x.ndim:
        raise refuse(node.label, "Its indices have another number of dimensions.")
    grid = list(jnp.meshgrid(*(jnp.arange(length) for length in indices.shape), indexing="ij", sparse=True))
    grid[axis] = _wrapped(jnp.asarray(indices), x.shape[axis])
    mode = PLACEMENTS[attribute_text(node.attributes.get("reduction", "none"))]
    return getattr(jnp.asarray(x).at[tuple(grid)], mode)(updates, mode="drop")


@operator("ScatterND")
def scatter_nd(node: Node, x: Array, indices: Array, updates: Array) -> Array:
    """Places elements or slices by lists of coordinates."""
    if indices.shape[-1] > x.ndim:
        raise refuse(node.label, "Its coordinates do not fit the value.")
    indices = jnp.asarray(indices)
    parts = tuple(_wrapped(indices[..., i], x.shape[i]) for i in range(indices.shape[-1]))
    mode = PLACEMENTS[attribute_text(node.attributes.get("reduction", "none"))]
    return getattr(jnp.asarray(x).at[parts], mode)(updates, mode="drop")


@operator("OneHot")
def one_hot(node: Node, indices: Array, depth: Array, values: Array) -> Array:
    """An axis of length depth, `values[1]` at the index and `values[0]` elsewhere."""
    length = int(np.asarray(depth).reshape(-1)[0])
    if not 0 < length <= 1 << 20:
        raise refuse(node.label, "Its depth is out of range.")
    axis = axis_of(node, node.attributes.get("axis", -1), indices.ndim + 1)
    whole = jnp.asarray(indices)
    whole = jnp.where(whole < 0, whole + length, whole)
    shape = [1] * (indices.ndim + 1)
    shape[axis] = length
    hot = jnp.expand_dims(whole, axis) == jnp.arange(length).reshape(shape)
    return jnp.where(hot, values[1], values[0])


@operator("TopK")
def top_k(node: Node, x: Array, count: Array) -> tuple[Array, Array]:
    """The k largest (or smallest) of an axis, in order, and their places; ties by place."""
    k = numbers(node, count, "k")[0]
    axis = axis_of(node, node.attributes.get("axis", -1), x.ndim)
    if not 0 <= k <= x.shape[axis]:
        raise refuse(node.label, "Its k is out of range.")
    x = jnp.asarray(x)
    order = jnp.argsort(x, axis, stable=True, descending=bool(node.attributes.get("largest", 1)))
    order = jax.lax.slice_in_dim(order, 0, k, axis=axis)
    return jnp.take_along_axis(x, order, axis), order.astype(jax.dtypes.canonicalize_dtype(np.int64))


@operator("Compress")
def compress(node: Node, x: Array, condition: Array) -> Array:
    """Keeps what a known condition selects."""
    keep = np.flatnonzero(condition.reshape(-1))
    if "axis" not in node.attributes:
        return x.reshape(-1)[keep]
    return module(x).take(x, keep, axis_of(node, node.attributes["axis"], x.ndim))


@operator("ReverseSequence")
def reverse_sequence(node: Node, x: Array, lengths: Array) -> Array:
    """Reverses the first `lengths[b]` steps of each example."""
    time = node.attributes.get("time_axis", 0)
    batch = node.attributes.get("batch_axis", 1)
    if {time, batch} != {0, 1} or x.ndim < 2:
        raise refuse(node.label, "Its axes are not the first two.")
    steps = jnp.arange(x.shape[time])
    upto = jnp.asarray(lengths)[:, None]
    places = jnp.where(steps[None, :] < upto, upto - 1 - steps[None, :], steps[None, :])
    places = places.T if time == 0 else places
    return jnp.take_along_axis(jnp.asarray(x), places.reshape(places.shape + (1,) * (x.ndim - 2)), time)

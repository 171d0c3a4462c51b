"""Elementwise functions of one input, and what belongs to them (IsNaN, Cast, CumSum)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cloister.models.errors import refuse
from cloister.models.graph import DTYPES, Array, Node
from cloister.models.operators.arrays import axis_of, module, numbers
from cloister.models.operators.registry import operator


def _unary(name: str, function: Callable[[Any, Array], Array]) -> None:
    """Registers a function of (numpy or jax.numpy, x)."""

    @operator(name)
    def handler(_node: Node, x: Array) -> Array:
        return function(module(x), x)


_unary("Abs", lambda xp, x: xp.abs(x))
_unary("Neg", lambda _xp, x: -x)
_unary("Reciprocal", lambda _xp, x: 1 / x)
_unary("Sqrt", lambda xp, x: xp.sqrt(x))
_unary("Exp", lambda xp, x: xp.exp(x))
_unary("Log", lambda xp, x: xp.log(x))
_unary("Floor", lambda xp, x: xp.floor(x))
_unary("Ceil", lambda xp, x: xp.ceil(x))
_unary("Round", lambda xp, x: xp.round(x))
_unary("Sign", lambda xp, x: xp.sign(x))
_unary("Not", lambda xp, x: xp.logical_not(x))
_unary("BitwiseNot", lambda xp, x: xp.bitwise_not(x))
_unary("IsNaN", lambda xp, x: xp.isnan(x))
_unary("Sin", lambda xp, x: xp.sin(x))
_unary("Cos", lambda xp, x: xp.cos(x))
_unary("Tan", lambda xp, x: xp.tan(x))
_unary("Sinh", lambda xp, x: xp.sinh(x))
_unary("Cosh", lambda xp, x: xp.cosh(x))
_unary("Asin", lambda xp, x: xp.arcsin(x))
_unary("Acos", lambda xp, x: xp.arccos(x))
_unary("Atan", lambda xp, x: xp.arctan(x))
_unary("Asinh", lambda xp, x: xp.arcsinh(x))
_unary("Acosh", lambda xp, x: xp.arccosh(x))
_unary("Atanh", lambda xp, x: xp.arctanh(x))


@operator("Erf")
def erf(_node: Node, x: Array) -> Array:
    """The error function."""
    return jax.lax.erf(jnp.asarray(x))


@operator("IsInf")
def is_infinite(node: Node, x: Array) -> Array:
    """Where x is infinite, by sign if asked."""
    xp = module(x)
    positive = (x == xp.inf) if node.attributes.get("detect_positive", 1) else xp.zeros(x.shape, bool)
    negative = (x == -xp.inf) if node.attributes.get("detect_negative", 1) else xp.zeros(x.shape, bool)
    return positive | negative


def dtype_named(node: Node, number: int) -> Any:
    """The dtype that ONNX's number means, if it is one that models may use."""
    import onnx

    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(number)
    except (KeyError, ValueError, TypeError):
        raise refuse(node.label, f"Data type {int(number)} is not known.") from None
    if dtype.name not in DTYPES:
        raise refuse(node.label, f"Data type {dtype.name} is not supported.")
    return dtype


@operator("Cast")
def cast(node: Node, x: Array) -> Array:
    """Converts to another dtype; floats are cut towards zero, anything but zero is true."""
    return _to(x, dtype_named(node, node.attributes["to"]))


@operator("CastLike")
def cast_like(_node: Node, x: Array, like: Array) -> Array:
    """Converts to the dtype of another value."""
    return _to(x, like.dtype)


def _to(x: Array, dtype: Any) -> Array:
    if isinstance(x, np.ndarray):
        with np.errstate(all="ignore"):
            return x.astype(dtype)
    return x.astype(jax.dtypes.canonicalize_dtype(dtype))


@operator("CumSum")
def cumulative_sum(node: Node, x: Array, axis: Array) -> Array:
    """Sums from the start (or the end) of an axis up to each element, with or without it."""
    return _cumulative(node, x, axis, "cumsum", 0)


@operator("CumProd")
def cumulative_product(node: Node, x: Array, axis: Array) -> Array:
    """Products from the start (or the end) of an axis up to each element, with or without it."""
    return _cumulative(node, x, axis, "cumprod", 1)


def _cumulative(node: Node, x: Array, axis: Array, name: str, neutral: int) -> Array:
    xp = module(x)
    along = axis_of(node, numbers(node, axis, "axis")[0], x.ndim)
    if node.attributes.get("reverse", 0):
        x = xp.flip(x, along)
    if node.attributes.get("exclusive", 0):
        first = xp.full_like(xp.take(x, xp.asarray([0]), along), neutral)
        kept = [slice(None)] * x.ndim
        kept[along] = slice(0, x.shape[along] - 1)
        x = xp.concatenate([first, x[tuple(kept)]], along)
    result = getattr(xp, name)(x, axis=along, dtype=x.dtype)
    return xp.flip(result, along) if node.attributes.get("reverse", 0) else result


@operator("BitCast")
def bit_cast(node: Node, x: Array) -> Array:
    """The same bits under another dtype of the same width."""
    dtype = dtype_named(node, node.attributes["to"])
    if x.dtype.itemsize != dtype.itemsize:
        raise refuse(node.label, "The two data types differ in width.")
    if isinstance(x, np.ndarray):
        return x.view(dtype)
    if np.bool_ in (dtype, x.dtype):
        return x.astype(dtype)
    return jax.lax.bitcast_convert_type(x, dtype)

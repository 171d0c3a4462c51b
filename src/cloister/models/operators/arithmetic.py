"""Operators of two or more inputs with broadcasting: arithmetic, comparison, logic, bits, minimum and maximum, Where."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from cloister.models.graph import Array, Node, attribute_text
from cloister.models.operators.arrays import broadcast, is_float, module
from cloister.models.operators.registry import operator


def _binary(name: str, function: Callable[[Any, Array, Array], Array]) -> None:
    """Registers a function of (numpy or jax.numpy, left, right)."""

    @operator(name)
    def handler(node: Node, left: Array, right: Array) -> Array:
        broadcast(node, left, right)
        with np.errstate(all="ignore"):
            return function(module(left, right), left, right)


_binary("Add", lambda _xp, a, b: a + b)
_binary("Sub", lambda _xp, a, b: a - b)
_binary("Mul", lambda _xp, a, b: a * b)
_binary("And", lambda _xp, a, b: a & b)
_binary("Or", lambda _xp, a, b: a | b)
_binary("Xor", lambda _xp, a, b: a ^ b)
_binary("Equal", lambda _xp, a, b: a == b)
_binary("Less", lambda _xp, a, b: a < b)
_binary("LessOrEqual", lambda _xp, a, b: a <= b)
_binary("Greater", lambda _xp, a, b: a > b)
_binary("GreaterOrEqual", lambda _xp, a, b: a >= b)
_binary("BitwiseAnd", lambda _xp, a, b: a & b)
_binary("BitwiseOr", lambda _xp, a, b: a | b)
_binary("BitwiseXor", lambda _xp, a, b: a ^ b)


@operator("Div")
def divide(node: Node, left: Array, right: Array) -> Array:
    """Left / right; whole numbers are cut towards zero, as in C."""
    broadcast(node, left, right)
    xp = module(left, right)
    if is_float(left):
        with np.errstate(all="ignore"):
            return left / right
    safe = xp.where(right == 0, xp.ones((), right.dtype), right)
    quotient, remainder = left // safe, left % safe
    if np.dtype(left.dtype).kind == "i":
        quotient = quotient + ((remainder != 0) & ((left < 0) != (safe < 0))).astype(left.dtype)
    return quotient.astype(left.dtype)


@operator("Mod")
def modulo(node: Node, left: Array, right: Array) -> Array:
    """The remainder: with the sign of the divisor, or of the dividend if `fmod` is set."""
    broadcast(node, left, right)
    xp = module(left, right)
    if not is_float(left):
        right = xp.where(right == 0, xp.ones((), right.dtype), right)
    with np.errstate(all="ignore"):
        return xp.fmod(left, right) if node.attributes.get("fmod", 0) else xp.mod(left, right)


@operator("Pow")
def power(node: Node, base: Array, exponent: Array) -> Array:
    """The base to the exponent, in the dtype of the base."""
    broadcast(node, base, exponent)
    xp = module(base, exponent)
    if isinstance(exponent, np.ndarray) and exponent.size == 1 and is_float(base):
        # A known exponent becomes a number: x**2 is then a product, and its gradient at zero is finite.
        value = float(exponent.reshape(()))
        power_of = int(value) if value.is_integer() and abs(value) <= 8 else value
        return xp.broadcast_to(base**power_of, np.broadcast_shapes(base.shape, exponent.shape)).astype(
            base.dtype
        )
    if not is_float(base) and is_float(exponent):
        return xp.power(base.astype(exponent.dtype), exponent).astype(base.dtype)
    if np.dtype(base.dtype).kind in "iu" and xp is np:
        return np.power(base.astype(np.float64), exponent).astype(base.dtype)
    return xp.power(base, exponent).astype(base.dtype)


@operator("BitShift")
def bit_shift(node: Node, value: Array, places: Array) -> Array:
    """Unsigned shift, left or right."""
    broadcast(node, value, places)
    xp = module(value, places)
    left = attribute_text(node.attributes["direction"]) == "LEFT"
    return xp.left_shift(value, places) if left else xp.right_shift(value, places)


def _many(name: str, function: Callable[[Any, Array, Array], Array]) -> None:
    @operator(name)
    def handler(node: Node, *inputs: Array) -> Array:
        shape = broadcast(node, *inputs)
        xp = module(*inputs)
        return xp.broadcast_to(reduce(lambda a, b: function(xp, a, b), inputs), shape)


_many("Max", lambda xp, a, b: xp.maximum(a, b))
_many("Min", lambda xp, a, b: xp.minimum(a, b))
_many("Sum", lambda _xp, a, b: a + b)


@operator("Mean")
def mean(node: Node, *inputs: Array) -> Array:
    """The mean of the inputs, element by element."""
    broadcast(node, *inputs)
    return reduce(lambda a, b: a + b, inputs) / len(inputs)


@operator("Where")
def where(node: Node, condition: Array, positive: Array, negative: Array) -> Array:
    """Takes from `positive` where the condition holds, from `negative` elsewhere."""
    broadcast(node, condition, positive, negative)
    return module(condition, positive, negative).where(condition, positive, negative)

"""Matrix products: Gemm, MatMul, Einsum, Det. Full float32 precision, also where hardware offers less by default."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from cloister.models.errors import refuse
from cloister.models.graph import Array, Node, attribute_text
from cloister.models.operators.registry import operator

PRECISION = jax.lax.Precision.HIGHEST


@operator("Gemm")
def gemm(node: Node, a: Array, b: Array, c: Array | None = None) -> Array:
    """Alpha A' B' + beta C, with optional transposes."""
    a = a.T if node.attributes.get("transA", 0) else a
    b = b.T if node.attributes.get("transB", 0) else b
    y = jnp.matmul(a, b, precision=PRECISION)
    alpha, beta = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    if alpha != 1.0:
        y = y * jnp.asarray(alpha, y.dtype)
    if c is not None:
        y = y + (c if beta == 1.0 else c * jnp.asarray(beta, c.dtype))
    return y


@operator("MatMul")
def matrix_product(_node: Node, a: Array, b: Array) -> Array:
    """numpy.matmul."""
    return jnp.matmul(a, b, precision=PRECISION)


@operator("Einsum")
def einsum(node: Node, *inputs: Array) -> Array:
    """A sum of products by Einstein's convention."""
    equation = attribute_text(node.attributes["equation"]).replace(" ", "")
    if len(inputs) > 4:
        raise refuse(node.label, "It has more than four operands.")
    return jnp.einsum(equation, *inputs, precision=PRECISION)


@operator("Det")
def determinant(_node: Node, x: Array) -> Array:
    """Determinants of square matrices."""
    return jnp.linalg.det(x)

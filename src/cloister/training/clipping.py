"""Clipping each unit's gradient, so that in floating point too no unit moves the sum by more than the clipping norm.

What is summed is factor · gradient, with factor = min(1, limit / computed norm) and `limit` a thousandth below the clipping
norm. The mechanism's slack (`privacy.mechanisms.summation_slack`) covers the roundings of this product and of the sum; the
thousandth covers the computed norm's own error: squares are added in blocks of `_BLOCK`, in whatever order within a block,
so that the sum of n squares is off by a share of at most (_BLOCK + n / _BLOCK + 2) · 2^-24 (Higham 2002, 4.4), and the norm
by half of that: 0.013 % for a million numbers, 0.043 % for 50 million. The rest is for what is no matter of clipping: a
compiler may round a row of a batch a little differently at another place of the batch (`docs/proofs/private-gradient.md`).

Rules:
1. A unit whose gradient, or whose gradient's norm, is not finite counts as zero.
2. What one unit adds is computed from that unit alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

MARGIN: Final = 2.0**-10
_BLOCK: Final = 4096
_TINY: Final = float(np.finfo(np.float32).tiny)


def limit_of(clip: float) -> np.float32:
    """What computed norms are held to, for a clipping norm."""
    return np.float32(clip * (1 - MARGIN))


def squares(values: Any) -> Any:
    """The sum of squares of each unit's numbers: (B, ...) → (B), with the error that the module's text states."""
    flat = values.reshape(values.shape[0], -1)
    count = flat.shape[1]
    if count <= 2 * _BLOCK:
        return (flat * flat).sum(1)
    rows = math.isqrt(count) if count > _BLOCK * _BLOCK else -(-count // _BLOCK)
    width = -(-count // rows)
    padded = jnp.pad(flat, ((0, 0), (0, rows * width - count)))
    # The barrier keeps the compiler from making one long sum of the two.
    parts = jax.lax.optimization_barrier((padded * padded).reshape(flat.shape[0], rows, width).sum(2))
    return parts.sum(1)


def lengths(values: Any) -> Any:
    """The norm of each row, (B, F) → (B), also where its squares would be too large or too small for float32."""
    largest = jnp.max(jnp.abs(values), axis=1, initial=0.0)
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1.0)
    return scale * jnp.sqrt(squares(values / scale[:, None]))


def norm_of(parts: Iterable[Any]) -> Any:
    """The norm over all parameters from each parameter's sum of squares, each (B)."""
    return jnp.sqrt(sum(parts))


def factors(norm: Any, limit: Any) -> tuple[Any, Any]:
    """By what each unit's gradient is multiplied, (B), and whether it counts at all (rule 1)."""
    counts = jnp.isfinite(norm)
    return jnp.where(counts, jnp.minimum(1.0, limit / jnp.maximum(norm, _TINY)), 0.0), counts


def rows_where(counts: Any, values: Any) -> Any:
    """The rows that count, zeros for the others: zero times infinity would not be zero."""
    return jnp.where(counts.reshape((-1,) + (1,) * (values.ndim - 1)), values, 0.0)


def weighted_sum(factor: Any, values: Any) -> Any:
    """Σ factor · values over the units: (B), (B, ...) → (...)."""
    return jnp.tensordot(factor, values, axes=1, precision=jax.lax.Precision.HIGHEST)

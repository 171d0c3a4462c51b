"""Run in an environment with Opacus: lower bound, estimate and upper bound of epsilon by its PRV accountant.

Reads a JSON list of [noise multiplier, rate, steps, delta, error] and writes a list of [lower, estimate, upper], or of a word
where the accountant gives none. The bounds are those of the distribution behind its answer
(Gopi, Lee, Wutschitz 2021, theorem 5.5: within `error` of epsilon, at a delta that is off by at most a thousandth).
"""

from __future__ import annotations

import json
import sys
import warnings

import numpy as np
from opacus.accountants import PRVAccountant


def bounds(multiplier: float, rate: float, steps: int, delta: float, error: float) -> list[float] | str:
    accountant = PRVAccountant()
    accountant.history = [(multiplier, rate, steps)]
    try:
        with np.errstate(all="ignore"):
            # Its public method gives the upper bound only.
            found = accountant._get_dprv(eps_error=error, delta_error=delta / 1000)  # noqa: SLF001
            return [float(item) for item in found.compute_epsilon(delta, delta / 1000, error)]
    except (RuntimeError, ValueError, MemoryError) as problem:
        return f"{type(problem).__name__}: {problem}"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps([bounds(*item) for item in json.load(sys.stdin)]))

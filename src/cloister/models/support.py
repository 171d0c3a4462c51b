"""What is claimed about operators, and its page in the documentation: `python -m cloister.models.support > docs/reference/operators.md`.

The claim: every case that ONNX ships for a supported operator (`onnx.backend.test`, node cases) either passes or is refused by
`parse` for a reason listed here. A test runs them all, so the numbers on the page are counted, not run, when it is written.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

from cloister.models.graph import DTYPES
from cloister.models.operators.catalogue import LATEST_OPSET, OPERATORS, Operator

_SMALL = "FLOAT8|FLOAT4|FLOAT6|INT4|INT2|BFLOAT16|E8M0"

NOT_CLAIMED: tuple[tuple[str, str], ...] = (
    (
        rf"test_(cast|castlike)_.*({_SMALL}).*",
        "data types of 8 bits and fewer and bfloat16 are not supported",
    ),
    (r"test_.*(bfloat16|bf16).*", "bfloat16 is not supported: processors without it round differently"),
    (r"test_training_dropout.*", "dropout in training mode makes a model random"),
    (
        r"test_batchnorm_.*_training_mode",
        "batch normalisation in training mode mixes the examples of a batch",
    ),
    (r"test_equal_string.*", "text is not supported"),
    (r"test_identity_(sequence|opt)", "sequences and optional values are not supported"),
    (
        r"test_resize_downsample_scales_(linear|cubic)_align_corners",
        "with align_corners, runtimes disagree about scales that give no whole lengths",
    ),
)
"""Name of a case (a regular expression) → why it is refused."""


def reason_not_claimed(case: str) -> str | None:
    """Why a case is refused, or None if it must pass."""
    return next((reason for pattern, reason in NOT_CLAIMED if re.fullmatch(pattern, case)), None)


def claimed_cases() -> Iterator[Any]:
    """ONNX's own node cases that use only supported operators of ONNX's own domain."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases()
    for case in cases:
        nodes = case.model.graph.node
        if all(node.domain in ("", "ai.onnx") and node.op_type in OPERATORS for node in nodes):
            yield case


def operators_markdown() -> str:
    """The page, complete."""
    own: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    expanded = 0
    for case in claimed_cases():
        names = [node.op_type for node in case.model.graph.node]
        if reason_not_claimed(case.name):
            refused[names[0]] += 1
        elif len(names) == 1:
            own[names[0]] += 1
        else:
            expanded += 1
    total = sum(own.values()) + expanded
    lines = [
        "# Operators that models may use",
        "",
        "<!-- Written by `python -m cloister.models.support`; a test keeps it up to date. -->",
        "",
        "A model is an ONNX file whose every operator stands in this list, in ONNX's own domain. Anything else is refused before",
        "it runs, by the name of the node and the reason; `cloister model check FILE` tells which.",
        "",
        f"Each operator passes ONNX's own test cases for it: {total} in all, {expanded} of them for operators that ONNX defines by",
        f"expansion into these. {sum(refused.values())} further cases are refused for the reasons at the end. Models of MLPs, CNNs and",
        "U-Nets are compared with ONNX Runtime to 1e-4 as well.",
        "",
        f"Opset versions up to {LATEST_OPSET}. *From* is the oldest form of the operator that is understood. *Known before running*",
        "names the inputs that must be constants of the model, or computed from constants and shapes.",
        "",
        "| operator | from opset | known before running | not trained | ONNX cases passed | refused |",
        "|---|---|---|---|---|---|",
    ]
    lines.extend(_row(operator, own, refused) for _, operator in sorted(OPERATORS.items()))
    lines += ["", "## Data types", "", ", ".join(sorted(DTYPES)) + ".", ""]
    lines += [
        "64-bit numbers that are computed on data are held in 32 bits unless JAX's x64 mode is on; constants and shapes are exact.",
        "",
        "## Refused cases",
        "",
        "| cases | reason |",
        "|---|---|",
    ]
    lines.extend(f"| `{pattern.replace('|', chr(92) + '|')}` | {reason} |" for pattern, reason in NOT_CLAIMED)
    return "\n".join(lines) + "\n"


def _row(operator: Operator, own: Counter[str], refused: Counter[str]) -> str:
    import onnx

    schema = onnx.defs.get_schema(operator.name, min(LATEST_OPSET, onnx.defs.onnx_opset_version()), "")
    if schema.deprecated:
        until = f" to {schema.since_version - 1}"
        schema = onnx.defs.get_schema(operator.name, schema.since_version - 1, "")
    else:
        until = ""

    def named(places: frozenset[int]) -> str:
        return ", ".join(schema.inputs[place].name for place in sorted(places) if place < len(schema.inputs))

    return (
        f"| {operator.name} | {operator.since}{until} | {named(operator.static)} | {named(operator.buffers)} "
        f"| {own[operator.name]} | {refused[operator.name] or ''} |"
    )


if __name__ == "__main__":
    sys.stdout.write(operators_markdown())

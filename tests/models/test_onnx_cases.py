"""Every case that ONNX ships for a supported operator passes, or is refused for a reason on the list. None is skipped."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import jax
import numpy as np
import onnx
import pytest

from cloister.foundation.errors import CloisterError
from cloister.models.errors import ModelRefused
from cloister.models.execute import load_model
from cloister.models.operators.catalogue import OPERATORS
from cloister.models.operators.registry import load
from cloister.models.support import claimed_cases, operators_markdown, reason_not_claimed

ROOT = Path(__file__).resolve().parents[2]


@cache
def cases() -> dict[str, list]:
    """Cases by the operator of their first node."""
    found: dict[str, list] = {}
    for case in claimed_cases():
        nodes = case.model.graph.node
        found.setdefault(nodes[0].op_type if len(nodes) == 1 else "expanded", []).append(case)
    return found


def with_constants(model: onnx.ModelProto, values: list) -> tuple[bytes, dict[str, np.ndarray]]:
    """The model with the inputs that must be known before running made constants, and the other inputs' values."""
    operators, copy = OPERATORS, onnx.ModelProto()
    copy.CopyFrom(model)
    needed: set[str] = set()
    for node in reversed(copy.graph.node):
        inherits = node.op_type not in ("Shape", "Size") and bool(needed & set(node.output))
        needed |= {
            n for i, n in enumerate(node.input) if n and (inherits or i in operators[node.op_type].static)
        }
    given = {}
    for item, value in zip(model.graph.input, values, strict=True):
        value = onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
        if item.name in needed:
            copy.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), item.name))
            copy.graph.input.remove(item)
        else:
            given[item.name] = value
    return copy.SerializeToString(), given


def check(case) -> None:
    for inputs, outputs in case.data_sets:
        data, given = with_constants(case.model, inputs)
        # One compilation for a whole case; and what works under jit works eagerly.
        results = jax.jit(load_model(data).function)({}, given)
        for item, want in zip(case.model.graph.output, outputs, strict=True):
            want = (
                onnx.numpy_helper.to_array(want) if isinstance(want, onnx.TensorProto) else np.asarray(want)
            )
            got = np.asarray(results[item.name])
            assert (got.dtype, got.shape) == (want.dtype, want.shape), item.name
            if want.dtype.kind == "f":
                np.testing.assert_allclose(
                    got.astype(float), want.astype(float), rtol=case.rtol, atol=case.atol
                )
            else:
                np.testing.assert_array_equal(got, want)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("operator", [*sorted(OPERATORS), "expanded"])
def test_every_case_of_onnx_for_an_operator_passes_or_is_refused_for_a_listed_reason(operator: str) -> None:
    wrong = []
    with jax.enable_x64(True):
        for case in cases().get(operator, []):
            try:
                check(case)
            except CloisterError as error:
                if reason_not_claimed(case.name) is None or not isinstance(error, ModelRefused):
                    wrong.append(f"{case.name}: {error}")
            except Exception as error:
                wrong.append(f"{case.name}: {type(error).__name__} {error}")
            else:
                if reason_not_claimed(case.name) is not None:
                    wrong.append(f"{case.name}: it passes, but is listed as refused")
    assert not wrong, "\n".join(wrong)


def test_the_page_of_operators_is_up_to_date() -> None:
    assert (ROOT / "docs/reference/operators.md").read_text("utf-8") == operators_markdown()


def test_every_allowed_operator_has_a_handler_and_every_handler_is_allowed() -> None:
    assert set(load()) == set(OPERATORS)


def test_a_model_is_refused_or_admitted_without_loading_jax() -> None:
    program = "import sys; from cloister.models.parse import parse; print(sorted(m for m in sys.modules if m.split('.')[0] in ('jax', 'jaxlib', 'onnxruntime')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

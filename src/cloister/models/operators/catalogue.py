"""The allow-list: which ONNX operators models may use, from which version on, and what each needs to know before running.

Pure data, so that a node or a user's tool can refuse a model without loading JAX. The handlers stand in the families beside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cloister.models.graph import Node
from cloister.models.operators import refusals

LATEST_OPSET = 28
EARLIEST_OPSET = 1


@dataclass(frozen=True)
class Operator:
    """One allowed operator.

    Attributes:
        name: ONNX's name, domain `ai.onnx`.
        since: the oldest "since version" that the handler understands.
        static: positions of inputs that must be known before running; they can't be trained or computed on data.
        buffers: positions of inputs that are state rather than weights (running statistics): constant, not trained.
        fold: whether known inputs give a known output.
        refuses: tells why a particular use is not supported, or None.
    """

    name: str
    since: int
    static: frozenset[int]
    buffers: frozenset[int]
    fold: bool
    refuses: Callable[[Node], str | None]


def _rule(
    name: str,
    since: int,
    *,
    static: tuple[int, ...] = (),
    buffers: tuple[int, ...] = (),
    fold: bool = False,
    refuses: Callable[[Node], str | None] = refusals.nothing,
) -> Operator:
    return Operator(name, since, frozenset(static), frozenset(buffers), fold, refuses)


_ALL = (
    _rule("Abs", 6, fold=True),
    _rule("Acos", 7, fold=True),
    _rule("Acosh", 9, fold=True),
    _rule("Add", 7, fold=True),
    _rule("And", 7, fold=True),
    _rule("ArgMax", 1, fold=True),
    _rule("ArgMin", 1, fold=True),
    _rule("Asin", 7, fold=True),
    _rule("Asinh", 9, fold=True),
    _rule("Atan", 7, fold=True),
    _rule("Atanh", 9, fold=True),
    _rule("AveragePool", 7, refuses=refusals.window),
    _rule("BatchNormalization", 7, buffers=(3, 4), refuses=refusals.batch),
    _rule("BitCast", 26, fold=True, refuses=refusals.cast),
    _rule("BitShift", 11, fold=True),
    _rule("BitwiseAnd", 18, fold=True),
    _rule("BitwiseNot", 18, fold=True),
    _rule("BitwiseOr", 18, fold=True),
    _rule("BitwiseXor", 18, fold=True),
    _rule("Cast", 6, fold=True, refuses=refusals.cast),
    _rule("CastLike", 15, fold=True),
    _rule("Ceil", 6, fold=True),
    _rule("Celu", 12),
    _rule("CenterCropPad", 18, static=(1,)),
    _rule("Clip", 6, fold=True),
    _rule("Compress", 9, static=(1,)),
    _rule("Concat", 4, fold=True),
    _rule("Constant", 1),
    _rule("ConstantOfShape", 9, static=(0,)),
    _rule("Conv", 1, refuses=refusals.window),
    _rule("ConvInteger", 10, refuses=refusals.window),
    _rule("ConvTranspose", 1, refuses=refusals.transpose),
    _rule("Cos", 7, fold=True),
    _rule("Cosh", 9, fold=True),
    _rule("CumProd", 26, static=(1,), fold=True),
    _rule("CumSum", 11, static=(1,), fold=True),
    _rule("DepthToSpace", 1),
    _rule("Det", 11),
    _rule("Div", 7, fold=True),
    _rule("Dropout", 7, static=(2,)),
    _rule("Einsum", 12, refuses=refusals.einsum),
    _rule("Elu", 6),
    _rule("Equal", 7, fold=True),
    _rule("Erf", 9),
    _rule("Exp", 6, fold=True),
    _rule("Expand", 8, static=(1,), fold=True),
    _rule("EyeLike", 9),
    _rule("Flatten", 1, fold=True),
    _rule("Floor", 6, fold=True),
    _rule("Gather", 1, fold=True),
    _rule("GatherElements", 11),
    _rule("GatherND", 11),
    _rule("Gelu", 20),
    _rule("Gemm", 7),
    _rule("GlobalAveragePool", 1),
    _rule("GlobalLpPool", 2),
    _rule("GlobalMaxPool", 1),
    _rule("Greater", 7, fold=True),
    _rule("GreaterOrEqual", 12, fold=True),
    _rule("GroupNormalization", 18),
    _rule("HardSigmoid", 6),
    _rule("HardSwish", 14),
    _rule("Hardmax", 1),
    _rule("Identity", 1, fold=True),
    _rule("InstanceNormalization", 6),
    _rule("IsInf", 10, fold=True),
    _rule("IsNaN", 9, fold=True),
    _rule("LRN", 1),
    _rule("LayerNormalization", 17, refuses=refusals.stash),
    _rule("LeakyRelu", 6),
    _rule("Less", 7, fold=True),
    _rule("LessOrEqual", 12, fold=True),
    _rule("Log", 6, fold=True),
    _rule("LogSoftmax", 1),
    _rule("LpNormalization", 1),
    _rule("LpPool", 2, refuses=refusals.window),
    _rule("MatMul", 1),
    _rule("Max", 6, fold=True),
    _rule("MaxPool", 8, refuses=refusals.window),
    _rule("Mean", 6, fold=True),
    _rule("MeanVarianceNormalization", 9),
    _rule("Min", 6, fold=True),
    _rule("Mish", 18),
    _rule("Mod", 10, fold=True),
    _rule("Mul", 7, fold=True),
    _rule("Neg", 6, fold=True),
    _rule("Not", 1, fold=True),
    _rule("OneHot", 9, static=(1,)),
    _rule("Or", 7, fold=True),
    _rule("PRelu", 7),
    _rule("Pad", 2, static=(1, 2, 3), fold=True, refuses=refusals.pad),
    _rule("Pow", 7, fold=True),
    _rule("RMSNormalization", 23, refuses=refusals.stash),
    _rule("Range", 11, static=(0, 1, 2)),
    _rule("Reciprocal", 6, fold=True),
    _rule("ReduceL1", 1, static=(1,), fold=True),
    _rule("ReduceL2", 1, static=(1,), fold=True),
    _rule("ReduceLogSum", 1, static=(1,), fold=True),
    _rule("ReduceLogSumExp", 1, static=(1,), fold=True),
    _rule("ReduceMax", 1, static=(1,), fold=True),
    _rule("ReduceMean", 1, static=(1,), fold=True),
    _rule("ReduceMin", 1, static=(1,), fold=True),
    _rule("ReduceProd", 1, static=(1,), fold=True),
    _rule("ReduceSum", 1, static=(1,), fold=True),
    _rule("ReduceSumSquare", 1, static=(1,), fold=True),
    _rule("Relu", 6),
    _rule("Reshape", 5, static=(1,), fold=True),
    _rule("Resize", 10, static=(1, 2, 3), refuses=refusals.resize),
    _rule("ReverseSequence", 10),
    _rule("Round", 11, fold=True),
    _rule("ScatterElements", 11, refuses=refusals.scatter),
    _rule("ScatterND", 11, refuses=refusals.scatter),
    _rule("Selu", 6),
    _rule("Shape", 1),
    _rule("Shrink", 9),
    _rule("Sigmoid", 6),
    _rule("Sign", 9, fold=True),
    _rule("Sin", 7, fold=True),
    _rule("Sinh", 9, fold=True),
    _rule("Size", 1),
    _rule("Slice", 1, static=(1, 2, 3, 4), fold=True),
    _rule("Softmax", 1),
    _rule("Softplus", 1),
    _rule("Softsign", 1),
    _rule("SpaceToDepth", 1),
    _rule("Split", 1, static=(1,), fold=True),
    _rule("Sqrt", 6, fold=True),
    _rule("Squeeze", 1, static=(1,), fold=True),
    _rule("Sub", 7, fold=True),
    _rule("Sum", 6, fold=True),
    _rule("Swish", 24),
    _rule("Tan", 7, fold=True),
    _rule("Tanh", 6),
    _rule("ThresholdedRelu", 10),
    _rule("Tile", 6, static=(1,), fold=True),
    _rule("TopK", 10, static=(1,)),
    _rule("Transpose", 1, fold=True),
    _rule("Trilu", 14, static=(1,)),
    _rule("Unsqueeze", 1, static=(1,), fold=True),
    _rule("Upsample", 9, static=(1,), refuses=refusals.upsample),
    _rule("Where", 9, fold=True),
    _rule("Xor", 7, fold=True),
)

OPERATORS: dict[str, Operator] = {rule.name: rule for rule in _ALL}
"""All allowed operators by name."""

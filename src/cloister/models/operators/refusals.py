"""Uses of allowed operators that are refused by their attributes alone, before anything is built: reasons, or None.

Without JAX, so that a node or a user's tool can refuse a model at once.
"""

from __future__ import annotations

from cloister.models.graph import DTYPES, Node, attribute_text

MAX_WINDOW = 1 << 14
PAD_MODES = frozenset({"constant", "reflect", "edge", "wrap"})
PLACEMENTS = {"none": "set", "add": "add", "mul": "multiply", "max": "max", "min": "min"}
"""ONNX's reduction of a scatter → the name in JAX."""
COORDINATES = frozenset(
    {
        "half_pixel",
        "half_pixel_symmetric",
        "pytorch_half_pixel",
        "align_corners",
        "asymmetric",
        "tf_crop_and_resize",
        "tf_half_pixel_for_nn",
    }
)


def nothing(_node: Node) -> str | None:
    """Every use is supported."""
    return None


def window(node: Node) -> str | None:
    """Kernels, strides, dilations and pads beyond any use are attempts to make this machine work."""
    size = 1
    for kernel in node.attributes.get("kernel_shape", ()):
        if kernel < 1:
            return "A kernel has no size."
        size *= kernel
    if size > MAX_WINDOW:
        return f"Its window has {size} elements; the limit is {MAX_WINDOW}."
    for name in ("strides", "dilations"):
        if any(not 1 <= value <= 4096 for value in node.attributes.get(name, ())):
            return f"Its {name} are out of range."
    if any(not 0 <= value <= 4096 for value in node.attributes.get("pads", ())):
        return "Its pads are out of range."
    if attribute_text(node.attributes.get("auto_pad", "NOTSET")) not in (
        "NOTSET",
        "SAME_UPPER",
        "SAME_LOWER",
        "VALID",
    ):
        return "Its auto_pad is not known."
    return None


def transpose(node: Node) -> str | None:
    """What is refused of ConvTranspose."""
    reason = window(node)
    if any(not 0 <= value <= 4096 for value in node.attributes.get("output_padding", ())):
        return "Its output_padding is out of range."
    if any(not 0 <= value <= 1 << 16 for value in node.attributes.get("output_shape", ())):
        return "Its output_shape is out of range."
    return reason


def scatter(node: Node) -> str | None:
    """What is refused of ScatterElements and ScatterND."""
    mode = attribute_text(node.attributes.get("reduction", "none"))
    return None if mode in PLACEMENTS else f"Reduction {mode[:20]!a} is not known."


def einsum(node: Node) -> str | None:
    """What is refused of Einsum."""
    equation = attribute_text(node.attributes.get("equation", ""))
    return "Its equation is too long." if len(equation) > 100 else None


def cast(node: Node) -> str | None:
    """What is refused of Cast and BitCast."""
    import onnx

    number = int(node.attributes.get("to", 0))
    try:
        name = onnx.helper.tensor_dtype_to_np_dtype(number).name
    except (KeyError, ValueError, TypeError):
        name = ""
    return None if name in DTYPES else f"It casts to a data type that is not supported ({number})."


def batch(node: Node) -> str | None:
    """What is refused of BatchNormalization."""
    if node.attributes.get("training_mode", 0) or sum(bool(name) for name in node.outputs) > 1:
        return "It is a batch normalisation in training mode, which mixes the examples of a batch."
    return None


def stash(node: Node) -> str | None:
    """What is refused of LayerNormalization and RMSNormalization."""
    return None if node.attributes.get("stash_type", 1) in (1, 11) else "Its stash_type is not supported."


def resize(node: Node) -> str | None:
    """What is refused of Resize."""
    if attribute_text(node.attributes.get("mode", "nearest")) not in ("nearest", "linear", "cubic"):
        return "Its mode is not known."
    if attribute_text(node.attributes.get("coordinate_transformation_mode", "half_pixel")) not in COORDINATES:
        return "Its coordinate mode is not known."
    return None


def upsample(node: Node) -> str | None:
    """What is refused of Upsample."""
    return (
        None
        if attribute_text(node.attributes.get("mode", "nearest")) in ("nearest", "linear")
        else "Its mode is not known."
    )


def pad(node: Node) -> str | None:
    """What is refused of Pad."""
    mode = attribute_text(node.attributes.get("mode", "constant"))
    return None if mode in PAD_MODES else f"Padding mode {mode[:20]!a} is not known."

"""Pictures from foreign bytes: decoded within limits, as plain arrays of 8-bit samples, or refused with advice.

A picture is the commonest untrusted input there is. Rules:
1. The format is told from the first bytes, never from the file's name, and only PNG, JPEG, TIFF and BMP are opened,
   each by its own decoder; no other decoder ever sees the bytes.
2. The header's size is checked before any pixel is decoded, so that a decompression bomb costs nothing.
3. One picture per file: animations and multi-page files are refused rather than silently cut to their first page.
4. A truncated or damaged file is refused, never padded.
5. Only pixels come out. EXIF orientation is applied; all other metadata (place, time, camera, thumbnails) is dropped.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cloister.data.deep_colours import ask_for_lower_bytes, has_deep_planes, has_lower_bytes, together
from cloister.data.png import SIGNATURE, chunk_kinds
from cloister.foundation.errors import BadInput, NotFound
from cloister.foundation.files import read_limited

Pixels: TypeAlias = NDArray[np.uint8]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
ImageFormat: TypeAlias = Literal["png", "jpeg", "tiff", "bmp"]
_MAGIC: tuple[tuple[ImageFormat, bytes], ...] = (
    ("png", SIGNATURE),
    ("jpeg", b"\xff\xd8\xff"),
    ("tiff", b"II*\x00"),
    ("tiff", b"MM\x00*"),
    ("bmp", b"BM"),
)
_ORIENTATION = 0x0112
_PNG_END = b"IEND\xaeB`\x82"
_PNG_METADATA = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt"})
_INTEGER_DEPTHS = (255, 1023, 4095, 16383, 65535)


@dataclass(frozen=True)
class ImageLimits:
    """How much a picture may ask of this machine.

    Args:
        max_bytes: of the encoded file.
        max_pixels: width times height.
    """

    max_bytes: int = 512 << 20
    max_pixels: int = 200_000_000


LIMITS = ImageLimits()

_STRIP = 4_000_000
"""Pixels that are copied at a time."""


def decode_image(source: bytes | Path, limits: ImageLimits = LIMITS, *, name: str = "") -> Pixels:
    """The pixels of a PNG, JPEG, TIFF or BMP picture.

    Grey pictures come as height x width, all others as height x width x 3 (red, green, blue). What is
    transparent gets the median colour of what is not (white if all is). 10-, 12-, 14- and 16-bit samples are scaled to 0..255 by the smallest of those depths that holds the
    brightest one, so that a 12-bit camera writing 16-bit files does not give a black picture.

    Args:
        source: the encoded bytes, or a file holding them.
        limits: refuse more than this.
        name: what to call the picture in errors (the file's name if `source` is a path).

    Raises:
        NotFound: there is no such file.
        BadInput: not a picture, not one of the four formats, damaged, of several pages, or over a limit.
    """
    label = name or (source.name if isinstance(source, Path) else "The picture")
    data = _content(source, limits, label)
    picture = open_image(data, limits, label)
    try:
        if data.startswith(b"\x89PNG") and _PNG_END not in data:
            raise EOFError  # all pixels may be there, but its writer had not finished
        if has_deep_planes(picture):
            raise BadInput(
                f"{label} keeps its colours apart, with 16 bits each.",
                "That form of TIFF is not read rightly.",
                "Save it as PNG, or as TIFF with interleaved (contiguous) colours.",
            )
        deep = has_lower_bytes(picture)
        picture.load()
        orientation = _orientation(picture)
        pixels = _deep(picture, open_image(data, limits, label)) if deep else _to_array(picture, label)
    except BadInput:
        raise
    except MemoryError:
        raise BadInput(
            f"{label} does not fit into memory.",
            "It is too large for this machine.",
            "Use a smaller picture.",
        ) from None
    except Exception as error:
        raise _damaged(label, error) from None
    finally:
        picture.close()
    return np.ascontiguousarray(_upright(pixels, orientation))


def image_size(source: bytes | Path, limits: ImageLimits = LIMITS, *, name: str = "") -> tuple[int, int]:
    """(width, height) of a picture as `decode_image` would give it, from its header alone. Raises as `decode_image`."""
    label = name or (source.name if isinstance(source, Path) else "The picture")
    data = _content(source, limits, label)
    picture = open_image(data, limits, label)
    try:
        turned = _orientation(picture, known=_metadata_read(data)) in (5, 6, 7, 8)
        width, height = picture.size
    finally:
        picture.close()
    # Pillow reports a TIFF's size as already turned upright.
    return (height, width) if turned and picture.format != "TIFF" else (width, height)


def image_format(data: bytes, *, name: str = "") -> ImageFormat:
    """Which of the four formats a picture has, from its first bytes. Raises `BadInput` for any other."""
    for form, begin in _MAGIC:
        if data.startswith(begin):
            return form
    raise BadInput(
        f"{name or 'The picture'} is not a picture that can be opened.",
        _guess(data),
        "Save it as PNG, JPEG, TIFF or BMP.",
    )


def _content(source: bytes | Path, limits: ImageLimits, label: str) -> bytes:
    if isinstance(source, bytes):
        if len(source) > limits.max_bytes:
            raise BadInput(
                f"{label} is too large.", f"The limit is {limits.max_bytes} bytes.", "Use a smaller file."
            )
        return source
    if not source.exists():
        raise NotFound(f"There is no file {source}.", "", "Check the path.")
    if not source.is_file():
        raise BadInput(f"{label} is not a file.", "A picture file was expected.", "Name the picture itself.")
    try:
        return read_limited(source, limits.max_bytes)
    except OSError as error:
        raise BadInput(f"{label} cannot be read.", error.strerror or "", "Check its permissions.") from None


def open_image(data: bytes, limits: ImageLimits = LIMITS, label: str = "The picture") -> Any:
    """The picture as its own decoder opened it, header read and judged, no pixel decoded. Raises `BadInput`."""
    from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

    # The decoders are called directly: PIL.Image.open would try others, and judges size by a process-wide setting.
    decoder: Any = {
        "png": PngImagePlugin.PngImageFile,
        "jpeg": JpegImagePlugin.JpegImageFile,
        "tiff": TiffImagePlugin.TiffImageFile,
        "bmp": BmpImagePlugin.BmpImageFile,
    }[image_format(data, name=label)]
    try:
        picture = decoder(io.BytesIO(data))
        width, height = picture.size
    except Exception as error:
        raise _damaged(label, error) from None
    if width < 1 or height < 1 or width * height > limits.max_pixels:
        picture.close()
        raise BadInput(
            f"{label} has too many pixels.",
            f"Its header says {width} x {height}; the limit is {limits.max_pixels} pixels in all.",
            "Crop it or scale it down.",
        )
    try:
        several = _has_second_frame(picture)
    except Exception as error:
        raise _damaged(label, error) from None
    if several:
        picture.close()
        raise BadInput(
            f"{label} holds several pictures.",
            "It is animated or has several pages.",
            "Save each page as its own file.",
        )
    return picture


def _has_second_frame(picture: Any) -> bool:
    try:
        picture.seek(1)
    except EOFError:
        return False
    return True


def _guess(data: bytes) -> str:
    head = data[:512].lstrip().lower()
    for condition, kind in (
        (not data, "an empty file"),
        (data.startswith(b"GIF8"), "a GIF"),
        (data[:4] == b"RIFF" and data[8:12] == b"WEBP", "a WebP picture"),
        (data[4:8] == b"ftyp", "a HEIC or AVIF picture, or a video"),
        (data.startswith(b"%PDF"), "a PDF document"),
        (data.startswith(b"PK\x03\x04"), "a ZIP archive or an office document"),
        (b"<svg" in head, "an SVG drawing, which has no pixels"),
        (head.startswith((b"<!doctype", b"<html", b"<?xml", b"<")), "a web page or XML document"),
        (data[:4] in (b"II+\x00", b"MM\x00+"), "a BigTIFF"),
        (all(byte >= 9 and byte != 127 for byte in data[:512]) and _is_text(data[:512]), "a text file"),
    ):
        if condition:
            return f"It looks like {kind}."
    return "Its first bytes are those of no known picture format."


def _is_text(data: bytes) -> bool:
    # The last character may be cut in the middle.
    return any(_decodes(data[: len(data) - cut]) for cut in range(min(4, len(data))))


def _decodes(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _damaged(label: str, error: Exception) -> BadInput:
    return BadInput(
        f"{label} is damaged or cut short.",
        f"The decoder stopped ({type(error).__name__}).",
        "Copy it again from the camera or microscope.",
    )


def _metadata_read(data: bytes) -> bool:
    """Whether all metadata of a picture lies before its pixels, so that an opened one has it."""
    if not data.startswith(SIGNATURE):
        return False
    kinds = list(chunk_kinds(data))
    return b"IDAT" in kinds and _PNG_METADATA.isdisjoint(kinds[kinds.index(b"IDAT") :])


def _orientation(picture: Any, *, known: bool = False) -> int:
    """The EXIF orientation; `known` if the metadata was read, for which Pillow decodes a whole PNG otherwise."""
    from PIL import Image

    try:
        exif = Image.Image.getexif(picture) if known else picture.getexif()
        value = exif.get(_ORIENTATION, 1)
    except Exception:  # malformed metadata must not cost the picture: pixels as stored are then right
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undoes EXIF orientation 1..8 (CIPA DC-008, 4.6.4)."""
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _to_array(picture: Any, label: str) -> Pixels:
    from PIL import Image

    mode = picture.mode
    if mode in ("L", "1"):
        if "transparency" not in picture.info:
            return np.asarray(picture if mode == "L" else picture.convert("L"), dtype=np.uint8)
    elif mode.startswith("I"):
        return _from_integers(np.asarray(picture), label)
    elif mode == "F":
        return _from_reals(np.asarray(picture), label)
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        over = picture.convert("RGBA")
        ground = Image.new("RGBA", over.size, _ground(over))
        ground.alpha_composite(over)
        grey = mode in ("LA", "La", "L", "1")
        return np.asarray(ground.convert("L" if grey else "RGB"), dtype=np.uint8)
    # Pillow would copy what has the form already.
    return _samples(picture if mode == "RGB" else picture.convert("RGB"))


def _samples(picture: Any) -> Pixels:
    """A colour picture's samples, strip by strip: as a whole, Pillow would have them three times in memory for a moment."""
    width, height = picture.size
    samples = np.empty((height, width, 3), dtype=np.uint8)
    tall = max(1, _STRIP // width)
    for top in range(0, height, tall):
        bottom = min(top + tall, height)
        samples[top:bottom] = np.asarray(picture.crop((0, top, width, bottom)))
    return samples


def _ground(over: Any) -> tuple[int, int, int, int]:
    """What transparent parts are laid on: the median colour of what shows, so that its edge is none of an object; white if nothing shows."""
    shows = over.getchannel("A").point(lambda alpha: 255 * (alpha > 127))
    counts = np.array(over.convert("RGB").histogram(shows)).reshape(3, 256).cumsum(axis=1)
    total = counts[0, -1]
    red, green, blue = (
        (int(np.searchsorted(one, (total + 1) // 2)) for one in counts) if total else (255,) * 3
    )
    return red, green, blue, 255


def _deep(picture: Any, again: Any) -> Pixels:
    """A picture with 16 bits a colour, from two that were opened of it, of which the first is loaded."""
    from PIL import Image

    form = ask_for_lower_bytes(again)
    again.load()
    samples = together(np.asarray(picture), np.asarray(again), form)
    top = int(samples[:, :, :3].max())
    full = next(depth for depth in _INTEGER_DEPTHS if top <= depth)
    colours = ((samples[:, :, :3].astype(np.uint32) * 255 + full // 2) // full).astype(np.uint8)
    if samples.shape[2] == 3:
        return colours
    over = Image.fromarray(np.dstack([colours, samples[:, :, 3].astype(np.uint8)]))
    return _to_array(over, "")


def _from_integers(samples: NDArray[Any], label: str) -> Pixels:
    top = int(samples.max())
    if int(samples.min()) < 0 or top > _INTEGER_DEPTHS[-1]:
        raise BadInput(
            f"{label} has samples beyond 16 bits.",
            "Brightness 0..65535 was expected.",
            "Save it with 8 or 16 bits.",
        )
    full = next(depth for depth in _INTEGER_DEPTHS if top <= depth)
    if full == 255:
        return samples.astype(np.uint8)
    return ((samples.astype(np.uint32) * 255 + full // 2) // full).astype(np.uint8)


def _from_reals(samples: NDArray[Any], label: str) -> Pixels:
    low, top = float(samples.min()), float(samples.max())
    if not (np.isfinite(low) and np.isfinite(top)) or low < 0 or top > 255:
        raise BadInput(
            f"{label} has floating-point samples outside 0..1 and 0..255.",
            "What counts as white cannot be told.",
            "Save it with 8 or 16 bits.",
        )
    return np.rint(samples * (255.0 if top <= 1.0 else 1.0)).astype(np.uint8)

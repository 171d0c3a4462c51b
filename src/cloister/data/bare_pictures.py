"""A picture's pixels and nothing else: what may go to somebody who is to see the picture, but not what its file carries.

A camera's file tells more than it shows: place, time, serial number, a thumbnail of the uncropped picture, names in comments, whatever
somebody hung behind its end. A list of what to cut out would always lack something, so nothing is cut out: the pixels are read as
Cloister reads every picture (`images.decode_image`), and a new file is made from them alone.

Rules:
1. The new file is a PNG of the least form there is (W3C PNG, third edition, section 5): the signature, IHDR, one or more IDAT, IEND. 8 bits
   a sample, grey or red, green and blue, not interlaced. No other chunk, nothing behind the end.
2. Its compressed stream (RFC 1950) holds exactly the rows that the header promises, and nothing follows it within the chunks.
3. Whether a file is of that form is told from its bytes (`is_bare`), without trusting who made it: whoever makes it and whoever is
   given it ask the same question.
4. What is noticed in a file (`carried`) is for people who decide. It may lack something; the new file does not depend on it.

What this cannot do: pixels are kept as they are. What is written *in* the picture (a burnt-in date, a face, a scale bar, a watermark,
the pattern of noise that a sensor has) is still there.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from cloister.data.deep_colours import has_lower_bytes
from cloister.data.images import LIMITS, ImageLimits, decode_image, image_format, open_image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">IIBBBBB")
_SAMPLES = {0: 1, 2: 3}
"""Samples a pixel by the header's colour type: grey, and red, green, blue."""
_STEP = 1 << 20
_EXIF, _GPS, _SECOND = 0x8769, 0x8825, 1
_TAGS: dict[int, str] = {
    0x010F: "the camera's make",
    0x0110: "the camera's model",
    0x0131: "the software's name",
    0x013B: "the photographer's name",
    0x8298: "a copyright note",
    0x010E: "a description",
    0x0132: "a time",
    0x9003: "a time",
    0x9004: "a time",
    0xA431: "the camera's serial number",
    0xC62F: "the camera's serial number",
    0xA435: "the lens's serial number",
    0xA430: "the owner's name",
    0x927C: "the camera maker's own notes",
    0x9286: "a comment",
    0xA420: "a number of the picture",
    0x83BB: "newspaper fields (IPTC)",
    0x8649: "Photoshop's fields",
    0x02BC: "XMP",
    0x8773: "a colour profile",
}
_INFO: dict[str, str] = {
    "comment": "a comment",
    "Comment": "a comment",
    "xmp": "XMP",
    "XML:com.adobe.xmp": "XMP",
    "icc_profile": "a colour profile",
    "photoshop": "Photoshop's fields",
    "adobe": "Adobe's fields",
    "transparency": "transparency",
}


def bare(data: bytes, limits: ImageLimits = LIMITS, *, name: str = "") -> bytes:
    """The picture's pixels as a new PNG; the very bytes that were given if they are of that form already.

    Args:
        data: an encoded picture.
        limits: refuse more than this.
        name: what to call the picture in errors.

    Returns:
        The file: what `decode_image` reads from it is what it reads from `data`, upright, in 8 bits a sample, without transparency.

    Raises:
        BadInput: as `images.decode_image`.
    """
    if is_bare(data, limits):
        return data
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(decode_image(data, limits, name=name)).save(stream, "PNG")
    return stream.getvalue()


def is_bare(data: bytes, limits: ImageLimits = LIMITS) -> bool:
    """Whether a file is a PNG of pixels alone (rules 1 and 2). Never raises; reads no more rows than the header promises."""
    try:
        return _is_bare(data, limits)
    except (struct.error, zlib.error):
        return False


def _is_bare(data: bytes, limits: ImageLimits) -> bool:
    if not data.startswith(_SIGNATURE) or len(data) > limits.max_bytes:
        return False
    at, kinds, stream = len(_SIGNATURE), list[bytes](), _Stream()
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = memoryview(data)[at + 8 : at + 8 + size]
        (sum_,) = struct.unpack_from(">I", data, at + 8 + size)
        if sum_ != zlib.crc32(body, zlib.crc32(kind)):
            return False
        at += 12 + size
        if not kinds:
            if kind != b"IHDR" or not stream.begins(bytes(body), limits):
                return False
        elif kind == b"IDAT":
            if not stream.feed(body):
                return False
        elif kind != b"IEND" or size or at != len(data):
            return False
        kinds.append(kind)
    return len(kinds) > 2 and kinds[-1] == b"IEND" and stream.whole


class _Stream:
    """The compressed rows on their way through: counted, not kept."""

    def __init__(self) -> None:
        self._rows = zlib.decompressobj()
        self._expected = self._row = self._seen = 0

    def begins(self, header: bytes, limits: ImageLimits) -> bool:
        width, height, depth, colour, compression, filtering, interlace = _HEADER.unpack(header)
        self._row = 1 + width * _SAMPLES.get(colour, 0)
        self._expected = height * self._row
        return (
            depth == 8
            and colour in _SAMPLES
            and (compression, filtering, interlace) == (0, 0, 0)
            and 0 < width * height <= limits.max_pixels
        )

    def feed(self, part: memoryview) -> bool:
        """Whether everything is right so far."""
        waiting: bytes | memoryview = part
        while len(waiting):
            if (
                self._rows.eof
                or not self._take(self._rows.decompress(waiting, _STEP))
                or self._rows.unused_data
            ):
                return False
            waiting = self._rows.unconsumed_tail
        return True

    def _take(self, plain: bytes) -> bool:
        first = -self._seen % self._row
        self._seen += len(plain)
        return self._seen <= self._expected and all(kind <= 4 for kind in plain[first :: self._row])

    @property
    def whole(self) -> bool:
        """Whether all rows were there and the stream ended after them."""
        # What a step held back for want of room comes out here.
        while not self._rows.eof:
            plain = self._rows.decompress(b"", _STEP)
            if not plain or not self._take(plain):
                return False
        return self._seen == self._expected


def carried(data: bytes, limits: ImageLimits = LIMITS) -> tuple[str, ...]:
    """What a picture's file was seen to carry besides its pixels, in words, each once, sorted; nothing for a file that is no picture.

    `bare` leaves all of it out, and also what is not named here (rule 4).
    """
    if is_bare(data, limits):
        return ()
    found: set[str] = set()
    for look in (_behind, _fields, _information):
        try:
            found.update(look(data, limits))
        except Exception:  # noqa: S112 - malformed metadata is no reason to say nothing about the rest
            continue
    return tuple(sorted(found))


def _behind(data: bytes, _limits: ImageLimits) -> Iterable[str]:
    ends: dict[str, Callable[[], int]] = {
        "png": lambda: data.find(b"IEND\xaeB`\x82") + 8,
        "jpeg": lambda: data.rfind(b"\xff\xd9") + 2,
        "bmp": lambda: struct.unpack_from("<I", data, 2)[0],
    }
    form = image_format(data)
    if form in ends and 8 <= ends[form]() < len(data):
        yield "bytes behind its end"


def _fields(data: bytes, limits: ImageLimits) -> Iterable[str]:
    picture = open_image(data, limits)
    with picture:
        exif = picture.getexif()
        tags = dict(exif)
        inner = exif.get_ifd(_EXIF)
        if exif.get_ifd(_GPS):
            yield "the place (GPS)"
        if exif.get_ifd(_SECOND) or b"\xff\xd8\xff" in picture.info.get("exif", b""):
            yield "an embedded thumbnail"
        if picture.info.get("exif") or inner:
            yield "EXIF"
        for tag in {*tags, *inner}:
            if tag in _TAGS:
                yield _TAGS[tag]


def _information(data: bytes, limits: ImageLimits) -> Iterable[str]:
    picture: Any = open_image(data, limits)
    with picture:
        if picture.mode.startswith("I") or has_lower_bytes(picture):
            yield "more than 8 bits a sample"
        if picture.mode in ("LA", "RGBA", "PA"):
            yield "transparency"
        picture.load()
        if getattr(picture, "text", None):
            yield "text"
        for key in picture.info:
            if key in _INFO:
                yield _INFO[key]

"""Corrected results as a folder that can be registered as a dataset: pictures, and the objects in each, in one ZIP file.

What is written are the pictures as this server shows them (decoded, without metadata) and labels in pixels of these, in the form of
`data.labels`. A picture that was not kept is named: its labels wait for it.
"""

from __future__ import annotations

import io
import re
import threading
import zipfile
from collections.abc import Iterable

from cloister.foundation.canonical import canonical
from cloister.foundation.errors import NotFound
from cloister.node.toolroom.recent import Sample
from cloister.node.toolroom.room import ToolRoom, Who
from cloister.tools.corrections import labels_of

MOST = 500
"""Results in one file."""
MOST_BYTES = 256 << 20
"""Of the pictures in one file, which is made in memory."""
_DATED = (1980, 1, 1, 0, 0, 0)
_ONE = threading.Lock()


def as_dataset(room: ToolRoom, samples: Iterable[Sample], who: Who) -> bytes:
    """A ZIP with `images/`, `labels/` and `read-me.txt`: results that have no outlines are left out, and said.

    It takes long; one is made at a time, since each is in memory.

    Args:
        room: has their files.
        samples: which; at most `MOST` are taken.
        who: asks.

    Raises:
        NotFound: none of them has outlines.
    """
    with _ONE:
        return _zipped(room, samples, who)


def _zipped(room: ToolRoom, samples: Iterable[Sample], who: Who) -> bytes:
    stream, told, size, used = io.BytesIO(), [], 0, 0
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for sample in list(samples)[:MOST]:
            try:
                state = room.corrections(sample.id, who)
            except NotFound:
                told.append(f"{sample.file}: left out, its tool gives no outlines.")
                continue
            stem = f"{_stem(sample.file)}-{sample.id[:8]}"
            picture, kind = _picture(room, sample, who)
            size += len(picture)
            if size > MOST_BYTES:
                told.append(f"{sample.file}: left out, and all after it: the file would be too large.")
                break
            used += 1
            _add(made, f"labels/{stem}.json", canonical(labels_of(state.found, state.things()).as_json()))
            if picture:
                _add(made, f"images/{stem}.{kind}", picture)
                told.append(f"{stem}: {sample.file}, {len(state.things())} objects.")
            else:
                told.append(
                    f"{stem}: the picture {sample.file} was not kept. Put it into images/ under this name."
                )
        _add(made, "read-me.txt", _READ_ME + "\n".join(told).encode("utf-8") + b"\n")
    if not used:
        raise NotFound(
            "There are no labels.",
            "None of these results has outlines.",
            "Use a tool that outlines what it finds.",
        )
    return stream.getvalue()


_READ_ME = (
    b"Pictures and what is in them, as found by a tool and corrected by people.\n"
    b"Unpack this file and register the folder as a dataset of pictures with points.\n"
    b"Centres, diameters and outlines are in pixels of the pictures here.\n\n"
)


def _picture(room: ToolRoom, sample: Sample, who: Who) -> tuple[bytes, str]:
    for kind in ("png", "jpg"):
        if f"original.{kind}" in sample.files:
            return room.file(sample.id, f"original.{kind}", who), kind
    return b"", ""


def _stem(file: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", file.rpartition(".")[0] or file).strip("-")[:60] or "picture"


def _add(made: zipfile.ZipFile, name: str, content: bytes) -> None:
    # Always the same date, so that the same labels are the same bytes.
    made.writestr(zipfile.ZipInfo(name, _DATED), content, zipfile.ZIP_DEFLATED)

"""A tool as one file that travels: a ZIP with exactly one byte form, read as strictly as it is written.

Content: `tool.json` (the manifest, canonical), `models/NAME.onnx` for each model, `certificate.json` if there is one.
Rules for reading foreign bytes:
1. The file, every member and their number are within limits before anything is unpacked; members are stored, not
   compressed, so there is nothing to inflate.
2. Only the names above exist; they are computed from the manifest, never used as paths. Nothing is written on reading.
3. Every model has the digest that the manifest names.
4. Writing what was read gives the same bytes again, or the file is refused: no comments, no gaps, no second directory,
   no links, no trailing data, no way to hide anything from one reader that another one sees.
5. Whatever the bytes, the outcome is a `Package` or a `CloisterError`.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

from cloister.foundation.errors import BadInput, CloisterError
from cloister.foundation.files import read_limited, write_atomically
from cloister.tools.manifest import MAX_MANIFEST_BYTES, parse_manifest
from cloister.tools.tool import Tool

SUFFIX = ".tool"
MAX_BYTES = 512 << 20
MAX_CERTIFICATE_BYTES = 4 << 20
_MAX_MEMBERS = 18
_MANIFEST, _CERTIFICATE = "tool.json", "certificate.json"


@dataclass(frozen=True)
class Package:
    """A tool and the certificate that came with it, not yet verified by anyone.

    Args:
        tool: complete and checked against its own manifest.
        certificate: the bytes of its certificate, or None. What they are worth, `release` decides.
    """

    tool: Tool
    certificate: bytes | None = None


def pack(package: Package) -> bytes:
    """The package's only byte form."""
    members = {_MANIFEST: package.tool.manifest.canonical()}
    members |= {f"models/{name}.onnx": package.tool.models[name] for name in sorted(package.tool.models)}
    if package.certificate is not None:
        members[_CERTIFICATE] = package.certificate
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression=zipfile.ZIP_STORED, allowZip64=False) as archive:
        for name, data in members.items():
            # Everything that could vary with machine or day is fixed (the date is ZIP's earliest).
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return stream.getvalue()


def unpack(data: bytes, name: str = "The file") -> Package:
    """A package from foreign bytes.

    Raises:
        BadInput: not a tool, over a limit, or not in its only byte form.
        Tampered: a model is not the one that the manifest names.
    """
    if len(data) > MAX_BYTES:
        raise _too_large(name)
    try:
        package = _read(data, name)
    except CloisterError:
        raise
    except zipfile.BadZipFile:
        raise _no_tool(name, "It is a file of another kind, or was damaged on the way.") from None
    except Exception:
        # Rule 5: zipfile raises many things on malformed archives.
        raise _no_tool(name, "It is damaged, or was packed by other means.") from None
    if pack(package) != data:
        raise _no_tool(name, "It holds something besides the tool, or was packed by other means.")
    return package


def export_tool(package: Package, path: Path) -> None:
    """Writes the package to one file, atomically."""
    write_atomically(path, pack(package))


def load_tool(path: Path) -> Package:
    """Reads a package from a file. Raises as `unpack`, and `NotFound`."""
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise _too_large(path.name)
    return unpack(read_limited(path, MAX_BYTES), path.name)


def _read(data: bytes, name: str) -> Package:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if len(entries) > _MAX_MEMBERS or len(set(names)) != len(names):
            raise _no_tool(name, "It has too many members, or two of one name.")
        if any(
            entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits or entry.file_size > len(data)
            for entry in entries
        ):
            raise _no_tool(name, "A member is compressed, encrypted or larger than the file.")
        if sum(entry.file_size for entry in entries) > len(data):
            raise _no_tool(name, "Its members overlap.")
        if _MANIFEST not in names:
            raise _no_tool(name, f"It has no {_MANIFEST}.")
        sizes = {entry.filename: entry.file_size for entry in entries}
        if sizes[_MANIFEST] > MAX_MANIFEST_BYTES or sizes.get(_CERTIFICATE, 0) > MAX_CERTIFICATE_BYTES:
            raise _no_tool(name, "Its manifest or certificate is too large.")
        manifest = parse_manifest(archive.read(_MANIFEST))
        models = {model: f"models/{model}.onnx" for model in manifest.models}
        if set(names) - {_MANIFEST, _CERTIFICATE} != set(models.values()):
            raise _no_tool(name, "Its members are not those that its manifest names.")
        certificate = archive.read(_CERTIFICATE) if _CERTIFICATE in names else None
        return Package(
            Tool(manifest, {model: archive.read(member) for model, member in models.items()}), certificate
        )


def _no_tool(name: str, why: str) -> BadInput:
    return BadInput(f"{name} is not a tool.", why, "Get the tool again from where it was released.")


def _too_large(name: str) -> BadInput:
    return BadInput(
        f"{name} is too large for a tool.",
        f"The limit is {MAX_BYTES} bytes.",
        "Get the tool from where it was released.",
    )

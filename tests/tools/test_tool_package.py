"""A tool as one file: rules of tools.package, and a reader that nothing surprises."""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toolmaking import blob_model, discs_tool

from cloister.foundation.errors import BadInput, CloisterError, NotFound, Tampered
from cloister.tools.package import MAX_BYTES, Package, export_tool, load_tool, pack, unpack


@pytest.fixture(scope="module")
def tool():
    return discs_tool()


@pytest.fixture(scope="module")
def packed(tool):
    return pack(Package(tool, b'{"certificate":true}'))


def rezipped(packed, change=lambda members: members, **options):
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members = change(members)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **options) as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, data, compress_type=options.get("compression"))
    return stream.getvalue()


def test_a_tool_travels_as_one_file_with_its_certificate(tool, tmp_path):
    package = Package(tool, b"certificate")
    export_tool(package, tmp_path / "discs.tool")
    assert load_tool(tmp_path / "discs.tool") == package
    with pytest.raises(NotFound):
        load_tool(tmp_path / "none.tool")


def test_the_same_tool_gives_the_same_bytes(tool, packed):
    assert pack(Package(tool, b'{"certificate":true}')) == packed
    assert rezipped(packed) == packed


@pytest.mark.parametrize(
    "change",
    [
        lambda m: {**m, "../evil": b"x"},
        lambda m: {**m, "/etc/passwd": b"x"},
        lambda m: {**m, "models/other.onnx": b"x"},
        lambda m: {**m, "run.py": b"print(1)"},
        lambda m: {name: data for name, data in m.items() if name != "tool.json"},
        lambda m: {name: data for name, data in m.items() if not name.startswith("models/")},
        lambda m: dict(reversed(m.items())),
        lambda m: {**m, "tool.json": m["tool.json"] + b" "},
        lambda m: {**m, "tool.json": b"{}"},
    ],
)
def test_rule_2_only_the_members_that_the_manifest_names_exist(packed, change):
    with pytest.raises(BadInput):
        unpack(rezipped(packed, change))


def test_rule_3_a_changed_model_is_refused(packed):
    with pytest.raises(Tampered):
        unpack(rezipped(packed, lambda m: {**m, "models/objects.onnx": blob_model(gain=9.0)}))


def test_rule_1_compressed_members_are_refused(packed):
    with pytest.raises(BadInput, match="not a tool"):
        unpack(rezipped(packed, compression=zipfile.ZIP_DEFLATED))


def test_rule_4_nothing_can_be_hidden_in_the_file(packed):
    stream = io.BytesIO(packed)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.comment = b"hidden"
    for changed in (packed + b"x", b"x" + packed, stream.getvalue()):
        with pytest.raises(BadInput):
            unpack(changed)


def test_links_are_refused(packed):
    at = packed.index(struct.pack("<I", 0o100644 << 16))
    with pytest.raises(BadInput):
        unpack(packed[:at] + struct.pack("<I", 0o120777 << 16) + packed[at + 4 :])


def test_two_members_of_one_name_are_refused(packed):
    stream = io.BytesIO(packed)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("tool.json", b"{}")
    with pytest.raises(BadInput, match="not a tool"):
        unpack(stream.getvalue())


def test_a_file_over_the_limit_is_refused_unread(tmp_path):
    path = tmp_path / "big.tool"
    with path.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    with pytest.raises(BadInput, match="too large"):
        load_tool(path)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_rule_5_whatever_the_bytes_the_outcome_is_the_tool_or_a_clear_error(packed, data):
    changed = bytearray(packed)
    # Most of the file is weights; aim at the structure: the head, the directory and the manifest.
    places = st.one_of(
        st.integers(0, 60), st.integers(len(packed) - 400, len(packed) - 1), st.integers(0, len(packed) - 1)
    )
    for _ in range(data.draw(st.integers(1, 5))):
        changed[data.draw(places)] = data.draw(st.integers(0, 255))
    cut = bytes(changed[: data.draw(st.integers(0, len(changed)))])
    for foreign in (bytes(changed), cut, data.draw(st.binary(max_size=100))):
        with contextlib.suppress(CloisterError):
            assert pack(unpack(foreign)) == foreign

"""Installed tools: verified first, replaced by newer ones only, rolled back with a history."""

from __future__ import annotations

import pytest
from toolmaking import blob_model, discs_tool

from cloister.foundation.errors import BadInput, Conflict, NotFound, NotTrusted, Tampered
from cloister.tools.builtin import BUILTIN, builtin_tool, open_tool
from cloister.tools.install import InstalledTools, default_folder
from cloister.tools.package import Package, export_tool
from cloister.tools.tool import with_model

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def versions():
    first = discs_tool()
    return [first] + [
        with_model(first, "objects", blob_model(gain=8.0 + step), version=f"1.{step}.0")
        for step in range(1, 4)
    ]


@pytest.fixture
def tools(tmp_path):
    return InstalledTools(tmp_path / "tools")


def trusting(_tool, _certificate):
    return None


def test_a_tool_is_installed_with_its_certificate_and_found_by_name(tools, versions):
    package = Package(versions[0], b"certificate")
    state = tools.install(package, now=NOW, verify=trusting)
    assert state.current.action == "installed"
    assert tools.get("discs") == package
    assert [state.name for state in tools.list()] == ["discs"]
    assert open_tool("discs", tools) == package


def test_rule_1_nothing_is_installed_that_the_verifier_refuses(tools, versions):
    seen = []

    def refuse(tool, certificate):
        seen.append((tool.digest, certificate))
        raise NotTrusted("The certificate does not hold.")

    with pytest.raises(NotTrusted):
        tools.install(Package(versions[0], b"forged"), now=NOW, verify=refuse)
    assert seen == [(versions[0].digest, b"forged")]
    assert tools.list() == ()
    assert not (tools.folder / "discs").exists()


def test_rule_4_a_released_tool_is_not_replaced_by_one_that_nobody_released(tools, versions):
    tools.install(Package(versions[0], b"certificate"), now=NOW, verify=trusting)
    with pytest.raises(NotTrusted) as caught:
        tools.install(Package(versions[1]), now=NOW, verify=trusting)
    assert caught.value.clause == "tool-uncertified"
    assert tools.get("discs") == Package(versions[0], b"certificate")
    tools.install(Package(versions[1], b"another certificate"), now=NOW, verify=trusting)


def test_rule_2_only_a_newer_version_replaces(tools, versions):
    tools.install(Package(versions[1]), now=NOW, verify=trusting)
    with pytest.raises(Conflict, match="does not replace"):
        tools.install(Package(versions[0]), now=NOW, verify=trusting)
    other = with_model(versions[0], "objects", blob_model(gain=20.0), version="1.1.0")
    with pytest.raises(Conflict, match="does not replace"):
        tools.install(Package(other), now=NOW, verify=trusting)
    assert tools.install(Package(versions[1], b"later"), now=NOW, verify=trusting).current.version == "1.1.0"
    assert tools.get("discs").certificate == b"later"
    later = Package(versions[2], b"later still")
    assert tools.install(later, now=NOW, verify=trusting).current.action == "replaced"


def test_rolling_back_undoes_installations_one_by_one(tools, versions):
    for version in versions[:3]:
        tools.install(Package(version), now=NOW, verify=trusting)
    assert tools.rollback("discs", now=NOW + 1).current.version == "1.1.0"
    assert tools.rollback("discs", now=NOW + 2).current.version == "1.0.0"
    assert tools.get("discs").tool == versions[0]
    with pytest.raises(Conflict, match="no earlier version"):
        tools.rollback("discs", now=NOW + 3)
    tools.install(Package(versions[3]), now=NOW + 4, verify=trusting)
    assert tools.rollback("discs", now=NOW + 5).current.version == "1.0.0"
    assert [entry.action for entry in tools.state("discs").history] == [
        "installed",
        "replaced",
        "replaced",
        "rolled back",
        "rolled back",
        "replaced",
        "rolled back",
    ]


def test_rule_3_an_installed_file_that_was_changed_is_refused(tools, versions, tmp_path):
    tools.install(Package(versions[0]), now=NOW, verify=trusting)
    (path,) = (tools.folder / "discs").glob("*.tool")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises((Tampered, BadInput)):
        tools.get("discs")
    export_tool(Package(versions[1]), path)
    with pytest.raises(Tampered):
        tools.get("discs")
    path.unlink()
    with pytest.raises(NotFound, match="gone"):
        tools.get("discs")


def test_a_crash_while_installing_leaves_the_old_tool(tools, versions, monkeypatch):
    tools.install(Package(versions[0]), now=NOW, verify=trusting)

    def crash(*_args, **_kwargs):
        raise OSError("power cut")

    monkeypatch.setattr(tools, "_record", crash)
    with pytest.raises(OSError, match="power cut"):
        tools.install(Package(versions[1]), now=NOW, verify=trusting)
    assert tools.get("discs").tool == versions[0]


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A", "..", "."])
def test_names_cannot_leave_the_folder(tools, name):
    with pytest.raises(BadInput):
        tools.get(name)


def test_unknown_tools_are_not_found(tools):
    with pytest.raises(NotFound):
        tools.get("none")
    with pytest.raises(NotFound):
        open_tool("none", tools)
    with pytest.raises(NotFound):
        builtin_tool("none")
    with pytest.raises(NotFound):
        tools.rollback("none", now=NOW)


def test_a_tool_is_opened_from_its_file(versions, tools, tmp_path):
    export_tool(Package(versions[0]), tmp_path / "discs.tool")
    assert open_tool(str(tmp_path / "discs.tool"), tools).tool == versions[0]


def test_the_users_folder_is_the_default():
    assert default_folder().name == "tools"
    assert InstalledTools().folder == default_folder()


def test_the_crystal_tool_comes_with_cloister_and_is_replaced_by_an_installed_one(tools):
    assert "crystals" in BUILTIN
    package = open_tool("crystals", tools)
    assert package.tool.name == "crystals"
    newer = with_model(package.tool, "objects", package.tool.models["objects"], version="9.0.0")
    tools.install(Package(newer), now=NOW, verify=trusting)
    assert open_tool("crystals", tools).tool.manifest.version == "9.0.0"

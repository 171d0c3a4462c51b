"""With the network cut, the page is whole and the crystal tool gives its result: nothing on it comes from anywhere else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cloister.applications.crystals.factories import preset
from cloister.applications.crystals.synthesis import synthesise
from web.browser import chromium_path

VISIT = Path(__file__).parent / "offline_visit.py"


def _cut() -> list[str]:
    """A command that runs another where there is no network; skips the test where that is not permitted."""
    if shutil.which("unshare"):
        for command in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
            if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
                return command
    pytest.skip("this system lets the tests make no network namespace (unshare --net)")


@pytest.mark.slow
def test_the_page_and_the_crystal_tool_need_no_network(tmp_path):
    chromium, cut = chromium_path(), _cut()
    picture = tmp_path / "crystals.png"
    Image.fromarray(synthesise(preset("seed-like"), 7).image).save(picture)
    ended = subprocess.run(
        [*cut, sys.executable, str(VISIT), str(tmp_path / "site"), chromium, str(picture)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["interfaces"] == ["lo"]
    assert not found["reached"], "the network was not cut"
    assert found["heading"] == "Tools"
    assert found["typeface"]
    assert "crystals.png" in found["result"]
    assert found["pictures"]
    assert all(width > 0 for width in found["pictures"])

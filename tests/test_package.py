"""The wheel: what is in it, and that it runs from a fresh environment."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)],
        check=True,
        capture_output=True,
        timeout=240,
    )
    (made,) = out.glob("*.whl")
    return made


def test_the_wheel_holds_what_the_code_needs_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith("METADATA"))
        told = archive.read(metadata).decode()
    for wanted in (
        "cloister/py.typed",
        "cloister/applications/crystals/weights/outlines.onnx",
        "cloister/applications/crystals/weights/outlines.json",
        "cloister/storage/migrations/versions/0001_first.py",
    ):
        assert wanted in names
    assert all(name.startswith(("cloister/", "cloister-")) for name in names)
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".log"))]
    assert "License-Expression: Apache-2.0" in told
    assert not [line for line in told.splitlines() if line.startswith("Requires-Dist: torch")]


@pytest.mark.slow
def test_an_installed_wheel_runs(wheel, tmp_path):
    fresh = tmp_path / "fresh"
    venv.create(fresh, with_pip=False)
    python = fresh / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "--no-deps",
            "--no-index",
            "-q",
            str(wheel),
        ],
        check=True,
        capture_output=True,
        timeout=240,
    )
    # Requirements come from this environment; Cloister itself must come from the wheel.
    (site,) = (fresh / "lib").glob("python*/site-packages")
    (site / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*arguments):
        return subprocess.run(
            [str(python.with_name("cloister")), *arguments],
            capture_output=True,
            text=True,
            timeout=240,
            cwd=tmp_path,
            env={**environment, "HOME": str(tmp_path)},
            check=False,
        )

    where = subprocess.run(
        [str(python), "-c", "import cloister; print(cloister.__file__)"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=True,
    ).stdout
    assert str(fresh) in where
    assert run("--version").stdout.startswith("cloister, version ")
    assert run("dataset", "sample", "pictures", "--pictures", "1").returncode == 0
    counted = run("tool", "run", "crystals", "pictures/images/seed-like-0000.png", "--json", "-")
    assert counted.returncode == 0, counted.stderr
    assert '"count":' in counted.stdout

"""What may be imported where: servers stay light, and the base needs no particular system or Python."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import cloister

SOURCE = Path(__file__).parents[1] / "src"
# Only worker processes import these.
WORKERS = ("cloister.models", "cloister.training", "cloister.protections.federated.worker")
PROBE = """
import sys, cryptography, zenoh, jax, onnx, sqlalchemy, fastapi
print("%d.%d" % sys.version_info[:2])
"""
LINUX_ONLY = ("fcntl", "resource", "pwd", "grp", "termios")


def modules():
    return [
        found.name
        for found in pkgutil.walk_packages(cloister.__path__, "cloister.")
        if not found.name.startswith("cloister.storage.migrations")
    ]


def in_a_new_process(code: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_module_imports():
    for name in modules():
        importlib.import_module(name)


def test_no_module_but_those_of_workers_imports_jax_onnx_or_torch():
    names = [name for name in modules() if not name.startswith(WORKERS)]
    told = in_a_new_process(
        f"import importlib, json, sys\nfor name in {names!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    assert not {"jax", "jaxlib", "torch", "tensorflow"} & set(told)


def test_a_node_server_imports_no_jax():
    told = in_a_new_process(
        "import cloister.node.node, cloister.web.server, cloister.web.app, cloister.hub.server\n"
        "import json, sys\nprint(json.dumps([name for name in ('jax', 'jaxlib', 'onnxruntime', 'skimage', 'scipy')"
        " if name in sys.modules]))"
    )
    assert told == []


def test_nothing_that_only_linux_has_is_imported_at_import_time():
    # None in sys.modules makes an import fail, as it does where the module does not exist.
    told = in_a_new_process(
        "import sys\n"
        f"for name in {LINUX_ONLY!r}: sys.modules[name] = None\n"
        "import importlib, json\n"
        "from cloister.cli.main import COMMANDS\n"
        "for entry in COMMANDS.values(): importlib.import_module(entry.place.partition(':')[0])\n"
        "import cloister.tools.run, cloister.tools.builtin, cloister.node.node, cloister.hub.server\n"
        "print(json.dumps(True))"
    )
    assert told is True


def test_asking_for_help_loads_neither_the_client_nor_any_heavy_library():
    told = in_a_new_process(
        "import json, sys\nfrom cloister.cli.main import cli\n"
        "try: cli(['--help'], prog_name='cloister')\nexcept SystemExit: pass\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    assert not {"httpx", "rich", "numpy", "pydantic", "cryptography", "sqlalchemy", "zenoh", "jax"} & set(
        told
    )


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_the_base_imports_on_newer_pythons(version):
    python = interpreter(version)
    done = subprocess.run(
        [
            python,
            "-c",
            "import importlib\n" + "".join(f"importlib.import_module({name!r})\n" for name in modules()),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def interpreter(version: str) -> str:
    """A Python of that version that has Cloister's requirements; the test is skipped where there is none."""
    places = os.environ.get("PYTHONS_WITH_REQUIREMENTS", "").split(os.pathsep)
    for python in [*filter(None, places), f"python{version}"]:
        try:
            done = subprocess.run(
                [python, "-c", PROBE],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except OSError:
            continue
        if done.stdout.strip() == version:
            return python
    pytest.skip(f"there is no Python {version} with Cloister's requirements here")

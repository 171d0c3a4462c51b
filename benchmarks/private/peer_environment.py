"""An environment of its own for Opacus, which the project does not depend on: made once, under the system's temporary folder."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PACKAGES = ("torch==2.13.0", "opacus")


def python() -> Path:
    """The interpreter that has Opacus; the first call makes it, which takes minutes and a network."""
    folder = Path(tempfile.gettempdir()) / "cloister-opacus"
    found = folder / "bin" / "python"
    if not found.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(found), "-m", "pip", "install", "-q", *PACKAGES], check=True)
    return found


def answer(script: str, *arguments: str, given: str = "") -> Any:
    """What a script of this folder, run there on `given`, says in its last line, as JSON."""
    ran = subprocess.run(
        [str(python()), str(Path(__file__).parent / script), *arguments],
        check=True,
        input=given,
        capture_output=True,
        text=True,
    )
    return json.loads(ran.stdout.splitlines()[-1])

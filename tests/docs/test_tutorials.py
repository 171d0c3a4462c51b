"""The tutorials are run as they stand: files are written, shell blocks executed in order, in a folder of their own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str | None, str]]:
    return [match.groups() for match in BLOCK.finditer(page.read_text())]


def script_of(page: Path) -> str:
    """One shell script: files first come into being where the page shows them."""
    parts = []
    for language, name, text in blocks(page):
        if name is not None:
            parts.append(f"cat > {name} <<'END_OF_FILE'\n{text}END_OF_FILE\n")
        elif language == "sh":
            parts.append(text)
        else:
            raise AssertionError(f"{page.name}: a {language} block is neither run nor a file")
    return "\n".join(parts)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def with_free_ports(script: str) -> str:
    """The script with ports of its own in place of the relay's usual ones."""
    return script.replace("7447", str(free_port())).replace("7448", str(free_port()))


def run(script: str, folder: Path, seconds: int) -> str:
    """Runs the script in a session of its own, so that whatever it started ends with it."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "OMP_NUM_THREADS": "1",
        "LC_ALL": "C.UTF-8",
    }
    log = folder / "output.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["bash", "-euxo", "pipefail", "-c", script],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    text = log.read_text(errors="replace")
    assert code == 0, f"exit code {code}\n{text[-6000:]}"
    return text


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_plant_managers_tutorial_runs_as_it_stands(tmp_path):
    told = run(script_of(ROOT / "docs/how-to/count-crystals-by-command.md"), tmp_path, 580)
    assert "D50" in told
    assert (tmp_path / "results/index.html").is_file()
    assert "What is not promised" in told
    assert "nothing to go back to, exit code 3" in told
    assert "nobody vouches for it" in told


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_researchers_tutorial_leads_to_a_model_in_use_in_less_than_five_minutes(tmp_path):
    begun = time.monotonic()
    told = run(script_of(ROOT / "docs/tutorial/researcher.md"), tmp_path, 580)
    assert time.monotonic() - begun < 300
    assert "Refused: " in told  # a plain approval does not accept records in the result
    assert re.search(r"will fail\n.*is fine", told)
    assert "From nothing to a model in use" in told
    assert (tmp_path / "failures.onnx.certificate.json").is_file()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_training_between_servers_of_their_own_trains_releases_and_verifies(tmp_path):
    page = ROOT / "docs/how-to/train-between-servers.md"
    told = run(with_free_ports(script_of(page)), tmp_path, 580)
    assert "refused, exit code 3" in told  # a plain approval does not accept records in the result
    assert "It holds: the file is what these owners approved." in told
    assert "Nothing is wrong: no entry was changed" in told
    assert re.search(r"will fail\n.*is fine", told)


def test_the_front_page_and_the_tutorials_draw_their_samples_into_different_folders():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs/tutorial").glob("*.md"))]
    drawn = [name for page in pages for name in re.findall(r"dataset sample (\S+)", page.read_text())]
    assert len(drawn) == len(set(drawn))


def test_every_code_block_of_the_tutorials_is_run_or_written():
    for page in sorted((ROOT / "docs/tutorial").glob("*.md")):
        assert script_of(page)

"""The plant manager's tutorial, done in a real browser as it is written."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from docs.page_steps import actions, play
from web.browser import chromium, visit

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "plant-manager.md"
FIRST = 4
"""Steps until the first result of one's own is kept."""
MINUTES = 5


def commands() -> list[str]:
    """The page's commands after the set-up, as they are written."""
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [line.partition("#")[0].strip() for line in block.splitlines() if "scripts/setup" not in line]


@pytest.fixture
def folder():
    """A folder with a short path: the server's socket lies in it."""
    with tempfile.TemporaryDirectory(prefix="pm-") as made:
        yield Path(made)


@pytest.fixture
def started(folder):
    """The page as the tutorial starts it, and its start key."""
    began = time.monotonic()
    *before, up = commands()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "OMP_NUM_THREADS": "1",
        "LC_ALL": "C.UTF-8",
    }
    for command in [*before, up]:
        assert command.startswith(".venv/bin/cloister ")
    call = [sys.executable, "-m", "cloister.cli.main"]
    for command in before:
        subprocess.run(
            [*call, *command.split()[1:]], cwd=folder, env=environment, check=True, capture_output=True
        )
    log = folder / "page.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*call, *up.split()[1:], "--no-open"],
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        told: dict[str, str] = {}
        end = time.monotonic() + 60
        while len(told) < 2:
            text = log.read_text()
            assert process.poll() is None, text
            assert time.monotonic() < end, text
            found = {"url": r"The page: (http://\S+)", "the start key": r"Start key: (\S+)"}
            told = {name: match[1] for name, how in found.items() if (match := re.search(how, text))}
            time.sleep(0.05)
        yield began, told
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
    assert "four random words" not in log.read_text()


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(visit, started, folder):
    began, told = started
    steps = list(actions(PAGE.read_text()))
    assert len(steps) > 10
    page = visit(told["url"])
    play(page, steps[:FIRST], folder, told["url"], told)
    taken = time.monotonic() - began
    assert taken < MINUTES * 60, f"the first result took {taken:.0f} s"
    play(page, steps[FIRST:], folder, told["url"], told)


__all__ = ["chromium", "visit"]

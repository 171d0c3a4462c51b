"""The tutorial of the second tool, done as it is written: a tool from three plants' rows, then used in a browser at a fourth."""

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
from docs.test_tutorials import ROOT, run, script_of
from web.browser import chromium, visit

PAGE = ROOT / "docs" / "tutorial" / "second-tool.md"


@pytest.fixture(scope="module")
def folder():
    """A folder with a short path: servers' sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="st-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def told(folder):
    """What the tutorial's blocks print; the tool and the fourth plant's rows lie in `folder` then."""
    return run(script_of(PAGE), folder, 580)


@pytest.fixture
def page_at(told, folder):
    """The page of the fourth plant, as the tutorial starts it, and where it is."""
    (command,) = re.findall(r"Type `cloister (up [^`]+)`", PAGE.read_text())
    log = folder / "page.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "cloister.cli.main", *command.split(), "--no-open"],
            cwd=folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "OMP_NUM_THREADS": "1",
                "LC_ALL": "C.UTF-8",
            },
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + 60
        while not (found := re.search(r"The page: (http://\S+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield found[1]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_three_plants_make_a_tool_that_a_fourth_one_runs(told, folder):
    assert re.search(r"[1-9]\d* pumps need attention", told)
    assert "with secure sums" in told
    assert "Its certificate holds" in told
    assert "Approved by 3 of 3 owners" in told
    assert (folder / "pumps.tool").is_file()
    report = next((folder / "results").glob("*.report.html")).read_text()
    assert "machines need attention" in report
    assert "What this tool is not good for" in report
    assert "harbour-" in report


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tutorials_tool_is_used_on_another_plants_page(visit, page_at, folder):
    steps = list(actions(PAGE.read_text()))
    assert len(steps) == 3
    play(visit(page_at), steps, folder, page_at, {})


__all__ = ["chromium", "visit"]

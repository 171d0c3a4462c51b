"""What people wait for at the page: a screen, the first picture, a picture.

    python benchmarks/page.py [--quick] [--json FILE|-]

The peer of a picture is the command `cloister tool run` on the same picture in the same run: it starts a process, imports, loads
the model and runs; the page's worker is warm, and confined. Screens are asked for without script over one connection that is kept
open, and are whole answers, rendered.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from cloister.identity.keystore import Cost, Passphrase
from cloister.web.listening import PageAt
from cloister.web.server import Serving
from cloister.web.site import Site
from measure import alternating, row, seconds, show

PASSWORD = "seven green apples fall"
UNLOCK = Passphrase(b"a passphrase of the benchmark", Cost(1, 1, 64))


def signed_in(url: str, site: Site) -> httpx.Client:
    """A browser without script, signed in as the first person."""
    browser = httpx.Client(base_url=url, headers={"origin": url}, follow_redirects=True, timeout=120)
    form = {"name": "Eva", "password": PASSWORD, "again": PASSWORD, "key": site.accounts.start_key}
    browser.post("/welcome", data=form).raise_for_status()
    return browser


def screens(browser: httpx.Client, paths: list[str], times: int) -> dict[str, float]:
    """Median seconds of each screen."""
    taken: dict[str, list[float]] = {path: [] for path in paths}
    for _ in range(times):
        for path in paths:
            taken[path].append(seconds(lambda path=path: browser.get(path).raise_for_status()))
    return {path: statistics.median(values) for path, values in taken.items()}


def picture(browser: httpx.Client, path: Path) -> None:
    """A picture dropped on the page, until its result is shown."""
    answer = browser.post("/tools/crystals", files={"files": (path.name, path.read_bytes(), "image/png")})
    answer.raise_for_status()
    assert answer.url.path.startswith("/samples/"), answer.text[-2000:]


def by_command(path: Path) -> None:
    """The same by command."""
    subprocess.run(
        [sys.executable, "-m", "cloister.cli.main", "tool", "run", "crystals", str(path)],
        check=True,
        capture_output=True,
    )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", default=None)
    chosen = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="pg-") as root:
        place = Path(root)
        subprocess.run(
            [
                sys.executable,
                "-m",
                "cloister.cli.main",
                "dataset",
                "sample",
                str(place / "p"),
                "--pictures",
                "1",
            ],
            check=True,
            capture_output=True,
        )
        (drawn,) = (place / "p" / "images").glob("*.png")
        started = time.perf_counter()
        site = Site(place / "n")
        try:
            with Serving(site, PageAt(port=0)) as serving:
                httpx.get(serving.url + "/tools", follow_redirects=True).raise_for_status()
                rows.append(
                    row("from nothing to the first screen", "s", time.perf_counter() - started, target=3)
                )
                with contextlib.closing(signed_in(serving.url, site)) as browser:
                    first = seconds(lambda: picture(browser, drawn))
                    rows.append(row("first picture, worker started", "s", first, target=8))
                    ours, peer = alternating(
                        lambda: (time.sleep(1.0), picture(browser, drawn)), lambda: by_command(drawn)
                    )
                    rows.append(
                        row("a picture", "s", ours - 1.0, peer=peer, peer_name="cloister tool run", target=2)
                    )
                    site.found("Benchmark", ["owner", "researcher", "user"], UNLOCK, UNLOCK)
                    times = 5 if chosen.quick else 25
                    for path, taken in screens(
                        browser, ["/", "/tools", "/agreements", "/tasks", "/log"], times
                    ).items():
                        rows.append(row(f"screen {path}", "s", taken, target=0.1))
        finally:
            site.close()
    show(rows, chosen.json)


if __name__ == "__main__":
    main()

"""Runs in a network namespace of its own, where nothing but loopback is: a site, a browser, a visit. Prints what was found as JSON.

unshare --net python offline_visit.py FOLDER CHROMIUM PICTURE
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import sys
from pathlib import Path

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1


def interfaces() -> list[str]:
    """The network interfaces that this process sees."""
    lines = Path("/proc/net/dev").read_text(encoding="ascii").splitlines()[2:]
    return [line.split(":")[0].strip() for line in lines]


def raise_loopback() -> None:
    """Switches on the loopback interface of the namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def main(folder: Path, chromium: str, picture: Path) -> None:
    """The visit of somebody who has no account: the tools, with one picture."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    found = {"interfaces": interfaces()}
    raise_loopback()
    with socket.socket() as tried:
        tried.settimeout(5)
        found["reached"] = tried.connect_ex(("192.0.2.1", 443)) == 0

    from playwright.sync_api import sync_playwright

    from cloister.web.listening import PageAt
    from cloister.web.server import Serving
    from cloister.web.site import Site
    from web.browser import ARGUMENTS, Visit, settle

    site = Site(folder)
    try:
        with Serving(site, PageAt(port=0)) as serving, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
            visit = Visit(browser)
            page = visit(serving.url)
            settle(page)
            found["heading"] = page.get_by_role("heading", level=1).inner_text()
            found["typeface"] = page.evaluate("document.fonts.check('16px Inter', 'Cloister')")
            page.goto(serving.url + "/tools/crystals")
            page.locator("input[type=file]").set_input_files(picture)
            page.locator("#results article").wait_for(timeout=90_000)
            found["result"] = page.locator("#results").inner_text()
            found["pictures"] = page.evaluate(
                "Promise.all([...document.querySelectorAll('#results img')].map((one) => one.decode().then(() => one.naturalWidth)))"
            )
            visit.close()
            browser.close()
    finally:
        site.close()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))

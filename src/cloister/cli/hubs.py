"""`cloister hub`: the relay that nodes connect out to."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloister.cli.common import keyring_option, openers, unlock
from cloister.cli.output import Answer, command, say
from cloister.foundation.files import write_atomically

if TYPE_CHECKING:
    from cloister.hub.server import Hub

TRAFFIC_SECONDS = 5.0


class Shown:
    """The files in which a running relay tells how it is; written when what they tell has changed.

    A relay runs for months, and each file that is synchronised to disk every second costs the disk more than the relay's
    own work does.

    Args:
        folder: the relay's.
        monotonic: tells how much time has passed.
    """

    def __init__(self, folder: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._monotonic = folder, monotonic
        self._last: dict[str, tuple[bytes, float]] = {}

    def tell(self, name: str, value: Any, seconds: float = 0.0) -> None:
        """Writes `value` as the JSON file `name`, unless it says so already or was written in the last `seconds`."""
        data, now, path = json.dumps(value).encode(), self._monotonic(), self._folder / name
        last, at = self._last.get(name, (b"", float("-inf")))
        if path.exists() and (data == last or now - at < seconds):
            return
        write_atomically(path, data)
        self._last[name] = data, now


@click.group("hub")
def hub_group() -> None:
    """The relay: sealed messages, signed documents, a log. It holds no data and decides nothing."""


def _folder(function: Any) -> Any:
    return click.option(
        "--folder",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="CLOISTER_HUB_FOLDER",
        required=True,
        help="The relay's folder.",
    )(function)


@command(hub_group, "init")
@click.argument("name", default="Relay")
@_folder
@keyring_option
def init(name: str, folder: Path, keyring: bool) -> Answer:
    """Make a relay's keys and its enrolment authority."""
    from cloister.hub.server import create_hub
    from cloister.identity.keys import grouped

    opener, recovery = openers(keyring=keyring)
    party = create_hub(folder.absolute(), opener, recovery, name=name)
    return Answer(
        {"party": party, "folder": str(folder)},
        f"Made the relay {name} in {folder}. Fingerprint:\n  {grouped(party)}\n"
        f"Move {folder}/recovery.sealed to a place off this machine: it replaces the keys if they are lost.\nNext: cloister hub up --folder {folder}",
    )


@command(hub_group, "up")
@_folder
@keyring_option
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on.")  # noqa: S104 - a relay is to be reached
@click.option("--port", default=7447, show_default=True, help="Port of the relay.")
@click.option("--enrol-port", default=7448, show_default=True, help="Port of the enrolment service.")
@click.option(
    "--name",
    "names",
    multiple=True,
    default=("localhost",),
    help="Name or address by which servers reach it.",
)
@click.option(
    "--invitations", type=int, default=0, help="Write so many invitations into the folder at the start."
)
@click.option(
    "--page",
    metavar="HOST:PORT",
    default=None,
    help="Serve a page for the relay's operator, such as localhost:8490; it shows no content.",
)
def up(
    folder: Path,
    keyring: bool,
    host: str,
    port: int,
    enrol_port: int,
    names: tuple[str, ...],
    invitations: int,
    page: str | None,
) -> Answer:
    """Run the relay until it is told to stop (Ctrl-C).

    While it runs it takes requests for invitations as empty files named NAME.wanted in its folder `invitations`, and
    answers each with NAME.invitation; `cloister hub invite` does that.
    """
    from cloister.cli.logs import log_to_stderr
    from cloister.hub.server import run_hub

    log_to_stderr()
    place = folder.absolute() / "invitations"
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    shown = Shown(folder.absolute())

    def tell(hub: Hub) -> None:
        relay = hub.status().relay
        told = {"port": relay.port, "may_connect": relay.parties, "settled": relay.settled}
        shown.tell("running.json", told)

    def ready(hub: Hub) -> None:
        for number in range(invitations):
            write_atomically(place / f"{number + 1}.invitation", hub.invite().encode().encode(), private=True)
        status = hub.status()
        tell(hub)
        say(
            f"The relay is open on port {status.relay.port}; enrolment on port {status.enrol_port}.",
            err=False,
        )
        if page is not None:
            _open_page(hub, folder.absolute(), page)

    def every(hub: Hub) -> None:
        tell(hub)
        for wanted in place.glob("*.wanted"):
            answer = wanted.with_suffix(".invitation")
            write_atomically(answer, hub.invite().encode().encode(), private=True)
            wanted.unlink(missing_ok=True)
        passed = [
            {"from": item.sender, "to": item.recipient, "messages": item.messages, "bytes": item.bytes}
            for item in hub.traffic()
        ]
        shown.tell("traffic.json", passed, TRAFFIC_SECONDS)

    run_hub(
        folder.absolute(),
        unlock(keyring=keyring),
        host=host,
        port=port,
        enrol_port=enrol_port,
        names=names,
        ready=ready,
        every=every,
    )
    return Answer({"stopped": True}, "Stopped.")


def _open_page(hub: Hub, folder: Path, place: str) -> None:
    from cloister.cli.pages import where
    from cloister.web.listening import PageAt
    from cloister.web.relay import RelayPage

    host, port = where(place)
    shown = RelayPage(hub, folder, PageAt(host, port))
    hub.before_stop(shown.stop)
    shown.start()
    say(f"The relay's page: {shown.url}", err=False)
    if shown.site.accounts.none_yet():
        say(
            f"To make the first account: {shown.url}/welcome  Start key: {shown.site.accounts.start_key}",
            err=False,
        )


@command(hub_group, "status")
@_folder
def status(folder: Path) -> Answer:
    """What passed through the relay, as it can see it: from whom, to whom, how often, how much. Never what."""
    from cloister.cli.common import table
    from cloister.foundation.errors import NotFound
    from cloister.foundation.files import read_limited

    place = folder.absolute() / "traffic.json"
    if not place.is_file():
        raise NotFound(
            f"No relay has run in {folder}.",
            "It has counted nothing yet.",
            f"cloister hub up --folder {folder}",
        )
    passed = json.loads(read_limited(place, 16 << 20))
    rows = [
        [f"{item['from'][:8]}…", f"{item['to'][:8]}…", str(item["messages"]), f"{item['bytes']:,}"]
        for item in passed
    ]
    return Answer(
        passed,
        [
            table(["From", "To", "Messages", "Bytes"], rows),
            "Every message is sealed and signed by its sender; the relay can open none.",
        ],
    )


@command(hub_group, "invite")
@click.option(
    "--wait",
    type=click.IntRange(min=1, max=3600),
    default=15,
    show_default=True,
    metavar="SECONDS",
    help="Wait so long for the relay to answer.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Move the invitation to this file."
)
@_folder
def invite(folder: Path, wait: int, out: Path | None) -> Answer:
    """An invitation for one more organisation, from the running relay."""
    import secrets
    import time

    from cloister.foundation.errors import Unreachable

    place = folder.absolute() / "invitations"
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = secrets.token_hex(8)
    write_atomically(place / f"{name}.wanted", b"", private=True)
    answer = place / f"{name}.invitation"
    end = time.monotonic() + wait
    while not answer.exists():
        if time.monotonic() > end:
            (place / f"{name}.wanted").unlink(missing_ok=True)
            raise Unreachable(
                "The relay is not running.", "It did not answer.", f"cloister hub up --folder {folder}"
            )
        time.sleep(0.1)
    text = answer.read_text()
    if out is not None:
        write_atomically(out, text.encode(), private=True)
        answer.unlink(missing_ok=True)
        return Answer(
            {"invitation": text, "file": str(out)},
            f"Wrote {out}. It enrols one organisation, once. Pass it on privately.",
        )
    return Answer(
        {"invitation": text, "file": str(answer)},
        f"{text}\n\nIt enrols one organisation, once. Pass it on privately.",
    )

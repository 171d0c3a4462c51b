"""A server as a researcher sees it: `connect` gives one, with its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from cloister.sdk.client import Client
from cloister.sdk.parts import Agreements, Ask, Budgets, Datasets, Log, Parties, Releases, Tasks, Tools


class Cloister:
    """One organisation's Cloister server.

    Attributes:
        parties: organisations that it knows.
        datasets: its own, and what others tell of theirs.
        agreements: who may do what with whose data.
        ask: plans for computations.
        tasks: plans that were sent.
        releases: approved results.
        tools: tools that run at it.
        budgets: privacy that may be spent.
        log: its tamper-evident log.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.parties = Parties(client)
        self.datasets = Datasets(client)
        self.agreements = Agreements(client)
        self.ask = Ask(client)
        self.tasks = Tasks(client)
        self.releases = Releases(client)
        self.tools = Tools(client)
        self.budgets = Budgets(client)
        self.log = Log(client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "Cloister(connected)"

    def status(self) -> dict[str, Any]:
        """Who this is, whether the relay is reached, who else is there."""
        return self._client.status()

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()


def connect(
    folder: str | Path | None = None,
    *,
    url: str | None = None,
    token: str | None = None,
    ca: str | Path | None = None,
    timeout: float = 600.0,
) -> Cloister:
    """Connects to a running server.

    Args:
        folder: of a server on this machine, which is yours; this user's own if neither is given.
        url: the address of a server's page, such as `https://cloister.example`.
        token: with `url`: made on the page, under People. It is sent under TLS only, or to this machine.
        ca: with `url`: a PEM file with the certificate that vouches for the server's.
        timeout: seconds to wait for one answer.

    Raises:
        Unreachable: it does not run, or is not reached.
        NotSignedIn: the token is none of this server's.
        BadInput: the address or the certificate cannot be used.
    """
    if folder is None and url is None:
        import platformdirs

        folder = platformdirs.user_data_path("cloister", appauthor=False) / "node"
    client = Client(
        None if folder is None else Path(folder).expanduser().absolute(),
        timeout,
        url=url,
        token=token,
        ca=None if ca is None else Path(ca),
    )
    try:
        client.status()
    except BaseException:
        client.close()
        raise
    return Cloister(client)

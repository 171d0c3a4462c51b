"""Where a node keeps what: one folder, readable by its owner only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.foundation.canonical import canonical, parse
from cloister.foundation.errors import BadInput, NotFound
from cloister.foundation.files import read_limited, write_atomically
from cloister.identity.keys import PartyId

CONFIG_LIMIT = 1 << 20


class NodeConfig(BaseModel):
    """What a node is, apart from its keys and its data."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: Literal["cloister/node@1"] = "cloister/node@1"
    party: PartyId
    name: str = Field(min_length=1, max_length=80)
    roles: tuple[str, ...] = Field(strict=False, max_length=6)


@dataclass(frozen=True)
class Folder:
    """The paths of one node."""

    root: Path

    @property
    def config_file(self) -> Path:
        """Name, roles, fingerprint."""
        return self.root / "node.json"

    @property
    def secrets(self) -> Path:
        """The keystore's folder."""
        return self.root / "secrets"

    @property
    def card_file(self) -> Path:
        """This party's cards, from the first on, as a JSON list of envelopes; public."""
        return self.root / "card.json"

    @property
    def hub_file(self) -> Path:
        """The hub's invitation as accepted; public."""
        return self.root / "hub.json"

    @property
    def certificate_file(self) -> Path:
        """The transport certificate, PEM; public."""
        return self.root / "transport.crt"

    @property
    def authority_file(self) -> Path:
        """The hub's authority certificate, PEM; public."""
        return self.root / "hub.crt"

    @property
    def budgets_file(self) -> Path:
        """How many privacy charges this node has made, beside the database, so that an old database is noticed."""
        return self.root / "budgets.json"

    @property
    def socket(self) -> Path:
        """Where the CLI and the SDK reach the running node."""
        return self.root / "node.sock"

    @property
    def tools(self) -> Path:
        """Tools installed at this node."""
        return self.root / "tools"

    @property
    def disclosed(self) -> Path:
        """Sealed packages given to others, and opened records of others. In no backup: what is deleted stays deleted."""
        return self.root / "disclosed"

    @property
    def cache(self) -> Path:
        """Compiled models and the like; may be deleted at any time."""
        return self.root / "cache"

    def private(self, path: Path) -> Path:
        """The folder `path`, made if missing, closed to other users."""
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.name == "posix":
            path.chmod(0o700)
        return path

    def config(self) -> NodeConfig:
        """The node's configuration. Raises `NotFound` if there is no node here."""
        if not self.config_file.exists():
            raise NotFound(
                f"There is no server in {self.root}.",
                "It has no node.json.",
                f"Make one with: cloister node init NAME --folder {self.root}",
            )
        try:
            return NodeConfig.model_validate_json(read_limited(self.config_file, CONFIG_LIMIT))
        except ValidationError:
            raise BadInput(
                f"{self.config_file} could not be read.",
                "Fields are missing or malformed.",
                "Restore it from a backup.",
            ) from None

    def write_config(self, config: NodeConfig) -> None:
        """Writes the configuration."""
        write_atomically(self.config_file, canonical(config.model_dump(mode="json")))

    def write_json(self, path: Path, value: object) -> None:
        """Writes a public JSON document."""
        write_atomically(path, canonical(value))  # type: ignore[arg-type] # callers pass JSON

    def read_json(self, path: Path) -> object:
        """Reads a JSON document within limits."""
        return parse(read_limited(path, CONFIG_LIMIT))

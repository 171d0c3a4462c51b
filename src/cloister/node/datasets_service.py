"""The owner's datasets at this node: registered, listed, checked before each use; and what others see of them.

Rules:
1. Every byte is checked against the registration before a step uses the data, and again when its worker has read it
   (`still_same`): what changed in between is noticed before anything made from it leaves the step.
2. The salt of the commitment lies encrypted in the keystore, never in a file beside the data.
3. A catalogue entry counts only if the owner that it names signed it, and comes from that owner's node.
4. What was withdrawn is unknown here: a plan that names it is refused as one that names any other unknown dataset.

Not noticed: files that are changed after the first check and changed back before the second. Whoever can do that is
on the owner's own machine, and could register other data just as well.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from cloister.data.registry import (
    DatasetFields,
    Registration,
    glance,
    looks_unchanged,
    register,
    verify_unchanged,
)
from cloister.data.registry import load as load_registration
from cloister.data.registry import save as save_registration
from cloister.data.schema import DatasetDescription, parse_description
from cloister.foundation.canonical import JSON
from cloister.foundation.clock import Clock, parse_rfc3339
from cloister.foundation.digests import digest_json
from cloister.foundation.errors import BadInput, Conflict, NotFound, Refused
from cloister.foundation.text import readable
from cloister.identity.envelopes import Envelope, sign, verify
from cloister.identity.keys import SecretKeys
from cloister.node.data_folders import DataFolders
from cloister.node.folder import Folder
from cloister.node.peers.parties import Parties
from cloister.node.peers.quotas import Quotas
from cloister.storage.database import Database, Transaction
from cloister.storage.datasets import Datasets
from cloister.storage.documents import Documents

CATALOGUE_TYPE = "application/vnd.cloister.dataset+json"
NOTES_MOST = 2000
_GLANCES = 200
_NO_SALT = "0" * 64
"""What the manifest file has in the salt's place."""


class SecretStore(Protocol):
    """The part of the keystore that is needed here."""

    def put(self, label: str, secret: bytes) -> None:
        """Keeps a secret, encrypted."""
        ...

    def get(self, label: str) -> bytes:
        """The secret."""
        ...


@dataclass(frozen=True)
class OwnData:
    """One own dataset as a step may use it (implements `journal.program.DataPort`)."""

    registration: Registration

    @property
    def digest(self) -> str:
        """The commitment."""
        return self.registration.description.commitment

    @property
    def folder(self) -> Path:
        """Where the records lie."""
        return self.registration.source

    @property
    def description(self) -> Mapping[str, Any]:
        """The catalogue entry."""
        return self.registration.description.model_dump(mode="json")

    @property
    def reading(self) -> Mapping[str, Any]:
        """How its files were read when it was registered; empty for pictures."""
        if self.registration.description.kind != "table":
            return {}
        kinds = {column.name: column.kind for column in self.registration.description.columns}
        return {"kinds": kinds, "decimal": self.registration.manifest.decimal}


class DatasetsService:
    """Registers own datasets and keeps the catalogue entries of others.

    `registered` is told of each new registration in its transaction; what it raises keeps the dataset from being one.

    Attributes:
        places: the folders whose files people may register who are not on this machine.
    """

    def __init__(
        self,
        folder: Folder,
        database: Database,
        clock: Clock,
        keys: SecretKeys,
        parties: Parties,
        secret_store: SecretStore,
        log: Callable[[Transaction, str, str], object],
        quotas: Quotas,
        registered: Callable[[Transaction, Registration], object],
    ) -> None:
        self._quotas = quotas
        self._registered = registered
        self._secrets = secret_store
        self.places = DataFolders(folder.root)
        self._folder = folder.root / "datasets"
        self._glances: dict[str, Registration] = {}
        folder.private(self._folder)
        self._database = database
        self._clock = clock
        self._keys = keys
        self._parties = parties
        self._log = log

    def add(self, source: Path, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Registers a folder of pictures or a table as a dataset of this party.

        Args:
            source: the folder or file.
            fields: see `data.registry.DatasetFields`, without `owner`.
        """
        try:
            made = DatasetFields(owner=self._parties.own.party, **dict(fields))
        except TypeError:
            raise BadInput(
                "A dataset's description has unknown or missing fields.",
                "At least name, title and residency are needed.",
                "See docs/reference/datasets.md.",
            ) from None
        if not source.is_absolute():
            raise BadInput(
                "The dataset's path is relative.", "The server may run elsewhere.", "Give an absolute path."
            )
        registration = register(source, made, secrets.token_bytes(32), now=self._clock.now())
        description = registration.description
        self._secrets.put(_label(description.commitment), bytes.fromhex(registration.manifest.salt))
        envelope = sign(
            CATALOGUE_TYPE, description.model_dump(mode="json"), self._parties.own.party, self._keys
        )
        with self._database.transaction() as tx:
            kept: Any = None
            if (before := Datasets(tx).names().get(description.name)) is not None:
                kept = Datasets(tx).get(before)
                version = load_registration(self._place(before)).description.version
                if made.version <= version:
                    raise Conflict(
                        f"There is a dataset named {description.name} already.",
                        f"It is version {version}; registered data never changes.",
                        f"Choose another name, or register this as a new version with --version {version + 1}.",
                    )
                # One version at a time: a plan that names the old one is refused, and made again from the catalogue.
                Datasets(tx).remove(before)
            self._registered(tx, registration)
            place = self._place(description.commitment)
            manifest = registration.manifest.model_copy(update={"salt": _NO_SALT})
            save_registration(replace(registration, manifest=manifest), place)
            private: dict[str, JSON] = {"folder": place.name}
            if before is not None and (notes := (kept or {}).get("notes")):
                private["notes"] = notes
            Datasets(tx).put(description.commitment, description.name, private, self._clock.now())
            self._keep(tx, envelope, description)
            self._log(tx, "dataset", envelope.digest)
        return {
            "name": description.name,
            "commitment": description.commitment,
            "catalogue": description.model_dump(mode="json"),
            "private": {"source": str(source), "records": registration.manifest.records},
        }

    def own(self) -> list[dict[str, Any]]:
        """This party's datasets, with what only the owner sees."""
        with self._database.read() as tx:
            names = Datasets(tx).names()
        return [self._shown(name, commitment) for name, commitment in sorted(names.items())]

    def one(self, name: str) -> dict[str, Any]:
        """One of them by its name, as in `own`, with the notes about it. Raises `NotFound`."""
        with self._database.read() as tx:
            commitment = Datasets(tx).names().get(name)
            private = None if commitment is None else Datasets(tx).get(commitment)
        if commitment is None:
            raise _no_such()
        return {**self._shown(name, commitment), "notes": str((private or {}).get("notes", ""))}

    def _shown(self, name: str, commitment: str) -> dict[str, Any]:
        registration = self.glance(commitment)
        return {
            "name": name,
            "commitment": commitment,
            "catalogue": registration.description.model_dump(mode="json"),
            "private": {
                "source": str(registration.source),
                "records": registration.manifest.records,
                "looks_unchanged": looks_unchanged(registration),
            },
        }

    def glance(self, commitment: str) -> Registration:
        """A registration for listings: without leaves and salt, nothing checked (`data.registration.glance`)."""
        found = self._glances.get(commitment)
        if found is None:
            while len(self._glances) >= _GLANCES:
                self._glances.pop(next(iter(self._glances)), None)
            found = self._glances[commitment] = glance(self._place(commitment))
        return found

    def note(self, name: str, notes: str) -> None:
        """Keeps what this organisation's people write about a dataset, for themselves. Raises `NotFound` or `BadInput`."""
        if len(notes) > NOTES_MOST:
            raise BadInput("The notes are too long.", f"At most {NOTES_MOST} characters.", "Shorten them.")
        with self._database.transaction() as tx:
            rows = Datasets(tx)
            commitment = rows.names().get(name)
            if commitment is None:
                raise _no_such()
            registered = self.glance(commitment).description.registered
            private = {**(rows.get(commitment) or {}), "notes": readable(notes.replace("\r\n", "\n"))}
            rows.put(commitment, name, private, parse_rfc3339(registered))

    def withdraw(self, name: str) -> str:
        """Takes a dataset back: nothing is computed on it from now on, and it is told to nobody any more.

        Others may keep what they were told of it; plans that name it are refused here. The files, the salt and what the data
        belongs to (its protected population) stay. Returns the commitment. Raises `NotFound`.
        """
        with self._database.transaction() as tx:
            commitment = Datasets(tx).names().get(name)
            if commitment is None:
                raise _no_such()
            Datasets(tx).remove(commitment)
            own, documents = self._parties.own.party, Documents(tx)
            for digest, data in documents.find(CATALOGUE_TYPE, owner=own):
                if Envelope.stored(data).document().get("name") == name:
                    documents.remove(digest)
            act: JSON = {
                "type": "cloister/dataset-withdrawal@1",
                "commitment": commitment,
                "at": self._clock.now(),
            }
            self._log(tx, "decision", digest_json(act))
        return commitment

    def folders(self, wanted: Callable[[DatasetDescription], bool]) -> list[Path]:
        """Where those of this party's datasets lie that are wanted."""
        with self._database.read() as tx:
            names = Datasets(tx).names()
        found = [load_registration(self._place(commitment)) for commitment in names.values()]
        return [item.source for item in found if wanted(item.description)]

    def named(self, name: str) -> Registration | None:
        """The newest version of an own dataset by its name, without its salt, or `None`."""
        with self._database.read() as tx:
            commitment = Datasets(tx).names().get(name)
        return None if commitment is None else load_registration(self._place(commitment))

    def registration(self, commitment: str) -> Registration:
        """An own dataset. Raises `NotFound`."""
        with self._database.read() as tx:
            known = Datasets(tx).get(commitment) is not None
        if not known:
            raise _no_such()
        found = load_registration(self._place(commitment))
        if found.manifest.salt != _NO_SALT:
            return found
        salt = self._secrets.get(_label(commitment)).hex()
        return replace(found, manifest=found.manifest.model_copy(update={"salt": salt}))

    def for_use(self, commitment: str) -> OwnData:
        """An own dataset, every byte of it checked against its registration. Raises `Refused` or `Tampered`."""
        try:
            registration = self.registration(commitment)
        except NotFound:
            raise Refused(
                "The plan names a dataset that is not at this server.",
                "Its commitment is unknown here.",
                "Ask for the plan to be made again from the current catalogue.",
                clause="dataset-known",
            ) from None
        verify_unchanged(registration)
        return OwnData(registration)

    def still_same(self, commitment: str) -> None:
        """Checks every byte of an own dataset again, after a worker has read it. Raises `Tampered`."""
        verify_unchanged(self.registration(commitment))

    # The catalogue -------------------------------------------------------------------------------------------------

    def check(self, envelope: Envelope) -> DatasetDescription:
        """A catalogue entry, signed by the owner that it names; not kept. Raises `NotTrusted` or `BadInput`."""
        description = parse_description(json.dumps(envelope.document()).encode())
        verify(envelope, CATALOGUE_TYPE, [description.owner], self._parties.directory)
        return description

    def accept(self, envelope: Envelope) -> DatasetDescription:
        """Takes in another party's catalogue entry. Raises also `Refused` where its owner has told of too many."""
        description = self.check(envelope)
        with self._database.transaction() as tx:
            if Documents(tx).get(envelope.digest) is None:
                self._quotas.take(
                    "catalogue entries", description.owner, envelope.digest, len(envelope.encode()), tx=tx
                )
            self._keep(tx, envelope, description)
        return description

    def entries(self) -> list[DatasetDescription]:
        """Every entry, also several with one commitment; each is signed by the owner that it names."""
        with self._database.read() as tx:
            rows = Documents(tx).find(CATALOGUE_TYPE)
        return [
            parse_description(json.dumps(Envelope.stored(data).document()).encode()) for _digest, data in rows
        ]

    def catalogue(self, wanted: Mapping[str, str] | None = None) -> dict[str, DatasetDescription]:
        """All entries by commitment, own and others'; with `wanted` (owner → commitment), only those owners' entries.

        Commitments are public, so anybody can publish an entry with another's: whose entry counts is the asker's word.
        """
        own = self._parties.own.party
        found: dict[str, DatasetDescription] = {}
        for description in self.entries():
            if wanted is not None and wanted.get(description.owner) != description.commitment:
                continue
            known = found.get(description.commitment)
            if known is None or known.owner != own:
                found[description.commitment] = description
        return found

    def envelopes(self, owner: str | None = None) -> list[Envelope]:
        """Signed entries, of one owner or all."""
        with self._database.read() as tx:
            rows = (
                Documents(tx).find(CATALOGUE_TYPE, owner=owner)
                if owner
                else Documents(tx).find(CATALOGUE_TYPE)
            )
        return [Envelope.stored(data) for _digest, data in rows]

    def _keep(self, tx: Transaction, envelope: Envelope, description: DatasetDescription) -> None:
        Documents(tx).put(
            envelope.digest,
            CATALOGUE_TYPE,
            envelope.encode(),
            self._clock.now(),
            owner=description.owner,
            commitment=description.commitment,
        )

    def _place(self, commitment: str) -> Path:
        return self._folder / commitment.removeprefix("sha256:")[:32]


def _no_such() -> NotFound:
    return NotFound(
        "There is no such dataset at this server.",
        "No registration has that commitment or name.",
        "See: cloister dataset list",
    )


def _label(commitment: str) -> str:
    return f"dataset-{commitment.removeprefix('sha256:')[:32]}"

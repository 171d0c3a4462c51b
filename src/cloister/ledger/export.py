"""A whole ledger as a file that anybody can verify offline: JSON lines, one thing per line, canonical.

    {"cards":[[…],…],"origin":"cloister/ledger/…","type":"cloister/ledger-export@1","witnesses":["…"]}
    {"entry":{"hash":"<64 hex>","index":0,"leaf":{…}}}
    {"checkpoint":"<the signed note>"}
    {"end":{"checkpoints":1,"digest":"sha256:<hex>","entries":1}}

An entry whose bytes are not a ledger entry (it was spoiled where it was kept) has `"spoiled":"<base64>"` instead of
`leaf`. The first line names the log, and carries the card chains (from genesis) of the log's party and of its witnesses. The
log's origin contains its fingerprint and the genesis card proves which keys that fingerprint belongs to, so a reader
who knows the fingerprint needs nothing else.

Rules:
1. Every line has one form (canonical JSON), within `MAX_LINE` and `MAX_ENTRIES`; a line in another form is reported
   at the index where it stands, and reading goes on.
2. The last line counts what came before and holds its digest, so that a file cut short is not taken for whole. This
   is against accidents; against forgers there are the signed checkpoints.
3. Which witnesses count is the reader's word: `witnesses` of the file are only a proposal, and used only if the
   reader names none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from cloister.foundation.canonical import JSON, canonical, parse_canonical
from cloister.foundation.errors import BadInput, CloisterError, NotTrusted
from cloister.identity.directory import Directory
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import PublicKeys, b64, grouped, unb64
from cloister.ledger.checkpoints import party_of, witness_name
from cloister.ledger.leaves import Leaf
from cloister.ledger.notes import Note
from cloister.ledger.tree import leaf_hash
from cloister.ledger.verify import MAX_FINDINGS, Finding, Report, Stored, verify_ledger

EXPORT_TYPE = "cloister/ledger-export@1"
MAX_LINE = 4 << 20
MAX_ENTRIES = 10_000_000
MAX_CHECKPOINTS = 1_000_000
MAX_CHAINS = 100


@dataclass(frozen=True)
class Export:
    """What a file says, nothing of it verified yet. `problems` are lines that could not be read."""

    origin: str
    cards: tuple[tuple[Envelope, ...], ...]
    witnesses: tuple[str, ...]
    entries: tuple[Stored, ...]
    checkpoints: tuple[Note, ...]
    problems: tuple[Finding, ...] = ()


def write_export(
    origin: str,
    leaves: Iterable[bytes | Stored],
    checkpoints: Iterable[Note],
    cards: Iterable[Sequence[Envelope]],
    witnesses: Iterable[str] = (),
) -> Iterator[bytes]:
    """The lines of an export, each with its newline.

    Args:
        origin: the log's origin.
        leaves: all entries in order; with the hashes kept beside them (`verify.stored`) a changed entry is found
            at its own index, also in the file. Entries are written as they are, even where they are spoiled.
        checkpoints: all signed heads kept, oldest first.
        cards: card chains of the log's party and the witnesses (`Directory.chain`).
        witnesses: the fingerprints of the witnesses.
    """
    state, entries, heads = hashlib.sha256(), 0, 0

    def line(value: Any) -> bytes:
        data = canonical(value) + b"\n"
        if len(data) > MAX_LINE:
            raise BadInput(
                "A ledger's export has a line that is too large.", "", "Leave out old card chains."
            )
        state.update(data)
        return data

    chains: list[JSON] = [[envelope.model_dump(mode="json") for envelope in chain] for chain in cards]
    yield line({"type": EXPORT_TYPE, "origin": origin, "cards": chains, "witnesses": sorted(witnesses)})
    for item in leaves:
        entry = item if isinstance(item, Stored) else Stored(entries, item)
        kept = leaf_hash(entry.leaf) if entry.hash is None else entry.hash
        content: dict[str, JSON] = {"index": entry.index, "hash": kept.hex(), **_readable(entry.leaf)}
        yield line({"entry": content})
        entries += 1
    for note in checkpoints:
        yield line({"checkpoint": note.encode().decode("utf-8")})
        heads += 1
    ending: dict[str, JSON] = {
        "entries": entries,
        "checkpoints": heads,
        "digest": "sha256:" + state.hexdigest(),
    }
    yield canonical({"end": ending}) + b"\n"


def limited_lines(stream: BinaryIO) -> Iterator[bytes]:
    """The lines of an opened file, none longer than the limit. Raises `BadInput` for one that is."""
    while line := stream.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise BadInput(
                "A ledger's export has a line that is too large.",
                f"The limit is {MAX_LINE} bytes.",
                "Check that this is an exported ledger.",
            )
        yield line


def read_export(lines: Iterable[bytes]) -> Export:
    """Reads a file's lines (`limited_lines`) from foreign hands. Raises `BadInput` only if it is no export at all."""
    iterator = iter(lines)
    first = next(iterator, b"")
    origin, cards, witnesses = _header(first)
    state = hashlib.sha256(first)
    entries: list[Stored] = []
    heads: list[Note] = []
    problems: list[Finding] = []
    unread, ended = 0, False
    for number, line in enumerate(iterator, start=2):
        if ended:
            problems.append(Finding("malformed", f"Line {number} comes after the end.", len(entries)))
            break
        if len(entries) > MAX_ENTRIES or len(heads) > MAX_CHECKPOINTS:
            raise BadInput(
                "A ledger's export is too large.",
                f"The limit is {MAX_ENTRIES} entries and {MAX_CHECKPOINTS} checkpoints.",
                "Verify it at the server that keeps the ledger.",
            )
        try:
            kind, content = _line(line)
            if kind == "entry":
                entry = _entry(content)
                # Unreadable lines keep their places, so that later entries are found at their own.
                for _ in range(min(unread, entry.index - len(entries))):
                    entries.append(Stored(len(entries), b""))
                unread = 0
                entries.append(entry)
            elif kind == "checkpoint":
                heads.append(_checkpoint(content))
            else:
                ended = True
                _end(content, len(entries), len(heads), "sha256:" + state.hexdigest())
        except (CloisterError, KeyError, TypeError, ValueError) as error:
            why = error.why if isinstance(error, CloisterError) and error.why else "It is malformed."
            place = None if heads or ended else len(entries) + unread
            unread += place is not None
            if len(problems) < MAX_FINDINGS:
                problems.append(Finding("malformed", f"Line {number} could not be read. {why}", place))
        state.update(line)
    if not ended:
        problems.append(Finding("missing", "The file is cut short: its end is missing.", len(entries)))
    return Export(origin, cards, witnesses, tuple(entries), tuple(heads), tuple(problems))


def verify_export(
    export: Export,
    now: int,
    *,
    party: str | None = None,
    witnesses: Sequence[str] | None = None,
    threshold: int = 0,
    checkpoints: Sequence[Note] = (),
    tolerance: int = 120,
) -> Report:
    """Verifies an exported ledger with nothing but the file and what the reader knows.

    Args:
        export: what `read_export` gave.
        now: seconds since the epoch.
        party: the fingerprint that the reader expects; if absent, the report says which one it is to compare.
        witnesses: fingerprints of the witnesses that the reader trusts; if absent, those that the file proposes.
        threshold: how many of them must have cosigned the latest checkpoint.
        checkpoints: heads of this log that the reader got elsewhere: they show a rollback or a split view.
        tolerance: seconds by which clocks may differ.
    """
    problems, remarks = list(export.problems), []
    directory = Directory()
    for chain in export.cards:
        try:
            directory.accept_chain(chain, now)
        except CloisterError as error:
            problems.append(
                Finding("signature", f"A card in the file is not genuine. {error.why or error.what}")
            )
    owner = party_of(export.origin)
    if party is not None and party != owner:
        problems.append(
            Finding("signature", f"The ledger is of {grouped(owner)}, not of the party expected.")
        )
    if party is None:
        remarks.append(f"Compare the fingerprint of the ledger's owner: {grouped(owner)}.")
    counted = export.witnesses if witnesses is None else tuple(witnesses)
    if witnesses is None and counted:
        remarks.append("The witnesses are those that the file itself names; name those that you trust.")
    log_keys = keysets(directory, owner)
    if not log_keys:
        problems.append(Finding("signature", "The file lacks the cards of the ledger's owner."))
    elif directory.card(owner).status == "revoked":
        remarks.append(f"The owner revoked its keys at {directory.card(owner).issued}.")
    report = verify_ledger(
        export.entries,
        export.checkpoints + tuple(checkpoints),
        origin=export.origin,
        log_keys=log_keys,
        witnesses={witness_name(item): keysets(directory, item) for item in counted if item != owner},
        threshold=threshold,
        now=now,
        tolerance=tolerance,
    )
    return replace(report, findings=(*problems, *report.findings), remarks=(*remarks, *report.remarks))


def keysets(directory: Directory, party: str) -> tuple[PublicKeys, ...]:
    """All keysets of a party's chain, oldest first: what may stand under its old checkpoints. Empty if unknown."""
    if party not in directory:
        return ()
    found = {card.keys.keyset: card.keys for card in directory.record(party).cards}
    return tuple(found.values())


def _header(line: bytes) -> tuple[str, tuple[tuple[Envelope, ...], ...], tuple[str, ...]]:
    try:
        value = parse_canonical(_stripped(line), max_bytes=MAX_LINE)
        if value["type"] != EXPORT_TYPE or set(value) != {"type", "origin", "cards", "witnesses"}:
            raise KeyError("type")
        if len(value["cards"]) > MAX_CHAINS or len(value["witnesses"]) > MAX_CHAINS:
            raise KeyError("cards")
        cards = tuple(tuple(Envelope.from_json(item) for item in chain) for chain in value["cards"])
        witnesses = tuple(str(item) for item in value["witnesses"])
        for item in witnesses:
            party_of(witness_name(item))
        party_of(str(value["origin"]))
        return str(value["origin"]), cards, witnesses
    except (CloisterError, KeyError, TypeError, ValueError):
        raise BadInput(
            "This is not an exported ledger.",
            f"Its first line is not that of a {EXPORT_TYPE} file.",
            "Export it again with `cloister ledger export`.",
        ) from None


def _line(line: bytes) -> tuple[str, Any]:
    value = parse_canonical(_stripped(line), max_bytes=MAX_LINE)
    if not isinstance(value, Mapping) or len(value) != 1:
        raise BadInput("", "It is of no known kind.")
    kind, content = next(iter(value.items()))
    if kind not in {"entry", "checkpoint", "end"}:
        raise BadInput("", "It is of no known kind.")
    return str(kind), content


def _stripped(line: bytes) -> bytes:
    if not line.endswith(b"\n"):
        raise BadInput("", "It does not end in a newline.")
    return line[:-1]


def _readable(leaf: bytes) -> dict[str, JSON]:
    try:
        return {"leaf": Leaf.decode(leaf).model_dump(mode="json")}
    except BadInput:
        return {"spoiled": b64(leaf)}


def _entry(content: Any) -> Stored:
    if set(content) - {"leaf", "spoiled"} != {"index", "hash"} or len(content) != 3:
        raise BadInput("", "Its fields are not those of an entry.")
    if isinstance(content["index"], bool):
        raise BadInput("", "Its index is malformed.")
    leaf = canonical(content["leaf"]) if "leaf" in content else unb64(str(content["spoiled"]))
    value = bytes.fromhex(content["hash"])
    if not isinstance(content["index"], int) or value.hex() != content["hash"] or len(value) != 32:
        raise BadInput("", "Its index or hash is malformed.")
    return Stored(content["index"], leaf, value)


def _checkpoint(content: Any) -> Note:
    if not isinstance(content, str):
        raise BadInput("", "A checkpoint is text.")
    return Note.parse(content.encode("utf-8"))


def _end(content: Any, entries: int, heads: int, digest: str) -> None:
    if content != {"entries": entries, "checkpoints": heads, "digest": digest}:
        raise NotTrusted("", "What it counts is not what came before: the file was changed or cut.")

"""Finds what is wrong with a ledger, and where: this is what `cloister ledger verify` prints.

Given are the entries as stored, the checkpoints that the log signed (its own and those that others hold), and the
witnesses. Nothing that the log's owner says is believed unless a signature and a hash say it too.

Rules, each with the finding that it gives:
1. Entries are numbered without gaps (`missing`), can be read (`malformed`), and fit their stored hash (`changed`).
2. Entries do not go back in time, nor lie after a cosignature that covers them, by more than the tolerance (`clock`).
3. Every checkpoint is the log's (`signature`), and so are the witnesses' lines on it (`cosignature`).
4. The log has at least as many entries as it ever signed (`rollback`).
5. The first n entries give the root of every checkpoint of size n. If not: when a larger checkpoint does fit, or two
   of one size differ, the log signed two histories (`split-view`); else an entry since the last checkpoint that fits
   was changed, dropped or added (`changed`).
6. By each cosigner's own clock, checkpoints in the order they were kept never shrink (`rollback`) and never go back
   in time (`clock`).
7. The largest checkpoint has enough witnesses (`quorum`); a ledger with entries has a checkpoint (`unsigned`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from cloister.foundation.clock import rfc3339
from cloister.foundation.digests import same
from cloister.foundation.errors import BadInput, NotTrusted, Tampered
from cloister.identity.keys import PublicKeys
from cloister.ledger import quorum
from cloister.ledger.checkpoints import Checkpoint, cosigned_at, verify_checkpoint
from cloister.ledger.leaves import Leaf
from cloister.ledger.notes import Note
from cloister.ledger.tree import EMPTY_ROOT, NodeStore, leaf_hash, node_hash

FindingKind: TypeAlias = Literal[
    "changed",
    "clock",
    "cosignature",
    "malformed",
    "missing",
    "quorum",
    "rollback",
    "signature",
    "split-view",
    "unsigned",
]
MAX_FINDINGS = 50


@dataclass(frozen=True)
class Stored:
    """An entry as kept: its index, its bytes, and the leaf hash kept beside it (if any)."""

    index: int
    leaf: bytes
    hash: bytes | None = None


def stored(leaves: Iterable[bytes], nodes: NodeStore) -> Iterator[Stored]:
    """The entries with the leaf hashes that the tree's store keeps, so that a changed entry is found at its index."""
    for index, leaf in enumerate(leaves):
        yield Stored(index, leaf, nodes.get(0, index))


@dataclass(frozen=True)
class Finding:
    """Something wrong. `index` is the first entry concerned, `until` (exclusive) the end where only a range is known."""

    kind: FindingKind
    words: str
    index: int | None = None
    until: int | None = None


@dataclass(frozen=True)
class Report:
    """What verification found. `remarks` are worth knowing but not wrong."""

    origin: str
    entries: int
    signed: int
    root: bytes
    witnesses: Mapping[str, int]
    findings: tuple[Finding, ...] = ()
    remarks: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def first_bad(self) -> int | None:
        """The index of the first entry that something is wrong with, where that can be told.

        A range in which an entry is known to be bad counts from that entry. A date is no such knowledge: of an entry that is
        dated before an earlier one, it may be the earlier one that was changed.
        """
        exact = sorted(
            (item.index, item.kind) for item in self.findings if item.index is not None and item.until is None
        )
        bad = [index for index, kind in exact if kind != "clock"]
        candidates = [index for index, _ in exact[:1]]
        for item in self.findings:
            if item.index is not None and item.until is not None:
                start, end = item.index, item.until
                candidates.append(next((index for index in bad if start <= index < end), start))
        return min(candidates, default=None)

    def words(self) -> list[str]:
        """The report as lines for people."""
        lines = [
            f"Ledger {self.origin}",
            f"{self.entries} entries, {self.signed} of them under a signed checkpoint.",
            f"The latest checkpoint was seen by {len(self.witnesses)} witness(es).",
        ]
        lines += [f"  {name} at {rfc3339(time)}" for name, time in sorted(self.witnesses.items())]
        if self.ok:
            lines.append("Nothing is wrong: no entry was changed, removed or put in between.")
        else:
            lines.append(f"{len(self.findings)} thing(s) are wrong:")
            lines += [f"  {item.kind}: {item.words}" for item in self.findings]
            if self.first_bad is not None:
                lines.append(f"The first entry concerned is number {self.first_bad} (counted from 0).")
        return lines + [f"Note: {remark}" for remark in self.remarks]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "origin": self.origin,
            "ok": self.ok,
            "entries": self.entries,
            "signed": self.signed,
            "root": self.root.hex(),
            "witnesses": {name: rfc3339(time) for name, time in sorted(self.witnesses.items())},
            "first_bad": self.first_bad,
            "findings": [
                {"kind": item.kind, "words": item.words, "index": item.index, "until": item.until}
                for item in self.findings
            ],
            "remarks": list(self.remarks),
        }

    def require(self) -> None:
        """Raises `Tampered` unless `ok`."""
        if not self.ok:
            first = self.findings[0]
            raise Tampered(
                "The ledger does not verify.",
                first.words,
                "Keep this copy as evidence, tell the other parties, and restore the ledger from a backup.",
                clause=f"ledger-{first.kind}",
                report=self.to_json(),
            )


def verify_ledger(
    entries: Iterable[Stored],
    checkpoints: Sequence[Note],
    *,
    origin: str,
    log_keys: Sequence[PublicKeys],
    witnesses: Mapping[str, Sequence[PublicKeys]] | None = None,
    threshold: int = 0,
    now: int | None = None,
    tolerance: int = 120,
) -> Report:
    """Checks a whole ledger.

    Args:
        entries: all entries in order.
        checkpoints: signed heads of this log, in the order they were kept; heads that others hold may be among them,
            at the end.
        origin: the log's origin.
        log_keys: the log's keysets, present and past.
        witnesses: key name → keysets, of the witnesses that the reader trusts.
        threshold: how many of them must have cosigned the largest checkpoint.
        now: seconds since the epoch, to find times in the future; not checked if absent.
        tolerance: seconds by which clocks may differ.
    """
    trusted = dict(witnesses or {})
    found = _Findings()
    heads = _signed_heads(checkpoints, origin, log_keys, trusted, found)
    scan = _scan(entries, {head.checkpoint.size for head in heads}, found, now, tolerance)
    fitting = _compare(heads, scan, found)
    _order(heads, found)
    _after_cosignature(heads, scan, found, tolerance)
    latest = max(heads, key=lambda head: head.checkpoint.size, default=None)
    seen_by = quorum.cosigners(latest.note, trusted, now) if latest else {}
    if latest is None and scan.count:
        found.add("unsigned", "There is no checkpoint that the log signed, so nothing binds the entries.", 0)
    elif latest is not None and not quorum.enough(latest.note, trusted, threshold, now):
        found.add(
            "quorum",
            f"{len(seen_by)} of the {threshold} witnesses that are needed cosigned the latest checkpoint.",
        )
    signed = max(fitting, default=0)
    remarks = (
        [f"{scan.count - signed} entries are newer than the last checkpoint."] if scan.count > signed else []
    )
    if latest is not None and not seen_by:
        # A signature is made by the log's owner, who can leave out the newest heads together with their entries.
        remarks.append(
            "No witness that you trust has seen this: entries cut off at the end, together with the checkpoints over"
            " them, would not be noticed. Name witnesses, or hold it against a checkpoint that you got elsewhere."
        )
    return Report(
        origin, scan.count, signed, scan.root, seen_by, tuple(found.items), tuple(remarks if latest else ())
    )


@dataclass(frozen=True)
class _Head:
    note: Note
    checkpoint: Checkpoint
    times: Mapping[str, int]


@dataclass
class _Scan:
    count: int
    roots: dict[int, bytes]
    root: bytes
    times: list[int | None]


class _Findings:
    def __init__(self) -> None:
        self.items: list[Finding] = []

    def add(self, kind: FindingKind, words: str, index: int | None = None, until: int | None = None) -> None:
        if len(self.items) < MAX_FINDINGS:
            self.items.append(Finding(kind, words, index, until))


class _Peaks:
    """The roots of the complete subtrees so far: enough to give the root at every size in one pass."""

    def __init__(self) -> None:
        self._stack: list[tuple[int, bytes]] = []

    def push(self, value: bytes) -> None:
        level = 0
        while self._stack and self._stack[-1][0] == level:
            value, level = node_hash(self._stack.pop()[1], value), level + 1
        self._stack.append((level, value))

    def root(self) -> bytes:
        value: bytes | None = None
        for _, part in reversed(self._stack):
            value = part if value is None else node_hash(part, value)
        return EMPTY_ROOT if value is None else value


def _signed_heads(
    checkpoints: Sequence[Note],
    origin: str,
    log_keys: Sequence[PublicKeys],
    witnesses: Mapping[str, Sequence[PublicKeys]],
    found: _Findings,
) -> list[_Head]:
    heads = []
    for position, note in enumerate(checkpoints):
        try:
            checkpoint = verify_checkpoint(note, origin, log_keys)
        except (NotTrusted, BadInput) as error:
            found.add("signature", f"Checkpoint number {position} is not the log's. {error.what} {error.why}")
            continue
        times = {}
        for name, keysets in {origin: log_keys, **witnesses}.items():
            try:
                time = cosigned_at(note, name, keysets)
            except NotTrusted as error:
                found.add("cosignature", f"Checkpoint number {position}, cosigned by {name}: {error.why}")
                continue
            if time is not None:
                times[name] = time
        heads.append(_Head(note, checkpoint, times))
    return heads


def _scan(
    entries: Iterable[Stored], sizes: set[int], found: _Findings, now: int | None, tolerance: int
) -> _Scan:
    peaks = _Peaks()
    scan = _Scan(0, {0: EMPTY_ROOT}, EMPTY_ROOT, [])
    latest: int | None = None
    shift = 0
    for entry in entries:
        place = scan.count
        if entry.index != place + shift:
            found.add(
                "missing", f"Entry {place + shift} is missing: entry {entry.index} follows.", place + shift
            )
            shift = entry.index - place
        at = None
        value = leaf_hash(entry.leaf)
        if entry.hash is not None and not same(entry.hash, value):
            found.add("changed", f"Entry {entry.index} does not fit its hash.", entry.index)
            # The kept hash goes into the tree: if the root then fits, it is this entry's bytes that changed.
            value = entry.hash
        else:
            try:
                at = Leaf.decode(entry.leaf).at
            except BadInput:
                found.add("malformed", f"Entry {entry.index} is not a ledger entry.", entry.index)
        if at is not None:
            if latest is not None and at + tolerance < latest:
                words = (
                    f"Entry {entry.index} is dated {rfc3339(at)}, before an earlier one ({rfc3339(latest)})."
                )
                found.add("clock", words, entry.index)
            if now is not None and at > now + tolerance:
                found.add(
                    "clock", f"Entry {entry.index} is dated in the future ({rfc3339(at)}).", entry.index
                )
            latest = at if latest is None else max(latest, at)
        scan.times.append(at)
        peaks.push(value)
        scan.count += 1
        if scan.count in sizes:
            scan.roots[scan.count] = peaks.root()
    scan.root = peaks.root()
    return scan


def _compare(heads: Sequence[_Head], scan: _Scan, found: _Findings) -> set[int]:
    """Rules 4 and 5; returns the sizes whose checkpoints fit."""
    by_size: dict[int, bytes] = {}
    split: set[int] = set()
    for head in heads:
        size, root = head.checkpoint.size, head.checkpoint.root
        if not same(by_size.setdefault(size, root), root) and size not in split:
            split.add(size)
            found.add("split-view", f"The log signed two different histories of {size} entries.")
    beyond = max(by_size, default=0)
    if beyond > scan.count:
        words = f"The log signed {beyond} entries; {scan.count} are here. The last {beyond - scan.count} were removed."
        found.add("rollback", words, scan.count, beyond)
    fits = {size for size, root in by_size.items() if size in scan.roots and same(root, scan.roots[size])}
    misfits = sorted(
        size for size in by_size if size in scan.roots and size not in fits and size not in split
    )
    largest = max(fits, default=0)
    for size in misfits:
        if size < largest:
            words = f"The log signed another history of {size} entries than the one it signed of {largest}."
            found.add("split-view", words)
    changed = [size for size in misfits if size > largest]
    if changed:
        words = (
            f"Entries {largest} to {changed[0] - 1} do not give the root signed for {changed[0]} entries: "
            "one was changed, removed or put in between."
        )
        found.add("changed", words, largest, changed[0])
    return fits


def _order(heads: Sequence[_Head], found: _Findings) -> None:
    """Rule 6, for each cosigner by its own clock. An old head that somebody else kept has an old date: no matter."""
    for name in sorted({name for head in heads for name in head.times}):
        largest, latest = 0, 0
        for head in heads:
            if name not in head.times:
                continue
            size, time = head.checkpoint.size, head.times[name]
            if size < largest and time > latest:
                words = f"{name} cosigned {largest} entries at {rfc3339(latest)} and only {size} at {rfc3339(time)}."
                found.add("rollback", words, size, largest)
            elif size > largest and time < latest:
                words = (
                    f"{name} cosigned {largest} entries at {rfc3339(latest)}, but the larger checkpoint of {size} "
                    f"before that, at {rfc3339(time)}."
                )
                found.add("clock", words)
            if size >= largest:
                largest, latest = size, max(time, latest)


def _after_cosignature(heads: Sequence[_Head], scan: _Scan, found: _Findings, tolerance: int) -> None:
    """Rule 2: an entry under a cosigned head was written before the cosignature."""
    bounds = sorted((head.checkpoint.size, min(head.times.values())) for head in heads if head.times)
    start = 0
    for size, time in bounds:
        for index in range(start, min(size, scan.count)):
            at = scan.times[index]
            if at is not None and at > time + tolerance:
                words = f"Entry {index} is dated {rfc3339(at)}, after it was cosigned ({rfc3339(time)})."
                found.add("clock", words, index)
        start = max(start, size)

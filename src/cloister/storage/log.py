"""The rows and the tree of append-only logs: a node's own one, and copies of others'.

`TreeNodes` is a node store as `ledger.tree` wants it; `LogRows` keeps what was hashed, with the salt and the document
that only this node knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import Select, func, select

from cloister.storage._rows import equal, inserting, put
from cloister.storage.database import Transaction
from cloister.storage.tables import ledger_rows, tree_nodes

OWN = "own"

_LAST = select(func.max(ledger_rows.c.index)).where(equal(ledger_rows.c.log))
_NODE = select(tree_nodes.c.hash).where(
    equal(tree_nodes.c.log), equal(tree_nodes.c.level), equal(tree_nodes.c.index)
)


@dataclass(frozen=True)
class LogRow:
    """One entry: its index from 0, the leaf bytes that are hashed, and what only the log's owner keeps."""

    index: int
    leaf: bytes
    kind: str
    salt: bytes | None = field(repr=False, default=None)
    document: str | None = None


class LogRows:
    """The entries of one log in one transaction."""

    def __init__(self, tx: Transaction, log: str = OWN) -> None:
        self._connection = tx.connection
        self._log = log

    def size(self) -> int:
        """How many entries there are."""
        last = self._connection.execute(_LAST, {"_log": self._log}).scalar()
        return 0 if last is None else int(last) + 1

    def add(self, row: LogRow) -> None:
        """Appends an entry under its index."""
        self._connection.execute(
            inserting(ledger_rows),
            {
                "log": self._log,
                "index": row.index,
                "leaf": row.leaf,
                "salt": row.salt,
                "document": row.document,
                "kind": row.kind,
            },
        )

    def get(self, index: int) -> LogRow | None:
        """The entry at `index`, or `None`."""
        return next(self.scan(index, index + 1), None)

    def scan(self, start: int = 0, end: int | None = None) -> Iterator[LogRow]:
        """Entries from `start` to before `end`, in order."""
        query = self._rows().where(ledger_rows.c.index >= start)
        if end is not None:
            query = query.where(ledger_rows.c.index < end)
        for index, leaf, kind, salt, document in self._connection.execute(query):
            yield LogRow(index, leaf, kind, salt, document)

    def find(self, document: str) -> list[LogRow]:
        """The entries about a document."""
        query = self._rows().where(ledger_rows.c.document == document)
        return [
            LogRow(index, leaf, kind, salt, about)
            for index, leaf, kind, salt, about in self._connection.execute(query)
        ]

    def _rows(self) -> Select[int, bytes, str, bytes | None, str | None]:
        # Named one by one: a row is a tuple, and `row.index` would be the tuple's method.
        columns = ledger_rows.c
        return (
            select(columns.index, columns.leaf, columns.kind, columns.salt, columns.document)
            .where(columns.log == self._log)
            .order_by(columns.index)
        )


class TreeNodes:
    """The hashes of complete subtrees of one log, by level (0: leaves) and index."""

    def __init__(self, tx: Transaction, log: str = OWN) -> None:
        self._connection = tx.connection
        self._log = log

    def get(self, level: int, index: int) -> bytes | None:
        """The hash, or `None`."""
        return self._connection.execute(
            _NODE, {"_log": self._log, "_level": level, "_index": index}
        ).scalar_one_or_none()

    def put(self, level: int, index: int, value: bytes) -> None:
        """Keeps a hash."""
        put(self._connection, tree_nodes, {"log": self._log, "level": level, "index": index}, {"hash": value})

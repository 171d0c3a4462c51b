"""What a node keeps: one database and a folder of large bodies, written together or not at all.

`database` opens SQLite (embedded) or PostgreSQL and hands out transactions; each other module is one small
repository over one or two tables. Nothing here decides anything: trust logic above passes values in.
"""

from __future__ import annotations

from cloister.storage.database import Database, Transaction

__all__ = ["Database", "Transaction"]

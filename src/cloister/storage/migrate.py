"""Brings a database to the tables of this version, one Alembic revision at a time, in one transaction.

Rule: a database with a revision that this version does not know was written by a newer Cloister and is refused, so
that an older program never writes what a newer one would misread.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

from cloister.foundation.errors import Refused
from cloister.storage.tables import metadata


def migrate(connection: Connection) -> None:
    """Upgrades to the newest revision. Raises `Refused` (clause `schema-newer`) for one that is unknown here."""
    # Loaded here: programs that only import this package need no Alembic.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(__file__).with_name("migrations")))
    known = {script.revision for script in scripts.walk_revisions()}
    present = set(MigrationContext.configure(connection).get_current_heads())
    if not present <= known:
        raise Refused(
            "This folder was written by a newer version of Cloister.",
            "Its database has a form that this version does not know.",
            "Install that version again, or restore a backup made with this one.",
            clause="schema-newer",
        )
    head = scripts.get_current_head()
    if present == {head}:
        return
    with EnvironmentContext(
        Config(),
        scripts,
        fn=lambda revision, _context: scripts._upgrade_revs("head", revision),  # noqa: SLF001 - as Alembic's own `command.upgrade` does; it has no public form without a configuration file
        destination_rev="head",
    ) as environment:
        environment.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
        environment.run_migrations()

"""What all tests share; stands here also so that `tests/` is importable: `from simulators.bus import run_task`.

Tests may run in several processes at once (`scripts/test` does so). Then each process has a PostgreSQL database of its own, and
modules with slow tests come first, so that no process is left with a long one at the end.
"""

from __future__ import annotations

import os

import pytest

_POSTGRES = "CLOISTER_TEST_POSTGRES"
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")


def _own_database(url: str, worker: str) -> str:
    from sqlalchemy import create_engine, make_url, text

    given = make_url(url)
    own = given.set(database=f"{given.database}_{worker}")
    engine = create_engine(given, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        found = connection.execute(
            text("select 1 from pg_database where datname = :name"), {"name": own.database}
        )
        if found.first() is None:
            connection.execute(text(f'create database "{own.database}"'))
    engine.dispose()
    return own.render_as_string(hide_password=False)


if _WORKER and os.environ.get(_POSTGRES):
    # As this file is read: those of the folders below read the variable as they are, before pytest is configured.
    os.environ[_POSTGRES] = _own_database(os.environ[_POSTGRES], _WORKER)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules that have a slow test go first where several processes share the work; otherwise the order stays."""
    if _WORKER:
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)

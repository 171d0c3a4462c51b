"""Databases to test with: SQLite always, PostgreSQL where `CLOISTER_TEST_POSTGRES` names one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from cloister.storage.database import Database

POSTGRES = os.environ.get("CLOISTER_TEST_POSTGRES", "")


def empty(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("drop schema public cascade"))
        connection.execute(text("create schema public"))
    engine.dispose()


@pytest.fixture(params=["sqlite", "memory", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "postgresql":
        if not POSTGRES:
            pytest.skip("CLOISTER_TEST_POSTGRES names no server")
        empty(POSTGRES)
        opened = Database.open(POSTGRES)
    else:
        opened = Database.memory() if request.param == "memory" else Database.open(tmp_path / "node")
    yield opened
    opened.close()

"""What is refused before a database is used, and how tables come to this program's."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect

from store.conftest import Opener, furnish, new_database
from tocsin.errors import SettingsError
from tocsin.store import migrations, opening, sqlite
from tocsin.store.opening import HEAD


async def test_a_second_server_on_the_same_data_is_refused_by_the_first_ones_pid(url: str, open_store: Opener) -> None:
    await open_store(url)
    with pytest.raises(SettingsError, match=rf"process {os.getpid()} has"):
        await open_store(url)


async def test_the_data_can_be_opened_again_after_closing(url: str, open_store: Opener) -> None:
    store = await open_store(url)
    await furnish(store)
    await store.close()
    again = await open_store(url)
    assert await again.everything().read(lambda s: s.accounts.setup_done())


async def test_a_damaged_file_is_named_with_its_remedy(tmp_path: Path, open_store: Opener) -> None:
    path = tmp_path / "tocsin.db"
    store = await open_store(f"sqlite:///{path}")
    await furnish(store)
    await store.close()
    data = bytearray(path.read_bytes())
    for page in range(2, len(data) // 4096):
        data[page * 4096 : page * 4096 + 100] = os.urandom(100)
    path.write_bytes(bytes(data))
    with pytest.raises(SettingsError, match=r"tocsin\.db is damaged.*recover"):
        await open_store(f"sqlite:///{path}")
    path.write_bytes(b"not a database at all " * 500)
    with pytest.raises(SettingsError, match=r"tocsin\.db is damaged.*recover"):
        await open_store(f"sqlite:///{path}")


async def test_tables_of_a_newer_program_are_refused_in_words(url: str, open_store: Opener) -> None:
    store = await open_store(url)
    await store.everything().write(lambda s: s.run("UPDATE alembic_version SET version_num = '9999'"))
    await store.close()
    with pytest.raises(SettingsError, match=r"found 9999 in .*newer Tocsin"):
        await open_store(url)


async def test_a_database_that_is_not_there_is_refused(tmp_path: Path, open_store: Opener) -> None:
    with pytest.raises(SettingsError, match="found nothing"):
        await open_store(f"sqlite:///{tmp_path}/other.db", create=False)
    for wrong in ("mysql://x", "sqlite:///relative.db", "", "postgresql://"):
        with pytest.raises(SettingsError, match="DATABASE_"):
            await open_store(wrong)
    with pytest.raises(SettingsError, match=r"answers at postgresql.*127\.0\.0\.1:1"):
        await open_store("postgresql://someone:canary@127.0.0.1:1/none")


async def test_a_short_sealing_key_is_refused(url: str, open_store: Opener) -> None:
    with pytest.raises(SettingsError, match="32 bytes"):
        await open_store(url, sealing_key=b"short")


def tables(connection: Any) -> dict[str, Any]:
    """Every table's columns, keys, indexes as the database tells them."""
    eye = inspect(connection)
    return {
        name: (
            [(c["name"], str(c["type"]), c["nullable"], str(c["default"])) for c in eye.get_columns(name)],
            eye.get_pk_constraint(name)["constrained_columns"],
            sorted((i["name"] or "", i["column_names"], bool(i["unique"])) for i in eye.get_indexes(name)),
            sorted((f["constrained_columns"], f["referred_table"], f["options"]) for f in eye.get_foreign_keys(name)),
            sorted(u["column_names"] for u in eye.get_unique_constraints(name)),
        )
        for name in eye.get_table_names()
        if name != "alembic_version"
    }


def test_migrating_from_nothing_gives_the_tables_of_a_new_sqlite_database(tmp_path: Path) -> None:
    found: list[Any] = []
    texts: list[Any] = []
    for way in ("new", "migrated"):
        engine = sqlite.engine_for(tmp_path / way, readonly=False)
        with engine.connect() as connection:
            if way == "new":
                opening.bring_up(connection, way)
            else:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                migrations.upgrade(connection, None, way)
                connection.commit()
            assert opening.stored_head(connection) == HEAD
            found.append(tables(connection))
            rows = connection.exec_driver_sql(
                "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE '%alembic%' ORDER BY name"
            )
            texts.append([(n, " ".join((t or "").split())) for n, t in rows])
    assert found[0] == found[1]
    assert texts[0] == texts[1]


async def test_migrating_from_nothing_gives_the_tables_of_a_new_postgresql_database(postgres_cluster: str) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    found: list[Any] = []
    for way in ("new", "migrated"):
        url = await new_database(postgres_cluster)
        engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))
        async with engine.connect() as connection:
            if way == "new":
                await connection.run_sync(opening.bring_up, way)
            else:
                await connection.run_sync(migrations.upgrade, None, way)
                await connection.commit()
            assert await connection.run_sync(opening.stored_head) == HEAD
            found.append(await connection.run_sync(tables))
        await engine.dispose()
    assert found[0] == found[1]


def test_older_tables_are_migrated_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    with sqlite3.connect(tmp_path / "t.db") as raw:
        raw.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        raw.execute("INSERT INTO alembic_version VALUES ('0000')")
    raw.close()
    monkeypatch.setattr(migrations, "upgrade", lambda c, head, shown: asked.append(head))
    path = tmp_path / "t.db"
    opening.prepare_sqlite(path, create=True)
    assert asked == ["0000"]
    assert path.stat().st_mode & 0o777 == 0o600

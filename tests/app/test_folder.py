from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tocsin import settings
from tocsin.app import folder
from tocsin.errors import SettingsError


def given(tmp_path: Path, **environment: str) -> settings.Settings:
    return settings.read({"TOCSIN_DATA_DIR": str(tmp_path / "data"), **environment})


def test_the_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    made = folder.prepare(given(tmp_path))
    assert made.stat().st_mode & 0o777 == 0o700
    assert list(made.iterdir()) == []


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(SettingsError, match="TOCSIN_DATA_DIR: expected a folder we can write to"):
        folder.prepare(given(tmp_path))


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    made = given(tmp_path)
    folder.prepare(made)
    key = folder.master_key(made)
    file = made.data_dir / "secret.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(key) >= 43
    assert folder.master_key(made) == key
    assert [p.name for p in made.data_dir.iterdir()] == ["secret.key"]


def test_first_starts_at_once_agree_on_one_key(tmp_path: Path) -> None:
    made = given(tmp_path)
    folder.prepare(made)
    found: list[bytes] = []
    gate = threading.Barrier(8)

    def first() -> None:
        gate.wait()
        found.append(folder.master_key(made))

    threads = [threading.Thread(target=first) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    made = given(tmp_path)
    folder.prepare(made)
    folder.master_key(made)
    os.chmod(made.data_dir / "secret.key", 0o640)
    with pytest.raises(SettingsError, match=r"only its owner can read \(0600\), found mode 0640"):
        folder.master_key(made)


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    made = given(tmp_path)
    folder.prepare(made)
    file = made.data_dir / "secret.key"
    file.write_text("short")
    file.chmod(0o600)
    with pytest.raises(SettingsError, match="at least 32 characters, found 5"):
        folder.master_key(made)


def test_a_lost_key_is_not_replaced(tmp_path: Path) -> None:
    made = given(tmp_path)
    folder.prepare(made)
    (made.data_dir / "tocsin.db").write_bytes(b"SQLite format 3\0")
    with pytest.raises(SettingsError, match=r"the key that tocsin\.db was sealed with"):
        folder.master_key(made)
    assert not (made.data_dir / "secret.key").exists()


def test_a_key_from_the_environment_needs_no_file(tmp_path: Path) -> None:
    made = given(tmp_path, TOCSIN_SECRET_KEY="k" * 40)
    folder.prepare(made)
    assert folder.master_key(made) == b"k" * 40
    assert list(made.data_dir.iterdir()) == []


def test_a_start_that_is_refused_leaves_no_key_behind(tmp_path: Path) -> None:
    made = given(tmp_path)
    folder.prepare(made)

    def refused() -> None:
        with folder.kept_if_used(made) as key:
            assert folder.master_key(made) == key
            raise SettingsError("no database")

    with pytest.raises(SettingsError, match="no database"):
        refused()
    assert list(made.data_dir.iterdir()) == []
    with folder.kept_if_used(made) as key:
        assert made.database_file is not None
        made.database_file.write_bytes(b"sealed with it")
    with pytest.raises(SettingsError, match="no database"):
        refused()
    assert folder.master_key(made) == key

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin import settings
from tocsin.errors import SettingsError
from tocsin.settings import SETTINGS


def read(tmp_path: Path, text: str | None = None, **environment: str) -> settings.Settings:
    file = None
    if text is not None:
        file = tmp_path / "tocsin.toml"
        file.write_text(text, encoding="utf-8")
    return settings.read({"HOME": str(tmp_path), **environment}, file)


def test_defaults_are_what_the_table_says(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert {s.key: found[s.key] for s in SETTINGS if s.key != "DATA_DIR"} == {
        s.key: s.default for s in SETTINGS if s.key != "DATA_DIR"
    }
    assert set(found.sources.values()) == {"default"}


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    found = read(tmp_path, "[tocsin]\nport = 4000\nhost = '0.0.0.0'\n", TOCSIN_PORT="4001")
    assert (found["PORT"], found["HOST"]) == (4001, "0.0.0.0")
    assert found.sources["PORT"] == "environment (TOCSIN_PORT)"
    assert found.sources["HOST"].endswith("tocsin.toml: host")


def test_a_file_is_found_by_its_variable(tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.toml"
    file.write_text("[tocsin]\nport = 4444\n")
    assert read(tmp_path, TOCSIN_CONFIG=str(file))["PORT"] == 4444


def test_names_of_other_systems_work_in_their_own_units(tmp_path: Path) -> None:
    found = read(tmp_path, MONITORING_INTERVAL_MS="300000", PING_TIMEOUT_MS="1500", MAX_CONCURRENT_PINGS="50")
    assert (found["DEFAULT_INTERVAL_S"], found["CHECK_TIMEOUT_S"], found["MAX_CONCURRENT_CHECKS"]) == (300, 1.5, 50)
    assert found.sources["DEFAULT_INTERVAL_S"] == "environment (MONITORING_INTERVAL_MS)"


def test_our_own_name_wins_over_theirs(tmp_path: Path) -> None:
    assert read(tmp_path, MAX_CONCURRENT_PINGS="50", TOCSIN_MAX_CONCURRENT_CHECKS="60")["MAX_CONCURRENT_CHECKS"] == 60


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    assert read(tmp_path, TOCSIN_PORT="")["PORT"] == 3001


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"TOCSIN_PROT": "1"}, "did you mean TOCSIN_PORT"),
        ({"TOCSIN_PORT": "many"}, "TOCSIN_PORT: expected a whole number, found 'many'"),
        ({"TOCSIN_PORT": "70000"}, "TOCSIN_PORT: expected a number from 0 to 65535, found 70000"),
        ({"TOCSIN_PORT": "1.5"}, "TOCSIN_PORT: expected a whole number"),
        ({"TOCSIN_CHECK_TIMEOUT_S": "nan"}, "TOCSIN_CHECK_TIMEOUT_S: expected a number"),
        ({"TOCSIN_EGRESS": "everyone"}, "TOCSIN_EGRESS: expected private or public, found 'everyone'"),
        ({"PING_TIMEOUT_MS": "soon"}, "PING_TIMEOUT_MS: expected a number of milliseconds, found 'soon'"),
        ({"TOCSIN_SECRET_KEY": "short"}, "TOCSIN_SECRET_KEY: expected at least 32 characters"),
        ({"TOCSIN_DATABASE_URL": "mysql://u:p@h/d"}, "TOCSIN_DATABASE_URL: expected postgresql"),
        ({"TOCSIN_DATABASE_URL": "sqlite:///a.db"}, "TOCSIN_DATABASE_URL: expected an absolute path (sqlite:////…)"),
        ({"TOCSIN_REQUESTS_PER_MINUTE": "1"}, "expected a number from 10 to 1000000, found 1"),
        ({"TOCSIN_LOCATION": "  "}, "TOCSIN_LOCATION: expected a name"),
        ({"TOCSIN_BASE_URL": "watch.example"}, "TOCSIN_BASE_URL: expected an http:// or https:// URL"),
        ({"TOCSIN_BASE_URL": "ftp://watch.example"}, "TOCSIN_BASE_URL: expected an http:// or https:// URL"),
        ({"TOCSIN_BASE_URL": "https://a:b@watch.example"}, "TOCSIN_BASE_URL: expected"),
        ({"TOCSIN_BASE_URL": "https://watch.example:x"}, "TOCSIN_BASE_URL: expected"),
        ({"TOCSIN_PRIMARY_SYNC_URL": "http://one.example:3002"}, "TOCSIN_PRIMARY_SYNC_URL: expected an https:// URL"),
        ({"TOCSIN_BASE_URL": "https:///x"}, "TOCSIN_BASE_URL: expected"),
        (
            {"TOCSIN_MINIMUM_INTERVAL_S": "120"},
            "TOCSIN_DEFAULT_INTERVAL_S: expected at least TOCSIN_MINIMUM_INTERVAL_S (120), found 60",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, environment: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, **environment)
    assert message in str(caught.value)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read(
            tmp_path, "[tocsin]\nprot = 1\nretention_days = 0\n", TOCSIN_PORT="70000", TOCSIN_LOG_LEVEL="loud",
            TOCSIN_PROT="1", PING_TIMEOUT_MS="soon", TOCSIN_LOCATION=" ", TOCSIN_MINIMUM_INTERVAL_S="many",
        )  # fmt: skip
    lines = str(caught.value).splitlines()
    names = sorted(line.rpartition(": expected ")[0].rpartition("/")[2] for line in lines)
    assert names == [
        "PING_TIMEOUT_MS", "TOCSIN_LOCATION", "TOCSIN_LOG_LEVEL", "TOCSIN_MINIMUM_INTERVAL_S", "TOCSIN_PORT",
        "TOCSIN_PROT", "tocsin.toml: prot", "tocsin.toml: retention_days",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tocsin]\nprot = 1\n", "did you mean port"),
        ("[tocsin]\nPORT = 1\n", "expected a known setting"),
        ("port = 1\n", "expected one table [tocsin]"),
        ("[tocsin\n", "expected TOML"),
        ("[tocsin]\nport = 'x'\n", "tocsin.toml: port: expected a whole number"),
        ("[tocsin]\nlocation = ' '\n", "tocsin.toml: location: expected a name"),
        ("[tocsin]\nbase_url = 'watch.example'\n", "tocsin.toml: base_url: expected an http:// or https:// URL"),
        (
            "[tocsin]\nminimum_interval_s = 120\ndefault_interval_s = 90\n",
            "tocsin.toml: default_interval_s: expected at least ",
        ),
        ("[tocsin]\nport = true\n", "port: expected a whole number"),
        ("[tocsin]\nhost = 1\n", "host: expected text"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: expected a readable TOML file"):
        settings.read({}, tmp_path / "none.toml")


def test_a_file_in_another_encoding_is_told_so(tmp_path: Path) -> None:
    file = tmp_path / "tocsin.toml"
    file.write_bytes("[tocsin]\nlocation = 'Zürich'\n".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"tocsin\.toml: expected TOML in UTF-8, found a wrong byte at position 22"):
        settings.read({}, file)


@pytest.mark.parametrize("variable", ["TOCSIN_DATA_DIR", "TOCSIN_CONFIG"])
def test_the_home_of_a_user_who_is_none_is_told_so(variable: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}: expected after ~ the name of a user who has a home"):
        settings.read({variable: "~nobody-of-that-name/x"})


def test_secrets_never_show(tmp_path: Path) -> None:
    found = read(tmp_path, TOCSIN_DATABASE_URL="postgresql://u:canary@h/d", TOCSIN_SECRET_KEY="canary" * 8)
    assert "canary" not in repr(found.values)
    assert found.database_url == "postgresql://u:canary@h/d"
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, TOCSIN_SECRET_KEY="canary")
    assert "canary" not in str(caught.value)


def test_the_data_folder_is_in_the_checkout_or_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read(tmp_path).data_dir == tmp_path / ".local" / "share" / "tocsin"
    assert read(tmp_path, XDG_DATA_HOME=str(tmp_path / "x")).data_dir == tmp_path / "x" / "tocsin"
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "src" / "tocsin").mkdir(parents=True)
    found = read(tmp_path)
    assert found.data_dir == tmp_path / "data"
    assert found.database_url == f"sqlite:///{tmp_path}/data/tocsin.db"


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "http://127.0.0.1:3001"),
        ({"TOCSIN_HOST": "0.0.0.0", "TOCSIN_PORT": "80"}, "http://127.0.0.1:80"),
        ({"TOCSIN_HOST": "::1"}, "http://[::1]:3001"),
        ({"TOCSIN_BASE_URL": "https://watch.example/"}, "https://watch.example"),
    ],
)
def test_the_address_in_messages(tmp_path: Path, environment: dict[str, str], url: str) -> None:
    assert read(tmp_path, **environment).base_url == url


@given(st.dictionaries(st.sampled_from([s.variable for s in SETTINGS if s.kind != "path"]), st.text(max_size=20)))
def test_any_environment_is_read_or_refused_by_name(environment: dict[str, str]) -> None:
    refusal, found = "", None
    try:
        found = settings.read({"HOME": "/nowhere", **environment})
    except SettingsError as error:
        refusal = str(error)
    if found is None:
        assert re.search(r"^\w+: expected .+, found ", refusal, re.S)
    else:
        assert set(found.values) == {s.key for s in SETTINGS}


def test_what_lets_an_instance_register_is_sound() -> None:
    for env, words in (
        ({"TOCSIN_SYNC_SECRET": "short"}, "TOCSIN_SYNC_SECRET: expected at least 16 characters"),
        ({"TOCSIN_SYNC_SECRET_BEFORE": "x" * 16}, "TOCSIN_SYNC_SECRET_BEFORE: expected TOCSIN_SYNC_SECRET beside it"),
        ({"TOCSIN_SYNC_CLIENT_KEY": "/k.pem"}, "TOCSIN_SYNC_CLIENT_KEY: expected TOCSIN_SYNC_CLIENT_CERT beside it"),
        ({"TOCSIN_PRIMARY_SYNC_FINGERPRINT": "abc"}, "TOCSIN_PRIMARY_SYNC_FINGERPRINT: expected 64 hexadecimal digits"),
    ):
        with pytest.raises(SettingsError, match=words):
            settings.read(env)
    settings.read({"TOCSIN_PRIMARY_SYNC_FINGERPRINT": ":".join(["Ab"] * 32)})

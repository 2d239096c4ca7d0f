"""Names that hold credentials, and credentials taken out of texts."""

from __future__ import annotations

import base64

import pytest

from tocsin.core.redaction import credentials, holds_credential, without


@pytest.mark.parametrize(
    "name",
    [
        "Authorization", "Proxy-Authorization", "WWW-Authenticate", "Cookie", "Set-Cookie", "X-Api-Key", "apikey",
        "X-Auth-Token", "client_secret", "PASSWORD", "X-Session-Id", "X-Hub-Signature-256", "private_key",
    ],
)  # fmt: skip
def test_these_names_hold_credentials(name: str) -> None:
    assert holds_credential(name)


@pytest.mark.parametrize("name", ["Content-Type", "Date", "Server", "Keep-Alive", "X-Request-Id", "Location", "ETag"])
def test_these_do_not(name: str) -> None:
    assert not holds_credential(name)


def test_a_credential_is_found_in_every_form_it_takes_on_the_wire() -> None:
    target = {
        "url": "https://shop.example/", "user": "alice", "password": "hunter22",
        "headers": {"X-Api-Key": "Bearer abcdefghij"}, "steps": [{"token": "klmnopqr"}],
    }  # fmt: skip
    found = credentials(target)
    basic = base64.b64encode(b"alice:hunter22").decode()
    for secret in ("hunter22", "abcdefghij", "Bearer abcdefghij", "klmnopqr", basic):
        assert secret in found
        assert secret not in without(f"you sent {secret}, did you", found)
    assert "https://shop.example/" not in found
    assert [len(s) for s in found] == sorted((len(s) for s in found), reverse=True)


def test_values_of_a_query_are_credentials_too() -> None:
    found = credentials({"url": "https://shop.example/?key=s3cr%20et&format=json&x=1&u=0123456789ab#part"})
    assert set(found) == {"s3cr%20et", "s3cr et", "0123456789ab"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("found Bearer abcdef… and more", "found *** and more"),
        ("found Bea…; header: expected a, found Bearer abcdefghij", "found Bea…; header: expected a, found ***"),
        ("found Bear…; later Bearer abcdefghi…", "found ***…; later ***…"),
        ("nothing of it…", "nothing of it…"),
    ],
)
def test_a_credential_that_was_cut_off_is_hidden_too(text: str, shown: str) -> None:
    assert without(text, ["Bearer abcdefghij"]).replace("***…", "***") == shown.replace("***…", "***")


def test_where_a_value_is_found_is_no_credential_whatever_it_is_called() -> None:
    step = {
        "url": "https://a.example/",
        "capture": {"token": {"json_path": "$.access"}},
        "headers": {"capture": "Xs3cret"},
    }
    found = credentials({"steps": [step], "secrets": {"capture": "hunter22"}})
    assert "$.access" not in found
    assert {"Xs3cret", "hunter22"} <= set(found)

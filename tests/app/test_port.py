from __future__ import annotations

import pytest

from tocsin.app import port
from tocsin.errors import SettingsError


def test_a_free_port_is_bound() -> None:
    with port.bind("127.0.0.1", 0) as bound:
        assert bound.getsockname()[1] > 0


def test_a_taken_port_is_named() -> None:
    with port.bind("127.0.0.1", 0) as first:
        first.listen()
        number = first.getsockname()[1]
        with pytest.raises(SettingsError, match=f"TOCSIN_PORT: expected a free port, found {number} in use on 127"):
            port.bind("127.0.0.1", number)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host.invalid"])
def test_an_address_that_is_not_ours_is_named(host: str) -> None:
    with pytest.raises(SettingsError, match="TOCSIN_HOST: expected an address of this machine"):
        port.bind(host, 0)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("0.0.0.0", None), ("::", None)],
)
def test_own_addresses_for_the_egress_guard(host: str, expected: str | None) -> None:
    with port.bind(host, 0) as bound:
        address, number = port.own(bound)
        assert number == bound.getsockname()[1]
        assert ("127.0.0.1" if address == "::1" else address) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.0.2.1", False), ("watch.example", False), ("", False)],
)  # fmt: skip
def test_what_only_this_machine_can_reach(host: str, expected: bool) -> None:
    assert port.only_loopback(host) is expected

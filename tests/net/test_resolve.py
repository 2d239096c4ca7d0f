from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import CheckFailed, EgressRefused
from tocsin.net import Egress, Net
from tocsin.net.resolve import Address, ascii_host, family_of, split_pin


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    async with Net() as net:
        yield net


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("Example.COM", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("_dmarc.example", "_dmarc.example"),
        ("example.com.", "example.com."),
        ("0x7f.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0xa9fea9fe", "169.254.169.254"),
        ("①②⑦.0.0.1", "127.0.0.1"),
        ("1.2.3.4.", "1.2.3.4"),
        ("[::1]", "::1"),
        ("::FFFF:1.2.3.4", "::ffff:102:304"),
        ("1.2.3.4.5", "1.2.3.4.5"),
        ("256.1.1.1", "256.1.1.1"),
        ("3com.com", "3com.com"),
    ],
)
def test_hosts_as_on_the_wire(host: str, plain: str) -> None:
    assert ascii_host(host) == plain


@pytest.mark.parametrize(
    "host",
    ["", ".", "a..b", "a b", "a/b", "u@h", "a#b", "a?b", "x" * 64 + ".y", "::g", "[::1", "a:80", "%41", "☃☃\u200b!"],
)
def test_what_is_no_host_is_a_dns_failure(host: str) -> None:
    if host == "[::1":
        assert ascii_host(host) == "::1"
        return
    with pytest.raises(CheckFailed) as caught:
        ascii_host(host)
    assert (caught.value.type, caught.value.phase) == ("dns", "dns")


@given(st.text(max_size=80))
def test_any_text_is_a_plain_host_or_a_dns_failure(text: str) -> None:
    with contextlib.suppress(CheckFailed):
        host = ascii_host(text)
        assert host.isascii()
        assert not set(host) & set(" /@#?\\%[]\r\n\t")


@given(st.ip_addresses(v=4))
def test_every_number_is_the_address_it_stands_for(address: object) -> None:
    number = int(address)  # type: ignore[call-overload]
    for form in (str(number), hex(number), "0" + oct(number)[2:]):
        assert ascii_host(form) == str(address)


async def test_literals_need_no_resolver(net: Net) -> None:
    assert await net.resolve("127.0.0.1", 80) == [Address("127.0.0.1", 80, socket.AF_INET)]
    assert await net.resolve("[::1]", 80) == [Address("::1", 80, socket.AF_INET6)]
    assert family_of("example.com") is None


async def test_localhost_and_its_versions(net: Net) -> None:
    assert Address("127.0.0.1", 80, socket.AF_INET) in await net.resolve("localhost", 80)
    assert [a.ip for a in await net.resolve("localhost", 80, ip_version=4)] == ["127.0.0.1"]


async def test_unknown_names_fail_and_are_remembered_for_a_moment(net: Net) -> None:
    for _ in range(2):
        with pytest.raises(CheckFailed, match="no such name") as caught:
            await net.resolve("nothing.invalid", 80)
        assert caught.value.type == "dns"


async def test_pins_win_and_pass_the_guard(net: Net) -> None:
    pins = ["a.example:443:127.0.0.5,[::1]", "*:80:127.0.0.6"]
    assert [a.ip for a in await net.resolve("a.example", 443, pins=pins)] == ["127.0.0.5", "::1"]
    assert [a.ip for a in await net.resolve("b.example", 80, pins=pins)] == ["127.0.0.6"]
    with pytest.raises(EgressRefused):
        await net.resolve("a.example", 80, pins=["a.example:80:169.254.169.254"])


@pytest.mark.parametrize(
    "pin", ["", "a", "a:b", "a:80", "a:80:", "a:80:b", "a:0:1.2.3.4", "a:70000:1.2.3.4", ":80:1.2.3.4"]
)
def test_bad_pins(pin: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        split_pin(pin)


async def test_one_refused_address_refuses_the_name() -> None:
    async with Net(Egress("private")) as net:
        with pytest.raises(EgressRefused, match=r"a\.example is at 169\.254\.169\.254"):
            await net.resolve("a.example", 80, pins=["a.example:80:127.0.0.1,169.254.169.254"])
        with pytest.raises(EgressRefused, match="metadata name"):
            await net.resolve("metadata.google.internal", 80)


async def test_many_who_ask_at_once_share_one_lookup(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    go = threading.Event()

    def slow(name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(name)
        go.wait(5)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)  # the operating system's
    tasks = [asyncio.ensure_future(net.resolve("shared.example", 80)) for _ in range(20)]
    await asyncio.sleep(0)
    tasks.pop().cancel()
    go.set()
    found = await asyncio.gather(*tasks)
    assert asked == ["shared.example"]
    assert all(f[0].ip == "127.0.0.1" for f in found)
    await net.resolve("shared.example", 81)
    assert asked == ["shared.example"]

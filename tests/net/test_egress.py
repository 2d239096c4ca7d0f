from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import EgressRefused
from tocsin.net.egress import METADATA_NAMES, Egress, unwrap


def words(text: str) -> list[str]:
    return text.split()


NEVER = words("""
0.0.0.0 0.0.0.1 0.1.2.3 0.255.255.255 :: 169.254.0.1 169.254.1.1 169.254.169.254 169.254.169.253 169.254.170.2
169.254.255.255 168.63.129.16 100.100.100.200 192.0.0.192 fe80::1 fe80::1%lo fe80::a9fe:a9fe febf::1 fd00:ec2::254
fd20:ce::254 224.0.0.1 224.0.0.251 239.255.255.250 ff02::1 ff05::2 ff0e::1 255.255.255.255 ::ffff:169.254.169.254
::ffff:a9fe:a9fe ::169.254.169.254 ::a9fe:a9fe 64:ff9b::169.254.169.254 64:ff9b::a9fe:a9fe 64:ff9b:1::a9fe:a9fe
64:ff9b:1:a9fe:a9:fe00:: 2002:a9fe:a9fe::1 2002:a9fe:a9fe:: ::ffff:0:a9fe:a9fe ::ffff:0.0.0.0 ::ffff:224.0.0.1
2001:0:a9fe:a9fe::1 2001:0:808:808:0:0:5601:5601 2001:db8::5efe:a9fe:a9fe 2001:db8::200:5efe:a9fe:a9fe
::ffff:168.63.129.16 2002:a83f:8110::1 64:ff9b::6464:64c8 ::ffff:255.255.255.255 ::ffff:0.1.2.3 2002:0:1::1
""")

LAN = words("""
127.0.0.1 127.0.0.2 127.1.2.3 127.255.255.255 ::1 ::1%lo 10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1
192.168.255.255 100.64.0.1 100.127.255.255 fc00::1 fd00::1 fdff::1 fec0::1 feff::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1
::ffff:100.64.0.1 ::ffff:192.168.1.1 ::127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::8.8.8.8
64:ff9b:1::7f00:1 2002:7f00:1::1 2002:a00:1::1 2002:c0a8:101::1 2001:0:7f00:1::1 2001:0:808:808:0:0:80ff:fffe
2001:0:808:808:0:0:f5ff:fffe ::ffff:0:7f00:1 2606:4700::5efe:10.0.0.1 192.0.0.1 192.0.2.1 198.51.100.7 203.0.113.9
198.18.0.1 198.19.255.255 192.88.99.1 240.0.0.1 254.1.2.3 100::1 2001:db8::1 3fff::1 5f00::1 2001:2::1 2001:10::1
2001:20::1 64:ff9b::6440:1
""")

PUBLIC = words("""
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 93.184.216.34 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 198.17.255.255
198.20.0.0 223.255.255.255 168.63.129.15 2606:4700:4700::1111 2001:4860:4860::8888 2a00:1450::1 ::ffff:8.8.8.8 ::8.8.8.8
64:ff9b::8.8.8.8 2002:808:808::1
2001:0:808:808:0:0:f7f7:f7f7 2400:cb00::5efe:8.8.8.8
""")


def allowed(egress: Egress, ip: str, port: int = 80) -> bool:
    try:
        egress.check(ip, port)
    except EgressRefused:
        return False
    return True


@pytest.mark.parametrize("ip", NEVER)
def test_refused_in_both_modes(ip: str) -> None:
    assert not allowed(Egress("private"), ip)
    assert not allowed(Egress("public"), ip)


@pytest.mark.parametrize("ip", LAN)
def test_private_mode_lets_what_public_mode_refuses(ip: str) -> None:
    assert allowed(Egress("private"), ip)
    assert not allowed(Egress("public"), ip)


@pytest.mark.parametrize("ip", PUBLIC)
def test_public_addresses_pass_in_both_modes(ip: str) -> None:
    assert allowed(Egress("private"), ip)
    assert allowed(Egress("public"), ip)


def test_the_corpus_is_large_enough() -> None:
    assert len(NEVER) + len(LAN) + len(PUBLIC) >= 120


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "0x7f.1", "127.1", "::g", "1.2.3.4/8", "1.2.3.4:80"])
def test_what_is_not_an_address_is_refused(text: str) -> None:
    assert not allowed(Egress("private"), text)


@pytest.mark.parametrize("name", [*sorted(METADATA_NAMES), "Metadata.Google.Internal", "metadata.google.internal."])
def test_metadata_names_are_refused(name: str) -> None:
    with pytest.raises(EgressRefused, match="metadata name"):
        Egress("private").check_name(name)


def test_other_names_pass() -> None:
    for name in ("example.com", "metadata.example.com", "localhost"):
        assert Egress("public").check_name(name) is None


@pytest.mark.parametrize("mode", ["private", "public"])
@pytest.mark.parametrize("listening", [None, "0.0.0.0", "::", "127.0.0.1", "::1"])
@pytest.mark.parametrize("ip", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"])
def test_own_port_is_refused_by_any_loopback_form(mode: str, listening: str | None, ip: str) -> None:
    egress = Egress(mode, own={(listening, 3001)})  # type: ignore[arg-type]
    assert not allowed(egress, ip, 3001)
    assert allowed(Egress("private", own={(listening, 3001)}), ip, 3002)


def test_own_port_on_one_address_leaves_others_alone() -> None:
    egress = Egress("private", own={("192.168.7.7", 3001)})
    assert not allowed(egress, "192.168.7.7", 3001)
    assert not allowed(egress, "::ffff:192.168.7.7", 3001)
    assert allowed(egress, "192.168.7.8", 3001)
    assert allowed(egress, "127.0.0.1", 3001)


def test_a_foreign_machine_may_use_our_port_number() -> None:
    assert allowed(Egress("public", own={(None, 443)}), "93.184.216.34", 443)


def test_own_ports_may_be_added_later() -> None:
    egress = Egress("private")
    assert allowed(egress, "127.0.0.1", 8080)
    egress.listens("127.0.0.1", 8080)
    assert not allowed(egress, "127.0.0.1", 8080)


def test_the_message_names_the_rule() -> None:
    with pytest.raises(EgressRefused, match=r"10\.0\.0\.1 is a private address"):
        Egress("public").check("10.0.0.1", 80)
    with pytest.raises(EgressRefused, match=r"a cloud metadata address \(169\.254\.169\.254\) in another form"):
        Egress("private").check("2002:a9fe:a9fe::1", 80)


@given(st.ip_addresses(v=4))
def test_wrapping_never_opens_a_door(address: ipaddress.IPv4Address) -> None:
    n = int(address)
    forms = [
        0xFFFF << 32 | n,
        0x64FF9B << 96 | n,
        0x2002 << 112 | n << 80 | 1,
        0x20010000 << 96 | (n ^ 0xFFFFFFFF) | 0x08080808 << 64,
        0xFFFF0000 << 32 | n,
    ]
    for mode in ("private", "public"):
        egress = Egress(mode)
        for form in forms:
            wrapped = ipaddress.IPv6Address(form)
            assert address in unwrap(wrapped)
            if not allowed(egress, str(address)):
                assert not allowed(egress, str(wrapped))


@given(st.ip_addresses(v=6))
def test_public_is_stricter_than_private(address: ipaddress.IPv6Address) -> None:
    if allowed(Egress("public"), str(address)):
        assert allowed(Egress("private"), str(address))

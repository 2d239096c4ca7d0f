"""Cookies between the requests of one check: who gets which."""

# ruff: noqa: E501

from __future__ import annotations

import pytest

from tocsin.net.cookies import CookieJar
from tocsin.net.url import parse

AT = "https://app.shop.example/in/door"


@pytest.mark.parametrize(
    ("given", "asked", "sent"),
    [
        ("a=b", "https://app.shop.example/in/x", "a=b"), ("a=b", "https://app.shop.example/other", ""), ("a=b; Path=/", "https://app.shop.example/other?x", "a=b"),
        ("a=b; Path=/in", "https://app.shop.example/inside", ""), ("a=b; Path=/", "https://shop.example/", ""), ("a=b; Path=/; Domain=shop.example", "https://shop.example/", "a=b"),
        ("a=b; Path=/; Domain=.shop.example", "https://www.shop.example/", "a=b"), ("a=b; Path=/; Domain=shop.example", "https://badshop.example/", ""),
        ("a=b; Path=/; Domain=other.example", "https://other.example/", ""), ("a=b; Path=/; Domain=example", "https://other.example/", ""),
        ("a=b; Path=/; Secure", "https://app.shop.example/", "a=b"), ("a=b; Path=/; Secure", "http://app.shop.example/", ""), ("a=b; Path=/; Max-Age=0", AT, ""),
        ("a=b; Path=/; Max-Age=-1", AT, ""), ("a=b; Path=/; Max-Age=60", AT, "a=b"), ("a=b; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", AT, ""),
        ("a=b; Path=/; Expires=Wed, 09-Jun-2100 10:18:14 GMT", AT, "a=b"), ("a=b; Path=/; Expires=soon", AT, "a=b"),
        ("a=b; Path=/; Expires=Thu, 01 Jan 99999999999999999999 00:00:00 GMT", AT, "a=b"), ("=b", AT, ""), ("a=" + "x" * 5000, AT, ""), ("a", AT, "a="),
    ],
)  # fmt: skip
def test_who_gets_a_cookie(given: str, asked: str, sent: str) -> None:
    jar = CookieJar()
    jar.keep(parse(AT), (("set-cookie", given),))
    assert jar.header(parse(asked)) == sent


def test_a_cookie_is_replaced_and_forgotten() -> None:
    jar, url = CookieJar(), parse(AT)
    assert not jar
    jar.keep(url, (("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2; Path=/in"), ("set-cookie", "a=3; Path=/")))
    assert jar
    assert jar.header(url) == "b=2; a=3"
    late = (
        ("date", "Fri, 01 May 2026 10:00:00 GMT"),
        ("set-cookie", "a=; Path=/; Expires=Fri, 01 May 2026 09:00:00 GMT"),
    )
    jar.keep(url, late)
    assert jar.header(url) == "b=2"


def test_a_jar_does_not_grow_without_end() -> None:
    jar = CookieJar()
    for place in range(300):
        jar.keep(parse(f"https://h{place}.example/"), tuple(("set-cookie", f"c{n}=x") for n in range(100)))
    assert jar.header(parse("https://h0.example/")).count(";") == 49
    assert jar.header(parse("https://h200.example/")) == ""

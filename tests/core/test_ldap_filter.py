"""Filters of LDAP: the bytes by the ASN.1 of RFC 4511, and what is refused."""

# ruff: noqa: E501

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core import ldap_filter


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("(objectClass=*)", "870b6f626a656374436c617373"),
        ("(cn=Babs Jensen)", "a3110402636e040b42616273204a656e73656e"),
        ("(&(a=1)(|(b>=2)(!(c<=3))))", "a01c" "a306040161040131" "a112" "a506040162040132" "a208" "a606040163040133"),
        ("(cn=a*b*c)", "a40f0402636e3009800161810162820163"),
        ("(cn=*b*)", "a4090402636e3003810162"),
        ("(cn~=x)", "a8070402636e040178"),
        (r"(cn=\2a\28\c3\a9)", "a30a0402636e04042a28c3a9"),
        ("(cn=é)", "a3080402636e0402c3a9"),
        ("(cn=)", "a3060402636e0400"),
        ("(uac:1.2.840.113556.1.4.803:=2)", "a920" "8116312e322e3834302e3131333535362e312e342e383033" "8203756163" "830132"),
        ("(o:dn:=A)", "a9098201" "6f" "830141" "8401ff"),
        (" ( a = 1 ) ".replace("( a", "(a").replace("= 1 )", "=1)"), "a306040161040131"),
    ],
)  # fmt: skip
def test_text_to_bytes(text: str, wire: str) -> None:
    assert ldap_filter.encode(text).hex() == wire


@pytest.mark.parametrize(
    "text",
    ["", "(&(a=1))x", "cn=a", "(cn=a", "(cn=a))", "(cn)", "(=a)", "(&)", "(!(a=1)(b=2))", "(a=(b))", r"(a=\2)", "(a>=*)", "(a=**)", "(:=x)", "(" * 100,
     "(!" * 21 + "(a=1)" + ")" * 21, "(a=1)(b=2)"],
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|follows|nested"):
        ldap_filter.encode(text)


@given(st.text(alphabet="()&|!=*<>~:ab1.\\ é\0", max_size=60))
def test_any_text_is_encoded_or_refused(text: str) -> None:
    try:
        made = ldap_filter.encode(text)
    except ValueError:
        return
    assert made

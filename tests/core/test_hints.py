"""What an incident shares with others of its time, and what had changed."""

from __future__ import annotations

from typing import Any

from builders import a_monitor, an_incident, at
from tocsin.core.hints import Trouble, hints_of, related_of


def trouble(name: str, *, seconds: float = 0, host: str = "", seats: int = 1, **more: Any) -> Trouble:
    evidence = more.pop("evidence", {})
    incident = an_incident(a_monitor(), opened_at=at(seconds), evidence=evidence, **more)
    return Trouble(incident=incident, name=name, host=host, seats=seats)


def said(one: Trouble, *others: Trouble) -> list[tuple[str, str]]:
    return [(hint.kind, hint.text) for hint in hints_of(one, others)]


def test_one_alone() -> None:
    assert said(trouble("Shop")) == [("alone", "Nothing else opened within 5 minutes of it.")]
    before = trouble("Cart", seconds=-400, resolved_at=at(-350))
    assert said(trouble("Shop"), before)[0][0] == "alone"


def test_the_same_host_whatever_the_port() -> None:
    shop, cart = trouble("Shop", host="shop.example"), trouble("Cart", host="shop.example:8443", seconds=60)
    other = trouble("Mail", host="mail.example")
    assert said(shop, cart, other) == [("host", "On the same host, shop.example: Cart.")]
    (hint,) = hints_of(shop, [cart, other])
    assert hint.incidents == (cart.incident.id,)
    assert (
        said(trouble("Six", host="[::1]:80"), trouble("Seven", host="[::1]:81"))[0][1]
        == "On the same host, [::1]: Seven."
    )


def test_a_host_that_is_named_by_its_address_is_said_once() -> None:
    evidence = {"ip": "192.0.2.1"}
    one, two = (
        trouble("Shop", host="192.0.2.1:80", evidence=evidence),
        trouble("Cart", host="192.0.2.1", evidence=evidence),
    )
    named = trouble("Mail", host="mail.example", evidence=evidence)
    assert said(one, two) == [("host", "On the same host, 192.0.2.1: Cart.")]
    assert said(one, two, named)[1] == ("host", "Behind the same address, 192.0.2.1: Cart and Mail.")


def test_what_is_still_open_from_before_counts() -> None:
    old = trouble("Database", seconds=-3600, host="db.example")
    assert said(trouble("Shop", host="db.example"), old)[0][0] == "host"


def test_the_same_address_certificate_and_phase() -> None:
    evidence = {"ip": "192.0.2.1", "tls": {"fingerprint_sha256": "ab"}, "error": {"type": "tls", "phase": "tls"}}
    one, two = trouble("Shop", evidence=evidence), trouble("Cart", evidence=evidence)
    assert said(one, two) == [
        ("host", "Behind the same address, 192.0.2.1: Cart."),
        ("certificate", "With the same certificate: Cart."),
        ("phase", "Failing in the same phase, TLS: Cart."),
    ]


def test_the_others_that_hints_speak_of_those_that_share_most_first() -> None:
    evidence = {"error": {"type": "tls", "phase": "tls"}}
    shop = trouble("Shop", host="shop.example", evidence=evidence)
    over = trouble("Over", host="shop.example", seconds=30, resolved_at=at(60))
    both = trouble("Both", host="shop.example:8443", seconds=10, evidence=evidence)
    fresh, other = trouble("Fresh", host="shop.example", seconds=20), trouble("Mail", host="mail.example")
    others = [other, over, fresh, both]
    found = related_of(hints_of(shop, others), others)
    assert [(one.name, one.shares) for one in found] == [
        ("Both", ("host", "phase")),
        ("Fresh", ("host",)),
        ("Over", ("host",)),
    ]
    assert related_of(hints_of(shop, [other]), [other]) == []


def test_all_from_one_location_only() -> None:
    one, two = (trouble(name, seats=3, locations=("eu",)) for name in ("Shop", "Cart"))
    assert said(one, two) == [("location", "All 2 of this time fail from eu only.")]
    elsewhere = trouble("Mail", seats=3, locations=("eu", "us"))
    assert said(one, two, elsewhere) == []
    assert said(trouble("Local", locations=("local",)), trouble("Other", locations=("local",))) == []


def test_what_changed_since_the_last_good_check() -> None:
    evidence = {
        "ip": "192.0.2.2", "response": {"status_code": 503}, "tls": {"fingerprint_sha256": "cd"},
        "before": {"ip": "192.0.2.1", "status_code": 200, "fingerprint_sha256": "ab"},
    }  # fmt: skip
    assert said(trouble("Shop", evidence=evidence)) == [
        ("changed", "Another address answers: 192.0.2.2, before it was 192.0.2.1."),
        ("changed", "The answer was 200 before, now it is 503."),
        ("changed", "Its certificate is another one than before."),
        ("alone", "Nothing else opened within 5 minutes of it."),
    ]
    refused = {"ip": "192.0.2.1", "before": {"ip": "192.0.2.1", "status_code": 200, "fingerprint_sha256": None}}
    assert said(trouble("Shop", evidence=refused))[0][0] == "alone"

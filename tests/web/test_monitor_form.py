"""A monitor's form: what changing the check type keeps and what begins anew, and fields that take what they should."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest

from hostile import Talk, authority, serving
from tocsin import checks
from web.caller import Caller
from web.conftest import Alice

PEM = authority().pem


def browser_of(alice: Alice) -> Caller:
    """Alice at her browser."""
    browser = alice.house.caller(origin="http://tocsin.test", content_type="application/x-www-form-urlencoded")
    browser.cookies["tocsin_session"] = alice.api.token or ""
    return browser


class Shown:
    """A form as HTML: what its fields hold."""

    def __init__(self, text: str) -> None:
        self.text = text

    def value(self, name: str) -> str | None:
        """What is in the field; None when there is no such field."""
        tag = re.search(rf'<(input|textarea|select)[^>]* name="{re.escape(name)}"[^>]*>', self.text)
        if tag is None:
            return None
        rest = self.text[tag.end() :]
        if tag[1] == "textarea":
            return unescape(rest.partition("</textarea>")[0]).removeprefix("\n")
        if tag[1] == "select":
            chosen = re.search(r"<option[^>]* selected[^>]*>([^<]*)", rest.partition("</select>")[0])
            return unescape(chosen[1]) if chosen else ""
        if 'type="checkbox"' in tag[0]:
            return "ticked" if " checked" in tag[0] else ""
        found = re.search(r' value="([^"]*)"', tag[0])
        return unescape(found[1]) if found else ""


async def switched(alice: Alice, before: str, after: str, **typed: str) -> Shown:
    """The fragments for the type `after`, of a form of the type `before` as the page begins it, with what was typed."""
    browser = browser_of(alice)
    page = Shown((await browser.get(f"/monitors/new?type={before}")).text)
    start = {n: page.value(n) or "" for n in ("interval_s", "timeout_s", "retries", "failure_threshold")}
    boxes = {m[1]: "1" for m in re.finditer(r'type="checkbox" name="(target\.\w+)" value="1" checked', page.text)}
    given = {"type": after, "shown_type": before, "channels_mode": "default"} | start | boxes | typed
    answer = await browser.send("POST", "/monitors/new/target", raw=urlencode(given).encode())
    assert answer.status == 200, answer.text
    return Shown(answer.text)


async def test_the_start_values_follow_the_type_unless_they_were_changed(alice: Alice) -> None:
    push = await switched(alice, "http", "push")
    assert push.value("failure_threshold") == "1"
    assert push.value("interval_s") is None, "a push monitor has none"
    assert push.value("name") == ""
    assert "called after its address" not in push.text
    assert (await switched(alice, "http", "push", name="Backup")).value("name") == "Backup"
    assert (await switched(alice, "push", "http")).value("failure_threshold") == "2"
    assert (await switched(alice, "http", "push", failure_threshold="4")).value("failure_threshold") == "4"
    browser = await switched(alice, "http", "browser")
    assert (browser.value("interval_s"), browser.value("timeout_s")) == ("300", "45")
    assert (await switched(alice, "http", "browser", timeout_s="20")).value("timeout_s") == "20"
    assert (await switched(alice, "browser", "tcp")).value("interval_s") == "60"


async def test_the_fields_begin_as_their_type_does_and_keep_what_was_typed(alice: Alice) -> None:
    kafka = await switched(alice, "http", "kafka_consumer")
    assert kafka.value("target.write") == "ticked", "it writes unless somebody says no"
    assert (await switched(alice, "http", "transaction")).value("target.cookies") == "ticked"
    assert (await switched(alice, "http", "snmp")).value("target.auth") == "sha256"
    smtp = await switched(alice, "tls", "smtp", **{"target.host": "mail.example", "target.port": "443"})
    assert (smtp.value("target.host"), smtp.value("target.port")) == ("mail.example", "25")
    assert (await switched(alice, "tls", "smtp", **{"target.port": "8443"})).value("target.port") == "8443"


async def test_only_assertions_that_the_type_can_meet_are_offered_and_kept(alice: Alice) -> None:
    row = {"type": "status_code", "op": "in", "of": "", "value": "200", "on_fail": "down"}
    rows = {f"assertion.{name}": value for name, value in row.items()}
    assert (await switched(alice, "http", "websocket", **rows)).text.count('value="status_code"') == 0
    assert (await switched(alice, "http", "http", **rows)).value("assertion.value") == "200"
    dns = await switched(alice, "http", "dns")
    assert set(re.findall(r'<option value="(\w+)" data-ops', dns.text)) == {"dns_answer", "response_time_ms"}


@pytest.mark.parametrize("name", checks.names())
async def test_every_type_has_its_form(alice: Alice, name: str) -> None:
    shown = await switched(alice, "http", name)
    assert shown.value("shown_type") == name
    assert "period_s" not in re.sub(r'"[^"]*"', "", shown.text), "people read labels, not the names of fields"


async def test_a_certificate_is_typed_on_its_many_lines(alice: Alice) -> None:
    given = {
        "type": "tls", "name": "Shop", "channels_mode": "none", "save": "paused", "target.host": "127.0.0.1",
        "target.port": "443", "target.verify_tls": "1", "target.ca_file": PEM.replace("\n", "\r\n"),
        "target.client_cert": PEM, "target.client_key": authority().key_pem,
    }  # fmt: skip
    browser = browser_of(alice)
    answer = await browser.send("POST", "/monitors/new", raw=urlencode(given).encode())
    assert answer.status == 303, answer.text
    page = answer.headers["location"].partition("?")[0]
    kept = alice.house.parts.corridor.watchlist.get(page.rpartition("/")[2]).monitor.target
    assert (kept["ca_file"], kept["client_key"]) == (PEM, authority().key_pem)
    edit = Shown((await browser.get(f"{page}/edit")).text)
    assert edit.value("target.ca_file") == PEM
    assert edit.value("target.client_key") == "***"
    again = given | {"target.client_key": "***", "name": "Shop 2"}
    assert (await browser.send("POST", f"{page}/edit", raw=urlencode(again).encode())).status == 303
    kept = alice.house.parts.corridor.watchlist.get(page.rpartition("/")[2]).monitor.target
    assert kept["client_key"] == authority().key_pem


async def test_a_step_that_sends_nothing_keeps_its_place(alice: Alice) -> None:
    given = {
        "type": "tcp", "name": "Mail", "channels_mode": "none", "save": "paused", "target.host": "127.0.0.1",
        "target.port": "25", "target.send": "\r\nQUIT\\r\\n\r\n", "target.expect": "^220\r\n^221",
    }  # fmt: skip
    browser = browser_of(alice)
    page = (await browser.send("POST", "/monitors/new", raw=urlencode(given).encode())).headers["location"]
    page = page.partition("?")[0]
    kept = alice.house.parts.corridor.watchlist.get(page.rpartition("/")[2]).monitor.target
    assert (list(kept["send"]), list(kept["expect"])) == (["", r"QUIT\r\n"], ["^220", "^221"])
    assert Shown((await browser.get(f"{page}/edit")).text).value("target.send") == "\nQUIT\\r\\n"


async def test_words_and_a_try_of_a_monitor_with_a_secret(alice: Alice) -> None:
    """The page has *** where the secret stands; both go by the kept one, which goes nowhere else."""

    async def private(talk: Talk) -> None:
        await talk.answer("200 OK", b"hello")

    async with serving(private) as server, serving(private) as other:
        target = {"url": server.url(), "auth": "basic", "username": "alice", "password": "s3cret!"}
        made = await alice.api.post(
            "/api/v1/monitors", {"name": "Door", "type": "http", "target": target, "paused": True}
        )
        browser, page = browser_of(alice), f"/monitors/{made.data['id']}"
        assert f"check {server.url()}" in (await browser.get(page)).text
        edit = (await browser.get(f"{page}/edit")).text
        assert f"check {server.url()}" in edit
        assert f'name="monitor_id" value="{made.data["id"]}"' in edit
        form = {
            "type": "http",
            "monitor_id": made.data["id"],
            "channels_mode": "none",
            "timeout_s": "5",
            "target.verify_tls": "1",
        }
        form |= {f"target.{name}": value for name, value in target.items()} | {"target.password": "***"}
        assert f"check {server.url()}" in (await said(browser, "words", form))
        assert "Must be" not in await said(browser, "try", form)
        assert server.talks[-1].header("authorization") == "Basic YWxpY2U6czNjcmV0IQ=="
        elsewhere = await said(browser, "try", form | {"target.url": other.url()})
    assert "Password: Must be typed again, because url leads elsewhere now." in elsewhere
    assert other.talks == []


async def said(browser: Caller, what: str, form: dict[str, Any]) -> str:
    """What a fragment of the form says."""
    return unescape((await browser.send("POST", f"/monitors/new/{what}", raw=urlencode(form).encode())).text)


async def test_a_name_is_asked_for_only_where_there_is_no_address_to_call_it_after(alice: Alice) -> None:
    browser = browser_of(alice)
    form = {"channels_mode": "none", "save": "paused"}
    wrong = await browser.send(
        "POST", "/monitors/new", raw=urlencode(form | {"type": "http", "target.url": "example.org"}).encode()
    )
    text = unescape(wrong.text)
    assert "Must be an http or https URL; this one does not start with http:// or https://." in text
    assert 'id="e-name"' not in text
    nameless = await browser.send("POST", "/monitors/new", raw=urlencode(form | {"type": "push"}).encode())
    assert "Give it a name" in nameless.text
    docker = form | {"type": "docker", "target.container": "shop-db", "target.url": "http://127.0.0.1:2375"}
    made = await browser.send("POST", "/monitors/new", raw=urlencode(docker).encode())
    assert made.status == 303, made.text
    assert "<h1" in (page := (await browser.get(made.headers["location"])).text)
    assert "shop-db" in page


async def test_the_page_shows_what_the_latest_check_saw(alice: Alice) -> None:
    async def greets(talk: Talk) -> None:
        await talk.send(b"+OK hello\r\n")

    async with serving(greets, read=False) as server:
        target = {"host": "127.0.0.1", "port": server.port, "expect": ["^.OK"]}
        made = await alice.api.post("/api/v1/monitors", {"name": "Mail", "type": "tcp", "target": target})
        await alice.api.post(f"/api/v1/monitors/{made.data['id']}/run")
    text = unescape((await browser_of(alice).get(f"/monitors/{made.data['id']}")).text)
    facts = re.search(r'id="facts".*?</section>', text, re.S)
    assert facts is not None
    assert "+OK hello" in facts[0]


async def test_what_is_degraded_is_called_slow_only_for_its_time(alice: Alice) -> None:
    browser = browser_of(alice)

    async def answers(talk: Talk) -> None:
        await talk.answer()

    async with serving(answers) as server:
        for type_, value, word in (("response_time_ms", 0, "Slow, "), ("body_bytes", 0, "Degraded, body bytes")):
            rule = {"type": type_, "op": "lt", "value": value, "on_fail": "degrade"}
            target = {"name": type_, "type": "http", "target": {"url": server.url()}, "degraded_threshold": 1}
            made = await alice.api.post("/api/v1/monitors", target | {"assertions": [rule]})
            await alice.api.post(f"/api/v1/monitors/{made.data['id']}/run")
            text = unescape((await browser.get(f"/monitors/{made.data['id']}")).text)
            assert word in text
            assert f"</svg>{word.partition(',')[0]}</span>" in text


async def test_why_a_check_was_not_judged_is_told_of_the_latest(alice: Alice) -> None:
    async def leads_away(talk: Talk) -> None:
        await talk.answer("302 Found", b"", "Location: http://169.254.169.254/")

    async with serving(leads_away) as server:
        target = {"name": "Shop", "type": "http", "target": {"url": server.url()}}
        made = await alice.api.post("/api/v1/monitors", target)
        for _ in range(3):
            await alice.api.post(f"/api/v1/monitors/{made.data['id']}/run")
    text = unescape((await browser_of(alice).get(f"/monitors/{made.data['id']}")).text)
    rows = re.findall(r'class="wide seen">([^<]*)<', text)
    assert "169.254.169.254" in rows[0]
    assert "network" not in rows

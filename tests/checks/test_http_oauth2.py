"""http with OAuth 2 client credentials: a token is asked for once, kept, asked for anew when it is refused."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

import hostile
from checks.looking import look, why
from hostile import Server, Talk, serving
from tocsin.checks.http import Target
from tocsin.core.shape import read
from tocsin.errors import Invalid
from tocsin.net import Net

PAIR = base64.b64encode(b"watcher:s3cr%2Ft").decode()


def giving(*answers: tuple[str, object]) -> Callable[[Talk], Any]:
    """A token's server that gives these answers in turn, the last one for ever."""
    left = list(answers)

    async def script(talk: Talk) -> None:
        status, said = left.pop(0) if len(left) > 1 else left[0]
        text = said if isinstance(said, bytes) else json.dumps(said).encode()
        await talk.answer(status, text, "Content-Type: application/json")

    return script


async def only(talk: Talk) -> None:
    """A site that wants the token good-1 or good-2."""
    fine = talk.header("authorization") in ("Bearer good-1", "Bearer good-2")
    await talk.answer("200 OK" if fine else "401 Unauthorized")


def target(site: Server, tokens: Server, **more: Any) -> dict[str, Any]:
    return {
        "url": site.url(), "auth": "oauth2", "token_url": tokens.url("/token"), "client_id": "watcher",
        "client_secret": "s3cr/t", **more,
    }  # fmt: skip


async def test_a_token_is_asked_for_once_and_kept() -> None:
    async with (
        serving(only) as site,
        serving(giving(("200 OK", {"access_token": "good-1", "expires_in": 3600}))) as tokens,
    ):
        async with Net() as net:
            outcomes = await asyncio.gather(
                *(look("http", net=net, **target(site, tokens, scope="a b")) for _ in range(5))
            )
            outcomes.append(await look("http", net=net, **target(site, tokens, scope="a b")))
            other = await look("http", net=net, **target(site, tokens, scope="c"))
    assert [o.status for o in (*outcomes, other)] == ["up"] * 7
    assert len(tokens.talks) == 2  # one for each scope
    asked = tokens.talks[0]
    assert asked.header("authorization") == f"Basic {PAIR}"
    assert parse_qs(asked.body.decode()) == {"grant_type": ["client_credentials"], "scope": ["a b"]}


async def test_credentials_in_the_body_when_the_server_wants_them_there() -> None:
    async with serving(only) as site, serving(giving(("200 OK", {"access_token": "good-1"}))) as tokens:
        outcome = await look("http", **target(site, tokens, credentials_in="body"))
    assert why(outcome) == ("up", "", None)
    sent = tokens.talks[0]
    assert sent.header("authorization") is None
    assert parse_qs(sent.body.decode())["client_secret"] == ["s3cr/t"]


async def test_a_kept_token_that_is_refused_is_asked_for_anew_once() -> None:
    answers = giving(("200 OK", {"access_token": "old", "expires_in": 60}), ("200 OK", {"access_token": "good-2"}))
    refusals = 0

    async def picky(talk: Talk) -> None:
        nonlocal refusals
        if refusals == 0 or talk.header("authorization") == "Bearer good-2":
            refusals = refusals or 1
            return await talk.answer()
        await talk.answer("401 Unauthorized")
        return None

    async with serving(picky) as site, serving(answers) as tokens, Net() as net:
        assert (await look("http", net=net, **target(site, tokens))).status == "up"
        assert (await look("http", net=net, **target(site, tokens))).status == "up"
    assert len(tokens.talks) == 2


async def test_a_fresh_token_that_is_refused_is_the_sites_answer() -> None:
    async with serving(only) as site, serving(giving(("200 OK", {"access_token": "bad"}))) as tokens:
        outcome = await look("http", **target(site, tokens))
    assert why(outcome)[:2] == ("down", "assertion")
    assert outcome.seen.status_code == 401
    assert len(tokens.talks) == 1


@pytest.mark.parametrize(
    ("status", "said", "words"),
    [
        ("401 No", {"error": "invalid_client"}, "found 401 (invalid_client)"),
        ("200 OK", {"token_type": "bearer"}, "found 200 without an access_token"),
        ("200 OK", b"<html>", "found 200 without an access_token"),
        ("200 OK", {"access_token": "a\nb: c"}, "without an access_token"),
        ("302 Found", {}, "found 302"),
        ("500 Oops", {"error": 5}, "found 500"),
    ],
)
async def test_no_token_is_down_and_says_whose_fault(status: str, said: object, words: str) -> None:
    async with serving(only) as site, serving(giving((status, said))) as tokens:
        outcome = await look("http", **target(site, tokens))
    assert why(outcome) == ("down", "protocol", "ttfb")
    assert words in str(outcome.error)
    assert "s3cr" not in str(outcome)
    assert site.talks == []


async def test_a_tokens_server_that_is_away_or_silent() -> None:
    async def quiet(talk: Talk) -> None:
        await talk.hang()

    async with serving(only) as site:
        gone = Server(hostile.refused_port())
        outcome = await look("http", **target(site, gone))
        assert why(outcome) == ("down", "connection_refused", "connect")
        assert str(outcome.error.message if outcome.error else "").startswith("no token: ")
        async with serving(quiet) as slow:
            assert why(await look("http", timeout_s=0.4, **target(site, slow)))[:2] == ("down", "timeout")


def test_what_oauth2_needs() -> None:
    with pytest.raises(Invalid) as caught:
        read(Target, {"url": "http://a/", "auth": "oauth2", "token_url": "ftp://x"})
    assert {p.field for p in caught.value.problems} == {"client_id", "client_secret", "token_url"}

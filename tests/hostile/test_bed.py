"""The table holds: every check says of every broken server what stands there, in time, in little memory, and without holding
up the others. What the server runs on is uvloop; `tocsin check` runs on asyncio, where a flood is harder to leave."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from checks.looking import look, why
from hostile import Talk, serving, sound
from hostile.bed import look_at
from hostile.columns import COLUMNS, DATAGRAMS, Column, Datagrams
from hostile.table import DATAGRAM_ROWS, ROWS
from tocsin import checks

ELSEWHERE = {
    "ping": "test_ping.py here: it has no connection and no port",
    "push": "it asks nobody",
    "nagios": "it runs a program: tests/checks/test_nagios.py",
    "browser": "what it meets is Chromium's to stand: tests/checks/test_browser.py",
}
"""Kinds that are no columns, and why."""


def test_every_kind_is_a_column() -> None:
    assert {c.type for c in (*COLUMNS, *DATAGRAMS)} | set(ELSEWHERE) == set(checks.names())
    assert len({r.says for r in ROWS}) == len(ROWS)
    assert len({r.says for r in DATAGRAM_ROWS}) == len(DATAGRAM_ROWS)


def test_exceptions_name_columns() -> None:
    """A misspelt one would be none."""
    for rows, columns in ((ROWS, COLUMNS), (DATAGRAM_ROWS, DATAGRAMS)):
        labels = {c.label for c in columns}
        assert {name.partition(" ")[0] for r in rows for name in r.but} <= labels


@pytest.mark.parametrize("column", COLUMNS, ids=lambda c: c.label)
async def test_over_connections(column: Column) -> None:
    found = await look_at(column, ROWS, "uvloop")
    found += await look_at(column, [r for r in ROWS if r.heavy], "asyncio")
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("column", DATAGRAMS, ids=lambda c: c.label)
async def test_by_datagrams(column: Datagrams) -> None:
    found = await look_at(column, DATAGRAM_ROWS, "uvloop")
    assert not found, "\n" + "\n".join(found)


class Changing:
    """Names as a name server tells them that changes its mind with each question: first here, then where nobody may go."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    def __call__(self, host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        ips = (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]).split()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in ips]


@pytest.mark.parametrize("type_", ["http", "tcp", "redis"])
async def test_a_name_that_leads_elsewhere_the_second_time(type_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that was allowed is the one that is connected to; and a name with an address that is not, is refused."""

    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.answer("302 Found" if talk.path == "/" else "200 OK", b"", "Location: /again", "Connection: close")

    given: dict[str, Any] = {"http": lambda port: {"url": f"http://rebind.test:{port}/"}}
    monkeypatch.setattr(socket, "getaddrinfo", Changing("127.0.0.1", "169.254.169.254"))
    async with serving(script if type_ == "http" else sound.redis, read=False) as server:
        target = given.get(type_, lambda port: {"host": "rebind.test", "port": port})(server.port)
        first = await look(type_, **target)
        again = await look(type_, **target)
        monkeypatch.setattr(socket, "getaddrinfo", Changing("127.0.0.1 169.254.169.254"))
        both = await look(type_, **target)
    assert (first.status, first.seen.ip) == ("up", "127.0.0.1"), first.error
    assert first.seen.redirects == (1 if type_ == "http" else None)
    assert why(again)[:2] == why(both)[:2] == ("invalid", "network")
